"""What auth is told of a code: left in Redis with the change itself, carried in batches, at least once."""

import json

import pytest

from services.notify import events
from services.notify.delivery import deliver
from services.notify.events import BATCH, LEASE, PAUSE_AFTER_FAILURE_SECONDS, PAUSE_SECONDS, Carrier
from shared import delivery
from shared.delivery import DeliveryStatus
from shared.messages import AUTH_EVENTS, TwoFactorDisabled, batch_of, encode
from shared.problems import Unavailable
from shared.signed_messages import Gate
from tests.support.signing import SIGNERS, VERIFIER, message_in
from tests.unit.notify.courier import ACCOUNT


class FakeBroker:
    """Keeps what was published; ``trouble`` is called first, and may raise."""

    def __init__(self) -> None:
        self.published: list[tuple[str, object]] = []
        self.trouble = lambda: None

    def publish_to(self, queue: str, document: object) -> None:
        self.trouble()
        self.published.append((queue, document))

    def batches(self) -> list[list[str]]:
        return [[message_in(one).message_id for one in batch_of(document)] for _, document in self.published]


def down():
    part = "broker"
    raise Unavailable(part)


@pytest.fixture
def broker():
    return FakeBroker()


@pytest.fixture
def carrier(courier, broker):
    return Carrier(courier.redis, broker, SIGNERS["notify"])


def sent(courier, *message_ids):
    for message_id in message_ids:
        deliver(courier.deps, courier.code(message_id))


def left(courier):
    return [event.message_id for event in courier.changes()]


# --- left with the change ---------------------------------------------------------------------------------------------


def test_a_change_and_its_event_are_one_step(courier):
    courier.code()
    assert delivery.advance(courier.redis, "msg_1", DeliveryStatus.SENT, courier.clock(), provider="twilio")
    [event] = courier.changes()
    assert (event.account_id, event.message_id, event.status, event.provider) == (ACCOUNT, "msg_1", "sent", "twilio")
    assert event.occurred_at == courier.clock()


def test_what_changes_nothing_leaves_no_event(courier):
    """Nor does what is recorded again, because the first answer was lost."""
    courier.code()
    for status in (DeliveryStatus.DELIVERED, DeliveryStatus.DELIVERED, DeliveryStatus.SENT):
        delivery.advance(courier.redis, "msg_1", status, courier.clock())
    assert courier.told() == [("delivered", None)]


def test_an_account_that_is_known_since_the_envelope_was_opened_is_told(courier):
    deliver(courier.deps, courier.code(account_id=None))
    assert courier.told() == [("sent", None)]


def test_every_event_has_an_id_of_its_own(courier):
    sent(courier, "msg_1", "msg_2")
    assert len({event.id for event in courier.changes()}) == 2


# --- carried ----------------------------------------------------------------------------------------------------------


def test_what_was_left_travels_in_one_message_in_order_and_is_gone_then(courier, broker, carrier):
    sent(courier, "msg_1", "msg_2", "msg_3")
    assert carrier.carry() == 3
    assert broker.batches() == [["msg_1", "msg_2", "msg_3"]]
    assert broker.published[0][0] == AUTH_EVENTS
    assert left(courier) == []


def test_nothing_to_carry_is_no_message(broker, carrier):
    assert carrier.carry() == 0
    assert broker.published == []


def test_a_full_batch_is_followed_by_the_next_at_once(courier, broker, carrier):
    sent(courier, *(f"msg_{number}" for number in range(BATCH + 1)))
    assert [carrier.step(), carrier.step()] == [0.0, PAUSE_SECONDS]
    assert [len(batch) for batch in broker.batches()] == [BATCH, 1]


def test_what_the_broker_does_not_take_stays_and_is_carried_later(courier, broker, carrier, log_text):
    sent(courier, "msg_1")
    broker.trouble = down
    assert [carrier.step() for _ in range(3)] == [PAUSE_AFTER_FAILURE_SECONDS] * 3
    assert left(courier) == ["msg_1"]
    assert log_text().count("changes wait") == 1
    broker.trouble = lambda: None
    carrier.step()
    assert broker.batches() == [["msg_1"]]
    assert "changes are carried again" in log_text()


def test_a_store_that_is_away_is_waited_for(courier, broker, carrier, log_text):
    sent(courier, "msg_1")
    courier.server.connected = False
    assert carrier.step() == PAUSE_AFTER_FAILURE_SECONDS
    assert "changes wait" in log_text()
    courier.server.connected = True
    carrier.step()
    assert broker.batches() == [["msg_1"]]


def test_a_carrier_that_ends_after_publishing_has_lost_nothing(courier, broker):
    sent(courier, "msg_1")

    class Killed(BaseException):
        pass

    dying = Carrier(courier.redis, broker, SIGNERS["notify"])

    def killed(*_):
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(events, "drop_changes", killed)
        with pytest.raises(Killed):
            dying.carry()
    assert left(courier) == ["msg_1"]


def test_what_comes_while_a_batch_is_published_is_kept_for_the_next(courier, broker, carrier):
    sent(courier, "msg_1")
    broker.trouble = lambda: sent(courier, "msg_2")
    carrier.carry()
    assert left(courier) == ["msg_2"]


def test_two_carriers_at_once_may_carry_twice_and_lose_nothing(courier, broker, carrier):
    """The lease of one ended while the broker made it wait, and another carried the same and more was left since."""
    sent(courier, *(f"msg_{number}" for number in range(BATCH + 2)))

    def another():
        broker.trouble = lambda: None
        courier.redis.delete("notify:changes:carrier")
        Carrier(courier.redis, broker, SIGNERS["notify"]).carry()

    broker.trouble = another
    carrier.carry()
    first, second = broker.batches()
    assert first == second
    assert left(courier) == [f"msg_{BATCH}", f"msg_{BATCH + 1}"]


def test_of_several_carriers_one_works_until_its_lease_ends(courier, broker, carrier):
    sent(courier, "msg_1")
    other = Carrier(courier.redis, broker, SIGNERS["notify"])
    carrier.carry()
    sent(courier, "msg_2")
    assert other.carry() == 0
    assert 0 < courier.redis.pttl("notify:changes:carrier") <= LEASE.total_seconds() * 1000
    courier.redis.delete("notify:changes:carrier")  # it ends by itself
    assert other.carry() == 1


def test_what_is_no_event_does_not_stand_in_the_way(courier, broker, carrier):
    courier.redis.rpush("notify:changes", "{not json")
    sent(courier, "msg_1")
    carrier.carry()
    [(_, [foreign, event])] = broker.published
    assert (foreign, message_in(event).message_id) == ("{not json", "msg_1")
    assert json.dumps(foreign)


def test_a_fault_of_ours_is_logged_and_the_carrier_goes_on(courier, broker, carrier, log_text):
    sent(courier, "msg_1")

    def fault():
        raise AssertionError

    broker.trouble = fault
    assert carrier.step() == PAUSE_AFTER_FAILURE_SECONDS
    assert "changes not carried" in log_text()
    assert left(courier) == ["msg_1"]


# --- signed -----------------------------------------------------------------------------------------------------------


def test_what_is_carried_is_signed_by_notify_for_the_gateway(courier, broker, carrier):
    """The script in Redis that has written it has no key."""
    sent(courier, "msg_1")
    [written] = courier.changes()
    carrier.carry()
    [(queue, [document])] = broker.published
    assert Gate(queue, VERIFIER, courier.clock).open(document) == written


def test_notify_signs_no_event_of_others_that_was_put_among_its_own(courier, broker, carrier):
    """Whoever writes this list of Redis would have its signature."""
    forged = encode(TwoFactorDisabled(id="evt_1", occurred_at=courier.clock(), account_id=ACCOUNT))
    courier.redis.rpush("notify:changes", json.dumps(forged))
    carrier.carry()
    assert broker.published == [(AUTH_EVENTS, [forged])]
