"""Something hangs, or is locked: nobody waits longer than the three seconds, whatever the call does one after another,
and however many ask at once."""

import contextlib
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from deploy.bench.flood import flood_of_logins
from deploy.bench.pool import PASSWORD, Pooled, fill
from deploy.local.ports import free_port
from deploy.local.redis_server import redis_server
from deploy.local.stack import Stack, running_stack
from deploy.portal import AuthenticatorApp, Portal, wait_for
from tests.e2e.conftest import new_person
from tests.support.outages import (
    WITHIN_SECONDS,
    assert_is_unavailable,
    assert_unavailable,
    at_once,
    frozen,
    timed,
    write_locked,
)

pytestmark = pytest.mark.e2e

MEMBERS = 180
WRONG = "000000"


@dataclass
class Fragile:
    """A stack whose broker is a server of its own, so that one can hang while the other answers."""

    stack: Stack
    broker_port: int
    members: list[Pooled]

    def database(self, service: str) -> Path:
        return self.stack.var_dir / f"{service}.sqlite3"

    def broker(self) -> list[psutil.Process]:
        return [child for child in psutil.Process().children() if str(self.broker_port) in " ".join(child.cmdline())]


@pytest.fixture(scope="module")
def fragile(tmp_path_factory):
    port = free_port()
    with redis_server(tmp_path_factory.mktemp("broker"), port) as broker_url:
        settings = {"TRUSTED_PROXY_COUNT": "1", "BROKER_URL": broker_url}
        with running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings) as stack:
            yield Fragile(stack, port, fill(stack, MEMBERS))


@pytest.fixture(scope="module")
def plain(fragile):
    """Somebody without 2FA."""
    return new_person(fragile.stack, "member", "Waits")


class Member:
    """Somebody with 2FA on and a proven phone, who has given the password and is asked for a code."""

    def __init__(self, fragile: Fragile):
        pooled = fragile.members.pop()
        self.email, self.app = pooled.email, AuthenticatorApp(pooled.secret)
        self.portal = Portal(fragile.stack.base_url, ip=pooled.ip)
        self.challenge = self.log_in().body["challenge"]["id"]

    def log_in(self):
        return self.portal.log_in(self.email, PASSWORD)

    def verify(self, code):
        return self.portal.verify(self.challenge, code)

    def ask_for_sms(self):
        return self.portal.post(f"/v1/login/{self.challenge}/sms")


@pytest.fixture
def member(fragile):
    return Member(fragile)


def enrolling(plain):
    """A call that confirms an enrolment, as often as it is made."""
    portal = plain.signed_in()
    begun = portal.post("/v1/two-factor/enrollment").body
    code = AuthenticatorApp(begun["secret"]).fresh()
    return lambda: portal.post(f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm", {"code": code})


def test_the_broker_hangs(fragile, member):
    with frozen(fragile.broker()):
        assert_unavailable(member.ask_for_sms, "broker")
        assert member.portal.get(f"/v1/login/{member.challenge}").code == "challenge_expired"


class TestAuthsDatabaseIsLocked:
    @pytest.fixture
    def lock(self, fragile):
        return write_locked(fragile.database("auth"))

    def test_login(self, lock, plain):
        with lock:
            assert_unavailable(lambda: plain.portal().log_in(plain.email, plain.password), "sql")

    def test_login_with_a_wrong_password(self, lock, plain):
        with lock:
            assert_unavailable(lambda: plain.portal().log_in(plain.email, "a wrong password"), "sql")

    def test_verification(self, lock, member):
        code = member.app.fresh()
        with lock:
            assert_unavailable(lambda: member.verify(code), "sql")

    def test_sms_request(self, lock, member):
        with lock:
            assert_unavailable(member.ask_for_sms, "sql")

    def test_password_change_and_the_old_one_holds(self, lock, plain):
        portal = plain.signed_in()
        with lock:
            body = {"current_password": plain.password, "new_password": "nine dry herons gossip"}
            assert_unavailable(lambda: portal.post("/v1/password", body), "sql")
        assert plain.portal().log_in(plain.email, plain.password).status == 200

    def test_enrolment_which_otp_has_confirmed_shows_its_codes(self, lock, fragile):
        confirm = enrolling(new_person(fragile.stack, "member", "Waits"))
        with lock:
            answer, seconds = timed(confirm)
        assert len(answer.body["recovery_codes"]) == 10
        assert seconds < WITHIN_SECONDS


class TestOtpsDatabaseIsLocked:
    @pytest.fixture
    def lock(self, fragile):
        return write_locked(fragile.database("otp"))

    def test_verification_and_the_code_is_not_spent(self, lock, member):
        code = member.app.fresh()
        with lock:
            assert_unavailable(lambda: member.verify(code), "otp")
        assert member.verify(code).status == 200

    def test_a_crowd(self, lock, fragile):
        members = [Member(fragile) for _ in range(16)]
        codes = [member.app.fresh() for member in members]
        with lock:
            answers = at_once([lambda pair=pair: pair[0].verify(pair[1]) for pair in zip(members, codes, strict=True)])
        assert_all_unavailable(answers)

    def test_enrolment_and_the_code_is_not_spent(self, lock, fragile):
        confirm = enrolling(new_person(fragile.stack, "member", "Waits"))
        with lock:
            assert_unavailable(confirm, "otp")
        confirmed = wait_for(lambda: answer if (answer := confirm()).status != 503 else None)  # it hashes ten codes
        assert len(confirmed.body["recovery_codes"]) == 10


class TestOtpHangs:
    def test_login(self, fragile, member):
        with frozen(fragile.stack.processes_of("otp")):
            assert_unavailable(member.log_in, "otp")

    def test_verification(self, fragile, member):
        with frozen(fragile.stack.processes_of("otp")):
            assert_unavailable(lambda: member.verify(WRONG), "otp")

    def test_sms_request(self, fragile, member):
        with frozen(fragile.stack.processes_of("otp")):
            assert_unavailable(member.ask_for_sms, "otp")

    def test_logins_while_others_wait_for_argon2(self, fragile):
        members = [Member(fragile) for _ in range(6)]
        with flood_of_logins(fragile.stack.base_url, 8), frozen(fragile.stack.processes_of("otp")):
            for member in members:
                assert_unavailable(member.log_in)  # the part may also be "password hashing"

    def test_a_crowd(self, fragile):
        """Three times as many as the gateway has threads."""
        members = [Member(fragile) for _ in range(24)]
        with frozen(fragile.stack.processes_of("otp")):
            answers = at_once([lambda member=member: member.verify(WRONG) for member in members])
        assert_all_unavailable(answers)

    def test_it_keeps_no_thread_from_those_who_need_no_otp(self, fragile, plain):
        members = [Member(fragile) for _ in range(24)]
        portal = plain.signed_in()
        with frozen(fragile.stack.processes_of("otp")):
            calls = [lambda member=member: member.verify(WRONG) for member in members]
            calls.append(lambda: portal.get("/v1/session/verify"))
            answer, seconds = at_once(calls)[-1]
        assert answer.status == 204
        assert seconds < WITHIN_SECONDS


class TestRedisHangs:
    @pytest.fixture
    def redis(self, fragile):
        return frozen(fragile.stack.processes_of("redis"))

    def test_login(self, redis, member):
        with redis:
            assert_unavailable(member.log_in, "redis")

    def test_verification(self, redis, member):
        with redis:
            assert_unavailable(lambda: member.verify(WRONG), "redis")

    def test_sms_request(self, redis, member):
        with redis:
            assert_unavailable(member.ask_for_sms, "redis")

    def test_session_verification_for_a_crowd(self, redis, plain):
        portal = plain.signed_in()
        with redis:
            assert_unavailable(lambda: portal.get("/v1/session/verify"), "redis")
            assert_all_unavailable(at_once([lambda: portal.get("/v1/session/verify")] * 32))


def assert_all_unavailable(answers):
    for answer, _ in answers:
        assert_is_unavailable(answer)
    assert max(seconds for _, seconds in answers) < WITHIN_SECONDS


def test_a_flood_of_logins_keeps_nobody_from_verifying(fragile):
    members = [Member(fragile) for _ in range(20)]
    with flood_of_logins(fragile.stack.base_url, 16) as flood:
        answers = [timed(lambda member=member: member.verify(WRONG)) for member in members]
    assert flood[503] > flood[401], "it was no flood"
    assert {answer.status for answer, _ in answers} == {401}
    assert max(seconds for _, seconds in answers) < WITHIN_SECONDS


def test_idle_connections_shut_nobody_out(fragile):
    with contextlib.ExitStack() as idle:
        for _ in range(200):
            idle.enter_context(socket.create_connection(("127.0.0.1", fragile.stack.settings.port)))
        time.sleep(0.2)
        answer, seconds = timed(lambda: Portal(fragile.stack.base_url).get("/healthz"))
    assert answer.status == 200
    assert seconds < WITHIN_SECONDS
