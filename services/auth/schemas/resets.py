"""Resets of two-factor authentication and the policy behind them."""

from marshmallow import Schema, fields, validate

from services.auth.domain.reset import Status
from services.auth.domain.reset_policy import CHECKS
from services.auth.schemas.common import PageArgs, Time
from services.auth.schemas.timeline import TimelineItemSchema
from shared.bodies import Text


class ResetRequestArgs(Schema):
    """The ticket, why, and how the caller was identified."""

    ticket = Text(required=True, validate=validate.Length(min=1, max=100), metadata={"example": "SUP-1042"})
    reason = Text(required=True, validate=validate.Length(min=1, max=1000), metadata={"example": "Phone lost"})
    identity_checks = fields.List(
        Text(validate=validate.OneOf(CHECKS)), required=True, validate=validate.Length(min=1, max=len(CHECKS))
    )


class CancelResetArgs(Schema):
    """The token from the link in the notice."""

    token = Text(required=True, validate=validate.Length(min=1, max=100), load_only=True)


class PendingResetSchema(Schema):
    """A reset under way, as the account's owner sees it."""

    id = fields.String()
    status = fields.String(metadata={"enum": list(Status)})
    requested_at = Time()
    cool_off_ends_at = Time(allow_none=True)


class ResetSchema(PendingResetSchema):
    """A reset, as support sees it."""

    account_id = fields.String()
    path = fields.String(metadata={"enum": ["immediate", "cool_off"]})
    rule = fields.String()
    needs_second_operator = fields.Boolean()
    ticket = fields.String()
    reason = fields.String()
    identity_checks = fields.List(fields.String())
    requested_by = fields.String()
    approved_by = fields.String(allow_none=True)
    approved_at = Time(allow_none=True)
    applied_at = Time(allow_none=True)
    cancelled_by = fields.String(allow_none=True)
    cancelled_at = Time(allow_none=True)


class ResetDetailSchema(ResetSchema):
    """A reset and what happened to it, oldest first."""

    timeline = fields.List(fields.Nested(TimelineItemSchema))


class ResetListArgs(PageArgs):
    """Which resets."""

    status = fields.Enum(Status, by_value=True, load_default=None)


class ResetListSchema(Schema):
    """A page, newest first."""

    items = fields.List(fields.Nested(ResetSchema))
    next_cursor = fields.String(allow_none=True)


class CheckSchema(Schema):
    """A way to see that the caller is the owner."""

    id = fields.String()
    title = fields.String()
    instruction = fields.String()


class RuleSchema(Schema):
    """What all of these checks together allow."""

    name = fields.String()
    identity_checks = fields.List(fields.String())
    path = fields.String(metadata={"enum": ["immediate", "cool_off"]})
    second_operator = fields.Boolean()
    cool_off_seconds = fields.Integer()


class ResetPolicySchema(Schema):
    """The table that support works by; the first rule that is met decides."""

    checks = fields.List(fields.Nested(CheckSchema))
    rules = fields.List(fields.Nested(RuleSchema))
