"""The Flask base of both HTTP services: problem+json for every error, hostile bodies refused, health, counts."""

import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from flask import Flask, Request, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge
from werkzeug.routing import RequestRedirect
from werkzeug.sansio.response import Response as BaseResponse

from shared.deadline import begin_request, end_request
from shared.ids import new_id
from shared.openapi import PROBLEM_JSON
from shared.problems import Refusal, Unavailable
from shared.rest import IdConverter, RestApi
from shared.whole_requests import MAX_BODY_BYTES, REFUSED

NOT_STORED = {"Cache-Control": "no-store"}
# What an answer that is no page says to a browser: run nothing, show it in no frame, guess no type, tell no other site.
# Pages have a policy and a Referrer-Policy of their own, which go before these.
FOR_BROWSERS = {
    **NOT_STORED,
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
OVER_HTTPS = {"Strict-Transport-Security": "max-age=31536000"}

_HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
}

_METRICS = "latchkey_metrics"
_EVERY_ANSWER = "Each answer has `X-Request-Id`: the id under which the service's log has the request."

# Of what the server refuses before the app has seen it: all threads for slow work are taken, for a moment.
_RETRY_AFTER = {"service_unavailable": 1}

log = structlog.get_logger("http")


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


class _App(Flask):
    """Flask for views that are plain functions. Flask asks each of its callbacks ten times a request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself."""
        return func


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
    about: str = "",
) -> tuple[Flask, RestApi]:
    """A Flask app with the house rules. ``checks`` are this service's own stores; ready when none of them raises.

    ``headers`` go with every answer that has none of that name. The metrics hold what ``collectors`` read, besides what
    every service counts; ``metrics_of`` finds them, and no route shows them. ``refused_always`` and ``refused_writes``
    are the codes of what this service checks before its views, for the document. ``about`` ends the document's own
    description, and tells what holds for each call.
    """
    app = _App(f"services.{service}", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        API_TITLE=title,
        API_VERSION=version,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={"info": {"description": f"{_EVERY_ANSWER} {about}".rstrip()}},
        OPENAPI_URL_PREFIX="/" if docs else None,
        OPENAPI_JSON_PATH="openapi.json",
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["id"] = IdConverter
    # A path has one spelling, and no redirect leads to it from another one. A proxy's rule for /docs misses //docs.
    app.url_map.merge_slashes = False
    metrics = make_metrics(service)
    for collector in collectors:
        metrics.registry.register(collector)
    _register_errors(app)
    _register_request_rules(app, metrics, form_endpoints, headers)
    _register_health(app, checks)
    app.extensions[_METRICS] = metrics.registry
    return app, RestApi(app, refused_always=refused_always, refused_writes=refused_writes)


def metrics_of(app: Flask) -> CollectorRegistry:
    """What this app counts and reads, for a port of its own (``shared/metrics_port.py``)."""
    return cast("CollectorRegistry", app.extensions[_METRICS])


def problem_response(refusal: Refusal) -> Response:
    """A refusal as problem+json, with Retry-After where it applies."""
    response = Response(json.dumps(refusal.document()), status=refusal.problem.status, mimetype=PROBLEM_JSON)
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    if refusal.problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.problem.status == 408:
        response.headers["Connection"] = "close"  # RFC 9110 §15.5.9
    return response


def http_refusal(error: HTTPException) -> Refusal:
    """What the framework says no to, in our words."""
    status = error.code or 500
    return Refusal(_HTTP_CODES.get(status, "internal_error" if status >= 500 else "bad_request"))


def http_problem(error: HTTPException) -> BaseResponse:
    """The same as problem+json."""
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
    by_name = [(name.lower(), (name, value)) for name, value in headers.items()]

    @functools.cache  # to look the series up anew costs 5 us a request
    def series(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
        return metrics.requests.labels(route, method, status), metrics.seconds.labels(route)

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        begin_request()
        g.request_id = request_id = new_id("req")
        structlog.contextvars.bind_contextvars(request_id=request_id)
        _check(request, form_endpoints)

    @app.after_request
    def end(response: Response) -> Response:
        rule = request.url_rule
        route = rule.rule if rule else "(none)"
        seconds = time.perf_counter() - g.get("started", time.perf_counter())
        requests, durations = series(route, _method(), response.status_code)
        requests.inc()
        durations.observe(seconds)
        response.headers["X-Request-Id"] = g.get("request_id", "")
        present = {name.lower() for name in response.headers.keys()}  # noqa: SIM118 - its own iterator gives pairs
        response.headers.extend([pair for name, pair in by_name if name not in present])
        return response

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        end_request()
        structlog.contextvars.unbind_contextvars("request_id")


def _check(request: Request, form_endpoints: frozenset[str]) -> None:
    """Refuse a request that no view may see. Raises Refusal, HTTPException."""
    if (refused := request.environ.get(REFUSED)) is not None:
        raise Refusal(refused, retry_after_seconds=_RETRY_AFTER.get(refused))
    if request.environ.get("PATH_INFO", "").startswith("//"):  # werkzeug takes it for the path behind the slashes
        request.url_rule, request.routing_exception = None, NotFound()
    if isinstance(request.routing_exception, RequestRedirect):
        request.routing_exception = _to_path(request.routing_exception)
    length = request.content_length or 0
    if length > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    has_body = bool(length) or "chunked" in request.headers.get("Transfer-Encoding", "")
    if has_body and not request.is_json and request.endpoint not in form_endpoints:
        raise Refusal("unsupported_media_type")


def _to_path(redirect: RequestRedirect) -> HTTPException:
    """Redirect to a path. Behind a proxy that ends TLS the framework would name http, and its page has a link."""
    path = urlsplit(redirect.new_url).path
    return HTTPException(response=Response(status=redirect.code, headers={"Location": path}))


def _method() -> str:
    """The method for a metric's label; a made-up one must not make a series of its own."""
    return request.method if request.method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} else "OTHER"


def _register_health(app: Flask, checks: Mapping[str, HealthCheck]) -> None:
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


def _state(check: HealthCheck) -> str:
    try:
        check()
    except (RedisError, DBAPIError, PoolTimeoutError, Refusal, OSError):
        return "down"
    return "ok"
