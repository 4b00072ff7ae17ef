"""Other ways in: every other path, method, header and form that might skip the second factor or its limit (row 18)."""

import base64
import secrets
from collections.abc import Callable, Mapping

import urllib3

from deploy.attack.browser import BINDING_HEADER, Browser
from deploy.attack.people import Owner, enrol, expect
from deploy.attack.probe import Probe, Target
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, pages_of

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}
_OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
_REWRITES = ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix")


@watched
def without_second_factor(target: Target, watch: Watch) -> str:
    """With a right password and no code: what the API and the pages let in."""
    owner = enrol(target)
    browser, challenge = owner.challenge()
    for credential in (challenge, browser.bindings[challenge]):
        _as_credential(watch, target, credential)
    _password_alone(watch, owner)
    _forged_identity(watch, target, owner)
    _verifier(watch, target, owner)
    return (
        f"{watch.tries} calls with a password and no code: the login as a session, both login routes, forged identity"
    )


def _as_credential(watch: Watch, target: Target, credential: str) -> None:
    """The id or the binding of a login that waits for its code, as a session's token, on every page and every read."""
    anonymous, pretender = target.browser(), target.browser()
    paths = expect(anonymous.get("/openapi.json"), 200)["paths"]
    for browser in (anonymous, pretender):
        browser.base_url = pages_of(browser.base_url)
    reading = [path for path, methods in dict(paths).items() if "get" in methods and "{" not in path]
    pretender.token = credential
    pretender.cookies = dict.fromkeys(("latchkey_session", "__Host-latchkey_session"), credential)
    for path in [*reading, "/", "/two-factor", "/team", "/security", "/support"]:
        if anonymous.get(path).status == 200:
            continue
        watch.holds(f"a login without its code is let in at {path}", pretender.get(path).status not in {200, 204})


def _password_alone(watch: Watch, owner: Owner) -> None:
    """Each route that takes a password, and what it leaves in the browser."""
    target, email, password = owner.target, owner.account.email, owner.account.password
    api = target.browser()
    answer = api.post("/v1/login", {"email": email, "password": password, "transport": "cookie"})
    watch.holds("the login with a cookie asks for no code", answer.body.get("status") != "authenticated")
    form = target.browser()
    form.form("/login", {"email": email, "password": password})
    for name, browser in (("API", api), ("form", form)):
        watch.holds(f"a password alone leaves a session ({name})", browser.get("/v1/session").status != 200)
    for extra in ({"code": ""}, {"enabled": False}, {"status": "authenticated"}, {"factors": ["totp"]}):
        browser = target.browser()
        answer = browser.post("/v1/login", {"email": email, "password": password, "transport": "bearer", **extra})
        watch.holds(f"login with {next(iter(extra))} asks for no code", not _token(answer))
    empties: tuple[object, ...] = ("", "000000", None, [], True, {})
    for empty in empties:
        browser, challenge = owner.challenge(target.browser())
        answer = browser.post(f"/v1/login/{challenge}/verify", {} if empty is None else {"code": empty})
        watch.holds(f"the code {empty!r} opened a login", not _token(answer))
    # The session that enrolled is a full one; it may not renew itself without a code.
    answer = owner.browser.post("/v1/reauthenticate", {"password": password})
    watch.holds("a step-up without the code", answer.status != 200)


def _forged_identity(watch: Watch, target: Target, owner: Owner) -> None:
    """Headers in which a proxy or another scheme would name the user."""
    account = str(expect(owner.browser.get("/v1/session"), 200)["account"]["id"])
    basic = base64.b64encode(f"{owner.account.email}:{owner.account.password}".encode()).decode()
    for headers in (
        {"X-Account-Id": account, "X-Assurance": "aal2", "X-Factors": "password totp"},
        {"Remote-User": owner.account.email, "X-Remote-User": owner.account.email, "X-Forwarded-User": account},
        {"Authorization": f"Basic {basic}"},
        {"Authorization": f"Bearer {account}"},
        {"Cookie": f"latchkey_session={account}; session={account}"},
    ):
        for path in ("/v1/session/verify", "/v1/session", "/v1/two-factor"):
            answer = target.browser().raw("GET", path, headers=headers)
            watch.holds(f"{next(iter(headers))} alone is let in at {path}", answer.status not in {200, 204})


def _verifier(watch: Watch, target: Target, owner: Owner) -> None:
    """otp's own API: not behind the gateway, and on a stack of ours not without its key."""
    account = str(expect(owner.browser.get("/v1/session"), 200)["account"]["id"])
    bases = [("the gateway", target.base_url)]
    if target.control is not None:
        bases.append(("the verifier", target.control.settings.otp_url))
    for name, base in bases:
        for method, path in (("GET", "two-factor"), ("DELETE", "two-factor"), ("POST", "unlock"), ("GET", "attempts")):
            for authorization in ("", "Bearer ", f"Bearer {secrets.token_urlsafe(32)}"):
                client = Browser(base, ip=owner.browser.ip)
                headers = {**_JSON, **({"Authorization": authorization} if authorization else {})}
                body = b"{}" if method != "GET" else None
                answer = client.raw(method, f"/accounts/{account}/{path}", body, headers)
                watch.holds(f"{name} answers {method} /accounts/…/{path} without its key", answer.status >= 400)


@watched
def around_the_limit(target: Target, watch: Watch) -> str:
    """The budget is spent; then the right code by every other path, method, header and content type."""
    owner = enrol(target)
    browser, challenge = owner.challenge()
    for wrong in owner.wrong_codes(5):
        browser.verify(challenge, wrong)
    browser.keep_login_in_cookies(challenge)
    code = owner.app.fresh()
    path = f"/v1/login/{challenge}/verify"
    json_body, form_body = f'{{"code": "{code}"}}'.encode(), f"code={code}".encode()
    for name, send in _roads(path, challenge, json_body, form_body, browser).items():
        try:
            answer = send()
        except urllib3.exceptions.HTTPError:
            watch.holds(name, held=True)  # no answer, so nothing was let in
            continue
        watch.holds(f"{name} opened the login", not _token(answer))
        opened = browser.cookies and browser.get("/v1/session").status == 200
        watch.holds(f"{name} left a session", not opened, tries=0)
    answer = browser.verify(challenge, code)
    watch.holds("the right code after a spent budget", answer.status == 429)
    return f"5 wrong codes, then the right one in {watch.tries} other ways: paths, methods, headers, forms"


def _roads(
    path: str, challenge: str, json_body: bytes, form_body: bytes, browser: Browser
) -> dict[str, Callable[[], Answer]]:
    """Every other way to the verification, by what is odd about it. Each brings the login's binding."""
    bound = {**_JSON, BINDING_HEADER: browser.bindings[challenge]}

    def road(
        method: str, where: str = path, body: bytes | None = json_body, headers: Mapping[str, str] | None = None
    ) -> Callable[[], Answer]:
        return lambda: browser.raw(method, where, body, {**bound, **(headers or {})})

    roads = {f"method {method}": road(method) for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "post", "VERIFY")}
    roads["method GET"] = road("GET", f"{path}?{form_body.decode()}", None)
    for name in _OVERRIDES:
        roads[name] = road("GET", headers={name: "POST"})
    for name in _REWRITES:
        roads[name] = road("POST", "/healthz", headers={name: path})
    for name, where in {
        "a slash after": f"{path}/",
        "two slashes": path.replace("/", "//"),
        "capitals": path.upper().replace(challenge.upper(), challenge),
        "a dot segment": f"/v1/./login/{challenge}/verify",
        "an upward segment": f"/v1/x/../login/{challenge}/verify",
        "an encoded slash": f"/v1/login/{challenge}%2fverify",
        "a path parameter": f"/v1/login/{challenge}/verify;x=1",
        "a suffix": f"{path}.json",
        "a NUL": f"{path}%00",
        "no version": path.removeprefix("/v1"),
        "version 2": path.replace("/v1", "/v2"),
        "a query": f"{path}?{form_body.decode()}",
    }.items():
        roads[f"path with {name}"] = road("POST", where)
    roads["a form at the API"] = road("POST", path, form_body, _FORM)
    roads["text at the API"] = road("POST", headers={"Content-Type": "text/plain"})
    roads["the page's form"] = lambda: browser.form(f"/login/{challenge}", {"code": form_body.decode()[5:]})
    roads["the page's form, as JSON"] = road("POST", f"/login/{challenge}")
    roads["another address"] = road("POST", headers={"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"})
    roads["an invented device"] = road("POST", headers={"X-Device-Token": secrets.token_urlsafe(32)})
    return roads


def _token(answer: Answer) -> bool:
    """Whether this answer lets somebody in."""
    return isinstance(answer.body, dict) and answer.body.get("status") == "authenticated"


PROBES = (
    Probe(
        18,
        "without-second-factor",
        "Another path, method or login route that skips the second factor",
        "CVE-2026-58271, CVE-2026-94379",
        without_second_factor,
    ),
    Probe(
        18,
        "around-the-limit",
        "Another path, method or login route that skips the limit",
        "CVE-2026-34727, CVE-2026-73535",
        around_the_limit,
    ),
)
