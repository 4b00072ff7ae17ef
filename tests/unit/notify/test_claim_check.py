"""The claim check of shared/delivery.py, in the hands of notify."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import delivery
from shared.clock import after
from shared.delivery import RANK, Claimed, DeliveryStatus, Held, Overdue, Settled
from tests.unit.notify.courier import ACCOUNT, START, Courier

FINAL = [status for status, rank in RANK.items() if rank == 3]
DEADLINE = after(START, 300)


def claim(courier, message_id="msg_1", deadline=DEADLINE):
    return delivery.claim(courier.redis, message_id, courier.clock(), deadline)


def test_one_claim_at_a_time(courier):
    courier.code()
    assert isinstance(claim(courier), Claimed)
    assert claim(courier) == Held(delivery.LEASE.total_seconds())


def test_a_lease_that_is_over_can_be_claimed_again(courier):
    courier.code()
    first = claim(courier)
    courier.clock.turn(delivery.LEASE.total_seconds())
    second = claim(courier)
    assert (first.attempt, second.attempt, second.text) == (1, 2, first.text)


def test_a_released_claim_waits_for_its_next_try(courier):
    courier.code()
    claimed = claim(courier)
    assert delivery.release(courier.redis, "msg_1", claimed, courier.clock(), after(courier.clock(), 5))
    assert courier.status() == ("queued", None)
    assert claim(courier) == Held(5.0)
    courier.clock.turn(5)
    assert claim(courier).attempt == 2


def test_a_late_release_leaves_the_claim_of_another_alone(courier):
    courier.code()
    slow = claim(courier)
    courier.clock.turn(delivery.LEASE.total_seconds())
    claim(courier)
    assert not delivery.release(courier.redis, "msg_1", slow, courier.clock(), courier.clock())
    assert isinstance(claim(courier), Held)


def test_a_withdrawn_text_is_never_sent(courier):
    courier.code()
    pipeline = courier.redis.pipeline()
    delivery.queue_withdraw(pipeline, "msg_1")
    pipeline.execute()
    assert claim(courier) == Settled(DeliveryStatus.EXPIRED)
    assert courier.status() == ("expired", None)


def test_an_overdue_message_expires_once(courier):
    courier.code()
    courier.clock.turn(300)
    assert claim(courier) == Overdue()
    assert claim(courier) == Settled(DeliveryStatus.EXPIRED)
    assert courier.status() == ("expired", "too_late")
    assert [(event.account_id, *told) for event, told in zip(courier.changes(), courier.told(), strict=True)] == [
        (ACCOUNT, "expired", "too_late")
    ]


def test_a_message_is_overdue_to_the_millisecond_and_its_owner_hears_of_it(courier):
    courier.code(life=300.0005)
    courier.clock.turn(300.0001)
    deadline = after(START, 300.0005)
    assert claim(courier, deadline=deadline) == Overdue()
    assert courier.told() == [("expired", "too_late")]


def test_a_message_that_is_being_sent_does_not_expire_meanwhile(courier):
    courier.code()
    courier.clock.turn(299)
    claim(courier)
    courier.clock.turn(2)
    assert isinstance(claim(courier), Held)
    assert delivery.advance(courier.redis, "msg_1", DeliveryStatus.SENT, courier.clock())


def test_a_message_that_waits_for_its_next_try_does_expire(courier):
    courier.code()
    courier.clock.turn(297)
    claimed = claim(courier)
    delivery.release(courier.redis, "msg_1", claimed, courier.clock(), after(courier.clock(), 60))
    courier.clock.turn(3)
    assert isinstance(claim(courier), Overdue)


def test_nothing_is_known_of_a_message_that_nobody_put(courier):
    assert not delivery.advance(courier.redis, "msg_forged", DeliveryStatus.DELIVERED, courier.clock())
    assert delivery.read(courier.redis, "msg_forged") is None


@settings(deadline=None)
@given(steps=st.lists(st.sampled_from(list(DeliveryStatus)), min_size=1, max_size=12))
def test_a_delivery_never_goes_backwards_and_a_final_status_never_changes(steps):
    courier = Courier()
    courier.code()
    for step in steps:
        before = courier.status()[0]
        moved = delivery.advance(courier.redis, "msg_1", step, courier.clock())
        now = courier.status()[0]
        assert moved == (now != before)
        assert RANK[now] >= RANK[before]
        if before in FINAL:
            assert now == before


@pytest.mark.parametrize("status", [status for status in DeliveryStatus if RANK[status] >= 2])
def test_the_text_is_gone_once_it_is_out(courier, status):
    courier.code()
    delivery.advance(courier.redis, "msg_1", status, courier.clock())
    assert courier.redis.keys("notify:sealed:*") == []


def test_statuses_live_for_a_day(courier):
    courier.code()
    claim(courier)
    assert timedelta(hours=23) < timedelta(seconds=courier.redis.ttl("notify:delivery:msg_1")) <= timedelta(hours=24)
