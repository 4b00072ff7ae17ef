"""What may stand in a request: the fields, how JSON is read, and what a member that does not fit is refused with."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Request
from marshmallow import Schema, ValidationError, fields, validate
from webargs.flaskparser import FlaskParser

from shared.problems import Refusal

_MEMBER = re.compile(r"[a-z][a-z_]{0,39}")


class Text(fields.String):
    """Text without what breaks stores and logs: NUL bytes and lone surrogates."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:  # noqa: ANN401
        if not isinstance(value, str):  # marshmallow would also take bytes
            raise ValidationError("Not a valid string.")
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ValidationError("Contains characters that are not allowed.")
        return text


class Flag(fields.Boolean):
    """true or false; marshmallow would also take 1, "yes" and "off"."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:  # noqa: ANN401
        if not isinstance(value, bool):
            raise ValidationError("Not a valid boolean.")
        return bool(super()._deserialize(value, attr, data, **kwargs))


class Pattern(validate.Regexp):
    """Text that is of this form from its first character to its last.

    Written as JSON Schema has it (ECMA-262, whose end is ``$``), for it is this form that the document shows.
    """

    def __init__(self, form: str, *, error: str | None = None) -> None:
        self._whole = re.compile(f"^(?:{form})$" if "|" in form else f"^{form}$")
        super().__init__(self._whole.pattern, error=error)

    def __call__(self, value: str) -> str:  # type: ignore[override]  # the parent's takes bytes too
        """``value`` itself. Raises ValidationError; ``$`` alone would let a last newline pass."""
        if self._whole.fullmatch(value) is None:
            raise ValidationError(self._format_error(value))
        return value


class NothingSchema(Schema):
    """A request that takes no members: an empty body or an empty object."""


def _strict_json(raw: bytes) -> Any:  # noqa: ANN401 - JSON
    """JSON as RFC 8259 has it: no duplicate members, no NaN, UTF-8, bounded depth. Raises Refusal."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("a member stands twice")
        return members

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise Refusal("malformed_body") from None


class Parser(FlaskParser):
    """webargs with our JSON reader and our error shape; unknown members are refused in every location but headers."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - the base class declares it so
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        **dict.fromkeys(("json", "query", "form")),
    }

    def load_json(self, req: Request, schema: Any) -> Any:  # noqa: ANN401, ARG002
        """The body's members; none where there is no body. Raises Refusal malformed_body."""
        raw = req.get_data(cache=True)
        if not raw:
            return {}
        body = _strict_json(raw)
        if not isinstance(body, dict):
            raise Refusal("malformed_body")
        return body

    def load_querystring(self, req: Request, schema: Schema) -> Any:  # noqa: ANN401
        """The query's parameters, each of them once, because readers differ in which of two counts.

        Raises Refusal validation_failed.
        """
        twice = {name: ["Stands twice."] for name, values in req.args.lists() if len(values) > 1}
        if twice:
            raise Refusal("validation_failed", extra={"errors": _named_as_ours(twice)})
        return super().load_querystring(req, schema)

    def handle_error(
        self,
        error: ValidationError,
        req: Request,  # noqa: ARG002
        schema: Schema,  # noqa: ARG002
        *,
        error_status_code: int | None,  # noqa: ARG002
        error_headers: Mapping[str, str] | None,  # noqa: ARG002
    ) -> NoReturn:
        """Raises Refusal validation_failed, with what is wrong by member."""
        messages = error.messages
        location = next(iter(messages.values())) if isinstance(messages, dict) and len(messages) == 1 else messages
        raise Refusal("validation_failed", extra={"errors": _named_as_ours(location)})


def _named_as_ours(errors: Any) -> Any:  # noqa: ANN401 - marshmallow's
    """The errors without names that no member of ours could have: a password in a name's place is not told back."""
    if not isinstance(errors, dict):
        return errors
    return {name if _MEMBER.fullmatch(str(name)) else "(no name)": said for name, said in errors.items()}
