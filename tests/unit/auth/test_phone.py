from datetime import timedelta

import pytest

from services.auth import limits, phone, session_store
from services.auth.consequences import Acting
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from services.auth.store import accounts
from shared.clock import rfc3339
from shared.database import writing
from shared.messages import SendSmsCode
from shared.problems import Refusal
from tests.support.auth import (
    CLIENT,
    OTHER_PHONE,
    PASSWORD,
    PHONE,
    end_one,
    fresh,
    notices_in,
    sign_in,
    timeline_of,
    types_of,
)

NUMBER = {"country": "DE", "number": "01512 3456780"}  # OTHER_PHONE


@pytest.fixture
def bob(make_account):
    return make_account("bob@example.com")


def test_a_number_is_pending_until_its_code_comes_back(deps, api, ann, otp, publisher, clock):
    caller = api(ann)

    answer = caller.put("/v1/phone", NUMBER)

    assert answer.status_code == 202
    assert answer.json == {
        "message_id": publisher.messages[0].message_id,
        "reference": "BCDF",
        "phone_hint": OTHER_PHONE.masked(),
        "expires_at": "2026-11-24T05:05:00.000000Z",
        "resend_after": "2026-11-24T05:00:30.000000Z",
        "channel": "sms",
        "channels": ["call", "sms"],
    }
    assert otp.sent_to == [OTHER_PHONE.e164]
    pending = fresh(deps, ann)
    assert (pending.phone, pending.pending_phone) == (PHONE, OTHER_PHONE)

    answer = caller.post("/v1/phone/verify", {"code": "424242"})

    assert answer.status_code == 200
    assert answer.json == {"phone_hint": OTHER_PHONE.masked(), "verified_at": "2026-11-24T05:00:00.000000Z"}
    proven = fresh(deps, ann)
    assert (proven.phone, proven.pending_phone, proven.pending_phone_binding) == (OTHER_PHONE, None, None)
    assert types_of(deps, ann) == ["phone.set", "sms.requested", "phone.changed"]


def test_the_queue_sees_ids_and_a_deadline_only(api, ann, publisher, clock):
    api(ann).put("/v1/phone", NUMBER)
    (message,) = publisher.messages
    assert isinstance(message, SendSmsCode)
    assert message.deadline == clock() + timedelta(minutes=4, seconds=30)
    assert OTHER_PHONE.e164[-4:] not in repr(message)
    assert "424242" not in repr(message)


def test_old_number_new_number_and_mailbox_are_told(deps, api, ann):
    caller = api(ann)
    caller.put("/v1/phone", NUMBER)
    assert notices_in(deps) == []
    caller.post("/v1/phone/verify", {"code": "424242"})
    assert {notice.recipient for notice in notices_in(deps)} == {PHONE.e164, OTHER_PHONE.e164, ann.email}
    assert all(OTHER_PHONE.e164 not in notice.body for notice in notices_in(deps))


def test_saving_the_proven_number_again_changes_nothing(deps, api, ann, otp, publisher):
    caller, by_sms = api(ann), api(ann, Factor.PASSWORD, Factor.SMS)
    answer = caller.put("/v1/phone", {"country": "DE", "number": PHONE.e164})
    assert answer.status_code == 200
    assert answer.json == {"phone_hint": PHONE.masked(), "verified_at": rfc3339(ann.phone_verified_at)}
    assert fresh(deps, ann) == ann
    assert (otp.sent_to, publisher.messages, notices_in(deps), timeline_of(deps, ann)) == ([], [], [], [])
    assert by_sms.get("/v1/session").status_code == 200


def test_saving_the_proven_number_again_forgets_the_one_that_waits_beside_it(deps, api, ann):
    caller = api(ann)
    caller.put("/v1/phone", NUMBER)
    assert caller.put("/v1/phone", {"country": "DE", "number": PHONE.e164}).status_code == 200
    assert fresh(deps, ann) == ann
    assert caller.post(VERIFY, {"code": "424242"}).json["code"] == "phone_not_pending"


@pytest.mark.parametrize("seconds", [0, 29, 31, 299])
def test_the_same_number_again_is_the_same_request(deps, api, ann, otp, publisher, clock, seconds):
    caller = api(ann)
    first = caller.put("/v1/phone", NUMBER)
    clock.turn(seconds=seconds)
    again = caller.put("/v1/phone", {"country": "DE", "number": f"\u200e{OTHER_PHONE.e164}"})
    assert (again.status_code, again.json) == (202, first.json)
    assert (otp.sent_to, len(publisher.messages)) == ([OTHER_PHONE.e164], 1)
    assert types_of(deps, ann) == ["phone.set", "sms.requested"]
    assert caller.post(VERIFY, {"code": "424242"}).status_code == 200


def test_the_same_number_again_after_another_code_has_the_answer_of_that_one(api, ann, otp):
    caller = api(ann)
    caller.put("/v1/phone", NUMBER)
    resent = caller.post("/v1/phone/sms")
    assert caller.put("/v1/phone", NUMBER).json == resent.json
    assert len(otp.sent_to) == 2


def test_the_same_number_again_costs_no_change(api, ann):
    caller = api(ann)
    answers = {caller.put("/v1/phone", NUMBER).status_code for _ in range(limits.PHONE_CHANGE.windows[0].max + 1)}
    assert answers == {202}


def test_the_same_number_is_sent_another_code_when_the_first_has_expired(deps, api, ann, otp, clock):
    caller = api(ann)
    first = caller.put("/v1/phone", NUMBER).json
    binding = fresh(deps, ann).pending_phone_binding
    clock.turn(minutes=5)
    again = caller.put("/v1/phone", NUMBER).json
    assert again["message_id"] != first["message_id"]
    assert len(otp.sent_to) == 2
    assert fresh(deps, ann).pending_phone_binding == binding  # so the wait of its texts holds, too


def test_the_same_number_is_sent_another_code_when_the_first_was_not_sent(api, ann, otp, publisher):
    caller = api(ann)
    publisher.down = True
    assert caller.put("/v1/phone", NUMBER).status_code == 503
    publisher.down = False
    assert caller.put("/v1/phone", NUMBER).status_code == 202
    assert len(publisher.messages) == 1


def test_the_same_number_is_sent_another_code_when_a_change_has_ended_the_first(deps, api, ann, otp):
    caller = api(ann)
    first = caller.put("/v1/phone", NUMBER).json
    otp.end(ann.id, [], codes=True)  # a new password ends the codes
    deps.redis.incr(session_store.epoch_key(ann.id))  # and raises the epoch
    assert caller.put("/v1/phone", NUMBER).json["message_id"] != first["message_id"]
    assert caller.post(VERIFY, {"code": "424242"}).status_code == 200


def test_another_session_that_saves_the_same_number_is_sent_a_code_of_its_own(api, ann, otp):
    api(ann).put("/v1/phone", NUMBER)
    other = api(ann)
    assert other.put("/v1/phone", NUMBER).status_code == 202
    assert len(otp.sent_to) == 2
    assert other.post(VERIFY, {"code": "424242"}).status_code == 200


def test_a_code_for_the_number_before_proves_nothing_about_the_new_one(deps, api, bob):
    caller = api(bob)
    caller.put("/v1/phone", {"country": "DE", "number": PHONE.e164})
    first = fresh(deps, bob).pending_phone_binding
    caller.put("/v1/phone", NUMBER)
    assert fresh(deps, bob).pending_phone_binding != first


def test_a_number_that_is_replaced_during_the_check_is_not_proven(deps, api, bob, otp):
    caller = api(bob)
    caller.put("/v1/phone", NUMBER)
    otp.after_verify = lambda: api(bob).put("/v1/phone", {"country": "US", "number": "415 555 0100"})
    answer = caller.post("/v1/phone/verify", {"code": "424242"})
    assert (answer.status_code, answer.json["code"]) == (409, "phone_not_pending")
    assert fresh(deps, bob).phone is None


def test_a_wrong_code_changes_nothing_and_says_one_sentence(deps, api, bob):
    caller = api(bob)
    caller.put("/v1/phone", NUMBER)
    answer = caller.post("/v1/phone/verify", {"code": "000000"})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_passcode")
    assert set(answer.json) == {"type", "title", "status", "detail", "code"}
    assert fresh(deps, bob).phone is None


@pytest.mark.parametrize("code", ["42424", "4242424", "42424٢", " 424242", "424242\n", 424242, None, "abcd-efgh-ijkl"])
def test_only_six_ascii_digits_are_a_code(api, bob, code):
    caller = api(bob)
    caller.put("/v1/phone", NUMBER)
    assert caller.post("/v1/phone/verify", {"code": code}).status_code == 422


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "sms", None), ("POST", "verify", {"code": "424242"})])
def test_without_a_pending_number_there_is_nothing_to_prove(api, ann, method, path, body):
    answer = api(ann).call(method, f"/v1/phone/{path}", body)
    assert (answer.status_code, answer.json["code"]) == (409, "phone_not_pending")


def test_resend_sends_to_the_same_number_under_the_same_binding(deps, api, ann, otp, publisher):
    caller = api(ann)
    caller.put("/v1/phone", NUMBER)
    assert caller.post("/v1/phone/sms").status_code == 202
    assert otp.sent_to == [OTHER_PHONE.e164] * 2
    bindings = {binding for _account, _purpose, binding in otp.live_sms.values()}
    assert bindings == {fresh(deps, ann).pending_phone_binding}


def test_when_the_broker_is_down_the_code_is_withdrawn(deps, api, ann, otp, publisher):
    publisher.down = True
    answer = api(ann).put("/v1/phone", NUMBER)
    assert (answer.status_code, answer.json["code"]) == (503, "service_unavailable")
    assert answer.headers["Retry-After"]
    assert otp.live_sms == {}
    assert otp.codes == {}
    assert fresh(deps, ann).pending_phone == OTHER_PHONE


def test_when_otp_is_down_nothing_is_published(api, ann, otp, publisher):
    otp.go_down()
    assert api(ann).put("/v1/phone", NUMBER).status_code == 503
    assert publisher.messages == []


def test_sends_are_counted_by_ip_over_all_accounts(api, make_account, publisher):
    statuses = [
        api(make_account(f"m{number}@example.com")).put("/v1/phone", NUMBER).status_code for number in range(21)
    ]
    assert statuses == [202] * 20 + [429]
    assert len(publisher.messages) == 20


def test_remove_forgets_both_numbers_and_tells_the_old_one(deps, api, ann):
    caller = api(ann)
    caller.put("/v1/phone", NUMBER)
    assert caller.delete("/v1/phone").status_code == 204
    assert caller.delete("/v1/phone").status_code == 204
    assert (fresh(deps, ann).phone, fresh(deps, ann).pending_phone) == (None, None)
    assert [notice.recipient for notice in notices_in(deps)] == [PHONE.e164, ann.email]
    assert types_of(deps, ann).count("phone.removed") == 1


def test_removing_a_number_that_was_never_proven_is_no_news(deps, api, bob):
    caller = api(bob)
    caller.put("/v1/phone", NUMBER)
    caller.delete("/v1/phone")
    assert fresh(deps, bob).pending_phone is None
    assert types_of(deps, bob)[-1] == "phone.removed"
    assert notices_in(deps) == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PUT", "/v1/phone", NUMBER), ("POST", "/v1/phone/sms", None), ("DELETE", "/v1/phone", None)],
)
def test_a_phone_changes_only_after_step_up(deps, api, ann, method, path, body):
    caller = api(ann, Factor.PASSWORD, Factor.TRUSTED_DEVICE, stepped_up=False)
    answer = caller.call(method, path, body)
    assert (answer.status_code, answer.json["code"]) == (403, "step_up_required")
    assert fresh(deps, ann) == ann


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/phone"),
        ("POST", "/v1/phone/sms"),
        ("POST", "/v1/phone/verify"),
        ("DELETE", "/v1/phone"),
        ("GET", "/v1/team"),
        ("PUT", "/v1/team/acc_1/phone"),
        ("GET", "/v1/activity"),
        ("DELETE", "/v1/two-factor/resets/rst_1"),
    ],
)
def test_a_stranger_hears_401_before_anything_about_the_body(api, method, path):
    assert api().call(method, path, {"bogus": 1}).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"country": "DE"},
        {"country": "de", "number": "1"},
        {"country": "DEU", "number": "1"},
        {"country": "DE", "number": ""},
        {"country": "DE", "number": "1" * 41},
        {"country": "DE", "number": 15123456789},
        {"country": "DE", "number": "0151\x0023456789"},
        {"country": "DE", "number": "01512 3456789", "verified": True},
    ],
)
def test_a_strange_body_is_refused(deps, api, ann, body):
    assert api(ann).put("/v1/phone", body).status_code == 422
    assert fresh(deps, ann) == ann


# --- a code belongs to the session that requested it ------------------------------------------------------------------


def log_out(requesting, _owner):
    assert requesting.post("/v1/logout").status_code == 204


def end(requesting, owner):
    assert owner.delete(f"/v1/sessions/{requesting.session.id}").status_code == 204


def change_the_password(_requesting, owner):
    body = {"current_password": PASSWORD, "new_password": "nine dry badgers hum softly"}
    assert owner.post("/v1/password", body).status_code == 200


def live_on(_requesting, _owner):
    pass


ENDS = [log_out, end, change_the_password, live_on]
NO_WINDOW = {"stepped_up": False}
VERIFY = "/v1/phone/verify"


@pytest.mark.parametrize("happens", ENDS)
def test_a_code_proves_nothing_in_a_session_that_did_not_request_it(deps, api, mia, otp, happens):
    requesting, other = api(mia), api(mia, Factor.PASSWORD, Factor.TRUSTED_DEVICE, **NO_WINDOW)
    requesting.put("/v1/phone", NUMBER)
    happens(requesting, api(mia))
    if happens is change_the_password:
        other = api(mia, Factor.PASSWORD, Factor.TRUSTED_DEVICE, **NO_WINDOW)
    answer = other.post(VERIFY, {"code": "424242"})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_passcode")
    assert fresh(deps, mia).phone == PHONE
    assert bool(otp.live_sms) == (happens is live_on)
    if happens is live_on:
        assert requesting.post(VERIFY, {"code": "424242"}).status_code == 200


@pytest.mark.parametrize("happens", ENDS)
def test_a_code_for_the_same_number_is_requested_by_another_session_after_a_step_up(deps, api, mia, otp, happens):
    requesting = api(mia)
    requesting.put("/v1/phone", NUMBER)
    happens(requesting, api(mia))
    without = api(mia, Factor.PASSWORD, Factor.TRUSTED_DEVICE, **NO_WINDOW).post("/v1/phone/sms")
    assert (without.status_code, without.json["code"]) == (403, "step_up_required")
    other = api(mia)
    assert other.post("/v1/phone/sms").status_code == 202
    if happens is live_on:
        assert requesting.post(VERIFY, {"code": "424242"}).status_code == 422
    assert other.post(VERIFY, {"code": "424242"}).status_code == 200
    assert (fresh(deps, mia).phone, otp.sent_to[-1]) == (OTHER_PHONE, OTHER_PHONE.e164)


def test_a_number_that_an_earlier_release_stored_is_proven_and_can_be_sent_another_code(deps, api, bob, otp):
    for asks_again in (False, True):
        with writing(deps.database) as connection:
            accounts.set_pending_phone(connection, bob.id, OTHER_PHONE, f"phb_{asks_again:024x}")
        otp.expect(bob.id, "phone_verification", fresh(deps, bob).pending_phone_binding, "111111")
        caller = api(bob)
        if asks_again:
            assert caller.post("/v1/phone/sms").status_code == 202
        assert caller.post(VERIFY, {"code": "424242" if asks_again else "111111"}).status_code == 200
        assert fresh(deps, bob).phone == OTHER_PHONE


def test_resends_of_another_session_at_once_send_codes_that_both_count(deps, bob, otp):
    """The second one has read the account before the first one bound the number to the session."""
    phone.set_phone(deps, CLIENT, bob, Acting(*sign_in(deps, bob)), "DE", OTHER_PHONE.e164)
    acting, read = Acting(*sign_in(deps, bob)), fresh(deps, bob)
    for _ in range(2):
        phone.resend(deps, CLIENT, read, acting)
    first, *resent = [binding for _, _, binding in otp.live_sms.values()]
    assert {*resent} == {fresh(deps, bob).pending_phone_binding} != {first}


def test_a_resend_of_a_session_that_has_ended_meanwhile_is_refused(deps, bob):
    acting = Acting(*sign_in(deps, bob))
    phone.set_phone(deps, CLIENT, bob, acting, "DE", OTHER_PHONE.e164)
    late = Acting(*sign_in(deps, bob))
    end_one(deps, bob, late.session)
    pending = fresh(deps, bob)
    with pytest.raises(Refusal, match="not_authenticated"):
        phone.resend(deps, CLIENT, pending, late)
    assert fresh(deps, bob) == pending


# --- team -------------------------------------------------------------------------------------------------------------


def test_the_team_is_listed_page_by_page(deps, api, ann, owner, bob, make_account):
    make_account("eve@example.org", team="Other Ltd")
    caller = api(ann)
    caller.put("/v1/phone", NUMBER)
    first = caller.get("/v1/team?limit=2").json
    second = caller.get(f"/v1/team?limit=2&cursor={first['next_cursor']}").json
    assert first["team"] == {"id": ann.team_id, "name": "Example Ltd"}
    assert second["next_cursor"] is None
    members = {item["id"]: item for item in first["items"] + second["items"]}
    assert set(members) == {ann.id, owner.id, bob.id}
    assert members[ann.id]["phone"] == {"hint": PHONE.masked(), "verified": True, "calls_only": False}
    assert members[ann.id]["pending_phone_hint"] == OTHER_PHONE.masked()
    assert members[bob.id]["phone"] is None
    assert members[owner.id]["role"] == "owner"


def test_an_owner_sets_a_members_number_and_the_member_proves_it(deps, api, owner, bob, publisher):
    answer = api(owner).put(f"/v1/team/{bob.id}/phone", NUMBER)
    assert answer.status_code == 200
    assert answer.json == {"phone_hint": OTHER_PHONE.masked(), "verified": False}
    assert publisher.messages == []
    assert fresh(deps, bob).phone is None
    (row,) = timeline_of(deps, bob)
    assert (row.type, row.actor) == ("phone.set", f"team-owner:{owner.id}")

    caller = api(bob)
    assert caller.post("/v1/phone/sms").status_code == 202
    assert caller.post("/v1/phone/verify", {"code": "424242"}).status_code == 200
    assert fresh(deps, bob).phone == OTHER_PHONE


def test_a_member_is_told_of_the_number_that_an_owner_set_and_an_owner_not_of_the_own_one(deps, api, owner, ann, bob):
    caller = api(owner)
    caller.put(f"/v1/team/{owner.id}/phone", NUMBER)
    assert notices_in(deps) == []
    caller.put(f"/v1/team/{bob.id}/phone", NUMBER)
    (mail,) = notices_in(deps)
    assert mail.recipient == bob.email
    assert OTHER_PHONE.masked() in mail.body
    assert OTHER_PHONE.e164 not in mail.body
    caller.put(f"/v1/team/{ann.id}/phone", NUMBER)
    assert {notice.recipient for notice in notices_in(deps)} == {bob.email, ann.email, PHONE.e164}


def test_a_number_that_an_owner_sets_twice_is_set_and_told_once(deps, api, owner, bob):
    caller, member = api(owner), api(bob)
    caller.put(f"/v1/team/{bob.id}/phone", NUMBER)
    member.post("/v1/phone/sms")
    assert caller.put(f"/v1/team/{bob.id}/phone", NUMBER).json["verified"] is False
    assert types_of(deps, bob) == ["phone.set", "sms.requested"]
    assert len(notices_in(deps)) == 1
    assert member.post(VERIFY, {"code": "424242"}).status_code == 200  # the code that was requested is still good


def test_a_members_proven_number_that_an_owner_sets_again_stays_as_it_is(deps, api, owner, ann):
    answer = api(owner).put(f"/v1/team/{ann.id}/phone", {"country": "DE", "number": PHONE.e164})
    assert answer.json == {"phone_hint": PHONE.masked(), "verified": True}
    assert (fresh(deps, ann), timeline_of(deps, ann), notices_in(deps)) == (ann, [], [])


def test_nobody_is_told_of_a_number_that_was_not_set(deps, api, owner, ann, bob):
    api(ann).put(f"/v1/team/{bob.id}/phone", NUMBER)
    api(owner, stepped_up=False).put(f"/v1/team/{bob.id}/phone", NUMBER)
    api(owner).put(f"/v1/team/{bob.id}/phone", {"country": "DE", "number": "1"})
    assert notices_in(deps) == []


def test_a_members_number_outlives_the_session_of_the_owner_who_set_it(deps, api, owner, bob):
    setting = api(owner)
    setting.put(f"/v1/team/{bob.id}/phone", NUMBER)
    setting.post("/v1/logout")
    caller = api(bob)
    caller.post("/v1/phone/sms")
    assert caller.post(VERIFY, {"code": "424242"}).status_code == 200
    assert fresh(deps, bob).phone == OTHER_PHONE


def test_the_code_that_a_members_ended_session_requested_proves_nothing_in_another_one(deps, api, owner, bob, otp):
    api(owner).put(f"/v1/team/{bob.id}/phone", NUMBER)
    requesting = api(bob)
    requesting.post("/v1/phone/sms")
    end(requesting, api(bob))
    answer = api(bob, **NO_WINDOW).post(VERIFY, {"code": "424242"})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_passcode")
    assert (fresh(deps, bob).phone, otp.live_sms) == (None, {})


def test_only_owners_of_the_same_team_set_numbers(deps, api, owner, ann, bob, sam, make_account):
    stranger = make_account("eve@example.org", team="Other Ltd", role=Role.OWNER)
    for caller, status in ((stranger, 404), (ann, 403), (sam, 403)):
        assert api(caller).put(f"/v1/team/{bob.id}/phone", NUMBER).status_code == status
    assert api(owner).put("/v1/team/acc_nobody/phone", NUMBER).status_code == 404
    assert fresh(deps, bob) == bob


def test_an_owner_needs_step_up_too(api, owner, bob):
    caller = api(owner, stepped_up=False)
    assert caller.put(f"/v1/team/{bob.id}/phone", NUMBER).status_code == 403


def test_a_members_proven_number_survives_what_an_owner_sets(deps, api, owner, ann):
    api(owner).put(f"/v1/team/{ann.id}/phone", NUMBER)
    assert fresh(deps, ann).phone == PHONE


def test_the_choices_of_a_country_are_all_there_and_say_where_sms_go(api, ann):
    items = {row["country"]: row for row in api(ann).get("/v1/phone/countries").json["items"]}
    assert len(items) > 200
    assert items["DE"] == {"country": "DE", "calling_code": 49, "sms": True, "call": True}
    assert items["FR"] == {"country": "FR", "calling_code": 33, "sms": False, "call": False}
    assert api().get("/v1/phone/countries").status_code == 401


def test_so_many_changes_of_a_phone_and_no_more(deps, api, ann):
    caller, most = api(ann), limits.PHONE_CHANGE.windows[0].max
    answers = [caller.delete("/v1/phone") for _ in range(most)]
    assert {answer.status_code for answer in answers} == {204}
    assert caller.delete("/v1/phone").status_code == 429
    assert caller.put("/v1/phone", NUMBER).status_code == 429
    assert fresh(deps, ann).pending_phone is None


def test_a_number_that_is_none_costs_nothing(deps, api, ann):
    caller = api(ann)
    for _ in range(limits.PHONE_CHANGE.windows[0].max):
        assert caller.put("/v1/phone", {"country": "DE", "number": "110"}).status_code == 422
    assert caller.put("/v1/phone", NUMBER).status_code == 202


def test_an_owner_pays_for_the_numbers_of_members_and_they_do_not(deps, api, make_account, ann):
    boss = make_account("boss@example.com", role=Role.OWNER)
    caller, most = api(boss), limits.MEMBER_PHONE_CHANGE.windows[0].max
    answers = [caller.put(f"/v1/team/{ann.id}/phone", NUMBER).status_code for _ in range(most + 1)]
    assert answers == [200] * most + [429]
    assert api(ann).put("/v1/phone", NUMBER).status_code == 202
