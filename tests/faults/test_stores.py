"""Brokers and the state server die and come back; workers that lost their broker must really consume again."""

import time

import pytest

from deploy.portal import wait_for
from shared import dev_inbox
from tests.faults.parts import CODE_WORKERS, worker_answers

pytestmark = pytest.mark.timeout(200)

AWAY_SECONDS = 3.0
CONSUMES_SECONDS = 30.0
REMOVED = "Two-factor authentication was removed"


def each_consumes(stage, run):
    """Each courier alone, the other one frozen: what it does not take, nobody takes."""
    for name, other in (CODE_WORKERS, CODE_WORKERS[::-1]):
        stage.parts[other].pause()
        try:
            seen = len(stage.stub.messages)
            wait_for(lambda seen=seen: len(stage.stub.messages) > seen + 2, seconds=CONSUMES_SECONDS)
        except TimeoutError:
            run.notes.append(f"{name} takes nothing any more")
            raise
        finally:
            stage.parts[other].resume()


def a_reset_is_applied_and_told(stage, run, support):
    """Work for those that no sign-in needs: otp's worker takes 2FA off, the one of notices writes to the owner."""
    (person,) = run.reserved
    stage.reset(run, person, support)
    wait_for(
        lambda: any((mail.to, mail.subject) == (person.email, REMOVED) for mail in dev_inbox.messages(stage.state)),
        seconds=CONSUMES_SECONDS,
    )


def kill_the_broker(stage):
    support = stage.support()

    def kill(run):
        pids = stage.pids()
        for _ in range(2):
            stage.broker.kill()
            time.sleep(AWAY_SECONDS)
            stage.broker.start()
            run.ends()
            time.sleep(2)
        each_consumes(stage, run)
        a_reset_is_applied_and_told(stage, run, support)
        for name in stage.parts:
            if name != "relay":
                wait_for(lambda name=name: worker_answers(stage.broker_url, name), seconds=CONSUMES_SECONDS)
        assert pids == stage.pids(), "all by themselves, without a restart"

    return kill


def test_the_redis_broker_killed_and_restarted(small):
    line = small.play("Redis (broker) killed -9 and restarted, twice", kill_the_broker(small), reserve=1)
    assert not line.violations()


def test_rabbitmq_killed_and_restarted(large):
    line = large.play("RabbitMQ killed -9 and restarted, twice", kill_the_broker(large), reserve=1)
    assert not line.violations()


def test_the_state_server_killed_and_restarted(small):
    def kill(run):
        for _ in range(2):
            small.kill_supervised("redis")
            small.wait_until_ready()
            run.ends()
            time.sleep(2)

    line = small.play("Redis (state) killed -9 and restarted, twice", kill)
    assert not line.violations()


def test_the_state_server_away_for_5_s(small):
    def away(run):
        small.stack.stop_program("redis")
        time.sleep(5)
        small.stack.start_program("redis")
        run.ends()

    line = small.play("Redis (state) away for 5 s", away)
    assert not line.violations()
