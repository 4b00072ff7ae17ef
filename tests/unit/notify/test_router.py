"""Failover and health, through the use cases, with providers that do as they are told."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from services.notify.delivery import deliver
from services.notify.domain.health import BAD_SENDS, QUARANTINE_SECONDS, SLOW_SECONDS, WINDOW
from services.notify.domain.retries import DONE, FAILOVER_SECONDS, MAYBE_SENT_DELAYS, Again
from services.notify.domain.routing import Route
from services.notify.notices import deliver_notice
from services.notify.providers import ProviderMisconfigured, ProviderUnavailable, RecipientRejected, state
from shared import delivery
from shared.clock import after
from shared.delivery_reasons import DeliveryReason
from tests.unit.notify.courier import DOWN, Courier, FakeProvider, send

LOST = ProviderUnavailable("ReadTimeout", maybe_sent=True)


OURS = ProviderMisconfigured("401")


REFUSED = RecipientRejected(DeliveryReason.LANDLINE, "landline")


class Died(BaseException):
    """The worker was killed."""


@pytest.fixture
def pair(first, second):
    return Courier(first, second)


def ask(courier, message_id="msg_1"):
    return courier.deps.sms.asking(message_id).run(courier.redis)


def route_of(courier, message_id):
    return state.reading(message_id, []).run(courier.redis).route


def make_unwell(courier, provider):
    provider.troubles = [DOWN] * BAD_SENDS
    for number in range(BAD_SENDS):
        send(courier, f"msg_unwell_{number}")
    assert provider.troubles == []


@pytest.mark.parametrize("trouble", [DOWN, OURS])
def test_a_provider_that_says_no_is_followed_by_the_next_at_once(pair, first, second, trouble):
    first.troubles = [trouble]
    order = pair.code()
    outcome = deliver(pair.deps, order)
    assert outcome == Again(FAILOVER_SECONDS)
    pair.clock.turn(outcome.seconds)
    assert deliver(pair.deps, order) == DONE
    assert (first.calls, len(second.sent)) == (1, 1)
    assert pair.status() == ("sent", None)
    [event] = pair.changes()
    assert event.provider == "second"


def test_when_all_say_no_the_next_round_waits(pair, first, second):
    first.troubles, second.troubles = [DOWN] * 2, [DOWN] * 2
    order, waits = pair.code(), []
    while isinstance(outcome := deliver(pair.deps, order), Again):
        waits.append(outcome.seconds)
        pair.clock.turn(outcome.seconds)
    assert waits == [FAILOVER_SECONDS, 1.0, FAILOVER_SECONDS, 2.0]
    assert len(first.sent) == 1


def test_when_all_stay_down_the_code_fails_with_the_last_reason(pair, first, second):
    first.troubles, second.troubles = [DOWN] * 1000, [OURS] * 1000
    pair.run(deliver, pair.code(life=60))
    assert pair.status() in {("failed", "provider_down"), ("failed", "our_fault")}
    assert first.sent == second.sent == []


def test_a_number_that_is_refused_is_refused_for_good_and_no_fault_of_the_provider(pair, first, second):
    for number in range(2 * BAD_SENDS):
        first.troubles = [REFUSED]
        send(pair, f"msg_{number}")
        assert pair.status(f"msg_{number}") == ("failed", "landline")
    send(pair, "msg_good")
    assert (len(first.sent), second.calls) == (1, 0)


def test_a_provider_that_failed_three_times_is_left_alone(pair, first, second):
    make_unwell(pair, first)
    calls = first.calls
    for number in range(5):
        send(pair, f"msg_{number}")
    assert first.calls == calls
    assert len(second.sent) == BAD_SENDS + 5


def test_all_workers_know_of_it(pair, first):
    make_unwell(pair, first)
    elsewhere = Courier(FakeProvider("first"), FakeProvider("second"), redis=pair.redis)
    elsewhere.clock.now = pair.clock.now
    send(elsewhere, "msg_elsewhere")
    assert elsewhere.changes()[-1].provider == "second"


def test_a_slow_provider_is_left_alone_too(pair, first, second):
    for number in range(BAD_SENDS):
        first.troubles = [lambda: pair.clock.turn(SLOW_SECONDS)]
        send(pair, f"msg_slow_{number}")
    assert len(first.sent) == BAD_SENDS
    send(pair, "msg_next")
    assert (len(first.sent), len(second.sent)) == (BAD_SENDS, 1)


def test_after_its_quarantine_one_message_tries_it_while_the_others_go_elsewhere(pair, first, second):
    make_unwell(pair, first)
    pair.clock.turn(QUARANTINE_SECONDS[0])
    meanwhile = len(second.sent)
    first.troubles = [lambda: send(pair, "msg_meanwhile")]
    send(pair, "msg_probe")
    assert len(first.sent) == 1
    assert [message.message_id for message in second.sent[meanwhile:]] == ["msg_meanwhile"]


def test_a_probe_that_fails_costs_its_message_nothing_but_a_moment_and_lengthens_the_quarantine(pair, first, second):
    make_unwell(pair, first)
    pair.clock.turn(QUARANTINE_SECONDS[0])
    first.troubles = [DOWN]
    send(pair, "msg_probe")
    assert second.sent[-1].message_id == "msg_probe"
    calls = first.calls
    pair.clock.turn(QUARANTINE_SECONDS[1] - 1)
    send(pair, "msg_too_early")
    assert first.calls == calls
    pair.clock.turn(1)
    send(pair, "msg_in_time")
    assert first.calls == calls + 1


def test_messages_tend_back_by_themselves(pair, first, second):
    make_unwell(pair, first)
    pair.clock.turn(WINDOW.total_seconds())
    elsewhere = len(second.sent)
    for number in range(10):
        send(pair, f"msg_{number}")
    assert len(first.sent) == 10
    assert len(second.sent) == elsewhere


def test_a_lost_answer_of_a_provider_that_cannot_be_asked_again_is_never_followed_by_another(pair, first, second):
    first.troubles = [LOST]
    send(pair, "msg_1")
    assert (first.calls, second.calls) == (1, 0)
    assert pair.status() == ("sent", "provider_down")


def test_a_lost_answer_of_a_provider_that_knows_its_messages_again_is_asked_for_again_there(pair, first, second):
    first.troubles, second.troubles = [DOWN], [LOST, DOWN, LOST]
    order, waits = pair.code(), []
    while isinstance(outcome := deliver(pair.deps, order), Again):
        waits.append(outcome.seconds)
        pair.clock.turn(outcome.seconds)
    assert waits[:2] == [FAILOVER_SECONDS, MAYBE_SENT_DELAYS[0]]
    assert (first.calls, second.calls, len(second.sent)) == (1, 4, 1)
    assert pair.status() == ("sent", None)


def test_a_lost_answer_that_stays_lost_fails_at_the_deadline(pair, first, second):
    first.troubles, second.troubles = [DOWN], [LOST] * 1000
    pair.run(deliver, pair.code())
    assert pair.status() == ("failed", "provider_down")
    assert first.calls == 1


def test_the_message_of_a_worker_that_died_goes_to_the_provider_that_it_went_to(pair, first, second, log_text):
    def die():
        raise Died

    first.troubles = [die]
    order = pair.code()
    with pytest.raises(Died):
        deliver(pair.deps, order)
    make_unwell(pair, first)
    pair.clock.turn(delivery.LEASE.total_seconds())
    pair.run(deliver, order)
    assert first.sent[-1].message_id == "msg_1"
    assert all(message.message_id != "msg_1" for message in second.sent)
    assert '"possible_duplicate": true' in log_text()


def test_the_message_of_a_provider_that_was_taken_out_of_use_is_given_up(pair, first, second):
    order = pair.code()
    second.troubles, first.troubles = [LOST], [DOWN]
    for _ in range(2):
        pair.clock.turn(deliver(pair.deps, order).seconds)
    fewer = replace(pair.deps, sms=replace(pair.deps.sms, providers=(first,)))
    assert deliver(fewer, order) == DONE
    assert first.sent == []
    assert pair.status() == ("failed", "provider_down")


def test_health_that_cannot_be_recorded_does_not_send_a_notice_twice(pair, first):
    notice = pair.notice()
    first.troubles = [pair.store_goes_away]
    pair.store_is_back_after(1)
    assert [deliver_notice(pair.deps, notice) for _ in range(2)] == [DONE] * 2
    assert len(first.sent) == 1


def test_how_a_provider_did_is_remembered_with_what_it_was_sent(pair, first):
    first.troubles = [ProviderUnavailable("ReadTimeout", maybe_sent=True)]
    pair.run(deliver, pair.code())
    pair.run(deliver, pair.code("msg_2"))
    pair.run(deliver_notice, pair.notice())
    assert [text.split()[1] for text in pair.redis.lrange("notify:health:first", 0, -1)] == ["1", "1", "0"]


@pytest.mark.parametrize("rates", [{}, {"first": 1000.0}], ids=["any rate", "its rate"])
@pytest.mark.parametrize("says_no", [[], [DOWN]], ids=["first", "second"])
def test_where_a_message_goes_is_noted_before_it_is_sent(first, second, rates, says_no):
    pair, noted = Courier(first, second, rates=rates), []
    (second if says_no else first).troubles = [lambda: noted.append(route_of(pair, "msg_1").at)]
    first.troubles = [*says_no, *first.troubles]
    send(pair, "msg_1")
    assert noted == ["second" if says_no else "first"]


def test_a_message_is_noted_at_the_first_provider_with_the_question_where_to_send_it(pair):
    assert ask(pair).handed_to == "first"
    assert route_of(pair, "msg_1") == Route(at="first")
    assert 0 < pair.redis.ttl("notify:route:msg_1") <= 900


def test_not_when_it_must_have_its_turn_first(first, second):
    pair = Courier(first, second, rates={"first": 1.0})
    assert ask(pair).handed_to is None
    assert route_of(pair, "msg_1") == Route()


def test_not_when_the_first_provider_failed_lately(pair, first):
    first.troubles = [DOWN]
    send(pair, "msg_0")
    assert ask(pair).handed_to is None
    assert route_of(pair, "msg_1") == Route()


@pytest.mark.parametrize("route", [Route(failed=("first",)), Route(at="second"), Route(rounds=1)])
def test_not_when_it_was_somewhere_before(pair, route):
    state.put_route(pair.redis, "msg_1", route)
    known = ask(pair)
    assert (known.route, known.handed_to) == (route, None)
    assert route_of(pair, "msg_1") == route


def test_a_second_provider_that_fails_is_no_reason_to_ask_twice(pair, first, second):
    first.troubles, second.troubles = [DOWN] * BAD_SENDS, [DOWN] * BAD_SENDS
    for number in range(BAD_SENDS):
        send(pair, f"msg_unwell_{number}")
    pair.redis.delete("notify:health:first")
    assert state.reading("msg_x", ["second"], hands_over=True).run(pair.redis).handed_to is None
    assert ask(pair).handed_to == "first"


def test_nothing_is_sent_that_could_not_be_noted_before(first, second, monkeypatch):
    pair = Courier(first, second, rates={"first": 1000.0})
    put_route, failures = state.put_route, [RedisConnectionError()]

    def away(*args):
        if failures:
            raise failures.pop()
        put_route(*args)

    monkeypatch.setattr(state, "put_route", away)
    order = pair.code()
    with pytest.raises(RedisConnectionError):
        deliver(pair.deps, order)
    assert first.calls == second.calls == 0
    pair.run(deliver, order)
    assert (len(first.sent), second.calls) == (1, 0)


def test_a_notice_fails_over_too(pair, first, second):
    first.troubles = [DOWN]
    pair.run(deliver_notice, pair.notice())
    assert len(second.sent) == 1


def test_a_notice_whose_answer_was_lost_is_not_sent_twice(pair, first, second):
    first.troubles = [LOST]
    notice = pair.notice()
    assert [deliver_notice(pair.deps, notice) for _ in range(2)] == [DONE] * 2
    assert (first.calls, second.calls) == (1, 0)


# --- the promise ----------------------------------------------------------------------------------------------------


class Carrier(FakeProvider):
    """Counts what it really sent out, by message; ``idempotent`` ones send each message once."""

    def __init__(self, name, idempotent, script):
        super().__init__(name, idempotent=idempotent)
        self.script = script
        self.out: list[str] = []

    def send(self, message) -> str:
        what = self.script.pop(0) if self.script else "sent"
        if what == "lost before":
            raise LOST
        if what in {"down", "refused", "ours"}:
            raise {"down": DOWN, "refused": REFUSED, "ours": OURS}[what]
        if not (self.idempotent and message.message_id in self.out):
            self.out.append(message.message_id)
        if what == "lost after":
            raise LOST
        if what == "died":
            raise Died
        return "id"


SCRIPTS = st.lists(
    st.sampled_from(["sent", "down", "refused", "ours", "lost before", "lost after", "died"]), max_size=8
)


@settings(deadline=None)  # a busy machine is no broken promise
@given(
    scripts=st.tuples(SCRIPTS, SCRIPTS, SCRIPTS),
    idempotent=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    rates=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.floats(0.02, 5)),
)
def test_no_sms_twice_for_one_message_but_for_a_worker_that_died(scripts, idempotent, rates):
    carriers = [Carrier(name, *how) for name, *how in zip("abc", idempotent, scripts, strict=True)]
    courier = Courier(*carriers, rates=rates)
    orders = [courier.code(f"msg_{number}") for number in range(3)]
    deaths = dict.fromkeys((order.message_id for order in orders), 0)
    for order in orders:
        while True:
            try:
                outcome = deliver(courier.deps, order)
            except Died:
                deaths[order.message_id] += 1
                courier.clock.turn(delivery.LEASE.total_seconds())
                continue
            if outcome == DONE:
                break
            courier.clock.turn(outcome.seconds)
            assert courier.clock() < after(order.deadline, 60)
    out = [message_id for carrier in carriers for message_id in carrier.out]
    for order in orders:
        assert out.count(order.message_id) <= 1 + deaths[order.message_id]
        if courier.status(order.message_id) == ("sent", None):
            assert out.count(order.message_id) >= 1
