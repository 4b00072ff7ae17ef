"""Which problems a route answers with, for the OpenAPI document."""

from collections.abc import Callable
from typing import Any, TypeVar

from marshmallow import Schema, fields

from shared.problems import PROBLEMS
from shared.web import PROBLEM_JSON, RestBlueprint

V = TypeVar("V", bound=Callable[..., Any])


class ProblemSchema(Schema):
    """RFC 9457, with our ``code``."""

    type = fields.String(metadata={"example": "urn:latchkey:problem:not_found"})
    title = fields.String()
    status = fields.Integer()
    detail = fields.String(metadata={"description": "A sentence for people."})
    code = fields.String(metadata={"enum": list(PROBLEMS)})
    retry_after = fields.Integer(metadata={"description": "Seconds; with 429, 503 and sms_unavailable."})
    cause = fields.String(metadata={"enum": ["destination", "today", "country"], "description": "Of sms_unavailable."})


def refuses(blueprint: RestBlueprint, *codes: str) -> Callable[[V], V]:
    """Document these codes, one response a status."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)

    def document(view: V) -> V:
        for status, names in by_status.items():
            view = blueprint.alt_response(
                status, schema=ProblemSchema, content_type=PROBLEM_JSON, description=", ".join(names)
            )(view)
        return view

    return document
