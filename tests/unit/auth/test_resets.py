from datetime import timedelta

import pytest

from services.auth.domain.reset import Status
from services.auth.domain.session import Factor
from services.auth.store import resets as store
from shared.database import reading
from shared.messages import TwoFactorResetApproved, TwoFactorResetCoolOffEnded
from tests.support.auth import PHONE, events_in, not_before, notices_in, timeline_of, types_of

IMMEDIATE = ["video_id", "callback_proven_phone"]
IMMEDIATE_BY_TWO = ["video_id"]
COOL_OFF = ["callback_proven_phone", "billing_details"]
COOL_OFF_BY_TWO = ["email_reply", "billing_details"]
WAITING = [IMMEDIATE_BY_TWO, COOL_OFF_BY_TWO, COOL_OFF]


def asked(checks, **changes):
    return {"ticket": "SUP-1042", "reason": "Phone lost", "identity_checks": checks, **changes}


@pytest.fixture
def request_reset(api, ann, sam):
    def request(checks, operator=sam, account=ann):
        answer = api(operator).post(f"/v1/support/accounts/{account.id}/two-factor-resets", asked(checks))
        assert answer.status_code == 202, answer.text
        return answer.json

    return request


@pytest.fixture
def cancel_link(deps):
    """The token that the owner finds in the last notice."""
    return lambda: notices_in(deps)[-1].body.partition("/reset/cancel#")[2].split()[0]


def status_of(deps, reset_id):
    with reading(deps.database) as connection:
        return store.by_id(connection, reset_id).status


# --- asking -----------------------------------------------------------------------------------------------------------


def test_the_strongest_checks_reset_at_once(deps, request_reset, ann, sam, clock):
    reset = request_reset(IMMEDIATE)
    assert reset == {
        "id": reset["id"],
        "account_id": ann.id,
        "status": "approved",
        "path": "immediate",
        "rule": "video_and_callback",
        "needs_second_operator": False,
        "cool_off_ends_at": None,
        "ticket": "SUP-1042",
        "reason": "Phone lost",
        "identity_checks": IMMEDIATE,
        "requested_by": sam.id,
        "requested_at": "2026-11-24T05:00:00.000000Z",
        "approved_by": None,
        "approved_at": "2026-11-24T05:00:00.000000Z",
        "applied_at": None,
        "cancelled_by": None,
        "cancelled_at": None,
    }
    (event,) = events_in(deps)
    assert (type(event), event.account_id, event.reset_id) == (TwoFactorResetApproved, ann.id, reset["id"])


def test_the_cool_off_path_waits_for_its_end(deps, request_reset, clock):
    reset = request_reset(COOL_OFF)
    assert (reset["status"], reset["cool_off_ends_at"]) == ("cooling_off", "2026-11-24T06:00:00.000000Z")
    (event,) = events_in(deps)
    assert isinstance(event, TwoFactorResetCoolOffEnded)
    assert not_before(deps).count(clock() + timedelta(hours=1)) == 1


@pytest.mark.parametrize("checks", [IMMEDIATE_BY_TWO, COOL_OFF_BY_TWO])
def test_where_two_are_needed_nothing_happens_by_one(deps, request_reset, checks):
    reset = request_reset(checks)
    assert (reset["status"], reset["needs_second_operator"], reset["cool_off_ends_at"]) == (
        "awaiting_approval",
        True,
        None,
    )
    assert events_in(deps) == []


@pytest.mark.parametrize("checks", [IMMEDIATE, *WAITING])
def test_the_owner_is_told_on_every_channel(deps, request_reset, ann, checks):
    request_reset(checks)
    assert [notice.recipient for notice in notices_in(deps)] == [PHONE.e164, ann.email]


@pytest.mark.parametrize("checks", WAITING)
def test_while_it_can_be_cancelled_the_notice_says_until_when_and_how(deps, request_reset, checks):
    reset = request_reset(checks)
    for notice in notices_in(deps):
        assert "http://portal.example:8080/reset/cancel#" in notice.body
        assert ("2026-11-24 06:00 UTC" in notice.body) == (reset["cool_off_ends_at"] is not None)


def test_a_reset_that_cannot_be_cancelled_shows_no_link(deps, request_reset):
    request_reset(IMMEDIATE)
    assert all("/reset/cancel" not in notice.body for notice in notices_in(deps))


def test_it_stands_in_the_timeline_with_its_operator(deps, request_reset, ann, sam):
    reset = request_reset(COOL_OFF)
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor) == ("two_factor.reset_requested", f"operator:{sam.id}")
    assert row.details == {
        "reset_id": reset["id"],
        "status": "cooling_off",
        "ticket": "SUP-1042",
        "rule": "callback_and_billing",
        "identity_checks": COOL_OFF,
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (asked(["email_reply"]), "identity_checks_insufficient"),
        (asked(["horoscope"]), "validation_failed"),
        (asked([]), "validation_failed"),
        (asked("video_id"), "validation_failed"),
        (asked(IMMEDIATE, ticket=""), "validation_failed"),
        (asked(IMMEDIATE, status="applied"), "validation_failed"),
        ({}, "validation_failed"),
    ],
)
def test_what_is_not_enough_changes_nothing(deps, api, ann, sam, body, code):
    answer = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", body)
    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert events_in(deps) == notices_in(deps) == []


def test_a_refused_request_stands_in_the_timeline(deps, api, ann, sam):
    api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", asked(["email_reply"]))
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor) == ("two_factor.reset_refused", f"operator:{sam.id}")
    assert row.details == {"action": "request", "ticket": "SUP-1042", "code": "identity_checks_insufficient"}


def test_nobody_resets_their_own_account(deps, api, sam, otp):
    otp.enabled.add(sam.id)
    answer = api(sam).post(f"/v1/support/accounts/{sam.id}/two-factor-resets", asked(IMMEDIATE))
    assert (answer.status_code, answer.json["code"]) == (422, "own_account")
    assert events_in(deps) == []


def test_nobody_approves_the_reset_of_their_own_account(deps, api, request_reset, sam, sue, otp):
    otp.enabled.add(sue.id)
    reset = request_reset(IMMEDIATE_BY_TWO, account=sue)
    answer = api(sue).post(f"/v1/support/accounts/{sue.id}/two-factor-resets/{reset['id']}/approve")
    assert (answer.status_code, answer.json["code"]) == (422, "own_account")


def test_without_2fa_there_is_nothing_to_reset(api, owner, sam):
    answer = api(sam).post(f"/v1/support/accounts/{owner.id}/two-factor-resets", asked(IMMEDIATE))
    assert (answer.status_code, answer.json["code"]) == (409, "two_factor_off")


@pytest.mark.parametrize("checks", [IMMEDIATE, *WAITING])
def test_one_reset_at_a_time(api, request_reset, ann, sue, checks):
    request_reset(checks)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", asked(IMMEDIATE))
    assert (answer.status_code, answer.json["code"]) == (409, "reset_already_open")


def test_after_a_cancelled_one_there_may_be_another(api, request_reset, ann, sam):
    reset = request_reset(COOL_OFF)
    api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/cancel")
    assert request_reset(IMMEDIATE)["status"] == "approved"


def test_an_unknown_account_is_404(api, sam):
    assert api(sam).post("/v1/support/accounts/acc_x/two-factor-resets", asked(IMMEDIATE)).status_code == 404


# --- approving --------------------------------------------------------------------------------------------------------


def test_a_second_operator_sets_an_immediate_reset_off(deps, api, request_reset, ann, sue):
    reset = request_reset(IMMEDIATE_BY_TWO)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert answer.status_code == 202
    assert (answer.json["status"], answer.json["approved_by"]) == ("approved", sue.id)
    assert status_of(deps, reset["id"]) is Status.APPROVED
    assert [type(event) for event in events_in(deps)] == [TwoFactorResetApproved]
    assert types_of(deps, ann) == ["two_factor.reset_requested", "two_factor.reset_approved"]


def test_the_cool_off_begins_with_the_approval(deps, api, request_reset, ann, sue, clock):
    reset = request_reset(COOL_OFF_BY_TWO)
    clock.turn(minutes=5)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert (answer.json["status"], answer.json["cool_off_ends_at"]) == ("cooling_off", "2026-11-24T06:05:00.000000Z")
    assert not_before(deps).count(clock() + timedelta(hours=1)) == 1
    assert "2026-11-24 06:05 UTC" in notices_in(deps)[-1].body


def test_the_requester_cannot_approve(deps, api, request_reset, ann, sam):
    reset = request_reset(IMMEDIATE_BY_TWO)
    answer = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert (answer.status_code, answer.json["code"]) == (409, "same_operator")
    assert status_of(deps, reset["id"]) is Status.AWAITING_APPROVAL
    assert events_in(deps) == []
    assert types_of(deps, ann)[-1] == "two_factor.reset_refused"


@pytest.mark.parametrize("checks", [IMMEDIATE, COOL_OFF])
def test_what_needs_no_approval_cannot_be_approved(deps, api, request_reset, ann, sue, checks):
    reset = request_reset(checks)
    before = events_in(deps)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert (answer.status_code, answer.json["code"]) == (409, "reset_not_open")
    assert events_in(deps) == before


@pytest.mark.parametrize("action", ["approve", "cancel"])
def test_a_reset_answers_under_its_own_account_only(deps, api, request_reset, owner, sue, action):
    reset = request_reset(IMMEDIATE_BY_TWO)
    answer = api(sue).post(f"/v1/support/accounts/{owner.id}/two-factor-resets/{reset['id']}/{action}")
    assert answer.status_code == 404
    assert status_of(deps, reset["id"]) is Status.AWAITING_APPROVAL


# --- cancelling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checks", WAITING)
def test_the_owner_cancels_with_the_link(deps, api, request_reset, cancel_link, ann, checks):
    reset = request_reset(checks)
    token = cancel_link()
    assert api().post("/v1/two-factor/resets/cancel", {"token": token}).status_code == 204
    assert status_of(deps, reset["id"]) is Status.CANCELLED
    assert "cancelled" in notices_in(deps)[-1].subject
    row = timeline_of(deps, ann)[-1]
    assert (row.type, row.actor) == ("two_factor.reset_cancelled", "owner")
    again = api().post("/v1/two-factor/resets/cancel", {"token": token})
    assert (again.status_code, again.json["code"]) == (409, "reset_not_open")


def test_the_link_still_works_after_the_approval(deps, api, request_reset, cancel_link, ann, sue):
    reset = request_reset(COOL_OFF_BY_TWO)
    token = cancel_link()
    api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert api().post("/v1/two-factor/resets/cancel", {"token": token}).status_code == 204
    assert status_of(deps, reset["id"]) is Status.CANCELLED


@pytest.mark.parametrize("token", ["x", "A" * 43])
def test_a_guessed_token_is_404(deps, api, request_reset, token):
    reset = request_reset(COOL_OFF)
    assert api().post("/v1/two-factor/resets/cancel", {"token": token}).status_code == 404
    assert status_of(deps, reset["id"]) is Status.COOLING_OFF


def test_the_stored_digest_is_no_token(deps, api, request_reset):
    request_reset(COOL_OFF)
    with deps.database.connect() as connection:
        digest = connection.exec_driver_sql("SELECT cancel_token_digest FROM two_factor_resets").scalar_one()
    assert api().post("/v1/two-factor/resets/cancel", {"token": digest}).status_code == 404


def test_guessing_tokens_is_budgeted(api):
    statuses = [api().post("/v1/two-factor/resets/cancel", {"token": "x"}).status_code for _ in range(21)]
    assert statuses == [404] * 20 + [429]


@pytest.mark.parametrize("checks", WAITING)
def test_the_owner_cancels_signed_in(deps, api, request_reset, ann, checks):
    reset = request_reset(checks)
    caller = api(ann, Factor.PASSWORD, Factor.TRUSTED_DEVICE, stepped_up=False)
    assert caller.delete(f"/v1/two-factor/resets/{reset['id']}").status_code == 204
    assert status_of(deps, reset["id"]) is Status.CANCELLED


def test_nobody_elses_reset_can_be_cancelled_signed_in(deps, api, request_reset, owner):
    reset = request_reset(COOL_OFF)
    assert api(owner).delete(f"/v1/two-factor/resets/{reset['id']}").status_code == 404
    assert status_of(deps, reset["id"]) is Status.COOLING_OFF


@pytest.mark.parametrize("checks", WAITING)
def test_any_operator_cancels(deps, api, request_reset, ann, sue, checks):
    reset = request_reset(checks)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/cancel")
    assert (answer.status_code, answer.json["status"], answer.json["cancelled_by"]) == (200, "cancelled", sue.id)
    assert timeline_of(deps, ann)[-1].actor == f"operator:{sue.id}"


def test_what_is_approved_can_no_longer_be_cancelled(deps, api, request_reset, ann, sue):
    reset = request_reset(IMMEDIATE)
    by_support = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/cancel")
    by_owner = api(ann).delete(f"/v1/two-factor/resets/{reset['id']}")
    assert by_support.status_code == by_owner.status_code == 409
    assert status_of(deps, reset["id"]) is Status.APPROVED


def test_the_owner_sees_the_open_reset_without_who_and_why(api, request_reset, ann):
    reset = request_reset(COOL_OFF)
    assert api(ann).get("/v1/two-factor").json["pending_reset"] == {
        "id": reset["id"],
        "status": "cooling_off",
        "requested_at": "2026-11-24T05:00:00.000000Z",
        "cool_off_ends_at": "2026-11-24T06:00:00.000000Z",
    }
