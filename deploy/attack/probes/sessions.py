"""Sessions: what a stolen one can do, which ones end, and how fresh a proof must be (rows 19, 20, 21, 24)."""

import time
from dataclasses import replace
from datetime import timedelta

from deploy.attack.browser import Browser
from deploy.attack.inside import grow_older
from deploy.attack.people import enrol, new_number, operator, race, sign_in, step_up
from deploy.attack.probe import CannotTryError, Probe, Target
from deploy.attack.steps import (
    account_id,
    change_password,
    log_in_with,
    new_password,
    remembered,
    reset_by_support,
    two_factor_is_on,
)
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

STEP_UP_WINDOW = timedelta(minutes=10)
REAUTHENTICATIONS = 5  # in five minutes; the table is services/auth/limits.py


def marked_calls(own_id: str) -> list[tuple[str, str, object]]:
    """The calls that change factors, phone or password, with bodies that are otherwise right."""
    phone = {"country": "DE", "number": new_number()}
    return [
        ("POST", "/v1/two-factor/enrollment", None),
        ("POST", "/v1/two-factor/recovery-codes", None),
        ("PUT", "/v1/phone", phone),
        ("POST", "/v1/phone/sms", None),
        ("POST", "/v1/phone/call", None),
        ("DELETE", "/v1/phone", None),
        ("PUT", f"/v1/team/{own_id}/phone", phone),
        ("POST", "/v1/password", {"current_password": new_password(), "new_password": new_password()}),
        ("DELETE", "/v1/two-factor", None),
    ]


@watched
def step_up_skipped(target: Target, watch: Watch) -> str:
    """Use a session without step-up, a factor and a phone that nobody has confirmed."""
    owner = enrol(target)
    thief = remembered(owner).browser
    for method, path, body in marked_calls(account_id(thief)):
        watch.refused(f"{method} {path} without step-up", thief.call(method, path, body), "step_up_required")
        nobody = target.browser().call(method, path, body)
        watch.refused(f"{method} {path} without a session", nobody, "not_authenticated")

    beginner = sign_in(target, target.account())
    begun = beginner.post("/v1/two-factor/enrollment")
    watch.served("begin an enrollment", begun, 201)
    watch.holds("a factor is on before it is confirmed", not two_factor_is_on(beginner))
    confirm = f"/v1/two-factor/enrollment/{begun.body['enrollment_id']}/confirm"
    watch.refused("a wrong code confirms", beginner.post(confirm, {"code": "000000"}), "invalid_passcode")
    watch.holds("a factor is on after a wrong code", not two_factor_is_on(beginner))

    watch.served("set a phone", owner.browser.call("PUT", "/v1/phone", {"country": "DE", "number": new_number()}), 202)
    browser, challenge = owner.challenge()
    unproven = browser.post(f"/v1/login/{challenge}/sms")
    watch.refused("a code to a phone that was never proven", unproven, "sms_unavailable")
    return "8 calls from a session that a remembered device shortened, and from none; a factor and a phone before proof"


@watched
def password_oracle(target: Target, watch: Watch) -> str:
    """Guess the password where the session is already open."""
    account = target.account()
    first, second = sign_in(target, account), sign_in(target, account)

    def guess(browser: Browser, number: int) -> Answer:
        return browser.post("/v1/reauthenticate", {"password": f"wrong guess {number}"})

    # Three at a time: more would meet the limit on hashing before that on guessing.
    answers = []
    for wave in range(0, 12, 3):
        answers += race([lambda number=number: guess(first, number) for number in range(wave, wave + 3)])  # type: ignore[misc]
    evaluated = sum(answer.code == "invalid_credentials" for answer in answers)
    watch.holds(
        f"{evaluated} of 12 guesses at the password were answered, {REAUTHENTICATIONS} may be",
        evaluated <= REAUTHENTICATIONS,
        len(answers),
    )
    if not watch.holes:
        watch.refused("the right password after that", _reauthenticate(first, account.password), "too_many_requests")
        # Each open session has a row of its own, so a thief with one of them holds out no other.
        watch.served("the owner in another session", _reauthenticate(second, account.password))
    _guess_at_change(watch, target)
    return "12 wrong passwords three at a time, then the right one, in two sessions; 12 more where it is changed"


def _guess_at_change(watch: Watch, target: Target) -> None:
    """Guess the current password where a new one is set."""
    account = target.account()
    session = sign_in(target, account)

    def change(current: str) -> Answer:
        return session.post("/v1/password", {"current_password": current, "new_password": new_password()})

    answers = [change(f"wrong guess {number}") for number in range(12)]
    changed = any(answer.status == 200 for answer in answers)
    watch.holds("a new password was set without the current one", not changed, len(answers))
    evaluated = sum(answer.code == "invalid_credentials" for answer in answers)
    watch.holds(
        f"{evaluated} of 12 guesses at the current password were answered, {REAUTHENTICATIONS} may be",
        evaluated <= REAUTHENTICATIONS,
    )
    if not watch.holes:
        watch.refused("the right current password after that", change(account.password), "too_many_requests")
        after = _reauthenticate(session, account.password)
        watch.refused("reauthentication after guesses at the change", after, "too_many_requests")


def _reauthenticate(browser: Browser, password: str, code: str | None = None) -> Answer:
    return browser.post("/v1/reauthenticate", {"password": password} | ({"code": code} if code else {}))


@watched
def old_sessions_live_on(target: Target, watch: Watch) -> str:
    """Keep a session, and a login under way, over everything that must end them."""
    account = target.account()
    before = sign_in(target, account)
    owner = enrol(target, account)
    own_id = account_id(owner.browser)
    _is_over(watch, "from before 2FA was turned on", before)

    other = owner.signed_in()
    browser, under_way = owner.challenge()
    owner = change_password(owner, owner.browser)
    _is_over(watch, "from before the password was changed", other)
    late = browser.verify(under_way, owner.recovery_codes.pop())
    watch.refused("a login under way while the password was changed", late, "challenge_expired")

    tried = "sessions and logins under way from before 2FA was turned on and off and the password changed"
    try:
        support = operator(target)
    except CannotTryError:
        support = None
    if support is not None:
        other = owner.browser
        browser, under_way = owner.challenge()
        word = reset_by_support(support, own_id)
        _is_over(watch, "from before support's reset", other)
        late = browser.verify(under_way, owner.recovery_codes.pop())
        watch.refused("a login under way during a reset", late, "challenge_expired", "two_factor_off")
        owner = enrol(target, replace(owner.account, enrollment_word=word))
        tried += ", and support's reset"
    browser, challenge = owner.challenge()
    watch.served("sign in with a backup code", browser.verify(challenge, owner.recovery_codes.pop()))
    step_up(owner)
    watch.served("turn 2FA off", owner.browser.call("DELETE", "/v1/two-factor"), 204)
    _is_over(watch, "from before 2FA was turned off", browser)
    return tried


def _is_over(watch: Watch, when: str, browser: Browser) -> None:
    watch.refused(f"a session {when}", browser.get("/v1/session"), "not_authenticated")


@watched
def stale_proof(target: Target, watch: Watch) -> str:
    """Open the step-up window with less than a fresh and full proof."""
    owner = enrol(target)
    thief, password = remembered(owner).browser, owner.account.password
    used = owner.app.fresh()
    browser, challenge = owner.challenge()
    watch.served("sign in with a code", browser.verify(challenge, used))
    for what, answer, code in (
        ("the password alone", _reauthenticate(thief, password), "validation_failed"),
        ("a wrong code", _reauthenticate(thief, password, owner.wrong_codes(1)[0]), "invalid_passcode"),
        ("a code that a login has used", _reauthenticate(thief, password, used), "invalid_passcode"),
        ("a wrong password, right code", _reauthenticate(thief, "wrong", owner.app.fresh()), "invalid_credentials"),
    ):
        watch.refused(f"{what} opens the step-up window", answer, code)
    # The owner's other sessions have just proven themselves; that must not help this one.
    watch.refused("another session's proof", thief.call("DELETE", "/v1/two-factor"), "step_up_required")
    again = log_in_with(owner, thief.device_token)
    watch.holds("a remembered device's login counts as a proof", again.body["session"]["step_up_until"] is None)

    tried = "step-up with half a proof, a used code, another session's proof"
    if target.control is not None and browser.token is not None:
        grow_older(target.control, browser.token, STEP_UP_WINDOW + timedelta(seconds=5))
    elif target.patient:
        time.sleep(STEP_UP_WINDOW.total_seconds() + 5)
    else:
        return f"{tried} (its end was not waited for: --patient)"
    codes = browser.post("/v1/two-factor/recovery-codes")
    watch.refused("a proof that is over ten minutes old", codes, "step_up_required")
    watch.holds("the session still shows an open window", browser.get("/v1/session").body["step_up_until"] is None)
    return f"{tried}, and one ten minutes old"


PROBES = (
    Probe(
        19,
        "no-step-up",
        "Factors, phone or password changed without step-up; a factor that counts before it is confirmed",
        "CVE-2026-104106, CVE-2026-123530, ASVS 7.5.1",
        step_up_skipped,
    ),
    Probe(20, "reauthenticate-oracle", "Re-authentication as a password oracle", "CVE-2026-123521", password_oracle),
    Probe(
        21,
        "old-sessions",
        "Sessions that live on after 2FA is enabled, disabled or reset",
        "CVE-2023-31140",
        old_sessions_live_on,
    ),
    Probe(24, "stale-step-up", "Step-up without a fresh and full proof", "GHSA-f66q-9rf6-8795", stale_proof),
)
