"""A part is down: 503 with Retry-After within three seconds, health says which, and it heals by itself."""

import contextlib
import time

import pytest
import urllib3

from deploy.local.ports import free_port
from deploy.local.redis_server import redis_server
from deploy.local.stack import running_stack
from deploy.portal import Portal, wait_for
from tests.e2e.conftest import Inbox, new_person
from tests.support.outages import WITHIN_SECONDS, assert_unavailable, frozen, timed
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import Behaviour, TwilioStub

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stub_here():
    with TwilioStub() as stub:
        yield stub


@pytest.fixture(scope="module")
def fragile(tmp_path_factory, stub_here):
    """A stack of its own: its parts are stopped and killed."""
    with running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings_for(stub_here)) as running:
        yield running


@pytest.fixture
def person(fragile):
    return new_person(fragile, "member", "Outages")


def is_live(stack):
    try:
        return Portal(stack.base_url).get("/healthz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_otp_down(fragile, person):
    portal, other = person.enrolled(), person.portal()
    challenge = person.challenge(other)
    fragile.stop_program("otp")
    try:
        code = person.app.fresh()
        assert_unavailable(lambda: other.verify(challenge, code), "otp")
        assert_unavailable(lambda: person.portal().log_in(person.email, person.password), "otp")
        assert_unavailable(lambda: portal.get("/v1/two-factor"), "otp")
        assert portal.get("/v1/session").status == 200
    finally:
        fragile.start_program("otp")
    wait_for(lambda: portal.get("/v1/two-factor").status == 200)
    assert other.verify(challenge, code).status == 200, "the code was not spent by the outage"


def test_otp_hangs(fragile, person):
    portal = person.enrolled()
    with frozen(fragile.processes_of("otp")):
        assert_unavailable(lambda: portal.get("/v1/two-factor"), "otp")
    wait_for(lambda: portal.get("/v1/two-factor").status == 200)


def test_redis_down_and_back(fragile, person):
    portal = person.enrolled()
    fragile.stop_program("redis")
    try:
        assert_unavailable(lambda: portal.get("/v1/session"), "redis")
        assert_unavailable(lambda: person.portal().log_in(person.email, person.password), "redis")
        ready, seconds = timed(lambda: portal.get("/readyz"))
        assert ready.status == 503
        assert ready.body["parts"] == {"sql": "ok", "redis": "down", "clock": "ok"}
        assert seconds < WITHIN_SECONDS
        assert portal.get("/healthz").status == 200
    finally:
        fragile.start_program("redis")
    wait_for(lambda: portal.get("/v1/session").status == 200)
    assert portal.get("/readyz").status == 200
    assert portal.get("/v1/two-factor").body["enabled"] is True


def test_redis_hangs(fragile, person):
    portal = person.signed_in()
    with frozen(fragile.processes_of("redis")):
        assert_unavailable(lambda: portal.get("/v1/session"), "redis")
    wait_for(lambda: portal.get("/v1/session").status == 200)


def test_sql_gone(fragile, person):
    portal = person.signed_in()
    database = fragile.var_dir / "auth.sqlite3"
    lost = {suffix: (fragile.var_dir / f"auth.sqlite3{suffix}") for suffix in ("", "-wal", "-shm")}
    fragile.stop_program("auth")
    moved = {}
    for suffix, path in lost.items():
        if path.exists():
            moved[suffix] = path.rename(path.with_name(f"away{suffix}"))
    database.mkdir()  # so that SQLite cannot simply make a new one
    fragile.start_program("auth")
    try:
        wait_for(lambda: is_live(fragile))
        assert_unavailable(lambda: portal.get("/v1/session"), "sql")
        assert portal.get("/readyz").body["parts"]["sql"] == "down"
    finally:
        database.rmdir()
        for suffix, path in moved.items():
            path.rename(lost[suffix])
    wait_for(lambda: portal.get("/v1/session").status == 200)


def test_a_worker_killed_mid_send_loses_no_code_and_sends_it_again_in_time(fragile, person, stub_here):
    inbox = Inbox(stub_here)
    portal = person.enrolled()
    person.proven_phone(portal, inbox)
    other = person.portal()
    challenge = person.challenge(other)
    # The provider takes its time over an answer that means "not sent": the worker dies with the code in its hands.
    stub_here.script.append(Behaviour(status=503, delay=4.0))
    asked = time.monotonic()
    sent = other.post(f"/v1/login/{challenge}/sms").body
    wait_for(lambda: _sending(other, challenge), seconds=5)
    fragile.processes_of("notify-codes")[0].kill()
    text = inbox.text(sent["reference"])
    assert time.monotonic() - asked < 30
    assert other.verify(challenge, text.splitlines()[-1].split("#")[1]).status == 200
    assert inbox.count(sent["reference"]) == 1


def _sending(portal, challenge):
    return portal.get(f"/v1/login/{challenge}").body["delivery"]["status"] == "sending"


def test_a_refused_number_is_said_in_words(fragile, person, stub_here):
    inbox = Inbox(stub_here)
    portal = person.enrolled()
    person.proven_phone(portal, inbox)
    other = person.portal()
    challenge = person.challenge(other)
    stub_here.script.append(Behaviour(status=400, code=21211))
    other.post(f"/v1/login/{challenge}/sms")

    def failed():
        delivery = other.get(f"/v1/login/{challenge}").body["delivery"]
        return delivery if delivery["status"] == "failed" else None

    assert "number" in wait_for(failed)["message"]


def test_a_broker_that_does_not_take_the_request_costs_the_challenge_and_nothing_else(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broker")
    with contextlib.ExitStack() as servers:
        broker = contextlib.ExitStack()
        broker_url = broker.enter_context(redis_server(folder, free_port()))
        servers.push(broker)
        settings = {"TRUSTED_PROXY_COUNT": "1", "BROKER_URL": broker_url}
        stack = servers.enter_context(running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings))
        person = new_person(stack, "member", "Broker")
        portal = person.enrolled()
        proof = {"password": person.password, "code": person.app.fresh()}  # turning 2FA on has closed the window
        assert portal.post("/v1/reauthenticate", proof).status == 200
        sent = portal.call("PUT", "/v1/phone", {"country": "DE", "number": "01512 3456789"}).body
        inbox = lambda: portal.get("/dev/inbox.json").body  # noqa: E731
        text = wait_for(lambda: next((m["body"] for m in inbox() if sent["reference"] in m["body"]), None))
        assert portal.post("/v1/phone/verify", {"code": text.splitlines()[-1].split("#")[1]}).status == 200
        other = person.portal()
        challenge = person.challenge(other)
        broker.close()
        assert_unavailable(lambda: other.post(f"/v1/login/{challenge}/sms"), "broker")
        assert other.get(f"/v1/login/{challenge}").code == "challenge_expired"
        again = person.challenge(other)
        assert other.verify(again, person.app.fresh()).status == 200
