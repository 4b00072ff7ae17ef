"""A reset that waits is cancelled: by its owner, by the link in a notice, by an operator."""

import pytest

from services.auth import reset_cancellation
from services.auth.consequences import Acting
from services.auth.domain.reset import Status
from services.auth.domain.session import Factor
from shared.problems import Refusal
from tests.support.auth import CLIENT, end_all, notices_in, sign_in, timeline_of
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE, WAITING
from tests.support.resets import status_of


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
