"""Pages of other sites that use a victim's cookie, and sessions planted before a login (row 33)."""

from urllib.parse import urlsplit

from deploy.attack.browser import Browser
from deploy.attack.people import enrol
from deploy.attack.probe import CannotTryError, Probe, Target
from deploy.attack.watch import Watch, watched

# A connection each: what is refused before its body was read, the server ends.
ONCE = {"Connection": "close"}
JSON = {**ONCE, "Content-Type": "application/json"}


@watched
def cross_site(target: Target, watch: Watch) -> str:
    """Write with the victim's cookie from foreign pages; plant a session before the victim signs in."""
    account = target.account()
    victim = _log_in_by_cookie(target.browser(), account.email, account.password)
    _check_cookie(watch, target, victim)
    name, session = _session_cookie(victim)
    cookie = {"Cookie": f"{name}={session}"}
    own = victim.get("/v1/session").body
    parts = urlsplit(target.base_url)
    foreign: list[dict[str, str]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{target.base_url}.evil.example"},
        {"Origin": f"{parts.scheme}://sub.{parts.netloc}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    ]
    calls: list[tuple[str, str, bytes]] = [
        ("POST", "/v1/two-factor/enrollment", b"{}"),
        ("PUT", "/v1/phone", b'{"country": "DE", "number": "0151 23456789"}'),
        ("PUT", "/v1/language", b'{"language": "ja"}'),
        ("POST", "/v1/reauthenticate", b'{"password": "x"}'),
        ("POST", "/v1/login", b'{"email": "attacker@example.com", "password": "x"}'),
        ("DELETE", f"/v1/sessions/{own['id']}", b"{}"),
        ("POST", "/v1/logout", b"{}"),
    ]
    page = target.browser()
    for headers in foreign:
        where = ", ".join(f"{key}: {value}" for key, value in headers.items())
        for method, path, body in calls:
            answer = page.raw(method, path, body, {**JSON, **cookie, **headers})
            watch.refused(f"{method} {path} with {where}", answer, "origin_refused")
        read = page.raw("GET", "/v1/session", None, {**ONCE, **cookie, **headers})
        watch.holds(f"{where} may read answers", "Access-Control-Allow-Origin" not in read.headers)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        form = page.raw("POST", "/v1/logout", b'{"x": "="}', {**ONCE, **cookie, "Content-Type": kind})
        watch.refused(f"a form of {kind}", form, "unsupported_media_type")
    alive = page.raw("GET", "/v1/session", None, {**ONCE, **cookie}).status == 200
    watch.holds("a page of another site ended the session", alive)
    _fixation(watch, target, name)
    return f"{len(calls)} writes with the victim's cookie from {len(foreign)} foreign pages, forms; planted cookies"


def _check_cookie(watch: Watch, target: Target, victim: Browser) -> None:
    account = target.account()
    body = {"email": account.email, "password": account.password}
    lines = [
        line.lower()
        for line in target.browser().post("/v1/login", body).headers.getlist("Set-Cookie")
        if "latchkey_session" in line
    ]
    watch.holds("no session cookie, or two", len(lines) == 1)
    wanted = ["httponly", "samesite=lax"] + (["secure", "__host-"] if target.base_url.startswith("https") else [])
    for attribute in wanted:
        watch.holds(f"the session cookie lacks {attribute}", all(attribute in line for line in lines))
    watch.holds("a cookie login has its token in the body too", victim.token is None)


def _fixation(watch: Watch, target: Target, name: str) -> None:
    """A cookie planted before the login: the attacker's own live session, or a value of his choice."""
    mallory, account = target.account(), target.account()
    planted_live = _session_cookie(_log_in_by_cookie(target.browser(), mallory.email, mallory.password))[1]
    seen = set()
    for planted in (planted_live, "0" * 43):
        browser = target.browser()
        browser.cookies[name] = planted
        _log_in_by_cookie(browser, account.email, account.password)
        now = _session_cookie(browser)[1]
        watch.holds("a login keeps the session cookie that was planted", now != planted and now not in seen)
        seen.add(now)
        old = target.browser()
        old.cookies[name] = planted
        answer = old.get("/v1/session")
        whose = answer.body["account"]["email"] if answer.status == 200 else None
        watch.holds("a planted session became the victim's", whose != account.email)
    owner = enrol(target, account)
    browser = target.browser()
    body = {"email": account.email, "password": account.password}
    challenge = browser.post("/v1/login", body).body["challenge"]["id"]
    watch.holds("there is a session before the second factor", name not in browser.cookies)
    answer = browser.post(f"/v1/login/{challenge}/verify", {"code": owner.recovery_codes.pop()})
    watch.served("the second factor", answer)
    ended = _session_cookie(browser)[1]
    watch.served("log out", browser.post("/v1/logout"), 204)
    gone = target.browser()
    gone.cookies[name] = ended
    watch.refused("a session that was logged out", gone.get("/v1/session"), "not_authenticated")


def _log_in_by_cookie(browser: Browser, email: str, password: str) -> Browser:
    answer = browser.post("/v1/login", {"email": email, "password": password})
    if answer.status != 200 or answer.body["status"] != "authenticated":
        raise CannotTryError("an account could not sign in with a cookie")
    return browser


def _session_cookie(browser: Browser) -> tuple[str, str]:
    """Its name and value."""
    return next((name, value) for name, value in browser.cookies.items() if "latchkey_session" in name)


PROBES = (
    Probe(
        33,
        "cross-site-and-fixation",
        "Cross-site requests on cookie sessions, and session fixation",
        "ASVS 7.2.4, ASVS 3.5.1",
        cross_site,
    ),
)
