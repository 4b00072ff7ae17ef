"""Resets that outlive what they were asked for (row 43), and what their notices say (row 52)."""

from datetime import timedelta

from deploy.attack.inside import let_wait
from deploy.attack.people import Owner, enrol, expect, operator
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import account_id, two_factor_is_on
from deploy.attack.support import approve, status_of, waiting_reset
from deploy.attack.watch import Watch, watched
from deploy.portal import wait_for

OPEN = frozenset({"awaiting_approval", "cooling_off", "approved"})
APPROVAL_WAITS = timedelta(hours=72)
_SETTLES_SECONDS = 20.0


@watched
def owner_is_in(target: Target, watch: Watch) -> str:
    """The owner proves the app, or a backup code, while a reset of it waits."""
    first, second = operator(target), operator(target)
    for what in ("an app code", "a backup code", "a step-up"):
        owner = enrol(target)
        own_id = account_id(owner.browser)
        reset = waiting_reset(first, own_id)
        if what == "a step-up":
            body = {"password": owner.account.password, "code": owner.app.fresh()}
            watch.served("the owner's step-up", owner.browser.post("/v1/reauthenticate", body))
        else:
            code = owner.app.fresh() if what == "an app code" else owner.recovery_codes.pop()
            watch.served(f"the owner's login with {what}", owner.guess(code))
        ended = _ends(first, reset)
        watch.holds(f"a reset waits on after {what} of the owner", ended)
        answer = approve(second, own_id, reset)
        watch.refused(f"its approval after {what} of the owner", answer, "reset_not_open")
    return "a reset that waits, after the owner's app code, backup code and step-up"


@watched
def new_enrolment(target: Target, watch: Watch) -> str:
    """A reset asked for before 2FA was turned off and on again wipes the new app."""
    first, second = operator(target), operator(target)
    owner = enrol(target)
    own_id = account_id(owner.browser)
    reset = waiting_reset(first, own_id)
    watch.served("turn 2FA off", owner.browser.call("DELETE", "/v1/two-factor"), 204)
    ended = _ends(first, reset)
    watch.holds("a reset waits on after 2FA was turned off", ended)
    owner = enrol(target, owner.account)
    watch.refused("its approval after a new enrolment", approve(second, own_id, reset), "reset_not_open")
    if watch.holes:
        wait_for(lambda: not _is_on(owner), seconds=_SETTLES_SECONDS)
    watch.holds("a reset asked for before has wiped the new app", _is_on(owner))
    return "a reset that waits, after 2FA was turned off, and its approval after a new enrolment"


@watched
def approval_waits(target: Target, watch: Watch) -> str:
    """Approve a reset three days after it was asked for."""
    control = target.need_control()
    first, second = operator(target), operator(target)
    owner = enrol(target)
    own_id = account_id(owner.browser)
    reset = waiting_reset(first, own_id)
    let_wait(control, reset, APPROVAL_WAITS + timedelta(minutes=1))
    watch.refused("an approval after 72 hours", approve(second, own_id, reset), "reset_not_open")
    return "the approval of a reset that was asked for 72 hours before"


@watched
def reset_notice(target: Target, watch: Watch) -> str:
    """Look at the notice of a reset: the link that cancels, what support never asks for, no words of an operator."""
    inbox = target.need_inbox()
    owner, support = enrol(target), operator(target)
    reset = waiting_reset(support, account_id(owner.browser))

    def told() -> str | None:
        """The mail about the reset."""
        mails = (message for message in inbox.messages() if message["to"] == owner.account.email)
        return next((str(mail["body"]) for mail in mails if "/reset/cancel#" in str(mail["body"])), None)

    body = wait_for(told, seconds=_SETTLES_SECONDS)
    watch.holds("the notice does not say what support never asks for", "never ask" in body.casefold())
    watch.holds("the notice carries the operator's words", "A probe" not in body)
    token = body.partition("/reset/cancel#")[2].split()[0]
    answer = target.browser().post("/v1/two-factor/resets/cancel", {"token": token})
    watch.served("the link in the notice", answer, 204)
    watch.holds("the link in the notice did not cancel it", status_of(support, reset) == "cancelled")
    return "the mail to the owner, and its link"


def _ends(support: Owner, reset: str) -> bool:
    """Whether the reset ends within the time that an event takes."""
    try:
        return bool(wait_for(lambda: status_of(support, reset) not in OPEN, seconds=_SETTLES_SECONDS / 4, every=0.3))
    except TimeoutError:
        return False


def _is_on(owner: Owner) -> bool:
    """Whether 2FA is still on, by a new login where the owner's session has ended."""
    browser = owner.browser
    if browser.get("/v1/session").status == 200:
        return two_factor_is_on(browser)
    answer = expect(owner.target.browser().log_in(owner.account.email, owner.account.password), 200)
    return bool(answer["status"] == "second_factor_required")


PROBES = (
    Probe(43, "reset-outlives-proof", "A reset that outlives the owner's proof", "found here", owner_is_in),
    Probe(43, "reset-outlives-enrolment", "A reset that wipes a newer enrolment", "found here", new_enrolment),
    Probe(43, "approval-waits", "An approval that waits for ever", "found here", approval_waits),
    Probe(52, "reset-notice", "Somebody else's words in the notice of a reset", "OWASP MFA sheet", reset_notice),
)
