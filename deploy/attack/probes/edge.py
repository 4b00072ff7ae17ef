"""The border of HTTP: origins, addresses of clients, paths, forms, links, names of clients (rows 52 to 55, 65, 66)."""

import json
import re
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

import urllib3

from deploy.attack.browser import Browser
from deploy.attack.people import enrol, expect
from deploy.attack.probe import Probe, Target, new_address
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, pages_of, wait_for

JSON = {"Content-Type": "application/json", "Connection": "close"}
A_PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
CANCELS_BY_ADDRESS, BEYOND = 20, 4  # as the gateway's README.md promises, and so many tries more
_FOUND, _NOTICE_SECONDS = 200, 40.0


@watched
def wrong_origin(target: Target, watch: Watch) -> str:
    """Write with a victim's cookie from pages whose origin is ours but for scheme, port or name."""
    account = target.account()
    victim = target.browser()
    expect(victim.post("/v1/login", {"email": account.email, "password": account.password}), 200)
    cookie = "; ".join(f"{name}={value}" for name, value in victim.cookies.items())
    parts = urlsplit(target.base_url)
    other = {"http": "https", "https": "http"}[parts.scheme]
    origins = [
        f"{other}://{parts.netloc}",
        f"{other}://{parts.hostname}",
        f"{parts.scheme}://{parts.hostname}:{(parts.port or 443) + 1}",
        f"{parts.scheme}://{parts.netloc}.",
        f"{parts.scheme}://{parts.netloc}/",
        f"{parts.scheme}://www.{parts.netloc}",
    ]
    page = target.browser()
    for origin in origins:
        answer = page.raw("POST", "/v1/logout", b"{}", {**JSON, "Cookie": cookie, "Origin": origin})
        watch.refused(f"POST /v1/logout with Origin {origin}", answer, "origin_refused")
    for scheme in ("http", "https"):
        foreign = {"Host": "evil.example", "Origin": f"{scheme}://evil.example"}
        answer = page.raw("POST", "/v1/logout", b"{}", {**JSON, "Cookie": cookie, **foreign})
        watch.refused(f"POST /v1/logout for Host evil.example from {scheme}", answer, "misdirected_request")
    watch.holds("the victim's session has ended", victim.get("/v1/session").status == _FOUND)
    return f"a write with the victim's cookie from {len(origins)} origins like ours, and for a foreign host"


@watched
def spellings_of_an_address(target: Target, watch: Watch) -> str:
    """One client in many spellings of its address, and one that sends none at all."""
    target.need_addresses()
    v4, inside, v6 = new_address(), new_address(), f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}"
    mapped = (f"::ffff:{inside}", inside, f"[::ffff:{inside}]:443")
    spellings: dict[str, Callable[[int], str]] = {
        "a port": lambda number: f"{v4}:{5000 + number}",
        "an IPv6 address with a port": lambda number: f"[{v6}::1]:{5000 + number}",
        "addresses of one /64": lambda number: f"{v6}::{number + 2:x}",
        "an IPv4 address inside IPv6": lambda number: mapped[number % 3],
        "no address": lambda number: f"hidden-{number}-{secrets.token_hex(4)}",
    }
    for name, spelled in spellings.items():
        answers = [_cancel(target.browser(), spelled(number)) for number in range(CANCELS_BY_ADDRESS + BEYOND)]
        seen = sum(answer.status != 429 for answer in answers)
        said = f"{name}: {seen} tries were looked at, {CANCELS_BY_ADDRESS} are allowed"
        watch.holds(said, seen <= CANCELS_BY_ADDRESS, len(answers))
    return f"tries beyond the budget of one client, in {len(spellings)} kinds of spelling"


def _cancel(browser: Browser, forwarded_for: str) -> Answer:
    body = json.dumps({"token": secrets.token_urlsafe(32)}).encode()
    headers = {**JSON, "X-Forwarded-For": forwarded_for}
    return browser.raw("POST", "/v1/two-factor/resets/cancel", body, headers)


_METRICS = ("/metrics", "//metrics", "///metrics", "/metrics/", "/metrics//", "/%6detrics", "/METRICS", "/;/metrics")
_DOUBLED = ("//openapi.json", "//login", "//support", "//v1/time", "//dev/inbox.json", "///v1/session/verify")


@watched
def around_path_rules(target: Target, watch: Watch) -> str:
    """Ask for metrics and pages by spellings of their paths that a proxy's rule does not know."""
    browser = target.browser()
    for path in _METRICS:
        answer = browser.raw("GET", path)
        shown = answer.status == _FOUND or b"latchkey_" in _bytes(answer)
        watch.holds(f"GET {path} shows metrics", not shown)
    for path in _DOUBLED:
        answer = browser.raw("GET", path)
        watch.holds(f"GET {path}: {answer.status}", answer.status in {400, 404})
    if target.control is not None:
        for service, url in target.control.settings.metrics_urls.items():
            own = urllib3.request("GET", url)
            watch.holds(f"{service} shows no metrics on its own port", own.status == _FOUND)
    return f"{len(_METRICS)} spellings of the metrics' path, {len(_DOUBLED)} paths with slashes in front"


_FORM = re.compile(rb"<form\b([^>]*)>")


@watched
def forms_without_scripts(target: Target, watch: Watch) -> str:
    """Look for forms of pages that put what is typed into the address before a script runs."""
    signed_in, account = _cookie_browser(target), target.account()
    expect(signed_in.post("/v1/login", {"email": account.email, "password": account.password}), 200)
    found = 0
    pages = ("/login", "/reset/cancel", "/reset/confirm", "/browser/confirm", "/two-factor", "/team", "/security")
    for path in pages:
        page = (_cookie_browser(target) if path == "/login" else signed_in).get(path)
        watch.served(path, page)
        for form in _FORM.findall(_bytes(page)):
            found += 1
            safe = b'method="post"' in form and (b"inert" in form or b'action="/' in form)
            watch.holds(f"{path} has a form that sends what is typed as an address: {form.decode()}", safe)
    watch.holds("no form was found", found > 0)
    return f"{found} forms of {len(pages)} pages, before any script"


_OFF_SITE = (
    *("/%5Cevil.example", "/%5C%5Cevil.example/x", "/%5c/evil.example", "//evil.example", "///evil.example/login"),
    *("/%2F%2Fevil.example", "/%09/evil.example", "/https:evil.example", "/support/accounts/%5Cevil.example"),
    *("/login//evil.example", "/login?next=//evil.example", "/login?next=/%5Cevil.example", "/?next=//evil.example"),
    *("/login?next=https:evil.example", "/login?ended=1&next=%09//evil.example", "/docs//evil.example"),
)


@watched
def links_off_site(target: Target, watch: Watch) -> str:
    """Ask for addresses that a link or a redirect made of them would lead to another site by."""
    browser, account = _cookie_browser(target), target.account()
    expect(browser.post("/v1/login", {"email": account.email, "password": account.password}), 200)
    for path in _OFF_SITE:
        for method in ("GET", "POST"):
            headers = {**A_PAGE, "Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
            answer = browser.raw(method, path, None, headers)
            named = b"evil.example" in _bytes(answer) or "evil" in answer.headers.get("Location", "")
            watch.holds(f"{method} {path}: {answer.status} with a way to evil.example", not named)
    return f"{len(_OFF_SITE)} addresses, by GET and by POST"


@watched
def strangers_words(target: Target, watch: Watch) -> str:
    """Sign in as a browser whose name, and as a client whose address, is a message to the owner."""
    owner, inbox = enrol(target), target.need_inbox()
    word = secrets.token_hex(6)
    own = {**JSON, "User-Agent": f"=HYPERLINK(1) Call support: +1 900 {word} Firefox/1"}
    if target.client_addresses:
        own["X-Forwarded-For"] = f"Call +1 900 {word}"
    stranger = target.browser()
    body = {"email": owner.account.email, "password": owner.account.password, "transport": "bearer"}
    challenge = expect(stranger.raw("POST", "/v1/login", json.dumps(body).encode(), own), 200)["challenge"]
    own["X-Challenge-Binding"] = challenge["binding"]
    path = f"/v1/login/{challenge['id']}/verify"
    *wrong, last = owner.wrong_codes(5)  # the owner is told at the fifth
    for code in wrong:
        watch.refused("a wrong code", stranger.raw("POST", path, json.dumps({"code": code}).encode(), own), *_WRONG)
    right = {"code": owner.recovery_codes.pop(), "remember_device": True}
    expect(stranger.raw("POST", path, json.dumps(right).encode(), own), 200)
    begun = expect(stranger.raw("POST", "/v1/login", json.dumps(body).encode(), own), 200)["challenge"]
    own["X-Challenge-Binding"], path = begun["binding"], f"/v1/login/{begun['id']}/verify"
    watch.refused("a wrong code", stranger.raw("POST", path, json.dumps({"code": last}).encode(), own), *_WRONG)

    def told() -> list[str] | None:
        """The mails of the wrong codes and of the browser that is remembered."""
        mails = [str(one["body"]) for one in inbox.messages() if one["to"] == owner.account.email]
        about = [mail for mail in mails if "Browser:" in mail]
        return about if len(about) > 1 else None

    for mail in wait_for(told, seconds=_NOTICE_SECONDS, every=0.3):
        watch.holds("a mail of ours carries a stranger's words", word not in mail and "HYPERLINK" not in mail)
    for listed in ("/v1/activity", "/v1/sessions", "/v1/trusted-devices"):
        shown = json.dumps(owner.browser.get(listed).body)
        watch.holds(f"{listed} shows a stranger's words", word not in shown)
    return "a browser and an address named as messages: two mails, timeline, sessions and devices"


_WRONG = ("invalid_passcode", "too_many_requests")


def _cookie_browser(target: Target) -> Browser:
    """A browser at the address where the pages are."""
    browser = target.browser()
    browser.base_url = pages_of(browser.base_url)
    return browser


def _bytes(answer: Answer) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()


PROBES = (
    Probe(52, "strangers-words", "A browser's name or an address that is a message", "found here", strangers_words),
    Probe(53, "wrong-origin", "An origin like ours, or a foreign host with its own", "found here", wrong_origin),
    Probe(54, "address-spellings", "Budgets by IP that never fill", "RFC 7239 §6", spellings_of_an_address),
    Probe(55, "around-path-rules", "Metrics or pages behind a path rule", "CVE-2025-49591", around_path_rules),
    Probe(65, "form-without-script", "A form that puts a password into a URL", "found here", forms_without_scripts),
    Probe(66, "link-off-site", "A link made of the requested path", "found here", links_off_site),
)
