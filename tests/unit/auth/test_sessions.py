from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth import session_json, session_store
from services.auth.domain.session import AssuranceLevel, Factor, amr, assurance
from services.auth.limits import LONGEST_SESSION, SESSIONS_AT_MOST
from services.auth.session_store import Opened
from services.auth.store import accounts
from shared.database import writing
from shared.ids import new_token, token_digest
from shared.problems import Unavailable
from tests.support.auth import NOW, end_all, end_one, events_in, sign_in, timeline_of, types_of
from tests.support.sign_in import log_in, problem, who_is

SESSION_LIFE = timedelta(hours=12)
PASSWORD, TOTP, SMS = Factor.PASSWORD, Factor.TOTP, Factor.SMS
RECOVERY, DEVICE = Factor.RECOVERY_CODE, Factor.TRUSTED_DEVICE


def live(deps, account):
    return {session.id for session in session_store.sessions_of(deps.redis, account.id)}


# --- the store --------------------------------------------------------------------------------------------------------


def test_only_the_digest_of_a_token_is_stored(deps, ann):
    _, token = sign_in(deps, ann)
    keys = deps.redis.keys("*")
    assert f"auth:session:{token_digest(token)}" in keys
    values = [deps.redis.get(key) for key in keys if deps.redis.type(key) == "string"]
    assert token not in repr(keys) + repr(values) + repr(deps.redis.hgetall(f"auth:sessions:{ann.id}"))
    assert session_store.find(deps.redis, token_digest(token)) is None


def test_a_session_reads_back_as_it_was_opened(deps, ann):
    session, token = sign_in(deps, ann)
    assert session_store.find(deps.redis, token) == session


def test_redis_forgets_a_session_when_its_life_is_over(deps, ann):
    _, token = sign_in(deps, ann)
    for key in (f"auth:session:{token_digest(token)}", f"auth:sessions:{ann.id}"):
        assert SESSION_LIFE.total_seconds() - 5 < deps.redis.ttl(key) <= SESSION_LIFE.total_seconds()


def test_stepping_up_lengthens_no_life(deps, ann):
    session, token = sign_in(deps, ann)
    key = f"auth:session:{token_digest(token)}"
    deps.redis.expire(key, 100)
    assert session_store.step_up(deps.redis, session, token, NOW, (TOTP,))
    assert 0 < deps.redis.ttl(key) <= 100


def test_stepping_up_brings_no_ended_session_back(deps, ann):
    session, token = sign_in(deps, ann)
    end_one(deps, ann, session)
    assert not session_store.step_up(deps.redis, session, token, NOW, (TOTP,))
    assert session_store.find(deps.redis, token) is None


def test_a_session_is_made_under_the_epoch_that_its_login_began_under(deps, ann):
    session, _ = sign_in(deps, ann)
    before = session_store.epoch(deps.redis, ann.id)
    end_all(deps, ann)
    assert not session_store.open_session(deps.redis, session, new_token(), epoch=before)
    assert session_store.open_session(deps.redis, session, new_token(), epoch=before + 1)


def test_the_epoch_does_not_expire(deps, ann):
    end_all(deps, ann)
    assert deps.redis.ttl(f"auth:epoch:{ann.id}") == -1


def test_accounts_have_epochs_of_their_own(deps, ann, tom):
    end_all(deps, ann)
    assert session_store.epoch(deps.redis, tom.id) == 0


def test_ending_all_says_how_many_and_may_spare_one(deps, ann, tom):
    own, _ = sign_in(deps, ann)
    for _ in range(3):
        sign_in(deps, ann)
    other, _ = sign_in(deps, tom)
    assert len(end_all(deps, ann, spare=own.id)) == 3
    assert live(deps, ann) == {own.id}
    assert live(deps, tom) == {other.id}


def test_ending_what_is_older_spares_what_began_after_the_moment(deps, ann, clock):
    sign_in(deps, ann)
    clock.turn(microseconds=1)
    later, _ = sign_in(deps, ann)
    end_all(deps, ann, before=NOW)
    assert live(deps, ann) == {later.id}


def test_one_cause_ends_logins_once_and_nothing_that_began_since(deps, ann, clock):
    sign_in(deps, ann)
    end_all(deps, ann, cause="reset")
    old, _ = sign_in(deps, ann)  # in the same instant: it may be from before
    clock.turn(microseconds=1)
    later, _ = sign_in(deps, ann)
    assert end_all(deps, ann, cause="reset") == [old.id]
    assert (live(deps, ann), session_store.epoch(deps.redis, ann.id)) == ({later.id}, 1)


def test_a_change_that_is_complete_ends_nothing_more(deps, ann):
    end_all(deps, ann, cause="reset", completes=True)
    session, _ = sign_in(deps, ann)
    assert end_all(deps, ann, cause="reset") == []
    assert live(deps, ann) == {session.id}
    assert end_all(deps, ann, cause="another") == [session.id]


def test_a_change_that_ends_no_logins_leaves_nothing_of_its_cause(deps, ann):
    order = session_store.Order(at=deps.clock(), cause="a new sheet")
    session_store.end(deps.redis, ann.id, order)
    assert deps.redis.keys("auth:cause:*") == []


def test_a_session_that_redis_forgot_is_not_counted_as_ended(deps, ann):
    session, token = sign_in(deps, ann)
    deps.redis.delete(f"auth:session:{token_digest(token)}")
    assert live(deps, ann) == set()
    assert not session_store.is_live(deps.redis, ann.id, session.id)
    assert end_all(deps, ann) == []


# --- how many ---------------------------------------------------------------------------------------------------------


def signed_in(deps, account, clock, times):
    sessions = []
    for _ in range(times):
        clock.turn(seconds=1)
        sessions.append(sign_in(deps, account))
    return sessions


def test_an_account_has_fifty_sessions_and_the_oldest_end(deps, ann, tom, clock):
    ended = signed_in(deps, ann, clock, 3)
    left = signed_in(deps, ann, clock, SESSIONS_AT_MOST)
    other, _ = sign_in(deps, tom)
    assert live(deps, ann) == {session.id for session, _ in left}
    assert live(deps, tom) == {other.id}
    assert all(session_store.find(deps.redis, token) is None for _, token in ended)
    assert deps.redis.hlen(f"auth:sessions:{ann.id}") == SESSIONS_AT_MOST


def test_one_session_too_many_says_which_one_it_ended(deps, ann, clock):
    (oldest, _), *_ = signed_in(deps, ann, clock, SESSIONS_AT_MOST)
    clock.turn(seconds=1)
    newest = replace(oldest, id="ses_newest", authenticated_at=clock())
    assert session_store.open_session(deps.redis, newest, new_token(), epoch=0) == Opened((oldest.id,))


def test_a_session_that_is_over_leaves_the_index_when_the_next_one_opens(deps, ann):
    for _ in range(5):
        _, token = sign_in(deps, ann)
        deps.redis.delete(f"auth:session:{token_digest(token)}")
    session, _ = sign_in(deps, ann)
    assert deps.redis.hkeys(f"auth:sessions:{ann.id}") == [session.id]


def test_a_login_that_ends_the_oldest_session_tells_the_timeline_and_otp(deps, api, tom, clock):
    (oldest, token), *_ = signed_in(deps, tom, clock, SESSIONS_AT_MOST)
    assert log_in(api(), tom).status_code == 200
    assert problem(who_is(api, token)) == (401, "not_authenticated")
    (ended,) = [row for row in timeline_of(deps, tom) if row.type == "session.ended"]
    assert ended.details == {"session_id": oldest.id, "cause": "too_many_sessions"}
    assert [(event.TYPE, event.session_id) for event in events_in(deps)] == [("session.ended", oldest.id)]


def test_an_index_from_before_there_was_a_limit_is_cut_to_it(deps, ann, clock):
    sessions = signed_in(deps, ann, clock, 2)
    for number in range(200):
        key, session = f"auth:session:{number}", replace(sessions[0][0], id=f"ses_{number:03}")
        deps.redis.set(key, session_json.dump(session), px=60_000)
        deps.redis.hset(f"auth:sessions:{ann.id}", session.id, str(number))
    newest, _ = signed_in(deps, ann, clock, 1)[0]
    assert deps.redis.hlen(f"auth:sessions:{ann.id}") == SESSIONS_AT_MOST
    assert {sessions[1][0].id, newest.id} < live(deps, ann)


# --- what they prove --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factors", "level", "methods"),
    [
        ((PASSWORD,), "aal1", ["pwd"]),
        ((PASSWORD, TOTP), "aal2", ["pwd", "otp", "mfa"]),
        ((PASSWORD, SMS), "aal2", ["pwd", "sms", "mfa"]),
        ((PASSWORD, RECOVERY), "aal2", ["pwd", "otp", "mfa"]),
        ((PASSWORD, DEVICE), "aal1", ["pwd"]),
        ((PASSWORD, DEVICE, TOTP), "aal2", ["pwd", "otp", "mfa"]),
        ((PASSWORD, TOTP, RECOVERY), "aal2", ["pwd", "otp", "mfa"]),
    ],
)
def test_what_was_shown_decides_on_the_level(factors, level, methods):
    assert assurance(factors) is AssuranceLevel(level)
    assert amr(factors) == methods


# --- over HTTP --------------------------------------------------------------------------------------------------------


def test_a_session_tells_its_owner_about_itself(api, ann):
    caller = api(ann)
    document = caller.get("/v1/session").json
    assert document == {
        "id": caller.session.id,
        "account": {
            "id": ann.id,
            "email": "ann@example.com",
            "name": "Ann",
            "role": "member",
            "phone_hint": ann.phone.masked(),
            "pending_phone_hint": None,
            "language": None,
        },
        "factors": ["password", "totp"],
        "assurance": "aal2",
        "transport": "bearer",
        "authenticated_at": "2026-11-24T05:00:00.000000Z",
        "expires_at": "2026-11-24T17:00:00.000000Z",
        "step_up_until": "2026-11-24T05:10:00.000000Z",
        "step_up": "full",
        "prompts": [],
    }


def test_after_a_reset_it_asks_to_turn_2fa_on_again(deps, api, ann):
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, ann.id, prompted=True)
    assert api(ann).get("/v1/session").json["prompts"] == ["enroll_two_factor"]


def test_the_list_is_newest_first_and_says_which_is_this_one(deps, api, ann, tom, clock):
    older, _ = sign_in(deps, ann, PASSWORD)
    sign_in(deps, tom)
    clock.turn(seconds=1)
    caller = api(ann)
    answer = caller.get("/v1/sessions")
    assert [(item["id"], item["current"], item["assurance"]) for item in answer.json["items"]] == [
        (caller.session.id, True, "aal2"),
        (older.id, False, "aal1"),
    ]
    assert (answer.json["items"][0]["ip"], answer.json["items"][0]["browser"]) == ("192.0.2.7", "Firefox on Linux")
    assert caller.token not in answer.text


def test_the_list_comes_in_pages(deps, api, ann, clock):
    others = [session.id for session, _ in signed_in(deps, ann, clock, 4)]
    clock.turn(seconds=1)
    caller = api(ann)
    seen, cursor = [], None
    while True:
        page = caller.get("/v1/sessions?limit=2" + (f"&cursor={cursor}" if cursor else "")).json
        seen.append([item["id"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [[caller.session.id, others[3]], [others[2], others[1]], [others[0]]]


def test_sessions_of_one_moment_are_each_listed_once(deps, api, ann):
    ids = {sign_in(deps, ann)[0].id for _ in range(3)}
    caller = api(ann)
    first = caller.get("/v1/sessions?limit=2").json
    second = caller.get(f"/v1/sessions?limit=2&cursor={first['next_cursor']}").json
    listed = [item["id"] for item in (*first["items"], *second["items"])]
    assert (len(listed), set(listed), second["next_cursor"]) == (4, ids | {caller.session.id}, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=%00", "cursor=é", "page=2"])
def test_a_page_that_there_is_not_is_refused(api, ann, query):
    assert problem(api(ann).get(f"/v1/sessions?{query}")) == (422, "validation_failed")


def test_an_owner_ends_another_session_and_it_is_over_at_once(deps, api, ann):
    other, token = sign_in(deps, ann)
    assert api(ann).delete(f"/v1/sessions/{other.id}").status_code == 204
    assert problem(who_is(api, token)) == (401, "not_authenticated")
    assert types_of(deps, ann) == ["session.ended"]


def test_a_session_that_is_ended_again_stays_ended_and_leaves_one_entry(deps, api, ann, tom):
    other, _ = sign_in(deps, ann)
    caller, path = api(ann), f"/v1/sessions/{other.id}"
    assert [caller.delete(path).status_code for _ in range(3)] == [204, 204, 204]
    assert types_of(deps, ann) == ["session.ended"]
    assert [event.session_id for event in events_in(deps)] == [other.id]
    assert problem(api(tom).delete(path)) == (404, "not_found")


def test_a_repeat_of_an_end_that_otp_did_not_answer_is_no_error(deps, api, ann, otp):
    other, _ = sign_in(deps, ann)
    caller, path = api(ann), f"/v1/sessions/{other.id}"
    otp.ending_refusal = Unavailable("otp")
    assert problem(caller.delete(path)) == (503, "service_unavailable")
    otp.ending_refusal = None
    assert caller.delete(path).status_code == 204


def test_what_is_remembered_of_ended_sessions_is_bounded_and_ends(deps, redis, ann):
    for number in range(150):
        session_store.note_ended(redis, ann.id, f"ses_{number}")
    key = f"auth:ended-sessions:{ann.id}"
    assert redis.llen(key) == 100
    assert 0 < redis.ttl(key) <= LONGEST_SESSION.total_seconds()
    assert session_store.was_ended(redis, ann.id, "ses_149")
    assert not session_store.was_ended(redis, ann.id, "ses_0")


def test_otp_is_told_by_an_event_too_because_a_killed_gateway_makes_no_call(deps, api, ann):
    other, _ = sign_in(deps, ann)
    assert api(ann).delete(f"/v1/sessions/{other.id}").status_code == 204
    assert [(event.TYPE, event.session_id) for event in events_in(deps)] == [("session.ended", other.id)]


def test_a_session_that_otp_does_not_end_in_time_is_not_called_ended(deps, api, ann, otp):
    """otp may still commit what the session has under way, such as a confirmation."""
    other, token = sign_in(deps, ann)
    otp.ending_refusal = Unavailable("otp")
    assert problem(api(ann).delete(f"/v1/sessions/{other.id}")) == (503, "service_unavailable")
    assert problem(who_is(api, token)) == (401, "not_authenticated")
    assert types_of(deps, ann) == ["session.ended"]
    assert [(event.TYPE, event.session_id) for event in events_in(deps)] == [("session.ended", other.id)]


def test_a_logout_goes_on_while_otp_is_down_and_otp_hears_of_it_by_an_event(deps, api, ann, otp):
    caller = api(ann)
    otp.go_down()
    assert caller.post("/v1/logout").status_code == 204
    assert problem(who_is(api, caller.token)) == (401, "not_authenticated")
    assert [(event.TYPE, event.session_id) for event in events_in(deps)] == [("session.ended", caller.session.id)]


def test_nobody_ends_another_accounts_session(deps, api, ann, tom):
    session, token = sign_in(deps, tom)
    for session_id in (session.id, "ses_none", session.id):
        assert problem(api(ann).delete(f"/v1/sessions/{session_id}")) == (404, "not_found")
    assert who_is(api, token).status_code == 200
    assert types_of(deps, tom) == types_of(deps, ann) == []


def test_a_session_is_over_when_its_time_is_even_if_redis_still_has_it(api, ann, clock):
    caller = api(ann)
    clock.turn(hours=12, seconds=-1)
    assert caller.get("/v1/session").status_code == 200
    clock.turn(seconds=1)
    for path in ("/v1/session", "/v1/session/verify", "/v1/sessions"):
        assert problem(caller.get(path)) == (401, "not_authenticated")


@pytest.mark.parametrize("path", ["/v1/session", "/v1/sessions", "/v1/session/verify", "/v1/trusted-devices"])
def test_without_a_session_there_is_nothing_to_see(api, path):
    answer = api().get(path)
    assert problem(answer) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_redis_down_is_503_and_not_401(api, ann, redis_server):
    caller = api(ann)
    redis_server.connected = False
    for path in ("/v1/session", "/v1/session/verify"):
        answer = caller.get(path)
        assert problem(answer) == (503, "service_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1


# --- forward-auth -----------------------------------------------------------------------------------------------------


def test_forward_auth_says_who_it_is_and_how_well_proven(api, ann):
    answer = api(ann, PASSWORD, TOTP).get("/v1/session/verify")
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["X-Account-Id"] == ann.id
    assert answer.headers["X-Assurance"] == "aal2"
    assert answer.headers["X-Factors"] == "password,totp"
    assert answer.headers["Cache-Control"] == "no-store"


def test_forward_auth_tells_a_trusted_device_from_a_code(api, ann):
    answer = api(ann, PASSWORD, DEVICE).get("/v1/session/verify")
    assert answer.headers["X-Assurance"] == "aal1"
    assert answer.headers["X-Factors"] == "password,trusted_device"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nothing"}])
def test_forward_auth_lets_nobody_through_who_is_not_signed_in(api, headers):
    answer = api().get("/v1/session/verify", headers={**headers, "X-Account-Id": "acc_1", "X-Assurance": "aal2"})
    assert problem(answer) == (401, "not_authenticated")
    assert "X-Account-Id" not in answer.headers


def test_an_ended_session_is_refused_by_forward_auth(deps, api, ann):
    caller = api(ann)
    end_all(deps, ann)
    assert problem(caller.get("/v1/session/verify")) == (401, "not_authenticated")


def test_a_session_begun_later_lives_longer(api, ann, clock):
    first = api(ann)
    clock.turn(hours=6)
    second = api(ann)
    clock.turn(hours=7)
    assert first.get("/v1/session").status_code == 401
    assert second.get("/v1/session").status_code == 200
    assert second.session.expires_at - first.session.expires_at == timedelta(hours=6)
