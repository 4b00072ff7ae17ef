"""An act whose answer was lost: it can be repeated by the session that made it, and by nobody else (row 60)."""

import secrets
import threading
import time

from deploy.attack.browser import Browser
from deploy.attack.inside import frozen
from deploy.attack.people import enrol, expect, new_number, sign_in
from deploy.attack.probe import CannotTryError, Probe, Target
from deploy.attack.steps import two_factor_is_on
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, AuthenticatorApp

IDEMPOTENCY = "Idempotency-Key"
# Before, while and after otp hashes the sheet, on quick machines and slow ones.
_STOPS_AFTER = (0.01, 0.03, 0.08, 0.2, 0.5, 1.0)


@watched
def answer_lost(target: Target, watch: Watch) -> str:
    """Lose the answer of each change that shows something once; repeat the call as its session, and as others."""
    _confirm(target, watch)
    _regenerate(target, watch)
    _phone(target, watch)
    _disable(target, watch)
    return "a confirmation, a new sheet, a phone's proof and a disable, each repeated by its session and by others"


def _confirm(target: Target, watch: Watch) -> None:
    browser = sign_in(target, target.account())
    begun = expect(browser.post("/v1/two-factor/enrollment"), 201)
    path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
    body = {"code": AuthenticatorApp(begun["secret"]).fresh()}
    old, thief = _copy(target, browser), _copy(target, browser)
    first = browser.post(path, body)
    sheet = expect(first, 200)["recovery_codes"]
    again = old.post(path, body)
    watch.holds(f"a confirmation whose answer was lost can't be repeated: {again.code}", again.status == 200)
    if again.status == 200:
        watch.holds("the repeated confirmation has another sheet", again.body["recovery_codes"] == sheet)
        watch.refused("the old token for another call", thief.get("/v1/two-factor"), "not_authenticated")
    stranger = sign_in(target, target.account())
    answer = stranger.post(path, body)
    watch.holds(f"another account repeats the confirmation: {answer.status}", answer.status >= 400)


def _regenerate(target: Target, watch: Watch) -> None:
    owner = enrol(target)
    key = secrets.token_hex(16)
    path = "/v1/two-factor/recovery-codes"
    first = owner.browser.call("POST", path, **{IDEMPOTENCY: key})
    again = owner.browser.call("POST", path, **{IDEMPOTENCY: key})
    same = again.status == 200 and again.body["recovery_codes"] == expect(first, 200)["recovery_codes"]
    watch.holds(f"a repeated new sheet is another one: {again.status}", same)
    other = owner.signed_in()
    answer = other.call("POST", path, **{IDEMPOTENCY: key})
    leaks = answer.status == 200 and answer.body["recovery_codes"] == first.body["recovery_codes"]
    watch.holds("another session reads the sheet by its Idempotency-Key", not leaks)


def _phone(target: Target, watch: Watch) -> None:
    owner = enrol(target)
    inbox = target.need_inbox()
    sent = expect(owner.browser.call("PUT", "/v1/phone", {"country": "DE", "number": new_number()}), 202)
    body = {"code": inbox.code(sent["reference"])}
    expect(owner.browser.post("/v1/phone/verify", body), 200)
    again = owner.browser.post("/v1/phone/verify", body)
    watch.holds(f"a phone's proof whose answer was lost can't be repeated: {again.code}", again.status == 200)


def _disable(target: Target, watch: Watch) -> None:
    owner = enrol(target)
    old = _copy(target, owner.browser)
    expect(owner.browser.call("DELETE", "/v1/two-factor"), 204)
    again = old.call("DELETE", "/v1/two-factor")
    watch.holds(f"a disable whose answer was lost can't be repeated: {again.code}", again.status == 204)


@watched
def otp_stops_midway(target: Target, watch: Watch) -> str:
    """Stop otp, after it has the request, for longer than the gateway waits; then repeat the call."""
    control = target.need_control()
    otp, lost = control.processes_of("otp"), 0
    for start in _STOPS_AFTER:
        browser = sign_in(target, target.account(), target.browser(patient=False))
        begun = expect(browser.post("/v1/two-factor/enrollment"), 201)
        path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
        body = {"code": AuthenticatorApp(begun["secret"]).fresh()}
        old, answers = _copy(target, browser), list[Answer]()
        running = threading.Thread(target=lambda: answers.append(browser.post(path, body)), daemon=True)  # noqa: B023
        running.start()
        time.sleep(start)
        with frozen(otp):
            running.join(10.0)
        for _ in range(20):
            again = old.post(path, body)
            if again.status != 503:
                break
            time.sleep(0.3)
        codes = isinstance(again.body, dict) and "recovery_codes" in again.body
        if answers[0].status == 200 and not codes:
            continue  # the answer came before otp stopped
        lost += 1
        is_on = two_factor_is_on(browser if browser.get("/v1/session").status == 200 else old)
        watch.holds(
            f"2FA is {'on' if is_on else 'off'} after {answers[0].status} and {again.status}, and the codes are lost",
            codes or not is_on,
        )
    if not lost:
        raise CannotTryError("otp answered each time before it could be stopped")
    return f"{lost} confirmations during which otp stopped, each repeated"


def _copy(target: Target, browser: Browser) -> Browser:
    """A copy of the client from before the answer, with the token of that moment."""
    copy = target.browser(browser.ip, patient=False)
    copy.token = browser.token
    return copy


PROBES = (
    Probe(60, "answer-lost", "An act whose answer was lost and that can't be repeated", "found here", answer_lost),
    Probe(
        60,
        "otp-stops-midway",
        "2FA that is on while its backup codes are lost",
        "found here",
        otp_stops_midway,
        alone=True,
    ),
)
