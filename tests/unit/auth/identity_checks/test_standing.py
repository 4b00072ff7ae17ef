"""A check stands for one operator, one account and one reset, and facts of the account decide with it."""

import re
from datetime import timedelta

import pytest

from services.auth.domain.account import Role
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.database import writing
from tests.support import auth
from tests.support.auth import notices_in, types_of
from tests.support.ceremony import pass_check, pass_checks
from tests.support.identity_checks import standing

# --- how long a check stands ------------------------------------------------------------------------------------------


def test_a_check_stands_half_an_hour_for_its_operator_alone(deps, sam, sue, ann, clock):
    pass_check(deps, sam, ann, "video_id")
    assert standing(deps, sam, ann) == ["video_id"]
    assert standing(deps, sue, ann) == []
    clock.turn(minutes=29)
    assert standing(deps, sam, ann) == ["video_id"]
    clock.turn(minutes=1)
    assert standing(deps, sam, ann) == []


def test_a_check_serves_one_reset(deps, api, sam, ann, clock):
    pass_checks(deps, sam, ann, ["phone_code", "billing_details"])
    body = {"ticket": "T-1", "reason": "lost"}
    path = f"/v1/support/accounts/{ann.id}/two-factor-resets"
    assert api(sam).post(path, body).status_code == 202
    assert standing(deps, sam, ann) == []


def test_the_link_cancels_the_checks_and_new_ones_wait_ten_minutes(deps, api, begin, sam, ann, clock):
    pass_check(deps, sam, ann, "video_id")
    begin("phone_code")
    token = re.search(r"/reset/cancel#(\S+)", notices_in(deps)[0].body).group(1)
    assert api().post("/v1/two-factor/resets/cancel", {"token": token}).status_code == 204
    assert standing(deps, sam, ann) == []
    assert begin("phone_code").json["why_not"] == "cancelled_recently"
    clock.turn(minutes=10)
    assert begin("phone_code").status_code == 201


def test_the_link_of_a_check_cancels_the_reset_that_it_led_to(deps, api, sam, ann):
    pass_checks(deps, sam, ann, ["phone_code", "billing_details"])
    token = re.search(r"/reset/cancel#(\S+)", notices_in(deps)[0].body).group(1)
    reset = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", {"ticket": "T", "reason": "lost"}).json
    assert api().post("/v1/two-factor/resets/cancel", {"token": token}).status_code == 204
    assert api(sam).get(f"/v1/support/two-factor-resets/{reset['id']}").json["status"] == "cancelled"


def test_the_link_of_a_check_does_not_claim_to_stop_a_reset_that_is_being_applied(deps, api, sam, ann):
    pass_checks(deps, sam, ann, ["phone_code", "video_id"])
    token = re.search(r"/reset/cancel#(\S+)", notices_in(deps)[0].body).group(1)
    reset = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", {"ticket": "T", "reason": "lost"}).json
    assert reset["status"] == "approved"
    answer = api().post("/v1/two-factor/resets/cancel", {"token": token})
    assert (answer.status_code, answer.json["code"]) == (409, "reset_not_open")


def test_the_link_of_a_check_ends_the_other_checks_even_when_the_reset_is_being_applied(deps, api, sam, sue, ann):
    pass_checks(deps, sue, ann, ["video_id"])
    pass_checks(deps, sam, ann, ["phone_code", "video_id"])
    token = re.search(r"/reset/cancel#(\S+)", notices_in(deps)[0].body).group(1)
    asked = {"ticket": "T", "reason": "lost"}
    reset = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", asked).json
    assert reset["status"] == "approved"
    answer = api().post("/v1/two-factor/resets/cancel", {"token": token})
    assert (answer.status_code, answer.json["code"]) == (409, "reset_not_open")
    assert standing(deps, sue, ann) == []
    assert types_of(deps, ann)[-1] == "identity_check.cancelled"


def test_the_link_of_an_old_check_stops_no_later_reset(deps, api, begin, sam, ann, clock):
    begin("phone_code")
    token = re.search(r"/reset/cancel#(\S+)", notices_in(deps)[0].body).group(1)
    clock.turn(days=2)
    pass_checks(deps, sam, ann, ["phone_code", "billing_details"])
    reset = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", {"ticket": "T", "reason": "lost"}).json
    answer = api().post("/v1/two-factor/resets/cancel", {"token": token})
    assert (answer.status_code, answer.json["code"]) == (409, "reset_not_open")
    assert api(sam).get(f"/v1/support/two-factor-resets/{reset['id']}").json["status"] == "cooling_off"
    assert not {"identity_check.cancelled", "two_factor.reset_cancelled"} & set(types_of(deps, ann))


def test_the_link_of_a_check_serves_as_long_as_the_reset_that_it_led_to_is_open(deps, api, sam, ann, clock):
    pass_checks(deps, sam, ann, ["phone_code", "billing_details"])
    token = re.search(r"/reset/cancel#(\S+)", notices_in(deps)[0].body).group(1)
    reset = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", {"ticket": "T", "reason": "lost"}).json
    clock.turn(hours=23)
    assert api().post("/v1/two-factor/resets/cancel", {"token": token}).status_code == 204
    assert api(sam).get(f"/v1/support/two-factor-resets/{reset['id']}").json["status"] == "cancelled"


# --- facts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "details"),
    [
        (Entry.PASSWORD_CHANGED, {}),
        (Entry.PHONE_REMOVED, {}),
        (Entry.SIGNED_IN, {"factors": ["password", "totp"]}),
        (Entry.STEPPED_UP, {"factors": ["password", "totp"]}),
        (Entry.STEPPED_UP, {"factors": ["password", "sms"]}),
        (Entry.RESET_APPLIED, {}),
    ],
)
def test_what_happened_lately_takes_a_second_operator_and_the_long_wait(
    settled_days, api, sam, ann, clock, entry, details
):
    clock.turn(days=40)
    with writing(settled_days.database) as connection:
        timeline.write(connection, ann.id, entry, clock() - timedelta(hours=1), **details)
    pass_checks(settled_days, sam, ann, ["phone_code", "video_id"])
    reset = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", {"ticket": "T", "reason": "lost"}).json
    assert (reset["rule"], reset["approvals_missing"], reset["cool_off_seconds"]) == ("unsettled_account", 1, 10800)


@pytest.mark.parametrize(
    ("entry", "factors"), [(Entry.SIGNED_IN, ["password", "trusted_device"]), (Entry.STEPPED_UP, ["password"])]
)
def test_a_proof_without_a_code_unsettles_nothing(settled_days, api, sam, ann, clock, entry, factors):
    clock.turn(days=40)
    with writing(settled_days.database) as connection:
        timeline.write(connection, ann.id, entry, clock(), factors=factors)
    pass_checks(settled_days, sam, ann, ["phone_code", "video_id"])
    reset = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", {"ticket": "T", "reason": "lost"}).json
    assert (reset["rule"], reset["status"]) == ("phone_and_video", "approved")


def test_an_operator_is_reset_by_three_and_after_a_day(deps, api, sam, sue, make_account, otp, clock):
    clock.turn(days=40)
    otp.enabled.add(sue.id)
    pass_checks(deps, sam, sue, ["email_code", "video_id"])
    base = f"/v1/support/accounts/{sue.id}/two-factor-resets"
    reset = api(sam).post(base, {"ticket": "T", "reason": "lost"}).json
    assert (reset["rule"], reset["approvals_missing"]) == ("operator_account", 2)
    second, third = (make_account(f"op{n}@latchkey.example", role=Role.SUPPORT, team="Support") for n in (2, 3))
    otp.enabled |= {second.id, third.id}
    once = api(second).post(f"{base}/{reset['id']}/approve")
    assert (once.status_code, once.json["status"], once.json["approvals_missing"]) == (202, "awaiting_approval", 1)
    again = api(second).post(f"{base}/{reset['id']}/approve")
    assert again.json["code"] == "same_operator"
    twice = api(third).post(f"{base}/{reset['id']}/approve")
    assert (twice.json["status"], twice.json["cool_off_seconds"]) == ("cooling_off", 3600)
    assert (twice.json["approved_by"], twice.json["second_approved_by"]) == (second.id, third.id)
    emails = twice.json["approved_by_email"], twice.json["second_approved_by_email"]
    assert emails == (second.email, third.email)


def test_what_ends_all_other_sessions_ends_the_checks(deps, api, sam, mia):
    pass_checks(deps, sam, mia, ["phone_code", "video_id"])
    assert standing(deps, sam, mia) == ["phone_code", "video_id"]
    changed = api(mia).post(
        "/v1/password", {"current_password": auth.PASSWORD, "new_password": "nine dry badgers hum softly"}
    )
    assert changed.status_code == 200, changed.text
    assert standing(deps, sam, mia) == []
