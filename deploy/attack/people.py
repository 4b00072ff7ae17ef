"""What the probes have in common: the owners of accounts, what they hold, and many of them at the same moment."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from deploy.attack.accounts import Account
from deploy.attack.browser import Browser
from deploy.attack.probe import CannotTryError, Target
from deploy.portal import Answer, AuthenticatorApp

T = TypeVar("T")

_RACE_SECONDS = 60.0
# Many enrolments at once empty otp's stock of hashed sheets. Then one confirmation at a time waits for the next sheet,
# which a busy machine may not make within the gateway's deadline.
_ENROLLING = threading.Lock()
_CONFIRM_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 0.0)
_STEP_UPS = 2


class UnexpectedAnswerError(Exception):
    """A step that every honest user may take was refused, so nothing can be said about the attack."""


@dataclass(slots=True)
class Owner:
    """An account with 2FA on, and all that its owner holds: the app, the backup codes, the browser that enrolled."""

    target: Target
    account: Account
    app: AuthenticatorApp
    recovery_codes: list[str]
    browser: Browser
    phone: str = field(default="", repr=False)

    def challenge(self, browser: Browser | None = None) -> tuple[Browser, str]:
        """Password login in a browser (a new one by default), up to the challenge's id."""
        browser = browser or self.target.browser()
        body = expect(browser.log_in(self.account.email, self.account.password), 200)
        if body["status"] != "second_factor_required":
            raise UnexpectedAnswerError("a login with 2FA on was not asked for a code")
        return browser, str(body["challenge"]["id"])

    def guess(self, code: str, browser: Browser | None = None, *, remember: bool = False) -> Answer:
        """A new login and this code: the answer to the code."""
        browser, challenge = self.challenge(browser)
        return browser.verify(challenge, code, remember=remember)

    def signed_in(self, browser: Browser | None = None, *, remember: bool = False) -> Browser:
        """A browser with a session of its own; may wait for the app's next code."""
        browser, challenge = self.challenge(browser)
        expect(browser.verify(challenge, self.app.fresh(), remember=remember), 200)
        return browser

    def wrong_codes(self, count: int) -> list[str]:
        """Codes that this owner's app shows neither now nor about now."""
        near = {self.app.near(steps) for steps in range(-25, 26)}
        codes: set[str] = set()
        while len(codes) < count:
            codes.add(f"{secrets.randbelow(10**6):06d}")
            codes -= near
        return list(codes)


def sign_in(target: Target, account: Account, browser: Browser | None = None) -> Browser:
    """Log in to an account that has no 2FA. Raises CannotTryError when it has."""
    browser = browser or target.browser()
    body = expect(browser.log_in(account.email, account.password), 200)
    if body["status"] != "authenticated":
        raise CannotTryError(f"{account.email} has 2FA on: an earlier run used it, so make new accounts")
    return browser


def enrol(target: Target, account: Account | None = None) -> Owner:
    """Turn 2FA on, and step up. This uses the codes of the last and of the present time step; the next stays unused."""
    account = account or target.account()
    browser = sign_in(target, account)
    word = {"word": account.enrollment_word} if account.enrollment_word else None
    begun = expect(browser.post("/v1/two-factor/enrollment", word), 201)
    app = AuthenticatorApp(begun["secret"])
    path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
    impatient = target.browser(browser.ip, patient=False)
    impatient.token = browser.token
    code = app.before()
    with _ENROLLING:
        for pause in _CONFIRM_PAUSES:
            # The same code: when the answer of a confirmation was lost, the same call gets it again.
            answer = impatient.post(path, {"code": code})
            if answer.status not in {422, 503}:
                break
            time.sleep(pause)
            if answer.status == 422:  # the step ended meanwhile
                code = app.before()
    browser.token = impatient.token
    owner = Owner(target, account, app, list(expect(answer, 200)["recovery_codes"]), browser)
    step_up(owner)
    return owner


def step_up(owner: Owner, browser: Browser | None = None) -> None:
    """Open the full step-up window: turning 2FA on has closed the one that it needed. May wait for the next code."""
    for _ in range(_STEP_UPS):
        proof = {"password": owner.account.password, "code": owner.app.fresh()}
        answer = (browser or owner.browser).post("/v1/reauthenticate", proof)
        if answer.code != "invalid_passcode":  # on a busy machine a code may be used up, and its answer lost
            break
    expect(answer, 200)


def prove_phone(owner: Owner, browser: Browser | None = None) -> str:
    """Set a phone number nobody else has and prove it. Raises CannotTryError where texts can't be read."""
    owner.phone = prove_number(owner.target, browser or owner.browser)
    return owner.phone


def prove_number(target: Target, browser: Browser) -> str:
    """Do the same for the account of this browser."""
    inbox, number = target.need_inbox(), new_number()
    sent = expect(browser.call("PUT", "/v1/phone", {"country": "DE", "number": number}), 202)
    expect(browser.post("/v1/phone/verify", {"code": inbox.code(sent["reference"])}), 200)
    return number


def sms_code(owner: Owner, browser: Browser, challenge: str) -> str:
    """Ask for a code by SMS for this login, and read it from the phone."""
    sent = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
    return owner.target.need_inbox().code(sent["reference"])


def operator(target: Target) -> Owner:
    """A support operator with 2FA on, in a second login, because the login that enrolled opens no console."""
    enrolled = enrol(target, target.account("support"))
    enrolled.browser = enrolled.signed_in()
    return enrolled


def race(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run all at the same moment, a thread each; the results in order. Raises what the first of them raised."""
    barrier = threading.Barrier(len(calls))
    results: list[T | None] = [None] * len(calls)
    faults: list[BaseException] = []

    def run(number: int, call: Callable[[], T]) -> None:
        try:
            barrier.wait(_RACE_SECONDS)
            results[number] = call()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for the race
            faults.append(error)

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_RACE_SECONDS)
    if faults:
        raise faults[0]
    return results  # type: ignore[return-value]  # every place was filled, or a fault was raised


def expect(answer: Answer, status: int) -> dict[str, Any]:
    """The body of an answer that an honest user gets. Raises UnexpectedAnswerError; no body in it, for its secrets."""
    if answer.status != status:
        raise UnexpectedAnswerError(f"expected {status}, got {answer.status} {answer.code or ''}".rstrip())
    body: dict[str, Any] = answer.body
    return body


def new_number() -> str:
    """A German mobile number that is well formed and that no other account of ours has."""
    return f"0151 2{secrets.randbelow(10**7):07d}"
