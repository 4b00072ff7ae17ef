"""A thief's change that is under way while the owner ends the thief's session (row 51)."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from deploy.attack.accounts import Account
from deploy.attack.browser import Browser
from deploy.attack.people import expect, sign_in
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import new_password, two_factor_is_on
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, AuthenticatorApp

ROUNDS = 8
# Hashing takes longer than this, so the change has read the session and not yet committed.
_HEAD_STARTS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1)


@watched
def change_under_way(target: Target, watch: Watch) -> str:
    """End the thief's session while its change is hashed: a change that commits after the 204 is a hole.

    The state is read between the 204 and the thief's answer, so a change that committed before the 204 is no hole.
    """
    account, late = target.account(), 0
    for start in _HEAD_STARTS[:ROUNDS]:
        committed, account = _password_round(target, account, start)
        late += committed
    watch.holds(f"{late} of {ROUNDS} new passwords took effect after the session had ended", late == 0, ROUNDS)
    late = sum(_enrolment_round(target, 2 * start) for start in _HEAD_STARTS[:ROUNDS])
    watch.holds(f"{late} of {ROUNDS} enrolments took effect after the session had ended", late == 0, ROUNDS)
    return f"{ROUNDS} new passwords and {ROUNDS} confirmations of an app, under way while the session was ended"


def _password_round(target: Target, account: Account, start: float) -> tuple[bool, Account]:
    """Whether the new password took effect after the session's end, and the account with its present password."""
    owner, thief = sign_in(target, account), sign_in(target, account)
    wanted = new_password()
    body = {"current_password": account.password, "new_password": wanted}

    def unchanged() -> bool:
        return target.browser().log_in(account.email, account.password).status == 200

    answer, late = _crossed(owner, thief, start, lambda: thief.post("/v1/password", body), unchanged)
    return late, replace(account, password=wanted) if answer.status == 200 else account


def _enrolment_round(target: Target, start: float) -> bool:
    """Whether the thief's app counted after the end of the session."""
    account = target.account()
    owner, thief = sign_in(target, account), sign_in(target, account)
    begun = expect(thief.post("/v1/two-factor/enrollment"), 201)
    app = AuthenticatorApp(begun["secret"])
    path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
    code = app.fresh()
    _, late = _crossed(
        owner, thief, start, lambda: thief.post(path, {"code": code}), lambda: not two_factor_is_on(owner)
    )
    return late


def _crossed(
    owner: Browser, thief: Browser, start: float, change: Callable[[], Answer], unchanged: Callable[[], bool]
) -> tuple[Answer, bool]:
    """The thief's answer, and whether its change took effect after the owner had the 204."""
    session_id = expect(thief.get("/v1/session"), 200)["id"]
    answers: list[Answer] = []
    running = threading.Thread(target=lambda: answers.append(change()), daemon=True)
    running.start()
    time.sleep(start)
    ended = owner.call("DELETE", f"/v1/sessions/{session_id}").status == 204
    was_unchanged = ended and not answers and unchanged()
    running.join(30.0)
    return answers[0], was_unchanged and answers[0].status == 200


PROBES = (
    Probe(
        51,
        "change-under-way",
        "A thief's change that commits after the owner ended the session",
        "found here",
        change_under_way,
        alone=True,
    ),
)
