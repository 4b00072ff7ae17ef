"""The floor: two hops that do nothing, served like the real two and with the same house rules.

What verification costs beyond this is ours; what the floor costs is HTTP, WSGI and Python.
"""

import os

from flask import Flask, Response, request

from services.auth.otp_line import Line
from shared.web import FOR_BROWSERS, create_base_app

_UPSTREAM = os.environ.get("BENCH_FLOOR_UPSTREAM", "")  # the benchmark starts us; this is no product setting


def _verifier() -> Flask:
    app, _api = create_base_app("floor_otp", title="floor", version="v1", checks={}, docs=False)

    @app.post("/nothing")
    def nothing() -> dict[str, bool]:
        request.get_data()
        return {"ok": True}

    return app


def _gateway() -> Flask:
    app, _api = create_base_app("floor_auth", title="floor", version="v1", checks={}, docs=False, headers=FOR_BROWSERS)
    line = Line(_UPSTREAM or "http://127.0.0.1:1", {"Content-Type": "application/json"})

    @app.post("/nothing")
    def nothing() -> Response:
        _status, data = line.exchange("POST", "/nothing", request.get_data())
        return Response(data, mimetype="application/json")

    return app


verifier = _verifier()
gateway = _gateway()
