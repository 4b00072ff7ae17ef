import threading

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.notify import recording
from services.notify.delivery import deliver
from services.notify.domain.retries import DONE, RECORD_PAUSES, Again
from services.notify.providers import ProviderMisconfigured, ProviderUnavailable, RecipientRejected
from shared import delivery
from shared.clock import after
from shared.delivery import LEASE
from shared.delivery_reasons import DeliveryReason
from shared.envelope import Envelope
from shared.messages import SmsDeliveryChanged
from tests.unit.notify.courier import ACCOUNT, BODY, CODE, PHONE, make_keys


def test_a_code_is_sent_recorded_and_reported(courier):
    order = courier.code()
    assert deliver(courier.deps, order) == DONE
    [message] = courier.sms.sent
    assert (message.to.e164, message.body, message.message_id) == (PHONE, BODY, "msg_1")
    assert message.wants_receipt
    assert courier.status() == ("sent", None)
    [event] = courier.changes()
    assert isinstance(event, SmsDeliveryChanged)
    assert (event.account_id, event.message_id, event.status) == (ACCOUNT, "msg_1", "sent")
    assert event.provider == "fake-sms"


def test_the_same_message_three_times_is_one_sms(courier):
    order = courier.code()
    assert [deliver(courier.deps, order) for _ in range(3)] == [DONE] * 3
    assert len(courier.sms.sent) == 1
    assert courier.told() == [("sent", None)]


def test_ten_workers_one_sms(courier):
    order = courier.code()
    start = threading.Barrier(10)

    def work():
        start.wait()
        deliver(courier.deps, order)

    workers = [threading.Thread(target=work) for _ in range(10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(courier.sms.sent) == 1


def test_the_provider_is_told_what_is_left_of_the_codes_life_not_of_the_time_to_send_it(courier):
    order = courier.code(life=300, within=270)
    courier.clock.turn(40.5)
    deliver(courier.deps, order)
    assert courier.sms.sent[0].valid_for_seconds == 259


def test_a_code_is_not_sent_after_its_life_whatever_its_order_says(courier):
    order = courier.code(life=60, within=300)
    courier.sms.troubles = [ProviderUnavailable("down")] * 100
    courier.run(deliver, order)
    assert (courier.clock() - order.occurred_at).total_seconds() <= 60


def test_a_code_that_another_worker_sends_is_left_to_it(courier):
    order = courier.code()
    delivery.claim(courier.redis, "msg_1", courier.clock(), order.deadline)
    outcome = deliver(courier.deps, order)
    assert isinstance(outcome, Again)
    assert courier.sms.calls == 0


def test_the_code_of_a_worker_that_died_is_sent_by_another(courier):
    order = courier.code()
    delivery.claim(courier.redis, "msg_1", courier.clock(), order.deadline)  # and dies here
    courier.clock.turn(LEASE.total_seconds())
    assert deliver(courier.deps, order) == DONE
    assert len(courier.sms.sent) == 1


def test_an_overdue_code_is_not_sent_and_reported_expired(courier):
    order = courier.code(life=300)
    courier.clock.turn(300)
    assert deliver(courier.deps, order) == DONE
    assert courier.sms.calls == 0
    assert courier.status() == ("expired", "too_late")
    assert courier.told() == [("expired", "too_late")]


def test_an_overdue_code_of_an_unknown_account_is_nobodys_event(courier):
    order = courier.code(account_id=None)
    courier.clock.turn(300)
    deliver(courier.deps, order)
    assert courier.status()[0] == "expired"
    assert courier.told() == []


def test_a_withdrawn_code_is_not_sent_and_not_reported(courier):
    order = courier.code()
    pipeline = courier.redis.pipeline()
    delivery.queue_withdraw(pipeline, "msg_1")
    pipeline.execute()
    assert deliver(courier.deps, order) == DONE
    assert courier.sms.calls == 0
    assert courier.told() == []


def test_a_refused_number_is_final(courier):
    order = courier.code()
    courier.sms.troubles = [RecipientRejected(DeliveryReason.LANDLINE, "twilio 21614")]
    assert deliver(courier.deps, order) == DONE
    assert deliver(courier.deps, order) == DONE
    assert courier.sms.calls == 1
    assert courier.status() == ("failed", "landline")
    assert courier.told() == [("failed", "landline")]


@pytest.mark.parametrize("kind", [ProviderUnavailable, ProviderMisconfigured])
def test_an_outage_is_waited_out(courier, kind):
    order = courier.code()
    courier.sms.troubles = [kind("twilio 20503")] * 3
    waits = []
    while isinstance(outcome := deliver(courier.deps, order), Again):
        waits.append(outcome.seconds)
        courier.clock.turn(outcome.seconds)
    assert waits == [1.0, 2.0, 3.0]
    assert len(courier.sms.sent) == 1
    assert courier.told() == [("sent", None)]


def test_while_one_delivery_waits_for_the_next_try_a_copy_of_the_task_waits_too(courier):
    order = courier.code()
    courier.sms.troubles = [ProviderUnavailable("twilio 20503")]
    deliver(courier.deps, order)
    assert isinstance(deliver(courier.deps, order), Again)
    assert courier.sms.calls == 1


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(ProviderUnavailable("down"), "provider_down"), (ProviderMisconfigured("twilio 20003"), "our_fault")],
)
def test_an_outage_that_outlives_the_code_fails_with_its_reason(courier, trouble, reason):
    order = courier.code(life=60)
    courier.sms.troubles = [trouble] * 100
    while isinstance(outcome := deliver(courier.deps, order), Again):
        courier.clock.turn(outcome.seconds)
        assert courier.clock() < order.deadline
    assert courier.status() == ("failed", reason)
    assert courier.told() == [("failed", reason)]
    assert courier.sms.sent == []


def test_what_may_have_been_sent_is_not_sent_again_and_its_owner_is_told_to_try_again(courier):
    order = courier.code()
    courier.sms.troubles = [ProviderUnavailable("ReadTimeout", maybe_sent=True)]
    assert [deliver(courier.deps, order) for _ in range(3)] == [DONE] * 3
    assert courier.sms.calls == 1
    assert courier.status() == ("sent", "provider_down")
    assert courier.told() == [("sent", "provider_down")]


def test_a_receipt_settles_what_may_have_been_sent(courier):
    order = courier.code()
    courier.sms.troubles = [ProviderUnavailable("ReadTimeout", maybe_sent=True)]
    deliver(courier.deps, order)
    assert delivery.advance(courier.redis, "msg_1", delivery.DeliveryStatus.DELIVERED, courier.clock())
    assert courier.status() == ("delivered", None)


def test_a_code_sealed_to_another_key_is_our_fault(courier, log_text):
    stranger = make_keys()[1].newest
    order = courier.code()
    sealed = Envelope(ACCOUNT, PHONE, None, BODY, after(courier.clock(), 300)).seal(stranger)
    courier.redis.set("notify:sealed:msg_1", sealed)
    assert deliver(courier.deps, order) == DONE
    assert courier.status() == ("failed", "our_fault")
    assert courier.told() == [("failed", "our_fault")]
    assert '"level": "error"' in log_text()


def test_a_recipient_that_is_no_number_is_our_fault(courier):
    order = courier.code(recipient="0791234567")
    assert deliver(courier.deps, order) == DONE
    assert courier.sms.calls == 0
    assert courier.status() == ("failed", "our_fault")


def test_a_store_that_goes_away_between_send_and_record_is_waited_for(courier):
    order = courier.code()
    courier.sms.troubles = [courier.store_goes_away]
    courier.store_is_back_after(2)
    assert deliver(courier.deps, order) == DONE
    assert courier.slept == list(RECORD_PAUSES[:2])
    assert courier.status() == ("sent", None)
    assert courier.told() == [("sent", None)]
    assert len(courier.sms.sent) == 1


def test_a_store_that_stays_away_after_the_send_is_an_error_in_the_log(courier, log_text):
    order = courier.code()
    courier.sms.troubles = [courier.store_goes_away]
    with pytest.raises(RedisConnectionError):
        deliver(courier.deps, order)
    assert courier.slept == list(recording.RECORD_PAUSES)
    assert "sent but not recorded" in log_text()


@pytest.mark.parametrize(
    "troubles",
    [
        [],
        [RecipientRejected(DeliveryReason.NUMBER_REFUSED, "twilio 21211")],
        [ProviderUnavailable("ReadTimeout", maybe_sent=True)],
        [ProviderMisconfigured("twilio 20003")],
    ],
)
def test_no_log_line_shows_a_number_a_code_or_a_text(courier, troubles, log_text):
    order = courier.code()
    courier.sms.troubles = troubles
    deliver(courier.deps, order)
    courier.code("msg_2", recipient=PHONE[1:])
    deliver(courier.deps, courier.order("msg_2"))
    text = log_text()
    assert "msg_1" in text
    for planted in (PHONE, PHONE[1:], PHONE[3:], CODE, "Your code"):
        assert planted not in text
    assert "4567" in text


def test_no_event_carries_a_number_or_a_code(courier):
    deliver(courier.deps, courier.code())
    assert not any(planted in repr(courier.changes()) for planted in (PHONE, CODE))
