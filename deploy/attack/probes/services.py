"""What the portal's other services are told of a session, and where a sign-in for them leads (rows 56, 57, 66)."""

import base64
import json
import re
from urllib.parse import urlencode, urljoin, urlsplit

from deploy.attack.browser import Browser
from deploy.attack.people import enrol, expect, sign_in
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import remembered
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, pages_of

OFF_SITE = (
    *("//evil.example", "///evil.example/team", "/\\evil.example", "\\\\evil.example", "/\t/evil.example"),
    *("https:evil.example", "https://evil.example/billing", "//evil.example/billing", "javascript:alert('evil')"),
    *("/%2Fevil.example", "/%5Cevil.example", "/billing/%2F%2Fevil.example", "/billing/../%5Cevil.example"),
    *("/billing\\..\\evil.example", "/billing@evil.example", "/billing\r\nLocation: //evil.example"),
)
PATHS = ("/%5Cevil.example", "/%5C%5Cevil.example/x", "//evil.example", "/%2F%2Fevil.example", "/%09/evil.example")
_LINK = re.compile(r'(?:href|action|src)="([^"]*)"')


@watched
def token_for_another(target: Target, watch: Watch) -> str:
    """Ask for a token that a service takes for its own, without its audience in the settings."""
    browser = sign_in(target, target.account())
    claims = _claims(browser.post("/v1/session/token"))
    watch.holds("a token names no audience", claims.get("aud") == claims.get("iss") and bool(claims.get("aud")))
    wanted: tuple[object, ...] = (
        *("https://evil.example", f"{target.base_url}.evil.example", f"{target.base_url}/", "*", ""),
        [target.base_url, "https://evil.example"],
    )
    for audience in wanted:
        answer = browser.post("/v1/session/token", {"audience": audience})
        watch.refused(f"a token for {audience}", answer, "validation_failed")
    other = browser.post("/v1/session/token", {"audience": target.base_url, "aud": "https://evil.example"})
    watch.refused("a token for an audience beside the public origin", other, "validation_failed")
    return f"a token without an audience, and for {len(wanted)} audiences that nobody has listed"


def _claims(answer: Answer) -> dict[str, object]:
    """The claims of the JWT, with its signature unchecked."""
    body = str(expect(answer, 200)["token"]).split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


@watched
def proxy_told_yes(target: Target, watch: Watch) -> str:
    """Let a proxy ask for what the session lacks, in words that it knows and in words that it doesn't."""
    verify = "/v1/session/verify"
    password_only = sign_in(target, target.account())
    owner = enrol(target)
    shortened = remembered(owner).browser
    for who, session in (("a password alone", password_only), ("a remembered device", shortened)):
        for demand in ("assurance=aal2", "assurance=aal2&max_age=600", "phishing_resistant=true"):
            answer = session.get(f"{verify}?{demand}")
            watch.refused(f"a session by {who} for {demand}", answer, "second_factor_required")
    watch.served("a session by an app code", owner.browser.get(f"{verify}?assurance=aal2&max_age=600"), 204)
    strong = owner.browser.get(f"{verify}?assurance=aal2&phishing_resistant=true")
    watch.refused("an app code as resistant to phishing", strong, "second_factor_required")
    for role in ("support", "owner"):
        answer = owner.browser.get(f"{verify}?role={role}&assurance=aal2")
        watch.refused(f"a member for role={role}", answer, "forbidden")
    unknown = (
        *("acr=aal2", "Assurance=aal2", "assurance[]=aal2", "assurance=AAL2", "assurance=", "level=2", "max_age=x"),
        *("assurance=aal1&assurance=aal2", "assurance=aal2&assurance=aal1", "role=member&role=support", "role=admin"),
        *("phishing_resistant=yes", "max_age=0"),
    )
    for demand in unknown:
        answer = password_only.get(f"{verify}?{demand}")
        watch.refused(f"a session by a password alone for {demand}", answer, "validation_failed")
    return f"sessions that lack the factor, the role or a fresh proof, and {len(unknown)} demands that we do not know"


@watched
def ways_off_the_site(target: Target, watch: Watch) -> str:
    """Have the login, the proxy's sign-in address and the page of an unknown path lead to another site."""
    account = target.account()
    pages = Browser(pages_of(target.base_url), ip=target.browser().ip)
    for path in PATHS:
        page = pages.raw("GET", path, headers={"Accept": "text/html"})
        off = [link for link in _LINK.findall(_text(page)) if _leads_off(pages.base_url + path, link)]
        watch.holds(f"the page at {path} links to {off}", not off)
    for asked in OFF_SITE:
        query = urlencode({"next": asked})
        kept = "evil" in _text(pages.raw("GET", f"/login?{query}", headers={"Accept": "text/html"}))
        watch.holds(f"the login page keeps {asked!r}", not kept)
    welcome = pages.form("/login", {"email": account.email, "password": account.password})
    watch.served("log in by the form", welcome, 303)
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in pages.cookies.items())}
    for asked in OFF_SITE:
        led = pages.raw("GET", f"/?{urlencode({'next': asked})}", headers=cookies).headers.get("Location", "")
        watch.holds(f"the login leads to {led!r}", "evil" not in led)
        if asked.isprintable():
            answer = target.browser().raw("GET", "/v1/session/verify", headers={"X-Forwarded-Uri": asked})
            led = answer.headers.get("Location", "")
            watch.holds(f"a proxy's sign-in address leads back to {led!r}", "evil" not in led)
    return f"{len(OFF_SITE)} addresses as a way back, {len(PATHS)} paths that nothing answers to"


def _text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace") if isinstance(answer.body, bytes) else str(answer.body)


def _leads_off(base: str, link: str) -> bool:
    """Whether a browser, which reads a backslash as a slash and skips tabs, would leave the host."""
    seen = re.sub(r"[\t\r\n]", "", link.replace("\\", "/"))
    return urlsplit(urljoin(base, seen)).netloc not in {urlsplit(base).netloc, ""}


PROBES = (
    Probe(56, "token-for-another", "A token without an audience", "RFC 8725 §3.9", token_for_another),
    Probe(
        57,
        "proxy-told-yes",
        "A proxy that is told yes for a session without what it needs",
        "CVE-2026-25748",
        proxy_told_yes,
    ),
    Probe(66, "ways-off-the-site", "A way back, or a link, that leads off the site", "CWE-601", ways_off_the_site),
)
