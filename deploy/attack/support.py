"""Operators' calls that several probes share: request a reset, pass checks, approve, read the status."""

from deploy import ceremony
from deploy.attack.people import Owner, expect
from deploy.attack.steps import account_id
from deploy.portal import Answer

TICKET = "ATTACK-1"
# Checks after which a second operator must agree, and checks after which the owner has time to cancel.
SLOW, COOLING = ("email_code", "video_id"), ("phone_code", "billing_details")


def ask_reset(operator: Owner, of_account: str, **more: object) -> Answer:
    """The answer to an operator who asks for a reset with the checks that have been passed."""
    asked = {"ticket": TICKET, "reason": "A probe", **more}
    return operator.browser.post(f"/v1/support/accounts/{of_account}/two-factor-resets", asked)


def begin_check(operator: Owner, of_account: str, check: str) -> Answer:
    """The answer to an operator who begins a check that the product performs."""
    return operator.browser.post(f"/v1/support/accounts/{of_account}/identity-checks", {"check": check})


def pass_checks(operator: Owner, of_account: str, checks: tuple[str, ...]) -> None:
    """Pass these checks, the words read from the inbox."""
    for check in checks:
        ceremony.pass_check(operator.browser, of_account, check, operator.target.need_inbox().messages)


def waiting_reset(operator: Owner, of_account: str) -> str:
    """A reset that waits for another operator: its id."""
    pass_checks(operator, of_account, SLOW)
    return str(expect(ask_reset(operator, of_account), 202)["id"])


def cooling_reset(operator: Owner, owner: Owner) -> str:
    """A reset in its cool-off: its id. The owner's phone is proven."""
    own_id = account_id(owner.browser)
    pass_checks(operator, own_id, COOLING)
    return str(expect(ask_reset(operator, own_id), 202)["id"])


def approve(operator: Owner, of_account: str, reset_id: str) -> Answer:
    """The answer to another operator who approves it."""
    return operator.browser.post(f"/v1/support/accounts/{of_account}/two-factor-resets/{reset_id}/approve")


def status_of(operator: Owner, reset_id: str) -> str:
    """Where a reset stands."""
    return str(expect(operator.browser.get(f"/v1/support/two-factor-resets/{reset_id}"), 200)["status"])
