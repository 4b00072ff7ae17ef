from datetime import timedelta

import pytest
from sqlalchemy import delete

from services.auth import reset_cancellation
from services.auth.consequences import Acting
from services.auth.domain.reset import Status
from services.auth.domain.session import Factor
from services.auth.models import BOX
from services.auth.store import resets as store
from shared.database import reading, writing
from shared.messages import TwoFactorResetApprovalLapsed, TwoFactorResetApproved, TwoFactorResetCoolOffEnded
from shared.problems import Refusal
from tests.support import ceremony
from tests.support.auth import (
    CLIENT,
    PHONE,
    end_all,
    events_in,
    not_before,
    notices_in,
    sign_in,
    timeline_of,
    types_of,
)
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE, IMMEDIATE_BY_TWO, SEEN, WAITING


def asked(**changes):
    return {"ticket": "SUP-1042", "reason": "Phone lost", **changes}


def pass_checks(deps, operator, account, checks):
    """The checks, with an outbox that holds only what follows."""
    ceremony.pass_checks(deps, operator, account, checks)
    with writing(deps.database) as connection:
        connection.execute(delete(BOX.outbox))


@pytest.fixture
def request_reset(deps, api, ann, sam):
    def request(checks, operator=sam, account=ann, **changes):
        pass_checks(deps, operator, account, checks)
        answer = api(operator).post(f"/v1/support/accounts/{account.id}/two-factor-resets", asked(**changes))
        assert answer.status_code == 202, answer.text
        return answer.json

    return request


def types_since_the_request(deps, account):
    return [type_ for type_ in types_of(deps, account) if type_.startswith("two_factor.")]


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
    assert len(reset.pop("enrollment_word").split()) == 3
    assert reset == {
        "id": reset["id"],
        "account_id": ann.id,
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
        assert ("2026-11-24 06:00 UTC" in notice.body) == (reset["cool_off_ends_at"] is not None)


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
    assert "2026-11-24 08:05 UTC" in notices_in(deps)[-1].body


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


def test_the_notice_of_the_approval_has_a_link_of_its_own(deps, api, request_reset, cancel_link, ann, sue):
    reset = request_reset(COOL_OFF_BY_TWO)
    first = cancel_link()
    api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset['id']}/approve")
    assert cancel_link() != first
    assert api().post("/v1/two-factor/resets/cancel", {"token": cancel_link()}).status_code == 204
    assert status_of(deps, reset["id"]) is Status.CANCELLED


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
        digests = list(connection.exec_driver_sql("SELECT token_digest FROM cancel_links").scalars())
    assert digests
    for digest in digests:
        assert api().post("/v1/two-factor/resets/cancel", {"token": digest}).status_code == 404


def test_guessing_tokens_is_budgeted(api):
    statuses = [api().post("/v1/two-factor/resets/cancel", {"token": "x"}).status_code for _ in range(21)]
    assert statuses == [404] * 20 + [429]


@pytest.mark.parametrize("checks", WAITING)
def test_the_owner_cancels_signed_in(deps, api, request_reset, ann, checks):
    reset = request_reset(checks)
    # The owner needs no code, so that a cancel is easy when a caller has deceived support.
    caller = api(ann, Factor.PASSWORD, Factor.TRUSTED_DEVICE, stepped_up=False)
    assert caller.delete(f"/v1/two-factor/resets/{reset['id']}").status_code == 204
    assert status_of(deps, reset["id"]) is Status.CANCELLED


def test_a_cancel_under_way_when_its_session_ends_changes_nothing(deps, request_reset, ann):
    reset = request_reset(COOL_OFF)
    acting = Acting(*sign_in(deps, ann))
    end_all(deps, ann)
    with pytest.raises(Refusal, match="not_authenticated"):
        reset_cancellation.cancel_own(deps, CLIENT, ann, acting, reset["id"])
    assert status_of(deps, reset["id"]) is Status.COOLING_OFF


@pytest.mark.parametrize("checks", WAITING)
def test_no_session_cancels_the_reset_of_a_stolen_factor_and_the_link_does(
    deps, api, request_reset, cancel_link, ann, checks
):
    reset = request_reset(checks, reason_kind="stolen")
    answer = api(ann).delete(f"/v1/two-factor/resets/{reset['id']}")
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert api().post("/v1/two-factor/resets/cancel", {"token": cancel_link()}).status_code == 204
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


@pytest.mark.parametrize("kind", ["lost", "stolen"])
def test_an_operator_cancels_no_reset_of_the_own_account_as_support(deps, api, request_reset, otp, sue, kind):
    otp.enabled.add(sue.id)
    reset = request_reset(["email_code", "video_id"], account=sue, reason_kind=kind)
    answer = api(sue).post(f"/v1/support/accounts/{sue.id}/two-factor-resets/{reset['id']}/cancel")
    assert (answer.status_code, answer.json["code"]) == (422, "own_account")
    assert status_of(deps, reset["id"]) is Status.AWAITING_APPROVAL
    row = timeline_of(deps, sue)[-1]
    assert (row.type, row.details["action"], row.details["code"]) == (
        "two_factor.reset_refused",
        "cancel",
        "own_account",
    )


def test_operators_see_which_owner_approved_a_check(api, request_reset, sue, olivia):
    reset = request_reset(["email_code", "owner_approval"])
    shown = api(sue).get(f"/v1/support/two-factor-resets/{reset['id']}").json["checks"]
    assert {check["check"]: check["confirmed_by_email"] for check in shown} == {
        "email_code": None,
        "owner_approval": olivia.email,
    }


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
        "reason_kind": "lost",
        "requested_at": "2026-11-24T05:00:00.000000Z",
        "cool_off_ends_at": "2026-11-24T06:00:00.000000Z",
    }
