"""Known and remembered devices: forged, outliving their reason, and the owner's way in (rows 22, 23, 35)."""

import hashlib
import secrets
from dataclasses import replace

from deploy.attack.browser import Browser
from deploy.attack.inside import have_failed
from deploy.attack.people import Owner, enrol, expect, operator, step_up
from deploy.attack.probe import CannotTryError, Probe, Target
from deploy.attack.steps import (
    account_id,
    change_password,
    device_token,
    log_in_with,
    reset_by_support,
    wait_for_entry,
)
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

DEVICE_COOKIES = ("latchkey_device", "__Host-latchkey_device")
TRIES_BY_STRANGERS = 12
# Failures in a row (otp's README, "Rows of failures"): after which a stranger's six digits and everybody's are refused.
STOPS = (60, 100)


@watched
def forged_token(target: Target, watch: Watch) -> str:
    """Show a device's token that is not this account's, in each place where one is read."""
    thief, victim = enrol(target), enrol(target)
    stolen, revoked = device_token(thief), device_token(victim)
    watch.served("a device skips the code of its own account", log_in_with(thief, stolen))
    watch.served("forget all devices", victim.browser.call("DELETE", "/v1/trusted-devices"), 204)
    known = _known_token(victim)
    tokens = {
        "another account's token": stolen,
        "a revoked token": revoked,
        "the token of a browser that is known, not trusted": known,
        "the digest of a token": hashlib.sha256(revoked.encode()).hexdigest(),
        "half a token": revoked[:21],
        "a random token": secrets.token_urlsafe(32),
        "SQL": "' OR 1=1 --",
    }
    for what, token in tokens.items():
        for way, browser, body in _ways(target, victim, token):
            answer = browser.post("/v1/login", body)
            passed = answer.status == 200 and answer.body["status"] == "authenticated"
            watch.holds(f"{what} in the {way} skips the code", not passed)
    for what, token in (("a device token", stolen), ("a revoked device token", revoked)):
        bearer = target.browser()
        bearer.token = token
        watch.refused(f"{what} as a session", bearer.get("/v1/session"), "not_authenticated")
    answer = target.browser().post(
        "/v1/login", {"email": thief.account.email, "password": "wrong password", "device_token": stolen}
    )
    watch.refused("a device token instead of the password", answer, "invalid_credentials")
    return f"{len(tokens)} tokens that are not the account's, each as cookie, header and body"


def _known_token(owner: Owner) -> str:
    """What a browser is given that has shown a second factor and did not ask to be remembered."""
    browser, account = owner.target.browser(), owner.account
    challenge = expect(browser.post("/v1/login", {"email": account.email, "password": account.password}), 200)
    path = f"/v1/login/{challenge['challenge']['id']}/verify"
    expect(browser.post(path, {"code": owner.recovery_codes.pop()}), 200)
    return next((value for name, value in browser.cookies.items() if name.startswith(DEVICE_COOKIES)), "")


def _ways(target: Target, victim: Owner, token: str) -> list[tuple[str, Browser, dict[str, str]]]:
    body = {"email": victim.account.email, "password": victim.account.password}
    header, cookie = target.browser(), target.browser()
    header.device_token = token
    cookie.cookies.update(dict.fromkeys(DEVICE_COOKIES, token))
    return [
        ("body", target.browser(), {**body, "transport": "bearer", "device_token": token[:100]}),
        ("header", header, {**body, "transport": "bearer"}),
        ("cookie", cookie, body),
    ]


@watched
def trust_lives_on(target: Target, watch: Watch) -> str:
    """Keep a device's token over everything that must end it."""
    owner = enrol(target)
    own_id = account_id(owner.browser)
    token = _trusted(watch, owner)
    owner = change_password(owner, owner.browser)
    _is_asked(watch, "the password was changed", owner, token)

    token = _trusted(watch, owner)
    step_up(owner)
    watch.served("turn 2FA off", owner.browser.call("DELETE", "/v1/two-factor"), 204)
    wait_for_entry(owner.browser, "two_factor.disabled")
    owner = enrol(target, owner.account)
    _is_asked(watch, "2FA was turned off and on again", owner, token)

    tried = "remembered devices after a new password, 2FA turned off and on again"
    try:
        support = operator(target)
    except CannotTryError:
        return tried
    token = _trusted(watch, owner)
    word = reset_by_support(support, own_id)
    _is_asked(watch, "support's reset", enrol(target, replace(owner.account, enrollment_word=word)), token)
    return f"{tried}, support's reset"


def _trusted(watch: Watch, owner: Owner) -> str:
    token = device_token(owner)
    answer = log_in_with(owner, token)
    watch.served("a remembered device signs in", answer)
    watch.holds("a remembered device is not recognised", answer.body["status"] == "authenticated", tries=0)
    return token


def _is_asked(watch: Watch, after: str, owner: Owner, token: str) -> None:
    answer = expect(log_in_with(owner, token), 200)
    watch.holds(f"a device is trusted after {after}", answer["status"] == "second_factor_required")


@watched
def owner_locked_out(target: Target, watch: Watch) -> str:
    """Spend the tries as a stranger, then come as the owner in a browser that is known."""
    # A stranger has the password and guesses codes.
    owner = enrol(target)
    known = _known_browser(owner)
    stranger = target.browser()
    codes = owner.wrong_codes(TRIES_BY_STRANGERS)
    answers = [_guess(owner, stranger, code) for code in codes]
    watch.holds("a stranger's guesses met no limit", answers[-1].code == "too_many_requests", len(answers))
    _can_get_in(watch, "a stranger with the password spent the tries", owner, known, owner.app.fresh())

    # Another one has not, and guesses that.
    owner = enrol(target)
    known = _known_browser(owner)
    stranger = target.browser()
    for number in range(TRIES_BY_STRANGERS):
        answer = stranger.log_in(owner.account.email, f"wrong guess {number}")
    watch.holds("a stranger's passwords met no limit", answer.code == "too_many_requests", TRIES_BY_STRANGERS)
    _can_get_in(watch, "a stranger spent the tries at the password", owner, known, owner.app.fresh())
    return (
        f"{TRIES_BY_STRANGERS} wrong codes and {TRIES_BY_STRANGERS} wrong passwords by strangers, "
        "then the owner in a browser that is known"
    )


@watched
def failures_in_a_row(target: Target, watch: Watch) -> str:
    """A stranger's wrong codes of days, and then a lost Redis: who is still let in, and who is not."""
    digits, everything = STOPS
    owner, _ = _failed(target, digits - 1)
    watch.served(f"a right code in a new browser after {digits - 1} failures", owner.guess(owner.app.fresh()))
    owner.guess(owner.wrong_codes(1)[0])
    answer = owner.guess(owner.app.fresh())
    watch.refused("six digits in a new browser after the owner's everyday login", answer, "second_factor_locked")

    owner, known = _failed(target, digits)
    code = owner.app.fresh()
    watch.refused(f"six digits in a new browser after {digits} failures", owner.guess(code), "second_factor_locked")
    _can_get_in(watch, f"a stranger failed {digits} times in a row", owner, known, code)

    answer = owner.guess(owner.app.fresh())
    watch.refused("six digits in a new browser after a login in a known one", answer, "second_factor_locked")
    answer = owner.guess(owner.recovery_codes.pop())
    watch.holds(f"after {digits} failures a backup code is refused: {answer.code}", answer.status == 200)

    owner, known = _failed(target, everything)
    code, account = owner.app.fresh(), owner.account
    challenge = expect(known.post("/v1/login", {"email": account.email, "password": account.password}), 200)
    answer = known.post(f"/v1/login/{challenge['challenge']['id']}/verify", {"code": code})
    watch.refused(f"the owner's own browser after {everything} failures", answer, "second_factor_locked")
    answer = owner.browser.post("/v1/reauthenticate", {"password": account.password, "code": code})
    watch.refused(f"a step-up after {everything} failures", answer, "second_factor_locked")
    support = operator(target).browser
    asked = {"ticket": "ATTACK-3", "reason": "A probe"}
    unlocked = support.post(f"/v1/support/accounts/{account_id(owner.browser)}/unlock", asked)
    watch.refused(f"support lifts {everything} failures in a row", unlocked, "reset_needed")
    answer = owner.guess(owner.recovery_codes.pop())
    watch.holds(f"after {everything} failures a backup code is refused: {answer.code}", answer.status == 200)
    return f"{digits} and {everything} failures in a row that SQL alone remembers, then right codes"


def _failed(target: Target, failures: int) -> tuple[Owner, Browser]:
    """An owner after so many failures in a row, and the owner's browser, which is known from before them."""
    control, owner = target.need_control(), enrol(target)
    known = _known_browser(owner)
    have_failed(control, account_id(owner.browser), failures)
    return owner, known


def _guess(owner: Owner, stranger: Browser, code: str) -> Answer:
    """A new login for each guess: it must not bring new tries."""
    stranger, challenge = owner.challenge(stranger)
    return stranger.verify(challenge, code)


def _known_browser(owner: Owner) -> Browser:
    """The owner's own, which has shown a second factor before."""
    browser = owner.target.browser()
    browser.cookies.update(dict.fromkeys(DEVICE_COOKIES, _known_token(owner)))
    return browser


def _can_get_in(watch: Watch, after: str, owner: Owner, browser: Browser, code: str) -> None:
    account = owner.account
    answer = browser.post("/v1/login", {"email": account.email, "password": account.password})
    watch.holds(f"after {after} the owner's password is refused: {answer.code}", answer.status == 200)
    if answer.status != 200:
        return
    if answer.body["status"] == "authenticated":
        watch.odd.append("a browser that is only known skipped the code")
        return
    answer = browser.post(f"/v1/login/{answer.body['challenge']['id']}/verify", {"code": code})
    watch.holds(f"after {after} the owner's code is refused: {answer.code}", answer.status == 200)


PROBES = (
    Probe(
        22,
        "forged-device",
        "A forged or stolen token of a trusted device, or another account's",
        "GHSA-h6mp-mc7g-mg49, CVE-2026-119128",
        forged_token,
    ),
    Probe(
        23,
        "trust-outlives-change",
        "Trust that survives a change of password, of 2FA or a reset",
        "code reading",
        trust_lives_on,
    ),
    Probe(
        35,
        "owner-locked-out",
        "The owner locked out by a stranger, with the password or without",
        "privacyidea#3741, privacyidea#4128",
        owner_locked_out,
    ),
    Probe(
        35,
        "failures-in-a-row",
        "Endless guessing over days, or a lock that catches the owner",
        "NIST SP 800-63B-4 §3.2.2",
        failures_in_a_row,
    ),
)
