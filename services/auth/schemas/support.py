"""What support sees of accounts."""

from marshmallow import Schema, fields, validate

from services.auth.domain.reset import OPEN_STATUSES
from services.auth.schemas.common import PageArgs, Time
from services.auth.schemas.diagnosis import FindingSchema
from services.auth.schemas.phone import PhoneStateSchema, TeamNameSchema
from services.auth.schemas.resets import ResetSchema
from services.auth.schemas.timeline import TimelineItemSchema
from services.auth.schemas.two_factor import HoldSchema, ProtectionSchema
from shared.bodies import Pattern, Text

_ID_OR_ADDRESS = "An id, or an email address as it is today."


class SearchArgs(PageArgs):
    """An id, or at least three characters of an address or a name."""

    query = Text(required=True, validate=validate.Length(min=3, max=100))


class NamedAccountSchema(Schema):
    """Whose account it is."""

    id = fields.String()
    email = fields.String()
    name = fields.String()
    role = fields.String()
    created_at = Time()


class FoundAccountSchema(NamedAccountSchema):
    """An account as a search shows it, with its state."""

    enrollment_prompted = fields.Boolean(metadata={"description": "It must set 2FA up again."})
    two_factor_enabled = fields.Boolean(allow_none=True, metadata={"description": "Null while that is not known."})
    open_reset_status = fields.String(
        allow_none=True, metadata={"enum": list(OPEN_STATUSES), "description": "Of a reset under way."}
    )


class FoundAccountsSchema(Schema):
    """A page of accounts."""

    items = fields.List(fields.Nested(FoundAccountSchema))
    next_cursor = fields.String(allow_none=True)


class AuditArgs(PageArgs):
    """Which of support's doings: of what type, by which operator, to which account."""

    type = Text(load_default=None, validate=Pattern(r"[a-z_]{1,40}\.[a-z_]{1,40}"))
    operator = Text(load_default=None, validate=validate.Length(max=254), metadata={"description": _ID_OR_ADDRESS})
    account = Text(load_default=None, validate=validate.Length(max=254), metadata={"description": _ID_OR_ADDRESS})


class AuditItemSchema(TimelineItemSchema):
    """What an operator did, and to which account, if to one. Addresses as today; the command line has none."""

    account_id = fields.String(allow_none=True)
    account_email = fields.String(allow_none=True)
    operator_email = fields.String(allow_none=True)


class AuditSchema(Schema):
    """A page, newest first."""

    items = fields.List(fields.Nested(AuditItemSchema))
    next_cursor = fields.String(allow_none=True)


class UnlockArgs(Schema):
    """The ticket, and why."""

    ticket = Text(required=True, validate=validate.Length(min=1, max=100), metadata={"example": "SUP-1042"})
    reason = Text(required=True, validate=validate.Length(min=1, max=1000), metadata={"example": "New phone"})


class UnlockSchema(Schema):
    """An unlock that waits for a second operator, 24 hours at most."""

    id = fields.String()
    account_id = fields.String()
    ticket = fields.String()
    reason = fields.String()
    requested_by = fields.String()
    requested_at = Time()


class OpenUnlockSchema(UnlockSchema):
    """The same, with the address of the operator who asked."""

    requested_by_email = fields.String(allow_none=True)


class ThrottleSchema(Schema):
    """Codes for this purpose are not looked at before ``until``; ``POST …/unlock`` ends the wait."""

    purpose = fields.String(metadata={"enum": ["login", "step_up", "phone_verification", "enrollment"]})
    until = Time()


class SupportTwoFactorSchema(ProtectionSchema):
    """How the account is protected, and what keeps its owner out."""

    throttles = fields.List(fields.Nested(ThrottleSchema))
    consecutive_failures = fields.Integer()
    reset_needed = fields.Boolean(metadata={"description": "An unlock would be refused: only a reset helps."})


class SupportAccountSchema(NamedAccountSchema):
    """Everything that support needs to help, and nothing that would let it sign in."""

    team = fields.Nested(TeamNameSchema)
    phone = fields.Nested(PhoneStateSchema, allow_none=True)
    pending_phone_hint = fields.String(allow_none=True)
    enrollment_prompted = fields.Boolean()
    password_throttled_until = Time(
        allow_none=True, metadata={"description": "The end of the wait after too many passwords from new browsers."}
    )
    held_out = fields.List(fields.Nested(HoldSchema))
    diagnosis = fields.List(
        fields.Nested(FindingSchema),
        metadata={"description": "Why its owner can't get in. The first item is the answer; there is always one."},
    )
    two_factor = fields.Nested(SupportTwoFactorSchema)
    trusted_devices = fields.Integer()
    sessions = fields.Integer()
    open_reset = fields.Nested(ResetSchema, allow_none=True)
    open_unlock = fields.Nested(OpenUnlockSchema, allow_none=True)
