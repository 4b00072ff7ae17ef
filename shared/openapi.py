"""How the OpenAPI document describes refusals and headers, so that no route repeats what all routes share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema, fields

from shared.problems import IN_SESSION, PROBLEMS

PROBLEM_JSON = "application/problem+json"
PROBLEM = "Problem"  # as the document names the schema

# Refused before a view is reached, or by a store under it: any route may answer so.
BY_EVERY_ROUTE = ("bad_request", "request_timeout", "body_too_large", "unsupported_media_type", "service_unavailable")
BY_PARSER: Mapping[str, tuple[str, ...]] = {  # by where the parser reads
    "json": ("malformed_body", "validation_failed"),
    "query": ("validation_failed",),
}
UNSAFE_METHODS = frozenset({"post", "put", "delete"})

_HEADERS: Mapping[int, tuple[str, str, Mapping[str, Any]]] = {
    401: ("WWW-Authenticate", "The scheme to sign in with.", {"type": "string"}),
    429: ("Retry-After", "Seconds; none where waiting does not help.", {"type": "integer", "minimum": 0}),
    503: ("Retry-After", "Seconds.", {"type": "integer", "minimum": 0}),
}


@dataclass(frozen=True, slots=True)
class Header:
    """A header that a route reads or sets besides those of HTTP itself. It is optional in each request."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})

    def parameter(self) -> dict[str, Any]:
        """As the parameter of an operation that reads it."""
        return {"in": "header", "name": self.name, "required": False, **self._members()}

    def in_response(self) -> dict[str, Any]:
        """As a member of a response's headers."""
        return {self.name: self._members()}

    def _members(self) -> dict[str, Any]:
        return {"description": self.description, "schema": dict(self.schema)}


class ProblemSchema(Schema):
    """RFC 9457, with our ``code``."""

    type = fields.String(required=True, metadata={"example": "urn:latchkey:problem:not_found"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True, metadata={"description": "A sentence for people."})
    code = fields.String(required=True, metadata={"enum": list(PROBLEMS)})
    retry_after = fields.Integer(
        metadata={"description": "Seconds; with 429, 503, sms_unavailable and call_unavailable."}
    )
    cause = fields.String(
        metadata={
            "enum": ["destination", "today", "country", "changed", "current", "other_country"],
            "description": "Of sms_unavailable and call_unavailable. With invalid_credentials: current, which is the"
            " current password. With invalid_phone and country_not_allowed: other_country, which is named.",
        }
    )
    country = fields.String(
        metadata={"description": "With other_country: the country that the number belongs to (ISO 3166-1)."}
    )
    errors = fields.Dict(metadata={"description": "With validation_failed: what is wrong, by member."})
    clock_skew_seconds = fields.Integer(
        metadata={
            "description": "With invalid_passcode, where two codes agree on it. Positive: the user's clock is fast."
        }
    )
    strength = fields.Dict(metadata={"description": "With password_too_weak: zxcvbn's verdict."})
    part = fields.String(metadata={"description": "With service_unavailable: what does not answer."})


def responses(codes: Iterable[str], *, in_session: bool) -> dict[str, dict[str, Any]]:
    """The response of each status that these codes have, in a session or without; its description lists them."""
    by_status: dict[int, list[str]] = {}
    statuses = IN_SESSION if in_session else {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(statuses.get(code, PROBLEMS[code].status), []).append(code)
    return {str(status): _response(status, names) for status, names in sorted(by_status.items())}


def _response(status: int, names: list[str]) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}}
    response: dict[str, Any] = {"description": ", ".join(names), "content": content}
    if status in _HEADERS:
        name, description, schema = _HEADERS[status]
        response["headers"] = {name: {"description": description, "schema": schema}}
    return response
