"""A reset is asked for, and approved where two operators are needed."""

from datetime import timedelta

import pytest

from services.auth.domain.reset import Status
from shared.messages import TwoFactorResetApprovalLapsed, TwoFactorResetApproved, TwoFactorResetCoolOffEnded
from tests.support.auth import PHONE, events_in, not_before, notices_in, timeline_of, types_of
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE, IMMEDIATE_BY_TWO, SEEN, WAITING
from tests.support.resets import asked, pass_checks, status_of, types_since_the_request

# --- asking -----------------------------------------------------------------------------------------------------------


def test_the_strongest_checks_reset_at_once(deps, request_reset, ann, sam, clock):
    reset = request_reset(IMMEDIATE)
    assert len(reset.pop("enrollment_word").split()) == 3
    assert reset == {
        "id": reset["id"],
        "account_id": ann.id,
        "account_name": ann.name,
        "account_email": ann.email,
        "status": "approved",
        "path": "immediate",
        "rule": "phone_and_video",
        "approvals_needed": 0,
        "approvals_missing": 0,
        "cool_off_seconds": 0,
        "cool_off_ends_at": None,
        "ticket": "SUP-1042",
        "reason": "Phone lost",
        "reason_kind": "lost",
        "identity_checks": IMMEDIATE,
        "checks": [
            {
                "check": "phone_code",
                "kind": "performed",
                "evidence": None,
                "confirmed_by": None,
                "confirmed_by_email": None,
                "passed_at": "2026-11-24T05:00:00.000000Z",
            },
            {
                "check": "video_id",
                "kind": "attested",
                "evidence": SEEN,
                "confirmed_by": None,
                "confirmed_by_email": None,
                "passed_at": "2026-11-24T05:00:00.000000Z",
            },
        ],
        "authenticators": ["enr_1"],
        "requested_by": sam.id,
        "requested_by_email": sam.email,
        "requested_at": "2026-11-24T05:00:00.000000Z",
        "approval_ends_at": None,
        "approved_by": None,
        "approved_by_email": None,
        "second_approved_by": None,
        "second_approved_by_email": None,
        "approved_at": "2026-11-24T05:00:00.000000Z",
        "applied_at": None,
        "cancelled_by": None,
        "cancelled_at": None,
        "ended_because": None,
        "may_approve": False,
        "may_not_approve_because": "reset_not_open",
    }
    (event,) = events_in(deps)
    assert (type(event), event.account_id, event.reset_id) == (TwoFactorResetApproved, ann.id, reset["id"])
    assert event.authenticators == ("enr_1",)


def test_the_cool_off_path_waits_for_its_end(deps, request_reset, clock):
    reset = request_reset(COOL_OFF)
    assert (reset["status"], reset["cool_off_ends_at"]) == ("cooling_off", "2026-11-24T06:00:00.000000Z")
    (event,) = events_in(deps)
    assert isinstance(event, TwoFactorResetCoolOffEnded)
    assert not_before(deps).count(clock() + timedelta(hours=1)) == 1


@pytest.mark.parametrize("checks", [IMMEDIATE_BY_TWO, COOL_OFF_BY_TWO])
def test_where_two_are_needed_nothing_happens_by_one(deps, request_reset, checks):
    reset = request_reset(checks)
    assert (reset["status"], reset["approvals_missing"], reset["cool_off_ends_at"]) == ("awaiting_approval", 1, None)
    assert [type(event) for event in events_in(deps)] == [TwoFactorResetApprovalLapsed]


@pytest.mark.parametrize("checks", [IMMEDIATE, *WAITING])
def test_the_owner_is_told_on_every_channel(deps, request_reset, ann, checks):
    request_reset(checks)
    assert [notice.recipient for notice in notices_in(deps)] == [PHONE.e164, ann.email]


@pytest.mark.parametrize("checks", WAITING)
def test_while_it_can_be_cancelled_the_notice_says_until_when_and_how(deps, request_reset, checks):
    reset = request_reset(checks)
    for notice in notices_in(deps):
        assert "http://portal.example:8080/reset/cancel#" in notice.body
        written = "November 24, 2026, 6:00:00\u202fAM UTC" if notice.subject else "2026-11-24 06:00 UTC"
        assert (written in notice.body) == (reset["cool_off_ends_at"] is not None)


def test_a_reset_that_cannot_be_cancelled_shows_no_link(deps, request_reset):
    request_reset(IMMEDIATE)
    assert all("/reset/cancel" not in notice.body for notice in notices_in(deps))


def test_it_stands_in_the_timeline_with_its_operator(deps, request_reset, ann, sam):
    reset = request_reset(COOL_OFF)
    row = timeline_of(deps, ann)[-1]
    assert (row.type, row.actor) == ("two_factor.reset_requested", f"operator:{sam.id}")
    assert row.details == {
        "reset_id": reset["id"],
        "status": "cooling_off",
        "ticket": "SUP-1042",
        "rule": "phone_and_billing",
        "reason_kind": "lost",
        "identity_checks": COOL_OFF,
    }


@pytest.mark.parametrize(
    ("checks", "body", "code"),
    [
        (["email_code"], asked(), "identity_checks_insufficient"),
        (["video_id", "billing_details"], asked(), "identity_checks_insufficient"),
        ([], asked(), "identity_checks_insufficient"),
        (IMMEDIATE, asked(identity_checks=["video_id"]), "validation_failed"),
        (IMMEDIATE, asked(ticket=""), "validation_failed"),
        (IMMEDIATE, asked(reason_kind="eaten"), "validation_failed"),
        (IMMEDIATE, asked(status="applied"), "validation_failed"),
        (IMMEDIATE, {}, "validation_failed"),
    ],
)
def test_what_is_not_enough_changes_nothing(deps, api, ann, sam, checks, body, code):
    pass_checks(deps, sam, ann, checks)
    answer = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", body)
    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert events_in(deps) == notices_in(deps) == []


def test_a_refused_request_stands_in_the_timeline(deps, api, ann, sam):
    api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", asked())
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor) == ("two_factor.reset_refused", f"operator:{sam.id}")
    assert row.details == {"action": "request", "ticket": "SUP-1042", "code": "identity_checks_insufficient"}


def test_nobody_resets_their_own_account(deps, api, sam, otp):
    otp.enabled.add(sam.id)
    answer = api(sam).post(f"/v1/support/accounts/{sam.id}/two-factor-resets", asked())
    assert (answer.status_code, answer.json["code"]) == (422, "own_account")
    assert events_in(deps) == []


def test_nobody_approves_the_reset_of_their_own_account(deps, api, request_reset, sam, sue, otp):
    otp.enabled.add(sue.id)
    reset = request_reset(IMMEDIATE_BY_TWO, account=sue)
    answer = api(sue).post(f"/v1/support/accounts/{sue.id}/two-factor-resets/{reset['id']}/approve")
    assert (answer.status_code, answer.json["code"]) == (422, "own_account")


def test_without_2fa_there_is_nothing_to_reset(api, owner, sam):
    answer = api(sam).post(f"/v1/support/accounts/{owner.id}/two-factor-resets", asked())
    assert (answer.status_code, answer.json["code"]) == (409, "two_factor_off")


@pytest.mark.parametrize("checks", [IMMEDIATE, *WAITING])
def test_one_reset_at_a_time(deps, api, request_reset, ann, sue, checks):
    request_reset(checks)
    pass_checks(deps, sue, ann, IMMEDIATE)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", asked())
    assert (answer.status_code, answer.json["code"]) == (409, "reset_already_open")


def test_who_asks_again_hears_of_the_open_reset_and_not_of_the_checks_that_it_has_used(api, request_reset, ann, sam):
    request_reset(IMMEDIATE_BY_TWO)
    answer = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", asked(reason="Phone stolen"))
    assert (answer.status_code, answer.json["code"]) == (409, "reset_already_open")


def test_the_words_for_the_caller_are_told_again_where_the_answer_was_lost(deps, api, ann, sam):
    pass_checks(deps, sam, ann, IMMEDIATE_BY_TWO)
    caller, path = api(sam), f"/v1/support/accounts/{ann.id}/two-factor-resets"
    first, again = (caller.post(path, asked(), headers={"Idempotency-Key": "k1"}) for _ in range(2))
    assert (first.status_code, again.status_code, again.json) == (202, 202, first.json)
    assert caller.post(path, asked(), headers={"Idempotency-Key": "k2"}).json["code"] == "reset_already_open"


def test_some_time_after_a_cancelled_one_there_may_be_another(api, request_reset, ann, sam, clock):
    reset = request_reset(COOL_OFF)
    api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/cancel")
    clock.turn(minutes=10)
    assert request_reset(IMMEDIATE)["status"] == "approved"


def test_an_unknown_account_is_404(api, sam):
    assert api(sam).post("/v1/support/accounts/acc_x/two-factor-resets", asked()).status_code == 404


# --- approving --------------------------------------------------------------------------------------------------------


def test_a_second_operator_sets_an_immediate_reset_off(deps, api, request_reset, ann, sue):
    reset = request_reset(IMMEDIATE_BY_TWO)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert answer.status_code == 202
    assert (answer.json["status"], answer.json["approved_by"]) == ("approved", sue.id)
    assert status_of(deps, reset["id"]) is Status.APPROVED
    assert [type(event) for event in events_in(deps)] == [TwoFactorResetApprovalLapsed, TwoFactorResetApproved]
    assert types_since_the_request(deps, ann) == ["two_factor.reset_requested", "two_factor.reset_approved"]


def test_the_cool_off_begins_with_the_approval(deps, api, request_reset, ann, sue, clock):
    reset = request_reset(COOL_OFF_BY_TWO)
    clock.turn(minutes=5)
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert (answer.json["status"], answer.json["cool_off_ends_at"]) == ("cooling_off", "2026-11-24T08:05:00.000000Z")
    assert not_before(deps).count(clock() + timedelta(hours=3)) == 1
    assert "November 24, 2026, 8:05:00\u202fAM UTC" in notices_in(deps)[-1].body


def test_the_requester_cannot_approve(deps, api, request_reset, ann, sam):
    reset = request_reset(IMMEDIATE_BY_TWO)
    answer = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert (answer.status_code, answer.json["code"]) == (409, "same_operator")
    assert status_of(deps, reset["id"]) is Status.AWAITING_APPROVAL
    assert [type(event) for event in events_in(deps)] == [TwoFactorResetApprovalLapsed]
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
