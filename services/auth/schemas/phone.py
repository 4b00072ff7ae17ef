"""The phone of an account, and of a team's members."""

from marshmallow import Schema, fields, validate

from services.auth.schemas.common import Time, passcode_field
from shared.bodies import Pattern, Text


class PhoneArgs(Schema):
    """The number as its owner writes it, and the country it belongs to."""

    country = Text(
        required=True,
        validate=Pattern(r"[A-Z]{2}", error="Two capital letters (ISO 3166-1)."),
        metadata={"example": "DE"},
    )
    number = Text(
        required=True,
        validate=validate.Length(min=1, max=40),
        metadata={
            "example": "01512 3456789",
            "description": "As dialled in that country, or with its calling code, with or without the plus. Blanks and"
            " dashes of any kind may part the digits.",
        },
    )


class CountrySchema(Schema):
    """A country, the code that is dialled for it, and whether codes go there by SMS and by call."""

    country = fields.String(metadata={"example": "DE"})
    calling_code = fields.Integer(metadata={"example": 49})
    sms = fields.Boolean()
    call = fields.Boolean()


class CountriesSchema(Schema):
    """Every country; there is one page."""

    items = fields.List(fields.Nested(CountrySchema))
    next_cursor = fields.String(allow_none=True)


class PhoneCodeArgs(Schema):
    """The code that came by SMS."""

    code = passcode_field(required=True)


class PhoneVerifiedSchema(Schema):
    """The number is proven: codes for signing in may go there."""

    phone_hint = fields.String()
    verified_at = Time()


class MemberPhoneSchema(Schema):
    """The number waits for its member to prove it, unless it is ``verified`` already."""

    phone_hint = fields.String()
    verified = fields.Boolean()


class PhoneStateSchema(Schema):
    """A proven number. ``calls_only``: a landline, which takes codes by call alone."""

    hint = fields.String()
    calls_only = fields.Boolean()
    verified = fields.Boolean()


class TeamMemberSchema(Schema):
    """A member of the team."""

    id = fields.String()
    email = fields.String()
    name = fields.String()
    role = fields.String()
    phone = fields.Nested(PhoneStateSchema, allow_none=True)
    pending_phone_hint = fields.String(allow_none=True)


class TeamNameSchema(Schema):
    """The team."""

    id = fields.String()
    name = fields.String()


class TeamSchema(Schema):
    """The team and a page of its members."""

    team = fields.Nested(TeamNameSchema)
    items = fields.List(fields.Nested(TeamMemberSchema))
    next_cursor = fields.String(allow_none=True)
