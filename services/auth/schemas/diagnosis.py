"""Why an account's owner can't get in: the owner's answer and support's."""

from marshmallow import Schema, fields

from services.auth.domain.diagnosis import Cause, Help
from services.auth.domain.hold import LiftedBy
from services.auth.schemas.common import Time
from shared.delivery_reasons import DeliveryReason


class FindingSchema(Schema):
    """One thing that is in the way. What a cause does not name is null."""

    cause = fields.String(metadata={"enum": list(Cause)})
    helps = fields.List(
        fields.String(metadata={"enum": sorted({*Help, *LiftedBy})}),
        metadata={"description": "What to do, in the order of a page."},
    )
    since = Time(allow_none=True)
    until = Time(allow_none=True, metadata={"description": "When it ends by itself."})
    wrong_codes = fields.Integer(allow_none=True)
    of_codes = fields.Integer(allow_none=True, metadata={"description": "wrong_codes are of so many last wrong codes."})
    wrong_passwords = fields.Integer(allow_none=True)
    networks = fields.Integer(allow_none=True, metadata={"description": "Where the wrong codes came from, if known."})
    clock_skew_seconds = fields.Integer(allow_none=True, metadata={"description": "Positive: the clock is fast."})
    phone_hint = fields.String(allow_none=True, metadata={"example": "+*********2671"})
    reason = fields.String(
        allow_none=True,
        metadata={
            "description": "Why no text came: a reason or status of its delivery, or the cause of its refusal.",
            "example": DeliveryReason.FILTERED,
        },
    )
    last_login_at = Time(allow_none=True)


class DiagnosisSchema(Schema):
    """Why the owner can't get in. The first item is the answer; there is always one, if only that nothing is."""

    items = fields.List(fields.Nested(FindingSchema))
