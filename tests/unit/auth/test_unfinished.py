"""What fails halfway uses nothing up, opens nothing, and costs no try: the same request, sent again, succeeds."""

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from services.auth import challenge_store, limits, session_store
from services.auth.domain.session import Factor
from services.auth.otp_client import CodeRefused, Verified
from services.auth.store import devices
from shared import budgets
from shared.budgets import Charge
from shared.database import reading
from shared.hashing import Place
from shared.ids import token_digest
from shared.problems import Unavailable
from tests.support import auth, redis_wire
from tests.support.auth import OTHER_PHONE, end_all, end_one, fresh, notices_in, types_of
from tests.support.sign_in import challenge, down, email_of, ip_of, log_in, problem, sessions, spent, verify, who_is


@contextlib.contextmanager
def no_row(deps):
    """The timeline takes no entry."""
    with deps.database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON timeline BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    yield
    with deps.database.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")


@contextlib.contextmanager
def no_commit(deps):
    """What was written is lost with its connection."""

    def cut(_connection):
        raise OperationalError("COMMIT", {}, Exception("cut"))

    event.listen(deps.database, "commit", cut)
    yield
    event.remove(deps.database, "commit", cut)


@contextlib.contextmanager
def no_reply(deps):
    """The session is opened, and nobody hears of it."""

    def lose(command):
        if session_store._OPEN.sha.encode() in command:
            raise RedisConnectionError("lost")

    with pytest.MonkeyPatch.context() as patch:
        redis_wire.watch(patch, deps.redis, lose)
        yield


@contextlib.contextmanager
def in_order(_deps):
    yield


FAULTS = [no_row, no_commit, no_reply]


@pytest.fixture
def warm(deps, mia):
    """Redis knows the scripts."""
    session, token = auth.sign_in(deps, mia)
    session_store.take_back(deps.redis, session, token, challenge=None, now=deps.clock())


@pytest.fixture
def yes(otp):
    """otp as it is to a code that it has accepted a moment ago."""
    asked = []
    otp.verify = lambda *args: asked.append(args) or Verified("recovery_code")
    return asked


def devices_of(deps, account):
    with reading(deps.database) as connection:
        return devices.count_trusted(connection, account.id, deps.clock())


@pytest.mark.usefixtures("warm", "yes")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_sign_in_that_fails_leaves_its_challenge_and_nothing_else(deps, api, stranger, mia, fault):
    challenge_id = challenge(stranger, mia)
    stored = deps.redis.get(challenge_store.key(challenge_id))
    for _ in range(7):
        with fault(deps):
            assert problem(verify(stranger, challenge_id, remember_device=True)) == (503, "service_unavailable")
    assert deps.redis.keys("auth:session*") == []
    assert (types_of(deps, mia), devices_of(deps, mia)) == (["password.accepted"], 0)
    assert deps.redis.get(challenge_store.key(challenge_id)) == stored
    # The app's clock stands still here and the server's does not: put back, it lives as long as a new one at the most.
    assert deps.redis.pttl(challenge_store.key(challenge_id)) <= limits.CHALLENGE_LIFE / timedelta(milliseconds=1)
    answer = verify(stranger, challenge_id, remember_device=True)
    assert who_is(api, answer.json["token"]).status_code == 200
    assert len(sessions(deps, mia)) == devices_of(deps, mia) == types_of(deps, mia).count("session.started") == 1


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_sign_in_by_password_that_fails_opens_nothing(deps, stranger, tom, fault):
    with fault(deps):
        assert problem(log_in(stranger, tom)) == (503, "service_unavailable")
    assert (sessions(deps, tom), types_of(deps, tom)) == ([], [])
    assert log_in(stranger, tom).status_code == 200


def test_a_database_that_is_away_is_found_out_before_the_code_is_used_up(deps, stranger, mia, yes):
    challenge_id = challenge(stranger, mia)
    with deps.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE accounts RENAME TO gone")
    down(verify(stranger, challenge_id), "sql")
    assert yes == []


def test_the_challenge_of_a_login_that_another_one_completed_is_not_put_back(deps, stranger, mia):
    """The reply was lost, and it was a refusal."""
    challenge_id = challenge(stranger, mia)
    waiting = challenge_store.get(deps.redis, challenge_id)
    session, token = auth.sign_in(deps, mia)
    end_one(deps, mia, session)  # ours was never opened
    first, first_token = auth.sign_in(deps, mia)
    challenge_store.delete(deps.redis, challenge_id)  # as the other one's claim did
    session_store.take_back(deps.redis, session, token, challenge=waiting, now=deps.clock())
    assert challenge_store.get(deps.redis, challenge_id) is None
    assert sessions(deps, mia) == [first]
    assert session_store.find(deps.redis, first_token) == first


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tries=st.lists(st.sampled_from([*FAULTS, in_order]), max_size=6))
@pytest.mark.usefixtures("warm", "yes")
def test_no_sequence_of_repeats_opens_two_sessions(deps, stranger, mia, tries):
    """otp says yes each time; the first try that nothing hinders is the only one that lets in."""
    end_all(deps, mia)
    budgets.clear(deps.redis, Charge(limits.VERIFY_IP, ip_of(deps)))
    challenge_id, in_already = challenge(stranger, mia), False
    for fault in tries:
        with fault(deps):
            answer = verify(stranger, challenge_id)
        # A used challenge is gone before otp is asked.
        expected = 410 if in_already else 200 if fault is in_order else 503
        assert answer.status_code == expected
        in_already = in_already or answer.status_code == 200
        assert len(sessions(deps, mia)) == in_already


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_obedient_retries_of_a_good_code_do_not_lock_its_ip_out(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    otp.go_down()
    for _ in range(5):
        down(verify(stranger, challenge_id), "otp")
    assert spent(deps, limits.VERIFY_IP, ip_of(deps)) == [0, 0]


def test_nor_when_it_fails_after_otp_said_yes(deps, stranger, mia, yes):
    challenge_id = challenge(stranger, mia)
    with no_row(deps):
        down(verify(stranger, challenge_id), "sql")
    assert len(yes) == 1
    assert spent(deps, limits.VERIFY_IP, ip_of(deps)) == [0, 0]


def test_a_wrong_code_is_paid_for_though_its_notice_fails(deps, stranger, mia, otp):
    challenge_id = challenge(stranger, mia)
    told = len(notices_in(deps))
    otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
    for _ in range(limits.WRONG_CODES_A_NOTICE - 1):
        assert verify(stranger, challenge_id).status_code == 401
    with no_row(deps):
        down(verify(stranger, challenge_id), "sql")
    assert len(notices_in(deps)) == told
    assert spent(deps, limits.VERIFY_IP, ip_of(deps)) == [limits.WRONG_CODES_A_NOTICE] * 2
    assert verify(stranger, challenge_id).status_code == 401
    assert len(notices_in(deps)) == told + 2, "the count failed with the notice, so the next wrong code is the fifth"


def test_a_password_that_was_not_compared_costs_nothing(deps, app, stranger, mia):
    class SlowHashing(type(deps.hashing)):
        @contextlib.contextmanager
        def place(self):
            def too_slow(*_args):
                raise Unavailable("password hashing")

            yield Place(too_slow)

    app.extensions["latchkey"] = replace(deps, hashing=SlowHashing(max_waiting=1))
    log_in(stranger, mia, "wrong")
    assert spent(deps, limits.LOGIN_EMAIL, email_of(deps, mia)) == [0, 0]
    assert spent(deps, limits.LOGIN_IP, ip_of(deps)) == [0, 0]


@pytest.mark.parametrize("part", ["otp", "hashing", "sql"])
def test_a_step_up_that_was_not_answered_costs_nothing_and_opens_nothing(deps, app, api, mia, otp, clock, part):
    caller = api(mia)
    clock.turn(hours=1)
    for _ in range(7):
        otp.expect(mia.id, "step_up", caller.session.id)  # says yes again
        with contextlib.ExitStack() as outage:
            if part == "otp":
                otp.go_down()
            elif part == "hashing":
                outage.enter_context(deps.hashing.place())
                app.extensions["latchkey"] = replace(deps, hashing=full(deps.hashing))
            else:
                outage.enter_context(no_row(deps))
            answer = caller.post("/v1/reauthenticate", {"password": auth.PASSWORD, "code": "424242"})
            assert problem(answer) == (503, "service_unavailable")
        otp.refusal, app.extensions["latchkey"] = None, deps
        assert caller.get("/v1/session").json["step_up_until"] is None
    assert spent(deps, limits.REAUTHENTICATE, caller.session.id) == [0, 0, 0]
    otp.expect(mia.id, "step_up", caller.session.id)
    assert caller.post("/v1/reauthenticate", {"password": auth.PASSWORD, "code": "424242"}).status_code == 200
    assert types_of(deps, mia).count("session.stepped_up") == 1


def full(hashing):
    class FullHashing(type(hashing)):
        def verify(self, *_args):
            raise Unavailable("password hashing")

    return FullHashing(max_waiting=1)


def test_a_wrong_password_at_step_up_is_paid_for_though_otp_is_down(deps, api, mia, otp):
    caller = api(mia)
    otp.go_down()
    assert caller.post("/v1/reauthenticate", {"password": "wrong", "code": "424242"}).status_code == 422
    assert spent(deps, limits.REAUTHENTICATE, caller.session.id) == [1, 1, 1]


@contextlib.contextmanager
def no_answer_of_otp(deps):
    """otp ends the codes, and the gateway does not hear of it."""

    def lose():
        raise Unavailable("otp")

    deps.otp.after_end = lose
    yield


CHANGE_FAULTS = [no_row, no_commit, no_answer_of_otp]


def repeat_of_a_proof(deps, caller, account, fault):
    """Let the proof of a new phone fail, and return its repeat a moment before its minute is over."""
    phone_before = fresh(deps, account).phone
    caller.put("/v1/phone", {"country": "DE", "number": OTHER_PHONE.e164})
    with fault(deps):
        assert problem(caller.post("/v1/phone/verify", {"code": "424242"})) == (503, "service_unavailable")
    assert fresh(deps, account).phone == phone_before
    deps.clock.turn(seconds=59)
    answer = caller.post("/v1/phone/verify", {"code": "424242"})
    assert (answer.status_code, fresh(deps, account).phone) == (200, OTHER_PHONE)
    assert types_of(deps, account).count("phone.changed") == 1
    return answer


@pytest.mark.parametrize("fault", CHANGE_FAULTS)
def test_a_proof_of_a_phone_that_fails_is_done_by_its_repeat(deps, api, mia, fault):
    caller = api(mia, Factor.PASSWORD, Factor.TOTP)
    repeat_of_a_proof(deps, caller, mia, fault)
    assert problem(caller.post("/v1/phone/verify", {"code": "424243"})) == (409, "phone_not_pending")


@pytest.mark.parametrize("fault", CHANGE_FAULTS)
def test_a_session_that_rests_on_the_phone_that_it_replaces_ends_with_the_repeat(deps, api, mia, fault):
    caller = api(mia, Factor.PASSWORD, Factor.SMS)
    answer = repeat_of_a_proof(deps, caller, mia, fault)
    assert problem(caller.get("/v1/session")) == (401, "not_authenticated")
    assert caller.post("/v1/phone/verify", {"code": "424242"}).data == answer.data


@pytest.mark.parametrize("fault", CHANGE_FAULTS)
def test_a_removal_of_a_phone_that_fails_is_done_by_its_repeat(deps, api, mia, fault):
    caller = api(mia, Factor.PASSWORD, Factor.SMS)
    with fault(deps):
        assert problem(caller.delete("/v1/phone")) == (503, "service_unavailable")
    assert caller.delete("/v1/phone").status_code == 204
    assert (fresh(deps, mia).phone, sessions(deps, mia)) == (None, [])


@pytest.mark.parametrize("rests_on", [Factor.TOTP, Factor.SMS])
def test_a_session_whose_change_of_its_phone_fails_has_a_minute_for_the_repeat(deps, api, mia, rests_on):
    caller = api(mia, Factor.PASSWORD, rests_on)
    _, other = auth.sign_in(deps, mia, Factor.PASSWORD, Factor.SMS)
    for _ in range(2):
        with no_answer_of_otp(deps):
            assert caller.delete("/v1/phone").status_code == 503
    left = deps.redis.pttl(f"auth:session:{token_digest(caller.token)}")
    assert (0 < left <= 60_000) == (rests_on is Factor.SMS)
    assert session_store.find(deps.redis, other) is None


def test_a_session_that_redis_does_not_end_after_the_change_of_its_phone_ends_within_a_minute(
    deps, api, mia, redis_server
):
    caller = api(mia, Factor.PASSWORD, Factor.SMS)

    def lose_redis(_connection):
        redis_server.connected = False

    event.listen(deps.database, "commit", lose_redis)
    answer = caller.delete("/v1/phone")
    event.remove(deps.database, "commit", lose_redis)
    redis_server.connected = True
    assert (answer.status_code, fresh(deps, mia).phone) == (204, None)
    assert 0 < deps.redis.pttl(f"auth:session:{token_digest(caller.token)}") <= 60_000


def test_a_proof_of_a_phone_whose_commit_came_to_pass_unheard_is_answered_by_its_repeat(deps, api, mia):
    caller = api(mia)
    caller.put("/v1/phone", {"country": "DE", "number": OTHER_PHONE.e164})

    def commit_and_cut(connection):
        connection.connection.driver_connection.commit()
        raise OperationalError("COMMIT", {}, Exception("cut"))

    event.listen(deps.database, "commit", commit_and_cut)
    answer = caller.post("/v1/phone/verify", {"code": "424242"})
    event.remove(deps.database, "commit", commit_and_cut)
    assert (problem(answer), fresh(deps, mia).phone) == ((503, "service_unavailable"), OTHER_PHONE)
    answer = caller.post("/v1/phone/verify", {"code": "424242"})
    assert (answer.status_code, answer.json["phone_hint"]) == (200, OTHER_PHONE.masked())
    assert types_of(deps, mia).count("phone.changed") == 1


def test_a_proof_of_a_phone_that_was_not_committed_is_told_to_nobody(deps, api, mia):
    caller = api(mia)
    caller.put("/v1/phone", {"country": "DE", "number": OTHER_PHONE.e164})
    with no_commit(deps):
        assert caller.post("/v1/phone/verify", {"code": "424242"}).status_code == 503
    assert caller.delete("/v1/phone").status_code == 204
    assert problem(caller.post("/v1/phone/verify", {"code": "424242"})) == (409, "phone_not_pending")


def test_a_step_up_that_opened_no_window_is_not_recorded(deps, api, mia, otp):
    caller = api(mia)
    otp.expect(mia.id, "step_up", caller.session.id)
    otp.after_verify = lambda: end_all(deps, mia)
    answer = caller.post("/v1/reauthenticate", {"password": auth.PASSWORD, "code": "424242"})
    assert problem(answer) == (401, "not_authenticated")
    assert types_of(deps, mia) == []
