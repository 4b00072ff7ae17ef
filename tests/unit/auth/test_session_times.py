"""A session ends an hour after its last use, and twelve hours after its sign-in."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth import session_store, step_up
from services.auth.domain.session import Factor, Session
from services.auth.settings import AuthSettings
from shared.clock import rfc3339
from shared.ids import token_digest
from shared.problems import Unavailable
from shared.settings import Environment, SettingsError
from tests.support import auth
from tests.support.auth import NOW, PASSWORD, add_device, sign_in
from tests.support.sign_in import log_in, problem, sessions, who_is

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
GONE = (401, "not_authenticated")


@pytest.fixture
def deps(deps):
    return replace(deps, settings=auth.settings(SESSION_IDLE_SECONDS="3600"))


def stored(deps, token):
    return deps.redis.get(f"auth:session:{token_digest(token)}")


def left(deps, token):
    return timedelta(milliseconds=deps.redis.pttl(f"auth:session:{token_digest(token)}"))


def expires_at(deps, token):
    return session_store.find(deps.redis, token).expires_at


# --- without use ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/session", "/v1/session/verify", "/v1/sessions", "/v1/activity"])
def test_a_session_ends_an_hour_after_its_last_use(api, ann, clock, path):
    caller = api(ann)
    clock.turn(minutes=50)
    assert caller.get(path).status_code in {200, 204}
    clock.turn(seconds=3599)
    assert caller.get(path).status_code in {200, 204}
    clock.turn(hours=1)
    assert problem(caller.get(path)) == GONE
    clock.turn(minutes=-30)
    assert caller.get(path).status_code in {200, 204}  # the time decides, and Redis forgets it by then


def test_a_login_opens_it_for_an_hour(deps, api, tom):
    opened = log_in(api(), tom).json
    assert opened["session"]["expires_at"] == rfc3339(NOW + HOUR)
    assert HOUR - MINUTE < left(deps, opened["token"]) <= HOUR


def test_what_it_says_of_its_end_is_true_and_the_list_says_the_same(api, ann, clock):
    caller = api(ann)
    for minutes in (10, 30, 59):
        clock.turn(minutes=minutes)
        said = caller.get("/v1/session").json["expires_at"]
        assert said == rfc3339(clock() + HOUR)
        assert [item["expires_at"] for item in caller.get("/v1/sessions").json["items"]] == [said]


def test_it_ends_twelve_hours_after_the_sign_in_however_much_it_is_used(api, ann, clock):
    caller, ends = api(ann), clock() + timedelta(hours=12)
    while clock() + timedelta(minutes=40) < ends:
        clock.turn(minutes=40)
        said = caller.get("/v1/session").json["expires_at"]
        assert said == rfc3339(min(clock() + HOUR, ends))
    clock.now = ends - timedelta(seconds=1)
    assert caller.get("/v1/session").status_code == 200
    clock.turn(seconds=1)
    assert problem(caller.get("/v1/session")) == GONE


def test_a_session_in_use_costs_one_write_a_minute(deps, api, ann, clock):
    caller = api(ann)
    before = stored(deps, caller.token)
    clock.turn(seconds=59)
    caller.get("/v1/session")
    assert stored(deps, caller.token) == before
    clock.turn(seconds=1)
    caller.get("/v1/session")
    assert stored(deps, caller.token) != before
    assert expires_at(deps, caller.token) == clock() + HOUR


def test_a_page_that_looks_again_by_itself_does_not_keep_it(deps, api, ann, clock):
    caller = api(ann)
    for _ in range(5):
        clock.turn(minutes=10)
        assert caller.get("/v1/session", headers={"X-Unattended": "1"}).status_code == 200
    clock.turn(minutes=10)
    assert problem(caller.get("/v1/session", headers={"X-Unattended": "1"})) == GONE


def test_a_refused_call_with_the_session_is_a_use_too(deps, api, ann, clock):
    caller = api(ann, stepped_up=False)
    clock.turn(minutes=30)
    assert problem(caller.delete("/v1/two-factor")) == (403, "step_up_required")
    assert expires_at(deps, caller.token) == clock() + HOUR


# --- what it leaves alone ---------------------------------------------------------------------------------------------


def test_a_use_moves_no_step_up_window(deps, api, tom, clock):
    caller = api(tom)
    clock.turn(minutes=9)
    assert caller.get("/v1/session").json["step_up_until"] == rfc3339(NOW + 10 * MINUTE)
    clock.turn(minutes=2)
    assert caller.get("/v1/session").json["step_up_until"] is None


def test_a_step_up_and_a_new_token_keep_the_end_that_uses_have_moved(deps, api, tom, clock):
    caller = api(tom)
    clock.turn(minutes=30)
    answer = caller.post("/v1/reauthenticate", {"password": PASSWORD})
    assert answer.json["expires_at"] == rfc3339(clock() + HOUR)
    clock.turn(minutes=5)
    body = {"current_password": PASSWORD, "new_password": "nine dry badgers hum softly"}
    assert caller.post("/v1/password", body).status_code == 200
    assert expires_at(deps, caller.token) == clock() + HOUR
    clock.turn(hours=1)
    assert problem(caller.get("/v1/session")) == GONE


def test_a_remembered_device_outlives_the_session(deps, api, mia, clock):
    add_device(deps, mia, "remembered")
    _, token = sign_in(deps, mia)
    clock.turn(hours=2)
    assert problem(who_is(api, token)) == GONE
    assert log_in(api(), mia, device_token="remembered").json["status"] == "authenticated"


# --- in Redis ---------------------------------------------------------------------------------------------------------


def test_no_use_revives_a_session_that_has_ended(deps, api, ann, clock):
    _session, token = sign_in(deps, ann)
    auth.end_all(deps, ann)
    assert not session_store.keep(deps.redis, token, clock() + HOUR, clock())
    assert stored(deps, token) is None
    assert sessions(deps, ann) == []
    assert problem(who_is(api, token)) == GONE


def test_a_use_that_comes_late_moves_the_end_neither_back_nor_past_the_last(deps, ann, clock):
    session, token = sign_in(deps, ann)
    assert session_store.keep(deps.redis, token, clock() + 2 * HOUR, clock())
    for other in (clock() + HOUR, session.ends_at + timedelta(seconds=1)):
        assert session_store.keep(deps.redis, token, other, clock())
        assert expires_at(deps, token) == clock() + 2 * HOUR
    assert HOUR < left(deps, token) <= 2 * HOUR
    assert session_store.find(deps.redis, token) == replace(session, expires_at=clock() + 2 * HOUR)


def test_a_step_up_that_has_read_the_session_before_a_use_does_not_undo_the_use(deps, ann, clock):
    session, token = sign_in(deps, ann, Factor.PASSWORD)
    session_store.keep(deps.redis, token, clock() + 2 * HOUR, clock())
    session_store.step_up(deps.redis, session, token, clock(), (Factor.PASSWORD, Factor.TOTP))
    assert expires_at(deps, token) == clock() + 2 * HOUR
    assert session_store.find(deps.redis, token).assurance == "aal2"


def test_a_session_that_may_only_repeat_a_call_is_not_kept_by_use(deps, api, mia, otp, clock):
    caller = api(mia, Factor.PASSWORD, Factor.SMS)
    otp.ending_refusal = Unavailable("otp")
    assert problem(caller.delete("/v1/phone")) == (503, "service_unavailable")
    assert caller.get("/v1/session").json["expires_at"] == rfc3339(NOW + MINUTE)
    clock.turn(seconds=59)
    assert caller.get("/v1/session").json["expires_at"] == rfc3339(NOW + MINUTE)
    assert left(deps, caller.token) <= MINUTE
    clock.turn(seconds=1)
    assert problem(caller.get("/v1/session")) == GONE


def test_the_index_of_an_account_lives_as_long_as_its_sessions_may(deps, ann):
    sign_in(deps, ann)
    index = timedelta(milliseconds=deps.redis.pttl(f"auth:sessions:{ann.id}"))
    assert timedelta(hours=12) - MINUTE < index <= timedelta(hours=12)


def test_a_session_of_an_earlier_release_ends_when_it_said(deps, api, ann, clock):
    _, token = sign_in(deps, ann)
    members = json.loads(stored(deps, token))
    del members["ends_at"]
    members["expires_at"] = rfc3339(NOW + 12 * HOUR)
    deps.redis.set(f"auth:session:{token_digest(token)}", json.dumps(members))
    clock.turn(hours=11)
    assert who_is(api, token).json["expires_at"] == rfc3339(NOW + 12 * HOUR)
    assert step_up.window(session_store.find(deps.redis, token), NOW) is not None
    clock.turn(hours=1)
    assert problem(who_is(api, token)) == GONE


# --- the settings -----------------------------------------------------------------------------------------------------


def read(**changes):
    plain = {name: value for name, value in auth.ENVIRONMENT.items() if name != "SESSION_IDLE_SECONDS"}
    return AuthSettings.from_env(Environment({**plain, **changes})).session_times


def test_the_times_are_settings():
    assert (read().life, read().idle) == (12 * HOUR, HOUR)
    times = read(SESSION_LIFE_SECONDS="600", SESSION_IDLE_SECONDS="120")
    assert (times.life, times.idle) == (10 * MINUTE, 2 * MINUTE)


@pytest.mark.parametrize("changes", [{"SESSION_LIFE_SECONDS": "86401"}, {"SESSION_LIFE_SECONDS": "59"},
                                     {"SESSION_IDLE_SECONDS": "59"}, {"SESSION_IDLE_SECONDS": "0"}])  # fmt: skip
def test_a_time_that_makes_no_sense_is_refused(changes):
    with pytest.raises(SettingsError, match=next(iter(changes))):
        read(**changes)


def test_a_life_that_is_shorter_than_the_idle_time_is_the_end(app, deps, api, tom):
    times = auth.settings(SESSION_LIFE_SECONDS="600", SESSION_IDLE_SECONDS="3600")
    app.extensions["latchkey"] = replace(deps, settings=times)
    assert log_in(api(), tom).json["session"]["expires_at"] == rfc3339(NOW + 10 * MINUTE)


def test_every_use_leaves_between_59_and_60_minutes(ann, deps):
    session, _ = sign_in(deps, ann)
    assert isinstance(session, Session)
    for second in range(0, 11 * 3600, 7):
        now = NOW + timedelta(seconds=second)
        session = replace(session, expires_at=session.end_after_use(now, HOUR) or session.expires_at)
        assert 59 * MINUTE < session.expires_at - now <= HOUR
