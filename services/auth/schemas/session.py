"""Login, challenge and session."""

from marshmallow import Schema, fields, validate

from services.auth.domain.account import Role
from services.auth.schemas.common import Browser, Time, code_field, password_field
from shared.bodies import Flag, Pattern, Text
from shared.channel import Channel


class LoginArgs(Schema):
    """Email and password; how the session travels; the device token of a bearer client."""

    email = Text(
        required=True,
        validate=validate.Length(min=3, max=254),
        metadata={
            "example": "owner@example.com",
            "description": "In any case. The domain may be in Unicode or in A-labels (`xn--`).",
        },
    )
    password = password_field(required=True)
    transport = Text(load_default="cookie", validate=validate.OneOf(["cookie", "bearer"]))
    device_token = Text(load_default=None, allow_none=True, validate=validate.Length(max=100), load_only=True)


class VerifyArgs(Schema):
    """The code, and whether to remember this browser."""

    code = code_field(required=True)
    remember_device = Flag(load_default=False)


class LogoutArgs(Schema):
    """Whether the account is to forget this browser; the device of a bearer client that is to be forgotten."""

    forget_browser = Flag(
        load_default=False,
        metadata={"description": "The account no longer knows this browser, and its sessions end."},
    )
    device_token = Text(load_default=None, allow_none=True, validate=validate.Length(max=100), load_only=True)


class ReauthenticateArgs(Schema):
    """The password; with 2FA on also a code: of the app, by SMS, or a backup code."""

    password = password_field(required=True)
    code = code_field(load_default=None, allow_none=True)


class AccountSchema(Schema):
    """Who is signed in."""

    id = fields.String()
    email = fields.String()
    name = fields.String()
    role = fields.String()
    phone_hint = fields.String(allow_none=True, metadata={"description": "The verified phone, masked."})
    pending_phone_hint = fields.String(allow_none=True)
    language = fields.String(
        allow_none=True,
        metadata={"description": "Of notices, texts and calls. Null until one is chosen or 2FA is enrolled."},
    )


class SessionSchema(Schema):
    """A session. ``step_up_until`` is set while a step-up window is open; ``prompts`` asks for what is due."""

    id = fields.String()
    account = fields.Nested(AccountSchema)
    factors = fields.List(fields.String())
    assurance = fields.String(metadata={"enum": ["aal1", "aal2"]})
    transport = fields.String()
    authenticated_at = Time()
    expires_at = Time()
    step_up_until = Time(allow_none=True)
    step_up = fields.String(allow_none=True, metadata={"enum": ["small", "full"]})
    prompts = fields.List(fields.String(), metadata={"description": "enroll_two_factor after a reset."})


class SmsMethodSchema(Schema):
    """Whether a code can be sent by SMS, and where to."""

    available = fields.Boolean()
    phone_hint = fields.String(allow_none=True)


class CallMethodSchema(Schema):
    """Whether a call can say a code, and where to. A landline takes calls only."""

    available = fields.Boolean()
    phone_hint = fields.String(allow_none=True)


class ChallengeSchema(Schema):
    """A login that waits for its second factor."""

    id = fields.String()
    binding = fields.String(
        metadata={"description": "Only with transport bearer: send it back as X-Challenge-Binding."}
    )
    expires_at = Time()
    methods = fields.List(fields.String())
    sms = fields.Nested(SmsMethodSchema)
    call = fields.Nested(CallMethodSchema)
    one_try = fields.Boolean(
        metadata={"description": "So much is guessed just now that a new browser has one try of six digits a day."}
    )


def _device_token() -> fields.String:
    description = (
        "Only with transport bearer, and only when the account did not know the client. Keep it, and send it back at "
        "each login as X-Device-Token: strangers cannot use up the tries of a client that the account knows."
    )
    return fields.String(metadata={"description": description})


class LoginAnswer(Schema):
    """Either a session, or a challenge."""

    status = fields.String(metadata={"enum": ["authenticated", "second_factor_required"]})
    session = fields.Nested(SessionSchema)
    token = fields.String(metadata={"description": "Only with transport bearer."})
    device_token = _device_token()
    challenge = fields.Nested(ChallengeSchema)


class VerifyAnswer(Schema):
    """A session."""

    status = fields.String()
    factor = fields.String(metadata={"enum": ["totp", "sms", "recovery_code"]})
    session = fields.Nested(SessionSchema)
    token = fields.String()
    device_token = _device_token()


class DeliverySchema(Schema):
    """What became of the last SMS, in a word and in a sentence."""

    status = fields.String(
        metadata={"enum": ["queued", "sending", "sent", "delivered", "undelivered", "failed", "expired"]}
    )
    updated_at = Time()
    message_id = fields.String()
    reference = fields.String()
    reason = fields.String(allow_none=True)
    message = fields.String(metadata={"description": "For the person who waits for it."})
    channel = fields.Enum(Channel, by_value=True)


class ChallengeStateSchema(ChallengeSchema):
    """A challenge, and the delivery of its last SMS."""

    class Meta:
        """The binding is told once, to the client that begins the login."""

        exclude = ("binding",)

    status = fields.String()
    delivery = fields.Nested(DeliverySchema, allow_none=True)


class SmsSentSchema(Schema):
    """The request is on the queue; ``reference`` stands on the page and in the text. A call does not say it."""

    message_id = fields.String()
    reference = fields.String()
    phone_hint = fields.String()
    expires_at = fields.String()
    resend_after = fields.String()
    channel = fields.String(metadata={"enum": [*Channel]})
    channels = fields.List(
        fields.String(metadata={"enum": [*Channel]}), metadata={"description": "How else it can go."}
    )


class ConfirmationSentSchema(Schema):
    """The mail is on its way."""

    expires_at = Time(metadata={"description": "Until then the link works. The challenge ends then, too."})


class ConfirmLoginArgs(Schema):
    """The token of the link: what follows the dot."""

    token = Text(required=True, validate=validate.Length(min=1, max=100), load_only=True)


class SessionListItem(Schema):
    """One of the account's sessions."""

    id = fields.String()
    current = fields.Boolean()
    factors = fields.List(fields.String())
    assurance = fields.String()
    transport = fields.String()
    authenticated_at = Time()
    expires_at = Time()
    ip = fields.String()
    browser = Browser(attribute="user_agent", metadata={"example": "Firefox on Windows"})


class SessionListSchema(Schema):
    """A page of the live sessions."""

    items = fields.List(fields.Nested(SessionListItem))
    next_cursor = fields.String(allow_none=True)


class ForwardAuthArgs(Schema):
    """What a proxy demands of the session. A request without a parameter asks for any live session."""

    assurance = Text(load_default="aal1", validate=validate.OneOf(["aal1", "aal2"]))
    max_age = Text(
        load_default=None,
        validate=Pattern(r"[1-9][0-9]{0,8}"),
        metadata={"description": "Seconds since the last sign-in or step-up, at most."},
    )
    role = Text(load_default=None, validate=validate.OneOf([role.value for role in Role]))
    phishing_resistant = Text(
        load_default="false",
        validate=validate.OneOf(["true", "false"]),
        metadata={"description": "No factor of this release is: with true, each session is refused."},
    )


class TokenArgs(Schema):
    """The service that the token is for."""

    audience = Text(
        load_default=None,
        validate=validate.Length(min=1, max=200),
        load_only=True,
        metadata={"description": "An audience of the gateway's settings. Default: the public origin."},
    )


class TokenSchema(Schema):
    """A JWT for the portal's other services."""

    token = fields.String()
    token_type = fields.String()
    expires_in = fields.Integer(metadata={"description": "Seconds."})
