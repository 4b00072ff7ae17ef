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
from shared.keys import KeyList, encode_key
from shared.problems import Refusal
from shared.web import create_base_app

VERSION = "1"
OPEN_ENDPOINTS = frozenset({"healthz", "readyz", "prometheus"})


def create_app(settings: OtpSettings, deps: Deps, collectors: Sequence[Collector] = ()) -> Flask:
    """The app over these deps; ``/metrics`` shows what ``collectors`` read, besides what every service counts."""
    app, api = create_base_app(
        "otp",
        title="Latchkey otp",
        version=VERSION,
        checks=readiness.checks(deps),
        docs=True,
        collectors=[*collectors, SmsCollector(deps)],
        refused_always=("not_authenticated",),
    )
    _require_key(app, settings.api_keys)
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
