"""A login belongs to the browser or client that began it (row 62); a browser has one session (row 33)."""

import secrets

from deploy.attack.browser import BINDING_HEADER, Browser
from deploy.attack.people import Owner, enrol, expect, prove_phone, sign_in
from deploy.attack.probe import Probe, Target
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

SESSION_COOKIES = ("latchkey_session", "__Host-latchkey_session")


@watched
def foreign_challenge(target: Target, watch: Watch) -> str:
    """Read, text and answer a login from a client that did not begin it, by cookie and by bearer."""
    owner = enrol(target)
    prove_phone(owner)
    for transport in ("bearer", "cookie"):
        begun = target.browser()
        account = owner.account
        body = {"email": account.email, "password": account.password, "transport": transport}
        challenge = expect(begun.post("/v1/login", body), 200)["challenge"]
        path = f"/v1/login/{challenge['id']}"
        code = owner.recovery_codes.pop()
        for who, extra in _others(transport):
            stranger = target.browser()
            what = f"{who} of a login by {transport}"
            watch.refused(f"GET by {what}", stranger.call("GET", path, **extra), "challenge_expired")
            watch.refused(
                f"a text asked for by {what}", _post(stranger, f"{path}/sms", None, extra), "challenge_expired"
            )
            answer = _post(stranger, f"{path}/verify", {"code": code}, extra)
            watch.refused(f"a right code by {what}", answer, "challenge_expired")
            if answer.status == 200:
                code = owner.recovery_codes.pop()
        extra = {BINDING_HEADER: challenge["binding"]} if "binding" in challenge else {}
        answer = _post(begun, f"{path}/verify", {"code": code}, extra)
        if not watch.holes:
            watch.served(f"the right code by who began a login by {transport}", answer)
    return "a login's state, text and right code by strangers without its binding, with a forged and another one's"


def _others(transport: str) -> list[tuple[str, dict[str, str]]]:
    """Headers of other clients: without a binding, and with an invented one."""
    forged = secrets.token_urlsafe(32)
    made_up = {BINDING_HEADER: forged} if transport == "bearer" else {"Cookie": f"latchkey_challenge={forged}"}
    return [("a stranger", {}), ("a stranger with a made-up binding", made_up)]


def _post(browser: Browser, path: str, body: object, extra: dict[str, str]) -> Answer:
    return browser.call("POST", path, body, **extra)


@watched
def another_ones_binding(target: Target, watch: Watch) -> str:
    """Answer a victim's login with the binding of the thief's own login."""
    thief, victim = enrol(target), enrol(target)
    browser, own = thief.challenge()
    _, other = victim.challenge()
    browser.bindings[other] = browser.bindings[own]
    answer = browser.verify(other, victim.recovery_codes.pop())
    watch.refused("a login answered with the binding of another one", answer, "challenge_expired")
    if not watch.holes:
        watch.served("the own login afterwards", browser.verify(own, thief.recovery_codes.pop()))
    return "a right code with the binding of a login of the thief's own"


@watched
def over_another_session(target: Target, watch: Watch) -> str:
    """Sign in over another account's cookie, then come with the old cookie again."""
    first, second = target.account(), enrol(target)
    browser = target.browser()
    _by_cookie(browser, first.email, first.password)
    old = {name: browser.cookies[name] for name in SESSION_COOKIES if name in browser.cookies}
    watch.served("the first session", _with_cookies(target, old).get("/v1/session"))
    _second_factor_by_cookie(browser, second)
    watch.refused(
        "the cookie of the account signed in before, after another one signed in over it",
        _with_cookies(target, old).get("/v1/session"),
        "not_authenticated",
    )
    third = target.account()
    again = {name: browser.cookies[name] for name in SESSION_COOKIES if name in browser.cookies}
    _by_cookie(browser, third.email, third.password)
    watch.refused(
        "the cookie of an account with 2FA, after one without signed in over it",
        _with_cookies(target, again).get("/v1/session"),
        "not_authenticated",
    )
    watch.served("a session elsewhere", sign_in(target, target.account()).get("/v1/session"))
    return "the old cookies, after two other accounts signed in over them"


def _by_cookie(browser: Browser, email: str, password: str) -> None:
    expect(browser.call("POST", "/v1/login", {"email": email, "password": password}, Origin=browser.base_url), 200)


def _second_factor_by_cookie(browser: Browser, owner: Owner) -> None:
    account = owner.account
    body = {"email": account.email, "password": account.password}
    challenge = expect(browser.call("POST", "/v1/login", body, Origin=browser.base_url), 200)["challenge"]
    path = f"/v1/login/{challenge['id']}/verify"
    expect(browser.call("POST", path, {"code": owner.recovery_codes.pop()}, Origin=browser.base_url), 200)


def _with_cookies(target: Target, cookies: dict[str, str]) -> Browser:
    browser = target.browser()
    browser.cookies.update(cookies)
    return browser


PROBES = (
    Probe(
        33,
        "over-another-session",
        "A session that outlives a sign-in over its cookie",
        "ASVS 7.2.4",
        over_another_session,
    ),
    Probe(
        62,
        "foreign-challenge",
        "A login read, texted or answered by another browser than began it",
        "CVE-2025-52553",
        foreign_challenge,
    ),
    Probe(
        62,
        "another-ones-binding",
        "A login answered with the binding of another one",
        "CVE-2025-52553",
        another_ones_binding,
    ),
)
