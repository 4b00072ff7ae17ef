"""What the loss of each part costs the whole stack on PostgreSQL and RabbitMQ."""

import time
from dataclasses import dataclass

import pytest
from redis import Redis

from deploy.local.ports import free_port
from deploy.local.stack import Stack, running_stack
from deploy.portal import wait_for
from services.otp import attempts_store
from services.otp.limits import HARD_STOP
from shared.clock import system_clock
from shared.database import create_database, writing
from tests.e2e.conftest import Inbox, new_person
from tests.support.outages import assert_unavailable
from tests.support.server import Server
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import TwilioStub

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

BACK_SECONDS = 60


@dataclass
class Parts:
    """A running stack and the servers below it."""

    stack: Stack
    postgres: Server
    rabbitmq: Server
    inbox: Inbox

    def person(self):
        return new_person(self.stack, "member", "Real")

    def half_signed_in(self):
        """Someone with a proven phone, a browser of theirs, and the challenge that it was given."""
        person = self.person()
        person.proven_phone(person.enrolled(), self.inbox)
        browser = person.portal()
        return person, browser, person.challenge(browser)

    @property
    def state(self) -> Redis:
        return Redis.from_url(self.stack.settings.redis_url)


@pytest.fixture(scope="module")
def parts(tmp_path_factory, urls, postgres, rabbitmq):
    with TwilioStub() as stub:
        settings = settings_for(stub) | urls
        with running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings) as stack:
            yield Parts(stack, postgres[0], rabbitmq[0], Inbox(stub))


def activity(portal):
    return [item["type"] for item in portal.get("/v1/activity").body["items"]]


def test_without_the_broker_a_code_by_sms_is_503_and_what_happened_is_reported_later(parts):
    person, other, challenge = parts.half_signed_in()
    parts.rabbitmq.kill()
    try:
        assert_unavailable(lambda: other.post(f"/v1/login/{challenge}/sms"), "broker")
        again = person.challenge(other)
        assert other.verify(again, person.codes[0]).status == 200
        assert "recovery_code.spent" not in activity(other)
    finally:
        parts.rabbitmq.start()
    wait_for(lambda: "recovery_code.spent" in activity(other), seconds=BACK_SECONDS)
    challenge = person.challenge(other)
    sent = wait_for(lambda: _sent(other, challenge), seconds=BACK_SECONDS)
    assert other.verify(challenge, parts.inbox.code(sent)).status == 200


def _sent(portal, challenge):
    answer = portal.post(f"/v1/login/{challenge}/sms")
    return answer.body.get("reference")


def test_a_frozen_broker_keeps_nobody_waiting(parts):
    person, other, challenge = parts.half_signed_in()
    parts.rabbitmq.pause()
    try:
        assert_unavailable(lambda: other.post(f"/v1/login/{challenge}/sms"), "broker")
        again = person.challenge(other)
        assert other.verify(again, person.app.fresh()).status == 200
    finally:
        parts.rabbitmq.resume()


def test_without_the_databases_all_is_503_and_heals(parts):
    person = parts.person()
    portal = person.signed_in()
    parts.postgres.kill()
    try:
        assert_unavailable(lambda: portal.get("/v1/session"), "sql")
        assert_unavailable(lambda: person.portal().log_in(person.email, person.password), "sql")
    finally:
        parts.postgres.start()
    # At the first try: a pooled connection from before is noticed and replaced.
    assert portal.get("/v1/session").status == 200
    assert portal.get("/readyz").status == 200


def test_frozen_databases_keep_nobody_waiting(parts):
    person = parts.person()
    portal = person.signed_in()
    parts.postgres.pause()
    try:
        assert_unavailable(lambda: portal.get("/v1/session"), "sql")
    finally:
        parts.postgres.resume()
    wait_for(lambda: portal.get("/v1/session").status == 200)


def test_a_state_server_that_is_killed_keeps_its_sessions(parts):
    person = parts.person()
    portal = person.signed_in()
    time.sleep(1.5)  # the append-only file is written each second
    parts.stack.processes_of("redis")[0].kill()
    wait_for(lambda: portal.get("/v1/session").status == 200, seconds=BACK_SECONDS)


def test_a_lost_state_ends_sessions_and_challenges_and_nothing_that_lasts(parts):
    person = parts.person()
    portal = person.enrolled()
    # The event of it ends logins that are under way, and the state knows for which event that was done already.
    wait_for(lambda: "two_factor.enabled" in {entry["type"] for entry in portal.get("/v1/activity").body["items"]})
    other = person.portal()
    challenge = person.challenge(other)
    parts.state.flushall()
    assert portal.get("/v1/session").status == 401
    assert other.verify(challenge, person.app.fresh()).code == "challenge_expired"
    assert person.signed_in().get("/v1/two-factor").body["enabled"] is True


def test_a_lost_state_lifts_no_lock(parts):
    """A hundred failures in a row are counted in SQL, too."""
    person = parts.person()
    portal = person.enrolled()
    wait_for(lambda: "two_factor.enabled" in activity(portal))
    database = create_database(parts.stack.settings.environ["OTP_DATABASE_URL"])
    with writing(database) as connection:
        attempts_store.raise_failures(connection, [(person.id, HARD_STOP, system_clock())])
    database.dispose()
    parts.state.flushall()
    other = person.portal()
    answer = other.verify(person.challenge(other), person.app.fresh())
    assert (answer.status, answer.code) == (429, "second_factor_locked")
