"""Identity checks are done by the product, not ticked; each stands for one operator, one account and one reset."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth import __main__ as command_line
from services.auth import owner_approvals, password_change, session_store
from services.auth.consequences import Acting
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from services.auth.store import identity_checks as store
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from shared.problems import Refusal
from tests.support import auth
from tests.support.auth import CLIENT, PHONE, notices_in, sign_in, timeline_of, types_of
from tests.support.ceremony import SEEN, pass_check, pass_checks, words_sent

LIFE = timedelta(minutes=30)


@pytest.fixture
def path(ann):
    return f"/v1/support/accounts/{ann.id}/identity-checks"


@pytest.fixture
def begin(api, sam, path):
    return lambda check, operator=sam, **more: api(operator).post(path, {"check": check, **more})


@pytest.fixture
def settled_days(app, deps):
    """The periods of production from here on."""
    times = replace(deps.settings.reset_times, settled=timedelta(days=7), code_login=timedelta(days=1))
    real = replace(deps, settings=replace(deps.settings, reset_times=times))
    app.extensions["latchkey"] = real
    return real


def rows(answer):
    return {row["check"]: row for row in answer.json["items"]}


def standing(deps, operator, account):
    with reading(deps.database) as connection:
        found = store.standing(connection, account.id, operator.id, deps.clock() - LIFE)
    return [check.check for check in found]


# --- what is possible -------------------------------------------------------------------------------------------------


def test_each_check_says_whether_it_is_possible_and_where_the_words_go(api, path, sam, ann, olivia):
    shown = rows(api(sam).get(path))
    assert {name: row["possible"] for name, row in shown.items()} == dict.fromkeys(shown, True)
    assert {name: row["kind"] for name, row in shown.items()} == {
        "phone_code": "performed",
        "email_code": "performed",
        "owner_approval": "performed",
        "video_id": "attested",
        "billing_details": "attested",
    }
    assert (shown["phone_code"]["sent_to"], shown["email_code"]["sent_to"]) == (PHONE.masked(), ann.email)
    assert timeline_of(auth_deps(api), ann)[-1].type == "support.viewed"


def auth_deps(api):
    return api().app.extensions["latchkey"]


def test_an_impossible_check_is_shown_with_the_reason_and_refused_with_it(api, sam, otp, make_account):
    bob = make_account("bob@example.com", team="Alone")
    otp.enabled.add(bob.id)
    path = f"/v1/support/accounts/{bob.id}/identity-checks"
    shown = rows(api(sam).get(path))
    assert (shown["phone_code"]["possible"], shown["phone_code"]["why_not"]) == (False, "no_phone")
    assert (shown["owner_approval"]["possible"], shown["owner_approval"]["why_not"]) == (False, "no_other_owner")
    answer = api(sam).post(path, {"check": "phone_code"})
    assert (answer.status_code, answer.json["code"], answer.json["why_not"]) == (409, "check_not_possible", "no_phone")


def test_an_owner_without_a_second_factor_cannot_be_asked(api, begin, owner):
    assert begin("owner_approval").json["why_not"] == "no_other_owner"


@pytest.mark.parametrize(("check", "reason"), [("phone_code", "phone_too_new"), ("email_code", "address_too_new")])
def test_what_is_younger_than_seven_days_proves_nothing(settled_days, begin, clock, check, reason):
    clock.turn(days=6)
    assert begin(check).json["why_not"] == reason
    clock.turn(days=1)
    assert begin(check).status_code == 201


def test_a_mailbox_proves_nothing_after_the_command_line_has_set_the_password(settled_days, begin, ann, clock):
    clock.turn(days=40)
    command_line.give_password(settled_days, settled_days.otp, ann, auth.PASSWORD_HASH)
    assert begin("email_code").json["why_not"] == "password_set_anew"
    assert begin("phone_code").status_code == 201
    clock.turn(days=7)
    assert begin("email_code").status_code == 201


def test_the_owners_own_change_of_the_password_leaves_the_mailbox_a_proof(settled_days, begin, ann, clock):
    clock.turn(days=40)
    acting = Acting(*auth.sign_in(settled_days, ann))
    password_change.set_new(settled_days, CLIENT, ann, acting, "nine dry badgers hum softly")
    assert begin("email_code").status_code == 201


def test_without_2fa_nobody_is_written_to(deps, api, sam, tom):
    answer = api(sam).post(f"/v1/support/accounts/{tom.id}/identity-checks", {"check": "email_code"})
    assert (answer.status_code, answer.json["code"]) == (409, "two_factor_off")
    assert notices_in(deps) == []


def test_nobody_checks_themselves(api, sam, otp):
    otp.enabled.add(sam.id)
    answer = api(sam).post(f"/v1/support/accounts/{sam.id}/identity-checks", {"check": "video_id", "evidence": SEEN})
    assert (answer.status_code, answer.json["code"]) == (422, "own_account")


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("check", "recipient"), [("phone_code", PHONE.e164), ("email_code", "ann@example.com")])
def test_the_words_go_to_the_checked_channel_and_a_notice_without_them_to_the_other(deps, begin, check, recipient):
    assert begin(check).status_code == 201
    words = words_sent(deps, check)
    with_words = [notice.recipient for notice in notices_in(deps) if words in notice.body]
    assert with_words == [recipient]
    assert len(notices_in(deps)) == 2
    for notice in notices_in(deps):
        assert "never ask" in notice.body
        assert "/reset/cancel#" in notice.body


def test_words_are_never_digits(deps, begin):
    begin("phone_code")
    assert not re.search(r"\d", words_sent(deps, "phone_code"))


@pytest.mark.parametrize("spelling", [str.upper, lambda words: f"  {words.replace(' ', ' - ')}\n"])
def test_the_words_pass_the_check_however_they_are_typed(deps, api, begin, path, sam, ann, spelling):
    check = begin("phone_code").json
    answer = api(sam).post(f"{path}/{check['id']}/verify", {"code": spelling(words_sent(deps, "phone_code"))})
    assert (answer.status_code, answer.json["status"]) == (200, "passed")
    assert standing(deps, sam, ann) == ["phone_code"]
    assert [row.type for row in timeline_of(deps, ann)] == ["identity_check.begun", "identity_check.passed"]


def test_five_wrong_tries_end_the_check(deps, api, begin, path, sam, ann):
    check = begin("phone_code").json
    answers = [api(sam).post(f"{path}/{check['id']}/verify", {"code": "wrong words"}) for _ in range(5)]
    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(422, "wrong_words")] * 5
    assert [answer.json["tries_left"] for answer in answers] == [4, 3, 2, 1, 0]
    right = api(sam).post(f"{path}/{check['id']}/verify", {"code": words_sent(deps, "phone_code")})
    assert (right.status_code, right.json["code"]) == (409, "check_not_open")
    assert standing(deps, sam, ann) == []


def test_only_digests_are_stored(deps, begin):
    begin("email_code")
    words = words_sent(deps, "email_code")
    link = re.search(r"/reset/confirm#(\S+)", notices_in(deps)[-1].body).group(1)
    with deps.database.connect() as connection:
        stored = str(connection.exec_driver_sql("SELECT * FROM identity_checks").all())
        written = str(connection.exec_driver_sql("SELECT details, personal FROM timeline").all())
    for secret in (words, link):
        assert secret not in stored
        assert secret not in written


def test_the_words_are_dead_after_half_an_hour(deps, api, begin, path, sam, clock):
    check = begin("phone_code").json
    clock.turn(minutes=30)
    answer = api(sam).post(f"{path}/{check['id']}/verify", {"code": words_sent(deps, "phone_code")})
    assert answer.json["code"] == "check_not_open"


def test_another_operator_cannot_use_the_words(deps, api, begin, path, sue):
    check = begin("phone_code").json
    answer = api(sue).post(f"{path}/{check['id']}/verify", {"code": words_sent(deps, "phone_code")})
    assert answer.status_code == 404


def test_entering_words_takes_a_step_up(deps, api, begin, path, sam):
    check = begin("phone_code").json
    answer = api(sam, stepped_up=False).post(f"{path}/{check['id']}/verify", {"code": "x"})
    assert answer.json["code"] == "step_up_required"


def test_texts_to_one_account_are_limited(begin):
    assert [begin("phone_code").status_code for _ in range(7)] == [201] * 6 + [429]


def test_the_link_in_the_mail_confirms_once(deps, api, begin, sam, ann):
    begin("email_code")
    token = re.search(r"/reset/confirm#(\S+)", notices_in(deps)[-1].body).group(1)
    assert api().post("/v1/two-factor/resets/confirm", {"token": token}).status_code == 204
    assert standing(deps, sam, ann) == ["email_code"]
    again = api().post("/v1/two-factor/resets/confirm", {"token": token})
    assert (again.status_code, again.json["code"]) == (409, "check_not_open")
    assert api().post("/v1/two-factor/resets/confirm", {"token": "x"}).status_code == 404


# --- what is attested -------------------------------------------------------------------------------------------------


def test_what_is_attested_stands_with_what_was_seen(deps, begin, sam, ann):
    answer = begin("video_id", evidence=SEEN)
    assert (answer.status_code, answer.json["status"], answer.json["evidence"]) == (201, "passed", SEEN)
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.details["evidence"]) == ("identity_check.passed", SEEN)
    assert notices_in(deps) == []


@pytest.mark.parametrize(
    ("check", "more"), [("video_id", {}), ("video_id", {"evidence": ""}), ("phone_code", {"evidence": SEEN})]
)
def test_evidence_belongs_to_attested_checks_and_to_those_alone(begin, check, more):
    answer = begin(check, **more)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")


def test_evidence_can_be_erased_from_the_timeline():
    assert "evidence" in timeline.PERSONAL_DETAILS


# --- another owner ----------------------------------------------------------------------------------------------------


def test_another_owner_finds_the_question_and_approves(deps, api, begin, olivia, sam, ann):
    check = begin("owner_approval").json
    mails = [notice for notice in notices_in(deps) if notice.recipient == olivia.email]
    assert f"/team/approvals#{check['id']}" in mails[-1].body
    (listed,) = api(olivia).get("/v1/team/approvals").json["items"]
    assert (listed["id"], listed["member_email"]) == (check["id"], ann.email)
    answer = api(olivia).post(f"/v1/team/approvals/{check['id']}", {"approve": True})
    assert (answer.status_code, answer.json["status"]) == (200, "passed")
    assert standing(deps, sam, ann) == ["owner_approval"]
    assert timeline_of(deps, ann)[-1].actor == f"team-owner:{olivia.id}"
    assert api(olivia).get("/v1/team/approvals").json["items"] == []


def test_an_owner_who_refuses_ends_the_check(deps, api, begin, olivia, sam, ann):
    check = begin("owner_approval").json
    assert api(olivia).post(f"/v1/team/approvals/{check['id']}", {"approve": False}).json["status"] == "refused"
    again = api(olivia).post(f"/v1/team/approvals/{check['id']}", {"approve": True})
    assert again.json["code"] == "check_not_open"
    assert standing(deps, sam, ann) == []


def test_an_answer_takes_a_second_factor_and_a_step_up(api, begin, olivia, otp):
    check = begin("owner_approval").json
    path = f"/v1/team/approvals/{check['id']}"
    assert api(olivia, stepped_up=False).post(path, {"approve": True}).json["code"] == "step_up_required"
    assert api(olivia, Factor.PASSWORD).post(path, {"approve": True}).json["code"] == "second_factor_required"
    otp.suspended.add(olivia.id)
    assert api(olivia).post(path, {"approve": True}).json["code"] == "second_factor_required"
    otp.enabled.remove(olivia.id)
    assert api(olivia).post(path, {"approve": True}).json["code"] == "second_factor_required"


def test_an_owner_who_enrolled_with_the_password_alone_answers_only_after_a_full_step_up_with_the_factor(
    api, begin, olivia, make_account, password_hash, otp
):
    """The session that enrolled shows aal2. Its step-up window was the password's, and has closed."""
    path = f"/v1/team/approvals/{begin('owner_approval').json['id']}"
    otto = make_account("otto@example.com", role=Role.OWNER, password_hash=password_hash)
    caller = api(otto, Factor.PASSWORD)
    begun = caller.post("/v1/two-factor/enrollment").json["enrollment_id"]
    code = otp.expect(otto.id, "enrollment", begun)
    assert caller.post(f"/v1/two-factor/enrollment/{begun}/confirm", {"code": code}).status_code == 200
    assert caller.get("/v1/session").json["assurance"] == "aal2"
    assert caller.post(path, {"approve": True}).json["code"] == "step_up_required"
    proofs = {"password": auth.PASSWORD}
    assert caller.post("/v1/reauthenticate", proofs).status_code == 422
    for factor, said in (("sms", 403), ("totp", 200)):
        code = otp.expect(otto.id, "step_up", caller.session.id, factor=factor)
        assert caller.post("/v1/reauthenticate", {**proofs, "code": code}).status_code == 200
        assert caller.post(path, {"approve": True}).status_code == said, factor


def test_an_answer_under_way_is_void_when_its_session_has_ended(deps, begin, olivia, sam, ann):
    check = begin("owner_approval").json
    session, token = sign_in(deps, olivia)
    session_store.end(deps.redis, olivia.id, session_store.Order(session_ids=(session.id,)))
    with pytest.raises(Refusal, match="not_authenticated"):
        owner_approvals.answer(deps, CLIENT, olivia, Acting(session, token), check["id"], approve=True)
    assert standing(deps, sam, ann) == []


def test_nobody_else_may_answer(api, begin, olivia, ann, make_account, otp):
    check = begin("owner_approval").json
    path = f"/v1/team/approvals/{check['id']}"
    assert api(ann).post(path, {"approve": True}).json["code"] == "forbidden"
    other = make_account("other@elsewhere.example", role=Role.OWNER, team="Elsewhere")
    assert api(other).post(path, {"approve": True}).status_code == 404


def test_an_owner_does_not_approve_for_themselves(api, olivia, sam, make_account, otp):
    second = make_account("second@example.com", role=Role.OWNER)
    otp.enabled.add(second.id)
    check = api(sam).post(f"/v1/support/accounts/{olivia.id}/identity-checks", {"check": "owner_approval"}).json
    assert api(olivia).post(f"/v1/team/approvals/{check['id']}", {"approve": True}).status_code == 404
    assert api(second).post(f"/v1/team/approvals/{check['id']}", {"approve": True}).status_code == 200


@pytest.mark.parametrize(
    "lost", [lambda otp, owner: otp.enabled.remove(owner), lambda otp, owner: otp.suspended.add(owner)]
)
def test_an_approval_counts_only_while_its_owner_has_a_live_second_factor(deps, api, path, sam, ann, olivia, otp, lost):
    pass_checks(deps, sam, ann, ["phone_code", "owner_approval"])
    assert api(sam).get(path).json["allows"]["name"] == "phone_and_owner"
    lost(otp, olivia.id)
    shown = api(sam).get(path)
    assert shown.json["allows"] is None
    answer = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", {"ticket": "T", "reason": "lost"})
    assert (answer.status_code, answer.json["code"]) == (422, "identity_checks_insufficient")


def test_an_approval_that_no_longer_counts_can_be_asked_for_again(deps, api, path, sam, ann, olivia, make_account, otp):
    pass_check(deps, sam, ann, "owner_approval")
    otto = make_account("otto@example.com", role=Role.OWNER)
    otp.enabled.add(otto.id)
    otp.enabled.remove(olivia.id)
    row = rows(api(sam).get(path))["owner_approval"]
    assert (row["possible"], row["latest"]) == (True, None)


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
