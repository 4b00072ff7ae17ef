"""Timelines: the owner's and support's."""

from marshmallow import Schema, fields

from services.auth.schemas.common import Time


class TimelineItemSchema(Schema):
    """Something that happened. ``type`` is ``subject.what_happened``; ``details`` are facts without secrets."""

    id = fields.String()
    at = Time()
    source = fields.String(metadata={"enum": ["auth", "otp"]})
    type = fields.String(metadata={"example": "second_factor.rejected"})
    actor = fields.String(metadata={"example": "owner"})
    details = fields.Dict()


class SupportTimelineItemSchema(TimelineItemSchema):
    """The same for support, with the address of the operator or the team's owner who did it, as it is today."""

    actor_email = fields.String(allow_none=True)


class SupportTimelineSchema(Schema):
    """A page, newest first."""

    items = fields.List(fields.Nested(SupportTimelineItemSchema))
    next_cursor = fields.String(allow_none=True)


class TimelineSchema(Schema):
    """A page, newest first."""

    items = fields.List(fields.Nested(TimelineItemSchema))
    next_cursor = fields.String(allow_none=True)
