"""Longer ways that several probes take: a session without step-up, a changed password, a reset by support."""

import secrets
from dataclasses import dataclass, replace

from deploy import ceremony
from deploy.attack import people
from deploy.attack.browser import Browser
from deploy.attack.people import Owner, UnexpectedAnswerError, expect
from deploy.portal import Answer, wait_for

_EVENT_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Remembered:
    """A session that a remembered device shortened: signed in, but no proof of a second factor is behind it."""

    browser: Browser
    device_token: str


def remembered(owner: Owner) -> Remembered:
    """Have a browser remembered, then sign in with what it remembers. Takes a backup code."""
    token = device_token(owner)
    browser = owner.target.browser()
    answer = log_in_with(owner, token, browser)
    if answer.body.get("status") != "authenticated":
        raise UnexpectedAnswerError("a remembered device did not skip the code")
    return Remembered(browser, token)


def device_token(owner: Owner) -> str:
    """The token of a browser that asked to be remembered. Takes a backup code."""
    browser, challenge = owner.challenge()
    expect(browser.verify(challenge, owner.recovery_codes.pop(), remember=True), 200)
    token = browser.device_token
    if token is None:
        raise UnexpectedAnswerError("a browser that asked to be remembered got no token")
    return token


def log_in_with(owner: Owner, token: str | None, browser: Browser | None = None) -> Answer:
    """The answer to a password login that shows this device token."""
    browser = browser or owner.target.browser()
    browser.device_token = token
    return browser.log_in(owner.account.email, owner.account.password)


def new_password() -> str:
    """One that zxcvbn finds strong."""
    return f"{secrets.token_urlsafe(12)} attack"


def change_password(owner: Owner, browser: Browser) -> Owner:
    """The owner with the new password; the browser's step-up window must be open."""
    password = new_password()
    body = {"current_password": owner.account.password, "new_password": password}
    expect(browser.post("/v1/password", body), 200)
    return replace(owner, account=replace(owner.account, password=password))


def reset_by_support(operator: Owner, account_id: str) -> str:
    """Support removes the account's 2FA at once; returns the enrollment word when that has happened."""
    messages = operator.target.need_inbox().messages
    reset = ceremony.reset_at_once(
        operator.browser, account_id, messages, second=lambda: people.operator(operator.target).browser
    )

    def applied() -> bool:
        """The reset has been applied."""
        answer = operator.browser.get(f"/v1/support/two-factor-resets/{reset['id']}")
        return bool(expect(answer, 200)["status"] == "applied")

    wait_for(applied, seconds=_EVENT_SECONDS, every=0.2)
    return str(reset["enrollment_word"])


def wait_for_entry(browser: Browser, entry: str) -> None:
    """Until the account's own timeline has this entry: what an event does, it has done by then.

    A login that begins before is ended by the event, and nobody would know why.
    """

    def written() -> bool:
        """The timeline's entry."""
        items = expect(browser.get("/v1/activity"), 200)["items"]
        return any(item["type"] == entry for item in items)

    wait_for(written, seconds=_EVENT_SECONDS, every=0.2)


def account_id(browser: Browser) -> str:
    """What the API calls the account that this browser is signed in to."""
    return str(expect(browser.get("/v1/session"), 200)["account"]["id"])


def two_factor_is_on(browser: Browser) -> bool:
    """Whether 2FA is on, as the API says."""
    return bool(expect(browser.get("/v1/two-factor"), 200)["enabled"])


def unknown_address() -> str:
    """An address that no account has."""
    return f"attack-{secrets.token_hex(8)}@example.com"
