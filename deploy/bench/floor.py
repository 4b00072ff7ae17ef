"""The floor: two hops that do nothing, served like the real two and with the same house rules.

What verification costs beyond this is ours; what the floor costs is HTTP, WSGI and Python.
"""

import os

import urllib3
from flask import Flask, Response, request

from shared.web import create_base_app

_UPSTREAM = os.environ.get("BENCH_FLOOR_UPSTREAM", "")  # the benchmark starts us; this is no product setting


def _verifier() -> Flask:
    app, _api = create_base_app("floor_otp", title="floor", version="v1", checks={}, docs=False)

    @app.post("/nothing")
    def nothing() -> dict[str, bool]:
        request.get_data()
        return {"ok": True}

    return app


def _gateway() -> Flask:
    app, _api = create_base_app("floor_auth", title="floor", version="v1", checks={}, docs=False)
    pool = urllib3.connectionpool.connection_from_url(_UPSTREAM or "http://127.0.0.1:1", maxsize=16, block=False)

    @app.post("/nothing")
    def nothing() -> Response:
        headers = {"Content-Type": "application/json"}
        answer = pool.urlopen("POST", "/nothing", body=request.get_data(), headers=headers, retries=False)
        return Response(answer.data, mimetype="application/json")

    return app


verifier = _verifier()
gateway = _gateway()
