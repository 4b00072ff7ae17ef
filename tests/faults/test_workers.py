"""The couriers die, all of them are away, or are asked to stop, while codes are asked for."""

import time

import pytest

from tests.faults.parts import CODE_WORKERS
from tests.support.twilio_stub import Behaviour

pytestmark = pytest.mark.timeout(200)

# Each broker notes in its own way what a worker has in hand.
ON_BOTH = pytest.mark.parametrize(("stage", "where"), [("small", ""), ("large", "RabbitMQ: ")], indirect=["stage"])


@ON_BOTH
def test_a_courier_killed_mid_send(stage, where):
    def kill_twice(run):
        for _ in range(2):
            stage.kill(run, "codes-1")
            time.sleep(2)
            stage.start("codes-1")
            time.sleep(2)

    line = stage.play(f"{where}one of two couriers killed -9 mid-send, twice", kill_twice, send_seconds=1.0)
    assert not line.violations()


def test_a_courier_killed_while_the_provider_says_no(small):
    """Its message was not taken: whoever sends it again sends it for the first time."""

    def kill(run):
        small.stub.default = Behaviour(status=503, delay=1.5)
        time.sleep(2)
        small.kill(run, "codes-1")
        small.stub.default = Behaviour()
        small.start("codes-1")

    line = small.play("a courier killed -9 while the provider says no", kill)
    assert not line.violations()
    assert line.sms_twice_by_death == 0


def test_couriers_killed_with_a_message_that_they_had_not_read(small):
    """Frozen, they are handed what they had asked for; then they die. The broker thinks it delivered."""

    def freeze_and_kill(run):
        for name in CODE_WORKERS:
            small.parts[name].pause()
        time.sleep(3)
        small.kill(run, *CODE_WORKERS)
        run.ends()
        small.start(*CODE_WORKERS)

    line = small.play("couriers killed -9 before they read what they were handed", freeze_and_kill)
    assert not line.violations()


@ON_BOTH
def test_all_couriers_killed_and_restarted_20_s_later(stage, where):
    def kill_all(run):
        stage.kill(run, *CODE_WORKERS, "notices")
        time.sleep(20)
        run.ends()
        stage.start(*CODE_WORKERS, "notices")

    line = stage.play(f"{where}all couriers killed -9, restarted 20 s later", kill_all, send_seconds=0.5)
    assert not line.violations()


def test_couriers_asked_to_stop_drain_and_lose_nothing(small):
    def stop(run):
        for name in CODE_WORKERS:
            small.parts[name].stop()
            small.start(name)

    line = small.play("SIGTERM to each courier in turn under load", stop, send_seconds=1.0)
    assert not line.violations()
    assert line.sms_twice_by_death == 0
