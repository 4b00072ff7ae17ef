"""Fields that several subjects share."""

from datetime import datetime
from typing import Any

from marshmallow import Schema, fields, validate

from services.auth.domain.browsers import describe
from services.auth.limits import PASSWORD_MAX_TYPED
from services.auth.pages import DEFAULT_PAGE, MAX_PAGE
from shared.bodies import Pattern, Text
from shared.clock import rfc3339


class Time(fields.DateTime):
    """RFC 3339 in UTC."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ANN401, ARG002
        return None if value is None else rfc3339(value)


class Browser(fields.String):
    """A browser and a system out of two short lists, also where an earlier release has stored the client's own text."""

    def _serialize(self, value: str | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ANN401, ARG002
        return None if value is None else describe(value)


def passcode_field(**kwargs: Any) -> Text:  # noqa: ANN401
    """Six ASCII digits, and nothing that only looks like them (CVE-2025-55000)."""
    return Text(validate=Pattern(r"[0-9]{6}", error="Six digits."), metadata={"example": "492039"}, **kwargs)


def code_field(**kwargs: Any) -> Text:  # noqa: ANN401
    """The one Authentication Code field: six digits or a backup code; otp reads which."""
    return Text(
        validate=[
            validate.Length(max=40),
            Pattern(r"([0-9]{6}|[0-9A-Za-z][0-9A-Za-z -]{14,38})", error="Six digits or a backup code."),
        ],
        metadata={"example": "492039", "description": "Six digits from the app or an SMS, or a backup code."},
        **kwargs,
    )


def password_field(**kwargs: Any) -> Text:  # noqa: ANN401
    """A password as it is typed. Its length is bounded, because preparing and rating cost by length.

    When the prepared form has too many characters, the password does not match, and a new one is refused as too weak.
    """
    metadata = {"description": "Unicode forms of one text are one password (RFC 8265, OpaqueString)."}
    return Text(validate=validate.Length(min=1, max=PASSWORD_MAX_TYPED), load_only=True, metadata=metadata, **kwargs)


class EndAllArgs(Schema):
    """Whether the caller's own one is kept, where all are ended at once."""

    keep = Text(
        load_default=None,
        validate=validate.OneOf(["current"]),
        metadata={"description": "With current, the one that the list shows as current stays. Default: all end."},
    )


class PageArgs(Schema):
    """How much of a list, and from where."""

    limit = fields.Integer(load_default=DEFAULT_PAGE, strict=False, validate=validate.Range(1, MAX_PAGE))
    cursor = Text(load_default=None, validate=validate.Length(max=200))
