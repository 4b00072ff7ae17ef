"""Support lifts a lock with a ticket and a reason, three times a day and account, and the owner is told."""

import pytest

from services.auth import unlocks
from services.auth.deps import subject
from services.auth.domain.account import Role
from services.auth.limits import LOGIN_EMAIL
from services.auth.store import accounts
from shared import budgets
from shared.budgets import Charge
from shared.database import writing
from shared.problems import Refusal, Unavailable
from tests.support.auth import CLIENT, notices_in, timeline_of, types_of
from tests.support.ceremony import at_console
from tests.support.sign_in import log_in, problem
from tests.support.threads import at_once

ASKED = {"ticket": "SUP-1", "reason": "New phone"}


def path(account):
    return f"/v1/support/accounts/{account.id}/unlock"


def unlock(caller, account):
    return caller.post(path(account), ASKED)


def approve(caller, account, waiting):
    return caller.post(f"/v1/support/accounts/{account.id}/unlocks/{waiting['id']}/approve")


@pytest.fixture
def waiting(api, sam, ann, otp):
    """The fourth unlock of a day."""
    for _ in range(3):
        assert unlock(api(sam), ann).status_code == 204
    otp.locked.add(ann.id)
    answer = unlock(api(sam), ann)
    assert answer.status_code == 202
    return answer.json


def test_an_unlock_lifts_codes_and_leaves_ticket_and_reason(deps, api, ann, sam, otp):
    otp.locked.add(ann.id)
    assert unlock(api(sam), ann).status_code == 204
    assert otp.locked == set()
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor) == ("second_factor.unlocked", f"operator:{sam.id}")
    assert row.details == ASKED


def test_an_unlock_lifts_passwords_of_new_browsers_too(deps, api, mia, sam):
    charge = Charge(LOGIN_EMAIL, subject(deps, "email", mia.email))
    for _ in range(10):
        budgets.take(deps.redis, charge)
    assert log_in(api(), mia.email).status_code == 429
    assert unlock(api(sam), mia).status_code == 204
    assert log_in(api(), mia.email).status_code == 200


def test_the_owner_is_told_on_every_channel(deps, api, ann, sam):
    unlock(api(sam), ann)
    texts = [notice.body for notice in notices_in(deps)]
    assert len(texts) == 2
    assert all("lifted the" in text for text in texts)


@pytest.mark.parametrize("body", [None, {}, {"ticket": "T"}, {"reason": "r"}, {"ticket": "", "reason": "r"}])
def test_an_unlock_takes_a_ticket_and_a_reason(api, ann, sam, otp, body):
    otp.locked.add(ann.id)
    assert api(sam).post(path(ann), body).status_code == 422
    assert otp.locked == {ann.id}


def test_nobody_unlocks_themselves(deps, api, sam, otp):
    otp.locked.add(sam.id)
    assert problem(unlock(api(sam), sam)) == (422, "own_account")
    assert otp.locked == {sam.id}
    assert "second_factor.unlock_refused" in types_of(deps, sam)


def test_the_fourth_unlock_of_a_day_waits_for_another_operator(deps, api, ann, sam, sue, otp, waiting):
    assert otp.locked == {ann.id}
    assert types_of(deps, ann)[-1] == "second_factor.unlock_requested"
    shown = api(sue).get(f"/v1/support/accounts/{ann.id}").json["open_unlock"]
    assert shown == {**waiting, "requested_by_email": sam.email}
    assert {"ticket": "SUP-1", "reason": "New phone", "requested_by": sam.id}.items() <= shown.items()
    assert approve(api(sue), ann, waiting).status_code == 204
    assert otp.locked == set()
    row = timeline_of(deps, ann)[-1]
    assert (row.type, row.actor, row.details["requested_by"]) == (
        "second_factor.unlocked",
        f"operator:{sue.id}",
        sam.id,
    )


def test_other_accounts_and_operators_share_no_budget_of_unlocks_but_the_accounts(api, ann, tom, sam, sue, waiting):
    assert unlock(api(sue), ann).status_code == 202
    assert unlock(api(sam), tom).status_code == 204


def test_the_same_operator_never_approves(api, ann, sam, otp, waiting):
    assert problem(approve(api(sam), ann, waiting)) == (409, "same_operator")
    assert otp.locked == {ann.id}


def test_the_request_of_a_former_operator_is_not_approved(deps, api, ann, sam, sue, otp, waiting):
    with writing(deps.database) as connection:
        accounts.set_role(connection, sam.id, Role.MEMBER)
    assert problem(approve(api(sue), ann, waiting)) == (409, "operator_gone")
    assert otp.locked == {ann.id}
    row = timeline_of(deps, ann)[-1]
    assert (row.type, row.details["code"]) == ("second_factor.unlock_refused", "operator_gone")


def test_the_request_of_a_former_operator_is_not_offered(deps, api, ann, sam, sue, waiting):
    with writing(deps.database) as connection:
        accounts.set_role(connection, sam.id, Role.MEMBER)
    assert api(sue).get(f"/v1/support/accounts/{ann.id}").json["open_unlock"] is None


def test_the_one_who_is_unlocked_does_not_approve(api, ann, sam, sue, otp):
    for _ in range(3):
        unlock(api(sam), sue)
    waiting = unlock(api(sam), sue).json
    assert problem(approve(api(sue), sue, waiting)) == (422, "own_account")


def test_an_approval_lifts_once(api, ann, sue, make_operator, waiting):
    sid = make_operator("sid@latchkey.example")
    callers = [api(sue), api(sid), api(sue), api(sid)]
    statuses = at_once(4, lambda number: approve(callers[number], ann, waiting).status_code)
    assert sorted(statuses) == [204, 409, 409, 409]


def test_a_request_ends_after_a_day(api, ann, sue, clock, waiting):
    clock.turn(hours=24)
    assert problem(approve(api(sue), ann, waiting)) == (409, "unlock_not_open")
    assert api(sue).get(f"/v1/support/accounts/{ann.id}").json["open_unlock"] is None


def test_a_request_is_approved_under_its_own_account_only(api, ann, tom, sue, waiting):
    assert approve(api(sue), tom, waiting).status_code == 404


def test_a_request_of_another_account_is_recorded_as_refused(deps, api, ann, tom, sue, waiting):
    assert problem(approve(api(sue), tom, waiting)) == (404, "not_found")
    (row,) = timeline_of(deps, tom)
    assert (row.type, row.details) == ("second_factor.unlock_refused", {"action": "unlock", "code": "not_found"})


# --- nothing is lifted untold -----------------------------------------------------------------------------------------


def codes_of(deps, account):
    """The entries of unlocks, and the codes of those that were refused."""
    return [(row.type.removeprefix("second_factor."), row.details.get("code")) for row in timeline_of(deps, account)]


def is_told(deps, times):
    """Whether all unlocks were told: the first at once, and all of them by one more notice on each channel."""
    first, repeated = notices_in(deps)[:2], notices_in(deps)[2:]
    said = [f"({times} times)" in notice.body for notice in repeated]
    return len(first) == 2 and said == [True, True]


def test_an_unlock_whose_answer_is_lost_is_recorded_told_and_counted(deps, api, ann, sam, otp):
    otp.locked.add(ann.id)
    otp.unlock_answer = Unavailable("otp")
    caller = api(sam)
    assert [unlock(caller, ann).status_code for _ in range(4)] == [503, 503, 503, 202]
    assert otp.locked == set()
    assert codes_of(deps, ann) == [("unlocked", None)] * 3 + [("unlock_requested", None)]
    assert is_told(deps, 3)
    otp.unlock_answer = None
    assert unlock(caller, ann).status_code == 202


def test_an_unlock_is_recorded_and_told_before_otp_lifts_anything(deps, api, ann, sam, otp):
    """Otherwise a process that is killed in between leaves an unlock without an entry and a notice."""
    seen = []
    otp.before_unlock = lambda: seen.append((codes_of(deps, ann), len(notices_in(deps))))
    assert unlock(api(sam), ann).status_code == 204
    assert seen == [([("unlocked", None)], 2)]


def test_an_unlock_that_redis_stops_halfway_is_recorded_told_and_counted(deps, api, ann, sam, otp, redis_server):
    otp.after_unlock = lambda: setattr(redis_server, "connected", False)
    caller = api(sam)
    for _ in range(3):
        assert unlock(caller, ann).status_code == 503
        redis_server.connected = True
    assert codes_of(deps, ann) == [("unlocked", None)] * 3
    assert is_told(deps, 3)
    otp.after_unlock = None
    assert unlock(caller, ann).status_code == 202


@pytest.mark.parametrize("part", ["otp", "redis"])
def test_an_approval_that_is_cut_off_is_recorded_and_spent(deps, api, ann, sam, sue, otp, redis_server, waiting, part):
    caller = api(sue)
    if part == "otp":
        otp.unlock_answer = Unavailable("otp")
    else:
        otp.after_unlock = lambda: setattr(redis_server, "connected", False)
    assert approve(caller, ann, waiting).status_code == 503
    redis_server.connected = True
    assert codes_of(deps, ann)[-1] == ("unlocked", None)
    assert is_told(deps, 4)
    otp.unlock_answer = otp.after_unlock = None
    assert problem(approve(caller, ann, waiting)) == (409, "unlock_not_open")
    assert unlock(api(sam), ann).status_code == 202


def test_when_otp_is_down_beforehand_nothing_is_recorded_as_done(deps, api, ann, sue, otp, waiting):
    told = len(notices_in(deps))
    otp.go_down()
    with pytest.raises(Unavailable):
        unlocks.approve(deps, CLIENT, at_console(deps, sue), ann.id, waiting["id"])
    assert codes_of(deps, ann)[-1] == ("unlock_refused", "service_unavailable")
    assert len(notices_in(deps)) == told
    otp.refusal = None
    assert approve(api(sue), ann, waiting).status_code == 204


# --- a hundred in a row -----------------------------------------------------------------------------------------------


def test_a_hundred_in_a_row_are_not_lifted_and_the_try_counts_not(deps, api, ann, sam, otp):
    otp.reset_needed.add(ann.id)
    statuses = [problem(unlock(api(sam), ann)) for _ in range(5)]
    assert statuses == [(409, "reset_needed")] * 5
    assert codes_of(deps, ann) == [("unlock_refused", "reset_needed")] * 5
    assert notices_in(deps) == []
    otp.reset_needed.clear()
    assert [unlock(api(sam), ann).status_code for _ in range(4)] == [204, 204, 204, 202]


def test_a_hundred_that_are_full_only_now_are_not_lifted_and_the_trail_says_so(deps, api, ann, sam, otp):
    otp.unlock_refusal = Refusal("reset_needed")
    assert [problem(unlock(api(sam), ann)) for _ in range(4)] == [(409, "reset_needed")] * 4
    assert codes_of(deps, ann)[-2:] == [("unlocked", None), ("unlock_refused", "reset_needed")]


def test_an_approval_that_otp_refuses_is_taken_back(deps, api, ann, sue, otp, waiting):
    caller = api(sue)
    otp.unlock_refusal = Refusal("reset_needed")
    assert problem(approve(caller, ann, waiting)) == (409, "reset_needed")
    assert codes_of(deps, ann)[-1] == ("unlock_refused", "reset_needed")
    otp.unlock_refusal = None
    assert approve(caller, ann, waiting).status_code == 204
