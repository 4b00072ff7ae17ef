"""2FA, recovery codes, trusted devices and the password."""

from marshmallow import Schema, fields, validate

from services.auth.domain.hold import Held, LiftedBy
from services.auth.schemas.common import Browser, Time, passcode_field, password_field
from services.auth.schemas.resets import PendingResetSchema
from shared.bodies import Text


class EnrollmentSchema(Schema):
    """What the app needs, in three spellings: the key, the key URI and its QR code."""

    enrollment_id = fields.String()
    secret = fields.String(metadata={"description": "Base32, to be typed into the app."})
    otpauth_uri = fields.String()
    qr_svg = fields.String(metadata={"description": "The QR code as an SVG document."})
    expires_at = fields.String()


class EnrollmentArgs(Schema):
    """The one-time word, for an account that must enrol first."""

    word = Text(
        load_default=None,
        validate=validate.Length(min=1, max=100),
        load_only=True,
        metadata={"description": "Three words, from support after a reset or from the command line for operators."},
    )


class ConfirmArgs(Schema):
    """The code that the app shows."""

    code = passcode_field(required=True)


class RecoveryCodesSchema(Schema):
    """Shown once; each lets its owner in once."""

    recovery_codes = fields.List(fields.String())


def _new_token() -> fields.String:
    description = "The session's new token; only with transport bearer, and in X-Session-Token, too."
    return fields.String(metadata={"description": description})


class ConfirmedSchema(RecoveryCodesSchema):
    """2FA is on: the backup codes, and a new token of this session."""

    token = _new_token()


class RecoveryCodesState(Schema):
    """How many are left."""

    remaining = fields.Integer()
    created_at = fields.String(allow_none=True)


class SmsState(Schema):
    """Whether codes can be sent by SMS."""

    available = fields.Boolean()
    phone_hint = fields.String(allow_none=True)


class CallState(Schema):
    """Whether codes can be said in a call."""

    available = fields.Boolean()
    phone_hint = fields.String(allow_none=True)


class ProtectionSchema(Schema):
    """What its owner and support both see of how an account is protected."""

    enabled = fields.Boolean()
    locked = fields.Boolean(
        metadata={
            "description": "In new browsers, until the password changes, until DELETE /v1/two-factor/wrong-codes, or"
            " until support lifts it."
        }
    )
    locked_everywhere = fields.Boolean(
        metadata={"description": "A hundred wrong codes in a row; a backup code or a reset ends it."}
    )
    authenticators = fields.List(fields.Dict())
    recovery_codes = fields.Nested(RecoveryCodesState)


class HoldSchema(Schema):
    """Something that is refused after too many tries. A new client is one that the account does not know."""

    what = fields.String(metadata={"enum": list(Held)})
    until = Time(allow_none=True, metadata={"description": "Null where no time ends it."})
    lifted_by = fields.List(fields.String(metadata={"enum": list(LiftedBy)}))


class TwoFactorSchema(ProtectionSchema):
    """How the account is protected. ``pending_reset`` is a support reset that the owner can still cancel.

    ``held_out``: what is refused at present after too many wrong passwords and codes, until when, and what lifts it.
    """

    held_out = fields.List(fields.Nested(HoldSchema))
    sms = fields.Nested(SmsState)
    call = fields.Nested(CallState)
    pending_reset = fields.Nested(PendingResetSchema, allow_none=True)


class DeviceSchema(Schema):
    """A browser that the account knows, because it has completed a login."""

    id = fields.String()
    label = Browser(metadata={"example": "Firefox on Windows"})
    current = fields.Boolean(metadata={"description": "This session was opened on it."})
    created_at = Time()
    last_used_at = Time()
    trusted_until = Time(allow_none=True, metadata={"description": "It skips the code until then; null: it does not."})
    expires_at = Time(
        metadata={"description": "The end of its trust; else of being known, which is 90 days after its last use."}
    )


class DeviceListSchema(Schema):
    """The known devices."""

    items = fields.List(fields.Nested(DeviceSchema))
    next_cursor = fields.String(allow_none=True)


class PasswordArgs(Schema):
    """The new password."""

    new_password = password_field(required=True)


class PasswordChangeArgs(PasswordArgs):
    """The current password and the new one."""

    current_password = password_field(required=True)


class StrengthSchema(Schema):
    """zxcvbn's verdict, 0 (guessed at once) to 4."""

    score = fields.Integer()
    warning = fields.String()
    suggestions = fields.List(fields.String())
    acceptable = fields.Boolean(metadata={"description": "Whether the account may have it."})


class PasswordAnswer(Schema):
    """The password is changed, and this session has a new token."""

    strength = fields.Nested(StrengthSchema)
    token = _new_token()
