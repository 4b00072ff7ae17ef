"""Resets of two-factor authentication and the policy behind them."""

from marshmallow import Schema, fields, validate

from services.auth.domain.identity_checks import CHECKS, CheckStatus, Kind, WhyNot
from services.auth.domain.reset import REFUSED_WITH, EndedBecause, Path, ReasonKind, Status
from services.auth.domain.reset_policy import When
from services.auth.schemas.common import PageArgs, Time
from services.auth.schemas.timeline import SupportTimelineItemSchema
from shared.bodies import Text


class ResetRequestArgs(Schema):
    """The ticket, why, and what became of the factor. The checks are those that the operator has passed."""

    ticket = Text(required=True, validate=validate.Length(min=1, max=100), metadata={"example": "SUP-1042"})
    reason = Text(required=True, validate=validate.Length(min=1, max=1000), metadata={"example": "Phone lost"})
    reason_kind = fields.Enum(ReasonKind, by_value=True, load_default=ReasonKind.LOST)


class BeginCheckArgs(Schema):
    """Which check; for an attested one also what was seen."""

    check = Text(required=True, validate=validate.OneOf(CHECKS))
    evidence = Text(
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=5, max=1000),
        metadata={"example": "ID card, name as on the account, seen 14:05"},
    )


class WordsArgs(Schema):
    """The words that the caller read out."""

    code = Text(required=True, validate=validate.Length(min=1, max=100), load_only=True)


class IdentityCheckSchema(Schema):
    """A check that this operator has begun for this account."""

    id = fields.String()
    check = fields.String(metadata={"enum": list(CHECKS)})
    status = fields.String(metadata={"enum": list(CheckStatus)})
    evidence = fields.String(allow_none=True)
    begun_at = Time()
    passed_at = Time(allow_none=True)
    expires_at = Time()


class CheckRowSchema(Schema):
    """A check for this account: whether it is possible now, why not, and how far this operator is."""

    check = fields.String(metadata={"enum": list(CHECKS)})
    title = fields.String()
    how = fields.String()
    kind = fields.String(metadata={"enum": list(Kind)})
    possible = fields.Boolean()
    why_not = fields.String(allow_none=True, metadata={"enum": list(WhyNot)})
    sent_to = fields.String(allow_none=True, metadata={"description": "Where the words go, masked."})
    latest = fields.Nested(IdentityCheckSchema, allow_none=True)


class RuleSchema(Schema):
    """What all of these checks together allow. No checks: any two of which one was performed."""

    name = fields.String()
    when = fields.String(metadata={"enum": list(When)})
    identity_checks = fields.List(fields.String())
    path = fields.String(metadata={"enum": list(Path)})
    approvals = fields.Integer()
    cool_off_seconds = fields.Integer()


class CheckTableSchema(Schema):
    """Every check, and the rule that the caller's standing checks meet at this moment."""

    items = fields.List(fields.Nested(CheckRowSchema))
    allows = fields.Nested(RuleSchema, allow_none=True)


class ConfirmCheckArgs(Schema):
    """The token from the link in the mail."""

    token = Text(required=True, validate=validate.Length(min=1, max=100), load_only=True)


class OwnerApprovalArgs(Schema):
    """An owner's answer."""

    approve = fields.Boolean(required=True, truthy={True}, falsy={False})


class OwnerApprovalSchema(Schema):
    """A question to an owner: whether this member asked support for help."""

    id = fields.String()
    status = fields.String(metadata={"enum": list(CheckStatus)})
    member_id = fields.String()
    member_name = fields.String()
    member_email = fields.String()
    asked_at = Time()
    expires_at = Time()


class OwnerApprovalListSchema(Schema):
    """What waits for this owner's answer."""

    items = fields.List(fields.Nested(OwnerApprovalSchema))


class CancelResetArgs(Schema):
    """The token from the link in the notice."""

    token = Text(required=True, validate=validate.Length(min=1, max=100), load_only=True)


class PendingResetSchema(Schema):
    """A reset under way, as the account's owner sees it."""

    id = fields.String()
    status = fields.String(metadata={"enum": list(Status)})
    reason_kind = fields.String(metadata={"enum": list(ReasonKind)})
    requested_at = Time()
    cool_off_ends_at = Time(allow_none=True)


class EvidenceSchema(Schema):
    """A check that the reset rests on. ``confirmed_by``: the owner who approved."""

    check = fields.String(metadata={"enum": list(CHECKS)})
    kind = fields.String(metadata={"enum": list(Kind)})
    evidence = fields.String(allow_none=True)
    confirmed_by = fields.String(allow_none=True)
    confirmed_by_email = fields.String(allow_none=True)
    passed_at = fields.String(allow_none=True)


class ResetSchema(PendingResetSchema):
    """A reset, as support sees it. ``may_approve``: whether the caller's approval would be accepted."""

    account_id = fields.String()
    account_email = fields.String(allow_none=True)
    account_name = fields.String(allow_none=True)
    path = fields.String(metadata={"enum": list(Path)})
    rule = fields.String()
    approvals_needed = fields.Integer()
    approvals_missing = fields.Integer()
    cool_off_seconds = fields.Integer()
    ticket = fields.String()
    reason = fields.String()
    identity_checks = fields.List(fields.String())
    checks = fields.List(fields.Nested(EvidenceSchema))
    authenticators = fields.List(fields.String())
    requested_by = fields.String(allow_none=True, metadata={"description": "null: the command line."})
    requested_by_email = fields.String(allow_none=True)
    approval_ends_at = Time(allow_none=True)
    approved_by = fields.String(allow_none=True)
    approved_by_email = fields.String(allow_none=True)
    second_approved_by = fields.String(allow_none=True)
    second_approved_by_email = fields.String(allow_none=True)
    approved_at = Time(allow_none=True)
    applied_at = Time(allow_none=True)
    cancelled_by = fields.String(allow_none=True)
    cancelled_at = Time(allow_none=True)
    ended_because = fields.String(allow_none=True, metadata={"enum": list(EndedBecause)})
    may_approve = fields.Boolean()
    may_not_approve_because = fields.String(
        allow_none=True,
        metadata={"enum": ["own_account", "same_operator", "reset_not_open", *REFUSED_WITH.values()]},
    )


class OpenedResetSchema(ResetSchema):
    """A reset that was just asked for, with the word that the operator reads to the verified caller."""

    enrollment_word = fields.String(metadata={"description": "Shown this once. It works when the reset is applied."})


class ResetDetailSchema(ResetSchema):
    """A reset and what happened to it, oldest first."""

    timeline = fields.List(fields.Nested(SupportTimelineItemSchema))


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
    how = fields.String()
    kind = fields.String(metadata={"enum": list(Kind)})


class ResetPolicySchema(Schema):
    """The table that support works by; the first rule that is met decides."""

    checks = fields.List(fields.Nested(CheckSchema))
    rules = fields.List(fields.Nested(RuleSchema))
