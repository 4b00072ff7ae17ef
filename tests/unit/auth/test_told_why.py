"""Support and the owner are told the same cause, from a bounded number of rows; lists say whose it is and who acted."""

from datetime import timedelta

from sqlalchemy import event

from services.auth import diagnosis
from services.auth.domain.session import Factor
from services.auth.otp_client import Throttle
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared.clock import rfc3339
from shared.database import writing
from shared.problems import Unavailable
from tests.support import ceremony
from tests.support.auth import NOW, PHONE, fresh
from tests.support.ceremony import IMMEDIATE_BY_TWO
from tests.support.sign_in import log_in

HINT = PHONE.masked()


def own(api, account, *factors):
    return api(account, *factors).get("/v1/activity/diagnosis").json["items"]


def at_support(api, sam, account):
    return api(sam).get(f"/v1/support/accounts/{account.id}").json["diagnosis"]


def happen(deps, account, *entries):
    """Each entry with the minutes that have passed since, and its details."""
    with writing(deps.database) as connection:
        for entry, minutes, details in entries:
            timeline.write(connection, account.id, entry, NOW - timedelta(minutes=minutes), **details)


def text(message_id, minutes, status=None, reason=None, *, hint=HINT):
    """A text that was asked for, and what became of it."""
    at = NOW - timedelta(minutes=minutes)
    asked = {
        "message_id": message_id,
        "expires_at": rfc3339(at + timedelta(minutes=5)),
        "purpose": "login",
        "phone_hint": hint,
    }
    report = {"message_id": message_id, "status": status, "reason": reason}
    return [(Entry.SMS_REQUESTED, minutes, asked), *([(Entry.SMS_DELIVERY, minutes, report)] if status else [])]


def test_the_owner_and_support_are_told_the_same(deps, api, ann, sam, otp, clock):
    for minutes in (9, 7, 6, 5):
        otp.add_attempt(
            ann.id,
            NOW - timedelta(minutes=minutes),
            purpose="login",
            reason="clock_skew",
            clock_skew_seconds=300,
        )
    otp.add_attempt(ann.id, NOW - timedelta(minutes=4), purpose="login", reason="wrong")
    otp.enabled.add(ann.id)
    otp.throttled[ann.id] = [Throttle("login", NOW + timedelta(minutes=4))]
    told = own(api, ann)
    assert told == at_support(api, sam, ann)
    assert [finding["cause"] for finding in told] == ["clock_fast", "codes_login"]
    assert {name: told[0][name] for name in ("clock_skew_seconds", "wrong_codes", "of_codes")} == {
        "clock_skew_seconds": 300,
        "wrong_codes": 4,
        "of_codes": 5,
    }
    assert told[0]["helps"] == ["set_clock", "backup_code", "text"]


def test_texts_are_of_the_phone_that_the_account_has_and_no_number_is_shown_in_full(deps, api, mia, ann, sam, otp):
    otp.enabled.add(ann.id)
    happen(deps, ann, *text("sms_1", 9, "delivered"), *text("sms_2", 6, "undelivered", "filtered"))
    happen(deps, ann, *text("sms_3", 4, "failed", "filtered"), *text("sms_4", 2, "delivered", hint="+*********0000"))
    answer = api(sam).get(f"/v1/support/accounts/{ann.id}")
    finding = answer.json["diagnosis"][0]
    assert (finding["cause"], finding["reason"], finding["phone_hint"]) == ("text_not_delivered", "filtered", HINT)
    assert finding["since"] == rfc3339(NOW - timedelta(minutes=6))
    assert PHONE.e164 not in answer.text
    assert own(api, ann)[0] == finding


def test_a_refused_text_is_told(deps, api, ann, otp):
    otp.enabled.add(ann.id)
    refused = {"purpose": "login", "phone_hint": HINT, "cause": "destination"}
    happen(deps, ann, (Entry.SMS_REFUSED, 3, refused))
    assert [(one["cause"], one["reason"]) for one in own(api, ann)] == [("text_refused", "destination")]


def test_what_is_older_than_a_week_says_nothing(deps, api, ann, otp):
    otp.enabled.add(ann.id)
    a_week = 7 * 24 * 60
    happen(deps, ann, *text("sms_1", a_week, "failed", "filtered"), (Entry.PASSWORD_REFUSED, a_week, {}))
    otp.add_attempt(ann.id, NOW - timedelta(minutes=a_week), purpose="login", reason="wrong")
    assert [one["cause"] for one in own(api, ann)] == ["no_login_yet"]


def test_wrong_passwords_of_a_login_and_of_nobody_elses(deps, api, stranger, tom, mia, sam):
    assert [log_in(stranger, tom, "wrong").status_code for _ in range(2)] == [401, 401]
    assert [(one["cause"], one["wrong_passwords"]) for one in at_support(api, sam, tom)] == [("wrong_passwords", 2)]
    assert [one["cause"] for one in at_support(api, sam, mia)] == ["no_login_yet"]
    assert log_in(stranger, tom).status_code == 200
    (answer,) = at_support(api, sam, tom)
    assert (answer["cause"], answer["last_login_at"]) == ("nothing", rfc3339(NOW))


def test_a_login_that_stopped_at_the_code_counts_its_networks(deps, api, stranger, mia, sam, otp):
    challenge = log_in(stranger, mia).json["challenge"]
    assert [one["cause"] for one in at_support(api, sam, mia)] == ["stopped_at_code"]
    otp.add_attempt(mia.id, NOW, purpose="login", reason="wrong", challenge_id=challenge["id"])
    (answer,) = at_support(api, sam, mia)
    assert (answer["cause"], answer["wrong_codes"], answer["networks"]) == ("wrong_codes", 1, 1)


def test_an_account_that_must_enroll_is_told_so(deps, api, tom):
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, tom.id, prompted=True)
    assert [one["cause"] for one in own(api, fresh(deps, tom), Factor.PASSWORD)] == ["must_enroll"]


def test_however_much_was_tried_the_answer_reads_as_much(deps, api, ann, otp):
    """A stranger fills the timeline with wrong passwords; the texts and the login are found all the same."""
    otp.enabled.add(ann.id)
    happen(deps, ann, (Entry.SIGNED_IN, 100, {}), *text("sms_1", 99, "failed", "filtered"))
    happen(deps, ann, *((Entry.PASSWORD_REFUSED, 90, {}) for _ in range(400)))
    rows = []

    def counted(_connection, _cursor, statement, *_rest):
        if "FROM timeline" in statement:
            rows.append(statement)

    event.listen(deps.database, "before_cursor_execute", counted)
    findings = diagnosis.own(deps, ann)
    event.remove(deps.database, "before_cursor_execute", counted)
    assert [finding.cause for finding in findings] == ["text_not_delivered", "wrong_passwords"]
    assert findings[1].wrong_passwords == diagnosis.PASSWORDS_READ
    assert otp.pages_read == [diagnosis.CODES_READ]
    assert len(rows) == 3
    assert all("LIMIT" in statement for statement in rows)


def test_the_owner_without_a_session_is_told_nothing(api):
    assert api().get("/v1/activity/diagnosis").status_code == 401


def test_a_look_at_the_cause_is_one_look_at_the_account(deps, api, ann, sam):
    at_support(api, sam, ann)
    with deps.database.connect() as connection:
        looks = timeline.newest_of_types(connection, ann.id, [Entry.SUPPORT_VIEWED], limit=10)
    assert [look.details["what"] for look in looks] == ["account"]


# --- whose it is, and who did it -------------------------------------------------------------------------------------


def found(api, sam, query="ann"):
    (item,) = api(sam).get(f"/v1/support/accounts?query={query}").json["items"]
    return {name: item[name] for name in ("two_factor_enabled", "enrollment_prompted", "open_reset_status")}


def test_a_search_says_how_each_account_stands(deps, api, ann, sam, otp):
    state = {"two_factor_enabled": False, "enrollment_prompted": False, "open_reset_status": None}
    otp.enabled.discard(ann.id)
    assert found(api, sam) == state
    otp.enabled.add(ann.id)
    ceremony.request_reset(deps, sam, ann, IMMEDIATE_BY_TWO)
    assert found(api, sam) == {**state, "two_factor_enabled": True, "open_reset_status": "awaiting_approval"}
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, ann.id, prompted=True)
    assert found(api, sam)["enrollment_prompted"] is True


def test_a_search_finds_people_while_otp_is_away(deps, api, ann, sam, otp):
    caller = api(sam)
    otp.lists_refusal = Unavailable("otp")
    (item,) = caller.get("/v1/support/accounts?query=ann").json["items"]
    assert (item["email"], item["two_factor_enabled"]) == (ann.email, None)


def test_a_list_of_resets_names_the_accounts(deps, api, ann, sam):
    ceremony.request_reset(deps, sam, ann, IMMEDIATE_BY_TWO)
    (item,) = api(sam).get("/v1/support/two-factor-resets").json["items"]
    assert (item["account_email"], item["account_name"]) == (ann.email, ann.name)
    (told,) = api(sam).get(f"/v1/support/two-factor-resets/{item['id']}").json["timeline"]
    assert (told["type"], told["actor_email"]) == ("two_factor.reset_requested", sam.email)


def test_support_is_told_who_did_it_and_the_owner_that_support_did(deps, api, ann, owner, sam):
    entry = Entry.SECOND_FACTOR_UNLOCKED
    acts = {timeline.operator(sam.id): sam.email, timeline.team_owner(owner.id): owner.email}
    acts |= {timeline.operator("cli"): None, timeline.SYSTEM: None, timeline.OWNER: None}
    happen(deps, ann, *((entry, 1, {"actor": actor}) for actor in acts))
    told = api(sam).get(f"/v1/support/accounts/{ann.id}/timeline").json["items"]
    assert {one["actor"]: one["actor_email"] for one in told if one["type"] == entry} == acts
    mine = api(ann).get("/v1/activity").text
    assert sam.email not in mine
    assert sam.id not in mine
