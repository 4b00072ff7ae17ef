"""The rate of a provider: kept and used, codes first."""

import pytest

from services.notify.delivery import deliver
from services.notify.domain.retries import DONE, NOTICE_TURN_SECONDS, Again
from services.notify.notices import deliver_notice
from shared.clock import after
from tests.unit.notify.courier import DOWN, START, Courier, send


def sent_at(courier, orders, use_case=deliver) -> list[float]:
    """Serve all tasks as a worker would, each when it is due; the seconds at which something was sent."""
    due, moments = dict.fromkeys(range(len(orders)), courier.clock()), []
    while due:
        number = min(due, key=lambda one: due[one])
        courier.clock.now = max(courier.clock.now, due[number])
        before = len(courier.sms.sent)
        outcome = use_case(courier.deps, orders[number])
        moments += [(courier.clock.now - START).total_seconds()] * (len(courier.sms.sent) - before)
        if outcome == DONE:
            del due[number]
        else:
            due[number] = after(courier.clock.now, outcome.seconds)
    return moments


@pytest.mark.parametrize("rate", [0.2, 1.0, 2.5, 10.0])
def test_the_rate_is_kept_and_used(rate):
    courier = Courier(rates={"fake-sms": rate})
    moments = sent_at(courier, [courier.code(f"msg_{number}") for number in range(40)])
    burst = max(1, int(rate))
    for number, moment in enumerate(moments):
        assert moment >= (number - burst + 1) / rate - 0.002
    assert len(moments) == 40
    # A hop is 0.1 s at least, and lasts 5 s at most: a turn that has come is used soon.
    assert moments[-1] <= (40 - burst) / rate + 0.5


def test_who_waits_is_served_in_the_order_in_which_he_came():
    courier = Courier(rates={"fake-sms": 1.0})
    sent_at(courier, [courier.code(f"msg_{number}") for number in range(20)])
    assert [message.message_id for message in courier.sms.sent] == [f"msg_{number}" for number in range(20)]


def test_a_code_that_waits_for_its_turn_is_queued_and_no_thread_waits_with_it():
    courier = Courier(rates={"fake-sms": 1.0})
    first, waiting = courier.code("msg_1"), courier.code("msg_2")
    deliver(courier.deps, first)
    assert deliver(courier.deps, waiting) == Again(1.0)
    assert courier.status("msg_2") == ("queued", None)
    assert courier.slept == []


def test_codes_go_before_notices():
    courier = Courier(rates={"fake-sms": 1.0})
    codes = [courier.code(f"msg_{number}") for number in range(5)]
    notices = [
        courier.notice(message_id=f"ntc_{number}", sealed=courier.seal(f"+4179123456{number}", account=f"acc_{number}"))
        for number in range(5)
    ]
    sent_at(
        courier, [*notices, *codes], lambda deps, order: (deliver_notice if order in notices else deliver)(deps, order)
    )
    ids = [message.message_id for message in courier.sms.sent]
    assert ids[0] == "ntc_0", "it came first and nobody waited"
    assert ids[1:6] == [f"msg_{number}" for number in range(5)]
    assert len(ids) == 10


def test_a_notice_that_has_no_turn_asks_again_later_and_counts_no_try():
    courier = Courier(rates={"fake-sms": 1.0})
    deliver(courier.deps, courier.code())
    assert deliver_notice(courier.deps, courier.notice()) == Again(NOTICE_TURN_SECONDS)
    assert courier.sms.calls == 1


def test_a_code_without_a_turn_in_time_goes_to_the_next_provider(first, second):
    courier = Courier(first, second, rates={"first": 0.02})
    send(courier, "msg_1")
    send(courier, "msg_2")
    order = courier.code("msg_3", life=30)
    courier.run(deliver, order)
    assert [message.message_id for message in second.sent] == ["msg_3"]


def test_a_code_without_a_turn_in_time_anywhere_fails_and_says_so():
    courier = Courier(rates={"fake-sms": 0.01})
    send(courier, "msg_1")
    courier.run(deliver, courier.code("msg_2", life=60))
    assert courier.status("msg_2") == ("failed", "too_late")
    assert courier.sms.calls == 1


def test_a_new_try_takes_a_new_turn():
    courier = Courier(rates={"fake-sms": 0.5})
    courier.sms.troubles = [DOWN]
    order = courier.code()
    began = courier.clock()
    courier.run(deliver, order)
    assert (courier.clock() - began).total_seconds() >= 2.0


def test_without_a_rate_nobody_waits():
    courier = Courier()
    moments = sent_at(courier, [courier.code(f"msg_{number}") for number in range(200)])
    assert set(moments) == {0.0}
