"""What every answer of the gateway says to a browser: pages, API, files, redirects and refusals of any kind."""

from dataclasses import replace

import pytest

from services.auth.app import create_app
from services.auth.portal.shell import LOOK
from tests.support import auth
from tests.support.auth import sign_in

HOST = "portal.example"
HTML = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "BREW")


@pytest.fixture
def over_https(deps):
    deps = replace(deps, settings=auth.settings(PUBLIC_ORIGIN=f"https://{HOST}"))
    app = create_app(deps)

    @app.get("/broken")
    def broken():
        raise ZeroDivisionError

    return app, deps


def holds(answer, what):
    headers = answer.headers
    policy = headers.get("Content-Security-Policy", "")
    assert headers.get("Strict-Transport-Security") == "max-age=31536000", what
    assert "default-src 'none'" in policy, what
    assert "frame-ancestors 'none'" in policy, what
    assert "unsafe" not in policy, what
    assert headers.get("X-Frame-Options") == "DENY", what
    assert headers.get("X-Content-Type-Options") == "nosniff", what
    assert headers.get("Referrer-Policy") in {"no-referrer", "same-origin"}, what
    assert headers.get("Cross-Origin-Opener-Policy") == "same-origin", what
    assert headers.get("Cross-Origin-Resource-Policy") == "same-origin", what
    assert headers.get("Permissions-Policy"), what
    assert headers.get("Cache-Control"), what
    assert "Access-Control-Allow-Origin" not in headers, what
    for name in headers.keys():  # noqa: SIM118 - each once
        assert name in {"Set-Cookie", "Vary"} or len(headers.getlist(name)) == 1, (what, name)


def paths_of(app):
    """Every route, with something in each of its places."""
    for rule in app.url_map.iter_rules():
        yield "/".join("x" if part.startswith("<") else part for part in rule.rule.split("/"))
    yield from ("/nothing", "//login", "/team/", "/docs", "/%5Cevil.example", "/v1/nothing", "/.well-known/nothing")
    version = app.extensions[LOOK].version
    yield from (f"/portal/{version}/{name}" for name in ("api.js", "portal.css", "mark.svg", "nothing.js"))


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("accept", [HTML, "application/json"])
def test_every_route_and_method_has_every_header(over_https, sam, signed_in, accept):
    app, deps = over_https
    browser = app.test_client(use_cookies=False)
    seen = set()
    for path in paths_of(app):
        for method in METHODS:
            headers = {"Host": HOST, "Accept": accept, "Origin": f"https://{HOST}"}
            if signed_in:
                _, token = sign_in(deps, sam)
                headers["Cookie"] = f"{deps.settings.session_cookie}={token}"
            answer = browser.open(path, method=method, headers=headers)
            holds(answer, (method, path, answer.status_code))
            seen.add(answer.status_code)
    assert seen >= {200, 303, 308, 401, 404, 405, 500} - ({401} if signed_in else set())


def test_every_refusal_before_a_route_has_them(over_https, redis_server, tom):
    app, deps = over_https
    browser = app.test_client(use_cookies=False)
    _, token = sign_in(deps, tom)
    own = {"Host": HOST, "Cookie": f"{deps.settings.session_cookie}={token}"}
    json = {**own, "Content-Type": "application/json"}
    refused = {
        421: lambda: browser.get("/login", headers={"Host": "evil.example"}),
        403: lambda: browser.post("/v1/logout", headers={**own, "Origin": f"http://{HOST}"}),
        413: lambda: browser.post("/v1/login", data=b"x" * 20_000, headers=json),
        415: lambda: browser.post("/v1/login", data=b"x", headers={**own, "Content-Type": "text/plain"}),
        400: lambda: browser.post("/v1/login", data=b"{", headers=json),
        422: lambda: browser.post("/v1/login", data=b"{}", headers=json),
    }
    for status, call in refused.items():
        answer = call()
        assert answer.status_code == status
        holds(answer, status)
    redis_server.connected = False
    for path in ("/v1/session", "/team", "/readyz"):
        answer = browser.get(path, headers=own)
        assert answer.status_code == 503
        holds(answer, path)


def test_over_http_there_is_no_promise_of_https(app):
    assert "Strict-Transport-Security" not in app.test_client().get("/v1/time").headers
