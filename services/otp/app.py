"""The HTTP service: internal, one caller, one key."""

import hmac
from collections.abc import Sequence

from flask import Flask, request
from prometheus_client.registry import Collector

from services.otp.deps import Deps
from services.otp.routes import BLUEPRINTS
from services.otp.settings import OtpSettings
from services.otp.sms_metrics import SmsCollector
from shared import readiness
from shared.clock import unix_milliseconds
from shared.deadline import GIVES_UP_AT_HEADER, TIME_LEFT_HEADER, caller_waits, require_time
from shared.keys import KeyList, encode_key
from shared.problems import Refusal
from shared.web import create_base_app

VERSION = "1"
_EACH_REQUEST = (
    f"A request may say when its caller gives up: `{TIME_LEFT_HEADER}` in so many milliseconds, or "
    f"`{GIVES_UP_AT_HEADER}` at this time, in Unix milliseconds by the clock of the Redis server. After that the "
    "answer is 503, and nothing is done."
)
OPEN_ENDPOINTS = frozenset({"healthz", "readyz"})


def create_app(settings: OtpSettings, deps: Deps, collectors: Sequence[Collector] = ()) -> Flask:
    """The app over these deps; its metrics hold what ``collectors`` read, besides what every service counts."""
    app, api = create_base_app(
        "otp",
        title="Latchkey otp",
        version=VERSION,
        checks=readiness.checks(deps),
        docs=True,
        collectors=[*collectors, SmsCollector(deps)],
        refused_always=("not_authenticated",),
        about=_EACH_REQUEST,
    )
    _require_key(app, settings.api_keys)
    _require_time(app, deps)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint(deps))
    return app


def _require_key(app: Flask, keys: KeyList) -> None:
    """Every address asks for the key, the unknown ones too; what is open is listed, not what is closed."""
    accepted = [f"Bearer {encode_key(key.material.reveal())}".encode() for key in keys]

    @app.before_request
    def check() -> None:
        if request.endpoint in OPEN_ENDPOINTS:
            return
        presented = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        # No early end: the time must not tell which key of the list came close.
        if not any([hmac.compare_digest(presented, key) for key in accepted]):  # noqa: C419
            raise Refusal("not_authenticated")


def _require_time(app: Flask, deps: Deps) -> None:
    """Refuse a request whose caller has given up, and note the caller's time for all waits of this request."""

    @app.before_request
    def check() -> None:
        caller_waits(request.headers.get(TIME_LEFT_HEADER, type=int))
        gives_up_at = request.headers.get(GIVES_UP_AT_HEADER, type=int)
        if gives_up_at is not None:
            caller_waits(gives_up_at - unix_milliseconds(deps.clock()))
        require_time()
