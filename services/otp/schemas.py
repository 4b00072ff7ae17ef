"""The shapes of requests and answers."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from services.otp.domain.attempt import Code, parse_code
from services.otp.domain.failure_row import FailureRow
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import PURPOSES_BY_SMS, Factor, Purpose
from services.otp.domain.recovery_code import LONGEST_SPELLING
from shared.bodies import Flag, Pattern, Text
from shared.channel import Channel
from shared.clock import rfc3339
from shared.openapi import ProblemSchema
from shared.phone import PhoneNumber
from shared.secret import Secret

ID = validate.Length(1, 80)


class Time(fields.DateTime):
    """RFC 3339 in UTC."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ANN401, ARG002
        return None if value is None else rfc3339(value)


class Revealed(fields.String):
    """A secret, shown in this one answer."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ANN401, ARG002
        secret: Secret[str] | None = value
        return None if secret is None else secret.reveal()


class CodeField(Text):
    """Six ASCII digits, or a recovery code as a person may write it. What no factor can be is 422 and not counted."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:  # noqa: ANN401
        code: Code | None = parse_code(super()._deserialize(value, attr, data, **kwargs))
        if code is None:
            raise ValidationError("Neither six digits nor a backup code.")
        return code


class PasscodeField(Text):
    """Six ASCII digits in this one spelling."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:  # noqa: ANN401
        passcode = Passcode.parse(super()._deserialize(value, attr, data, **kwargs))
        if passcode is None:
            raise ValidationError("Not six digits.")
        return passcode


class PhoneField(Text):
    """An E.164 number."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return PhoneNumber(super()._deserialize(value, attr, data, **kwargs))
        except ValueError:
            raise ValidationError("Not an E.164 phone number.") from None


def _session_id() -> Text:
    return Text(load_default=None, allow_none=True, validate=ID, metadata={"description": "The session that acts."})


class AuthenticatorSchema(Schema):
    """An authenticator as its owner sees it."""

    id = fields.String()
    kind = fields.String()
    label = fields.String()
    confirmed_at = Time()
    last_used_at = Time(allow_none=True)


class RecoveryCodesStateSchema(Schema):
    """What is left of the sheet."""

    remaining = fields.Integer()
    created_at = Time(allow_none=True)


class TwoFactorSchema(Schema):
    """The state of an account's 2FA."""

    enabled = fields.Boolean()
    authenticators = fields.List(fields.Nested(AuthenticatorSchema))
    recovery_codes = fields.Nested(RecoveryCodesStateSchema)
    locked = fields.Boolean(metadata={"description": "Six digits are not taken in new browsers."})
    locked_everywhere = fields.Boolean(metadata={"description": "Six digits are not taken in any browser."})
    consecutive_failures = fields.Integer()
    strangers_failures = fields.Integer(metadata={"description": "From new browsers; no success takes them away."})
    reset_needed = fields.Boolean(metadata={"description": "An unlock would be refused: only a reset helps."})
    suspended = fields.Boolean(metadata={"description": "It was stolen, and a reset is under way."})
    pending_until = Time(
        allow_none=True,
        metadata={"description": "How long the session of the query may confirm the enrollment that it has begun."},
    )


class AccountsSchema(Schema):
    """The accounts of a list, at most a page of them."""

    account_ids = fields.List(Text(validate=ID), required=True, validate=validate.Length(max=200))


class AccountsOnSchema(Schema):
    """Those of them whose 2FA is on."""

    account_ids = fields.List(fields.String())


class ThrottleSchema(Schema):
    """A budget that is spent."""

    purpose = fields.String(metadata={"enum": ["login", "phone_verification", "enrollment"]})
    until = Time()


class ThrottlesSchema(Schema):
    """The budgets of an account that are spent."""

    items = fields.List(fields.Nested(ThrottleSchema))


class OrderedSchema(Schema):
    """The session that orders it."""

    session_id = _session_id()


class InSessionSchema(Schema):
    """The session for which it is asked."""

    session_id = _session_id()


class OwnEnrollmentSchema(Schema):
    """The session that has begun it."""

    session_id = Text(required=True, validate=ID, metadata={"description": "The session that began it."})


class DisableSchema(OrderedSchema):
    """The session that orders it, and whether it must have ordered it before."""

    only_repeat = Flag(load_default=False, metadata={"description": "Only if this session did it a moment ago."})


class DisabledSchema(Schema):
    """2FA is off; ``two_factor.disabled`` has this id."""

    event_id = fields.String(allow_none=True)


class EndingsSchema(Schema):
    """What ends."""

    session_ids = fields.List(Text(validate=ID), load_default=list, validate=validate.Length(max=100))
    codes = Flag(load_default=False, metadata={"description": "All texted codes of the account."})
    enrollments = Flag(load_default=False, metadata={"description": "All that wait to be confirmed."})
    strangers = Flag(load_default=False, metadata={"description": "The failures in a row from new browsers."})


class BeginEnrollmentSchema(Schema):
    """What the app shows under the issuer, such as the email address."""

    label = Text(required=True, validate=validate.Length(1, 128))
    session_id = _session_id()


class EnrollmentSchema(Schema):
    """The secret, shown to the session that began it."""

    enrollment_id = fields.String(attribute="id")
    secret = Revealed()
    otpauth_uri = Revealed()
    qr_svg = Revealed()
    expires_at = Time()


class ConfirmEnrollmentSchema(Schema):
    """The first code of the new authenticator."""

    code = PasscodeField(required=True)
    session_id = _session_id()


class RegenerateSchema(Schema):
    """Who asks for a new sheet. A call with the same key is a repeat, and has the same sheet for a minute."""

    session_id = _session_id()
    idempotency_key = Text(load_default=None, allow_none=True, validate=Pattern(r"[A-Za-z0-9_-]{1,80}"))


class RecoveryCodesSchema(Schema):
    """Ten codes, shown this once."""

    recovery_codes = fields.List(fields.String())


class VerifySchema(Schema):
    """A code and what it is for."""

    code = CodeField(required=True, metadata={"maxLength": LONGEST_SPELLING})
    purpose = fields.Enum(Purpose, by_value=True, required=True)
    binding = Text(required=True, validate=ID)
    device_id = Text(load_default=None, allow_none=True, validate=ID)


class VerifiedSchema(Schema):
    """Which factor it was."""

    factor = fields.Enum(Factor, by_value=True)
    recovery_codes_remaining = fields.Integer()


class RequestSmsSchema(Schema):
    """A phone, and what the code will be for."""

    purpose = fields.Enum(Purpose, by_value=True, required=True, validate=validate.OneOf(PURPOSES_BY_SMS))
    binding = Text(required=True, validate=ID)
    phone = PhoneField(required=True)
    device_id = Text(load_default=None, allow_none=True, validate=ID)
    channel = fields.Enum(Channel, by_value=True, load_default=Channel.SMS)
    language = Text(
        load_default=None,
        allow_none=True,
        validate=Pattern(r"[a-z]{2,3}", error="A language as ISO 639 writes it."),
        metadata={"description": "The language of the text or the call; English if it is not one of ours."},
    )


class WithdrawSmsSchema(Schema):
    """What the challenge was requested for."""

    purpose = fields.Enum(Purpose, by_value=True, required=True, validate=validate.OneOf(PURPOSES_BY_SMS))
    binding = Text(required=True, validate=ID)


class SmsChallengeSchema(Schema):
    """What auth publishes and what the page shows."""

    message_id = fields.String()
    reference = fields.String()
    phone_hint = fields.String()
    expires_at = Time()
    resend_after = Time()
    deadline = Time()


class PageSchema(Schema):
    """Where to go on, and how far."""

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 100))
    cursor = Text(load_default=None, validate=Pattern(r"[0-9]{1,18}"))


class AttemptSchema(Schema):
    """One attempt. ``clock_skew_seconds`` is positive when the user's clock is fast (ahead of ours)."""

    id = fields.Function(lambda row: f"att_{row.position}")
    at = Time()
    purpose = fields.String()
    factor = fields.String(allow_none=True)
    outcome = fields.String(metadata={"enum": ["verified", "rejected", "throttled"]})
    reason = fields.String(allow_none=True)
    clock_skew_seconds = fields.Integer(
        allow_none=True, metadata={"description": "Positive: the user's clock is fast; negative: it is slow."}
    )
    device_known = fields.Boolean()
    throttled_until = Time(
        allow_none=True, metadata={"description": "The end of the wait that a throttled try met; a hard stop has none."}
    )
    challenge_id = fields.String(
        allow_none=True, metadata={"description": "The login challenge that the code answered; null otherwise."}
    )


class AttemptsSchema(Schema):
    """A page of attempts, newest first."""

    items = fields.List(fields.Nested(AttemptSchema))
    next_cursor = fields.String(allow_none=True)


class InvalidPasscodeSchema(ProblemSchema):
    """The problem document of a refused code has more members."""

    reason = fields.String(
        metadata={
            "enum": ["wrong", "clock_skew", "spent", "replayed", "older_entry"],
            "description": "For the caller alone.",
        }
    )
    recent_failures = fields.Integer(metadata={"description": "Tries in the longest window, this one included."})
    spent_rows = fields.List(
        fields.Enum(FailureRow, by_value=True),
        metadata={"description": "The rows of failures that have no more room; for the caller alone."},
    )
