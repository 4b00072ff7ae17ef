"""Codes that came too late, and codes whose task is gone: closed and reported once, without a task."""

import pytest

from services.notify.delivery import deliver
from services.notify.domain.retries import DONE
from services.notify.overdue import LOOK_AT, PAUSE_SECONDS, close_dead, close_late, look
from shared import delivery
from shared.clock import after
from shared.delivery import LEASE
from tests.unit.notify.courier import Courier

EXPIRED = ("expired", "too_late")


def dies(courier, *message_ids):
    """Redis ends the text, whose order nobody has any more."""
    for message_id in message_ids:
        courier.redis.delete(f"notify:sealed:{message_id}")


def unsent(courier):
    return delivery.unsent(courier.redis, courier.clock()).count


# --- too late ---------------------------------------------------------------------------------------------------------


def test_a_code_that_comes_too_late_is_closed_and_reported_once(courier):
    order = courier.code(life=300)
    courier.clock.turn(300)
    assert [close_late(courier.deps, order) for _ in range(2)] == [True, True]
    assert courier.status() == EXPIRED
    assert courier.told() == [EXPIRED]


def test_a_code_that_is_in_time_is_left_to_its_task(courier):
    order = courier.code(life=300)
    courier.clock.turn(299.9)
    assert not close_late(courier.deps, order)
    assert courier.status() == ("queued", None)
    assert deliver(courier.deps, order) == DONE
    assert len(courier.sms.sent) == 1


def test_a_code_that_is_being_sent_is_left_to_who_sends_it(courier):
    order = courier.code(life=300)
    courier.clock.turn(299)
    delivery.claim(courier.redis, "msg_1", courier.clock(), order.deadline)
    courier.clock.turn(2)
    assert not close_late(courier.deps, order)
    assert courier.told() == []


# --- whose task is gone -----------------------------------------------------------------------------------------------


def test_a_code_whose_task_is_gone_is_closed_with_its_text_and_reported_once(courier):
    order = courier.code()
    assert close_dead(courier.deps) == 0
    dies(courier, "msg_1")
    assert [close_dead(courier.deps), close_dead(courier.deps)] == [1, 0]
    assert courier.status() == EXPIRED
    assert deliver(courier.deps, order) == DONE  # its task comes after all
    assert courier.told() == [EXPIRED]
    assert unsent(courier) == 0


def test_a_text_that_was_taken_back_is_no_news(courier):
    courier.code()
    pipeline = courier.redis.pipeline()
    delivery.queue_withdraw(pipeline, "msg_1")
    pipeline.execute()
    assert close_dead(courier.deps) == 0
    assert courier.told() == []


def test_a_text_that_is_taken_back_during_the_look_is_no_news(courier):
    courier.code()

    class TakesBack:
        """Between our two questions."""

        pipeline = courier.redis.pipeline

        def zrange(self, *where):
            message_ids = courier.redis.zrange(*where)
            pipeline = courier.redis.pipeline()
            delivery.queue_withdraw(pipeline, "msg_1")
            pipeline.execute()
            return message_ids

    assert delivery.died_waiting(TakesBack(), LOOK_AT) == []


def test_a_code_whose_sender_died_with_its_text_is_closed_when_its_lease_is_over(courier):
    order = courier.code()
    delivery.claim(courier.redis, "msg_1", courier.clock(), order.deadline)
    dies(courier, "msg_1")
    assert close_dead(courier.deps) == 0
    courier.clock.turn(LEASE.total_seconds())
    assert close_dead(courier.deps) == 1
    assert courier.told() == [EXPIRED]


def test_a_code_that_waited_for_its_next_try_is_closed_with_its_text(courier):
    order = courier.code()
    claimed = delivery.claim(courier.redis, "msg_1", courier.clock(), order.deadline)
    delivery.release(courier.redis, "msg_1", claimed, courier.clock(), after(courier.clock(), 5))
    dies(courier, "msg_1")
    assert close_dead(courier.deps) == 1


def test_a_look_is_short_and_the_next_one_follows_at_once_while_there_is_something(courier):
    message_ids = [f"msg_{number}" for number in range(LOOK_AT + 1)]
    for message_id in message_ids:
        courier.code(message_id)
        courier.clock.turn(0.001)
    dies(courier, *message_ids)
    assert close_dead(courier.deps) == LOOK_AT
    assert unsent(courier) == 1
    assert [look(courier.deps), look(courier.deps)] == [0.0, PAUSE_SECONDS]
    assert len(courier.told()) == LOOK_AT + 1


def test_a_store_that_is_away_is_looked_at_later_without_a_word(courier, log_text):
    courier.store_goes_away()
    assert look(courier.deps) == PAUSE_SECONDS
    assert log_text() == ""


def test_a_fault_of_ours_is_logged_and_the_next_look_follows(log_text):
    courier = Courier(redis=object())
    assert look(courier.deps) == PAUSE_SECONDS
    assert "overdue codes not closed" in log_text()


@pytest.mark.parametrize("again", [close_late, deliver])
def test_who_looks_for_what_did_not_come_finds_it_in_the_log(courier, log_text, again):
    order = courier.code(life=300)
    courier.clock.turn(300)
    close_late(courier.deps, order)
    again(courier.deps, order)
    assert [log_text().count(words) for words in ("sms code overdue", "sms code not sent")] == [1, 1]
