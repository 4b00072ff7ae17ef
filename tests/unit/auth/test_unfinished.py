"""What fails halfway uses nothing up, opens nothing, and costs no try: the same request, sent again, succeeds."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from services.auth import limits, session_store
from services.auth.domain.session import Factor
from services.auth.otp_client import CodeRefused, Verified
from services.auth.store import devices
from shared import budgets
from shared.budgets import Charge
from shared.database import reading
from shared.hashing import Place
from shared.problems import Unavailable
from tests.support import auth, redis_wire
from tests.support.auth import OTHER_PHONE, fresh, timeline_of, types_of
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
    life_ms = deps.redis.pttl(session_store.challenge_key(challenge_id))
    stored = deps.redis.get(session_store.challenge_key(challenge_id))
    for _ in range(7):
        with fault(deps):
            assert problem(verify(stranger, challenge_id, remember_device=True)) == (503, "service_unavailable")
    assert deps.redis.keys("auth:session*") == []
    assert (types_of(deps, mia), devices_of(deps, mia)) == ([], 0)
    assert deps.redis.get(session_store.challenge_key(challenge_id)) == stored
    assert deps.redis.pttl(session_store.challenge_key(challenge_id)) <= life_ms
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
    waiting = session_store.get_challenge(deps.redis, challenge_id)
    session, token = auth.sign_in(deps, mia)
    session_store.end(deps.redis, mia.id, session.id)  # ours was never opened
    first, first_token = auth.sign_in(deps, mia)
    session_store.delete_challenge(deps.redis, challenge_id)  # as the other one's claim did
    session_store.take_back(deps.redis, session, token, challenge=waiting, now=deps.clock())
    assert session_store.get_challenge(deps.redis, challenge_id) is None
    assert sessions(deps, mia) == [first]
    assert session_store.find(deps.redis, first_token) == first


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tries=st.lists(st.sampled_from([*FAULTS, in_order]), max_size=6))
@pytest.mark.usefixtures("warm", "yes")
def test_no_sequence_of_repeats_opens_two_sessions(deps, stranger, mia, tries):
    """otp says yes each time; the first try that nothing hinders is the only one that lets in."""
    session_store.end_all(deps.redis, mia.id)
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
    otp.refusal = CodeRefused(reason="wrong", recent_failures=3)
    with no_row(deps):
        down(verify(stranger, challenge_id), "sql")
    assert spent(deps, limits.VERIFY_IP, ip_of(deps)) == [1, 1]


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
    assert spent(deps, limits.REAUTHENTICATE, mia.id) == [0, 0, 0]
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
    assert caller.post("/v1/reauthenticate", {"password": "wrong", "code": "424242"}).status_code == 401
    assert spent(deps, limits.REAUTHENTICATE, mia.id) == [1, 1, 1]


def test_a_proof_of_a_phone_that_could_not_be_written_is_given_again(deps, api, mia, yes):
    caller = api(mia, Factor.PASSWORD, Factor.TOTP)
    caller.put("/v1/phone", {"country": "DE", "number": OTHER_PHONE.e164})
    with no_row(deps):
        down(caller.post("/v1/phone/verify", {"code": "424242"}), "sql")
    assert fresh(deps, mia).phone != OTHER_PHONE
    assert caller.post("/v1/phone/verify", {"code": "424242"}).status_code == 200
    assert fresh(deps, mia).phone == OTHER_PHONE
    assert problem(caller.post("/v1/phone/verify", {"code": "424242"})) == (409, "phone_not_pending")
    assert len(yes) == 2
    assert [row.type for row in timeline_of(deps, mia)].count("phone.changed") == 1


def test_a_step_up_that_opened_no_window_is_not_recorded(deps, api, mia, otp):
    caller = api(mia)
    otp.expect(mia.id, "step_up", caller.session.id)
    otp.after_verify = lambda: session_store.end_all(deps.redis, mia.id)
    answer = caller.post("/v1/reauthenticate", {"password": auth.PASSWORD, "code": "424242"})
    assert problem(answer) == (401, "not_authenticated")
    assert types_of(deps, mia) == []
