"""The Flask base of both HTTP services: problem+json for every error, hostile bodies refused, health, metrics."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import structlog
from flask import Flask, Request, Response, g, request
from flask_smorest import Api, Blueprint
from marshmallow import Schema, ValidationError, fields, validate
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import BaseConverter
from werkzeug.sansio.response import Response as BaseResponse

from shared import openapi
from shared.deadline import begin_request, end_request
from shared.ids import new_id
from shared.openapi import PROBLEM_JSON
from shared.problems import Refusal, Unavailable

MAX_BODY_BYTES = 16 * 1024
NOT_STORED = {"Cache-Control": "no-store"}
FOR_BROWSERS = {**NOT_STORED, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

_HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
}

V = TypeVar("V", bound=Callable[..., Any])

_MEMBER = re.compile(r"[a-z][a-z_]{0,39}")

log = structlog.get_logger("http")


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


class _IdConverter(BaseConverter):
    """An opaque id in a path; anything else is 404 before a store sees it."""

    regex = r"[A-Za-z0-9_-]{1,80}"


def _id_schema(_converter: BaseConverter) -> dict[str, str]:
    return {"type": "string", "pattern": f"^{_IdConverter.regex}$"}


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


class _Parser(FlaskParser):
    """webargs with our JSON reader and our error shape; unknown members are refused in every location but headers."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - the base class declares it so
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        **dict.fromkeys(("json", "query", "form")),
    }

    def load_json(self, req: Request, schema: Any) -> Any:  # noqa: ANN401, ARG002
        raw = req.get_data(cache=True)
        if not raw:
            return {}
        body = _strict_json(raw)
        if not isinstance(body, dict):
            raise Refusal("malformed_body")
        return body

    def handle_error(
        self,
        error: ValidationError,
        req: Request,  # noqa: ARG002
        schema: Schema,  # noqa: ARG002
        *,
        error_status_code: int | None,  # noqa: ARG002
        error_headers: Mapping[str, str] | None,  # noqa: ARG002
    ) -> NoReturn:
        messages = error.messages
        location = next(iter(messages.values())) if isinstance(messages, dict) and len(messages) == 1 else messages
        raise Refusal("validation_failed", extra={"errors": _named_as_ours(location)})


def _named_as_ours(errors: Any) -> Any:  # noqa: ANN401 - marshmallow's
    """The errors without names that no member of ours could have: a password in a name's place is not told back."""
    if not isinstance(errors, dict):
        return errors
    return {name if _MEMBER.fullmatch(str(name)) else "(no name)": said for name, said in errors.items()}


class RestBlueprint(Blueprint):  # type: ignore[misc]  # flask-smorest ships no types
    """flask-smorest's blueprint with our parser."""

    ARGUMENTS_PARSER = _Parser()

    def arguments(self, schema: type[Schema] | Schema, *, location: str = "json", **kwargs: Any) -> Any:  # noqa: ANN401 - a decorator
        """The parent's, with one schema for all requests: webargs would make one for each, at 50 µs.

        A body may be left out where it may be empty.
        """
        made = schema() if isinstance(schema, type) else schema
        kwargs.setdefault("required", any(field.required for field in made.load_fields.values()))
        decorate = super().arguments(made, location=location, **kwargs)

        def parsed(view: V) -> V:
            decorated: V = decorate(view)
            return self.refuses(*openapi.BY_PARSER[location])(decorated)

        return parsed

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Callable[..., Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """The parent's; a path that takes an id may hold one of nothing."""
        if view_func is not None and "<id:" in rule:
            view_func = self.refuses("not_found")(view_func)
        super().add_url_rule(rule, endpoint, view_func, **options)

    @staticmethod
    def refuses(*codes: str) -> Callable[[V], V]:
        """Document what this view refuses with, besides what its guard and all routes do; see shared.openapi."""

        def document(view: V) -> V:
            apidoc = getattr(view, "_apidoc", {})
            view._apidoc = {**apidoc, "refusals": (*apidoc.get("refusals", ()), *codes)}  # type: ignore[attr-defined]  # noqa: SLF001
            return view

        return document

    @staticmethod
    def _prepare_response_doc(
        doc: dict[str, Any],
        doc_info: dict[str, Any],
        *,
        api: "RestApi",
        method: str,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """The parent's, and a response for each status that the view refuses with; a schema of its own stays."""
        doc = Blueprint._prepare_response_doc(doc, doc_info, api=api, method=method, **kwargs)  # noqa: SLF001
        codes = [*api.refusals(method), *doc_info.get("refusals", ())]
        answers = {str(status): answer for status, answer in doc.get("responses", {}).items()}
        for status, refusal in openapi.responses(codes).items():
            given = answers.get(status)
            own = given if isinstance(given, dict) else {}  # else smorest's name for a document that is not ours
            answers[status] = {**refusal, **own, "description": refusal["description"]}
        return {**doc, "responses": answers}


class RestApi(Api):  # type: ignore[misc]  # the same
    """flask-smorest's Api; errors are ours."""

    DEFAULT_ERROR_RESPONSE_NAME = None  # each route says what it answers with

    def __init__(self, app: Flask, *, refused_always: tuple[str, ...], refused_writes: tuple[str, ...]) -> None:
        super().__init__(app)
        self._refused_always, self._refused_writes = refused_always, refused_writes
        self.register_converter(_IdConverter, _id_schema)
        self.spec.components.schema(openapi.PROBLEM, schema=openapi.ProblemSchema)

    def refusals(self, method: str) -> tuple[str, ...]:
        """What every route of this method (in small letters) may refuse with."""
        writes = self._refused_writes if method in openapi.UNSAFE_METHODS else ()
        return (*openapi.BY_EVERY_ROUTE, *self._refused_always, *writes)

    def _register_error_handlers(self) -> None:
        """create_base_app has one handler for all of them."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What every service counts."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram


def make_metrics(service: str) -> Metrics:
    """A registry of its own, so that two apps in one process (tests) don't meet."""
    registry = CollectorRegistry()
    return Metrics(
        registry,
        Counter(f"latchkey_{service}_requests", "Requests answered.", ["route", "method", "status"], registry=registry),
        Histogram(f"latchkey_{service}_request_seconds", "Time to answer.", ["route"], registry=registry),
    )


HealthCheck = Callable[[], object]


def create_base_app(
    service: str,
    *,
    title: str,
    version: str,
    checks: Mapping[str, HealthCheck],
    docs: bool,
    form_endpoints: frozenset[str] = frozenset(),
    headers: Mapping[str, str] = NOT_STORED,
    collectors: Sequence[Collector] = (),
    refused_always: tuple[str, ...] = (),
    refused_writes: tuple[str, ...] = (),
) -> tuple[Flask, RestApi]:
    """A Flask app with the house rules. ``checks`` are this service's own stores; ready when none of them raises.

    ``headers`` go with every answer that has none of that name. ``/metrics`` shows what ``collectors`` read, besides
    what every service counts. ``refused_always`` and ``refused_writes`` are the codes
    of what this service checks before its views, for the document.
    """
    app = Flask(f"services.{service}", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        API_TITLE=title,
        API_VERSION=version,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/" if docs else None,
        OPENAPI_JSON_PATH="openapi.json",
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["id"] = _IdConverter
    metrics = make_metrics(service)
    for collector in collectors:
        metrics.registry.register(collector)
    _register_errors(app)
    _register_request_rules(app, metrics, form_endpoints, headers)
    _register_health(app, checks, metrics)
    return app, RestApi(app, refused_always=refused_always, refused_writes=refused_writes)


def problem_response(refusal: Refusal) -> Response:
    """A refusal as problem+json, with Retry-After where it applies."""
    response = Response(json.dumps(refusal.document()), status=refusal.problem.status, mimetype=PROBLEM_JSON)
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    if refusal.problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def http_refusal(error: HTTPException) -> Refusal:
    """What the framework says no to, in our words."""
    status = error.code or 500
    return Refusal(_HTTP_CODES.get(status, "internal_error" if status >= 500 else "bad_request"))


def http_problem(error: HTTPException) -> BaseResponse:
    """The same as problem+json; a redirect stays one."""
    if (error.code or 500) < 400:  # to the address with its slash
        return error.get_response()
    response = problem_response(http_refusal(error))
    if error.code == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return response


def _register_errors(app: Flask) -> None:
    def refused(error: Refusal) -> Response:
        if isinstance(error, Unavailable):
            log.warning("unavailable", part=error.reason, cause=repr(error.__cause__)[:200])
        return problem_response(error)

    def store_down(error: Exception) -> Response:
        part = "redis" if isinstance(error, RedisError) else "sql"
        unavailable = Unavailable(part)
        unavailable.__cause__ = error
        return refused(unavailable)

    def unexpected(error: Exception) -> Response:
        log.error("unexpected error", exc_info=error)
        return problem_response(Refusal("internal_error"))

    app.register_error_handler(Refusal, refused)
    app.register_error_handler(HTTPException, http_problem)
    for kind in (RedisError, DBAPIError, PoolTimeoutError):
        app.register_error_handler(kind, store_down)
    app.register_error_handler(Exception, unexpected)


def _register_request_rules(
    app: Flask, metrics: Metrics, form_endpoints: frozenset[str], headers: Mapping[str, str]
) -> None:
    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        begin_request()
        g.request_id = new_id("req")
        structlog.contextvars.bind_contextvars(request_id=g.request_id)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        has_body = bool(request.content_length) or "chunked" in request.headers.get("Transfer-Encoding", "")
        if has_body and not request.is_json and request.endpoint not in form_endpoints:
            raise Refusal("unsupported_media_type")

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "(none)"
        seconds = time.perf_counter() - g.get("started", time.perf_counter())
        metrics.requests.labels(route, _method(), response.status_code).inc()
        metrics.seconds.labels(route).observe(seconds)
        response.headers["X-Request-Id"] = g.get("request_id", "")
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        end_request()
        structlog.contextvars.unbind_contextvars("request_id")


def _method() -> str:
    """The method for a metric's label; a made-up one must not make a series of its own."""
    return request.method if request.method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} else "OTHER"


def _register_health(app: Flask, checks: Mapping[str, HealthCheck], metrics: Metrics) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Live: the process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> Response:
        """Ready: the service's own stores answer; says which do not."""
        parts = {name: _state(check) for name, check in checks.items()}
        ready = all(state == "ok" for state in parts.values())
        body = json.dumps({"status": "ok" if ready else "unavailable", "parts": parts})
        response = Response(body, status=200 if ready else 503, mimetype="application/json")
        if not ready:
            response.headers["Retry-After"] = "2"
        return response

    @app.get("/metrics")
    def prometheus() -> Response:
        """Prometheus text format."""
        return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)


def _state(check: HealthCheck) -> str:
    try:
        check()
    except (RedisError, DBAPIError, PoolTimeoutError, Refusal, OSError):
        return "down"
    return "ok"
