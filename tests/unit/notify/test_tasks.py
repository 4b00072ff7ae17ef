from datetime import timedelta

import pytest
from celery.exceptions import Reject, Retry

from services.notify import tasks
from services.notify.domain.retries import STORE_PAUSE_SECONDS
from services.notify.providers import ProviderUnavailable
from shared.dead_letters import DeadLetters
from shared.messages import QUEUES, SMS_CODES, SMS_NOTICES, UnreadableMessage, encode
from shared.queueing import make_celery
from shared.secret import Secret
from shared.signed_messages import Gate
from tests.support.signing import VERIFIER, signed

CODES = tasks.CONSUMERS[SMS_CODES]


def handle(courier, document, queue=SMS_CODES):
    return tasks.handle(courier.deps, Gate(queue, VERIFIER, courier.clock), tasks.CONSUMERS[queue], document)


@pytest.fixture
def app(courier):
    celery = make_celery("test", Secret("memory://"))
    tasks.register_tasks(celery, courier.deps)
    return celery


def test_every_queue_of_notify_has_its_task(app):
    ours = {name for name in QUEUES.values() if name.startswith("notify.")}
    assert ours == {name for name in app.tasks if name.startswith("notify.")}
    assert ours == {QUEUES[queue] for queue in tasks.CONSUMERS}


def test_tasks_acknowledge_late_and_are_retried_without_end(app):
    for queue in tasks.CONSUMERS:
        task = app.tasks[QUEUES[queue]]
        assert (task.acks_late, task.ignore_result, task.max_retries) == (True, True, None)


def test_a_message_becomes_a_delivery(courier):
    handle(courier, encode(courier.code()))
    assert len(courier.sms.sent) == 1


@pytest.mark.parametrize(
    "document",
    [
        None,
        "text",
        [],
        {},
        {"type": "send_sms_code", "version": 1},
        {"type": "send_sms_code", "version": 2},
        {"type": "teleport", "version": 1},
    ],
)
def test_what_nobody_can_read_is_set_aside_loudly(courier, app, document, log_text):
    app.tasks[QUEUES[SMS_CODES]](document)
    assert [letter.content for letter in letters_of(courier)] == [document]
    assert '"level": "error"' in log_text()


def test_a_message_of_another_queue_is_refused(courier):
    with pytest.raises(UnreadableMessage, match="does not belong here"):
        handle(courier, encode(courier.code()), SMS_NOTICES)
    assert courier.sms.calls == 0


def test_a_fault_of_ours_loses_no_message(courier, app):
    courier.sms.troubles = [ZeroDivisionError()]
    order = encode(courier.code())
    app.tasks[QUEUES[SMS_CODES]](order)
    [letter] = letters_of(courier)
    assert (letter.queue, letter.task, letter.content) == (SMS_CODES, QUEUES[SMS_CODES], order)
    assert letter.reason.startswith("ZeroDivisionError in send, line ")


def test_a_store_that_does_not_answer_is_asked_again(app, courier, monkeypatch):
    published = []

    def publish(*_, **options):
        published.append(options)

    task, args = _retrying_task(app, courier, monkeypatch, publish)
    courier.server.connected = False
    with pytest.raises(Retry):
        task.run(*args)
    assert [(options["queue"], options["countdown"]) for options in published] == [(SMS_CODES, STORE_PAUSE_SECONDS)]


def test_a_notice_that_is_early_by_a_moment_comes_again(app, courier, monkeypatch):
    """It stands for several equal ones, and the relay's clock is ahead of ours."""
    published = []
    task, _ = _retrying_task(app, courier, monkeypatch, lambda *_, **options: published.append(options), SMS_NOTICES)
    early = courier.clock() + timedelta(seconds=1)
    with pytest.raises(Retry):
        task.run(signed(courier.notice(), not_before=early))
    assert [(options["queue"], options["countdown"]) for options in published] == [(SMS_NOTICES, STORE_PAUSE_SECONDS)]
    assert letters_of(courier) == []
    assert courier.sms.sent == []


# --- before it is a task ----------------------------------------------------------------------------------------------


def test_a_code_that_comes_too_late_needs_no_task(courier):
    order = courier.code()
    courier.clock.turn(300)
    assert tasks.settle(courier.deps, SMS_CODES, encode(order))
    assert courier.told() == [("expired", "too_late")]


@pytest.mark.parametrize(
    "document",
    [
        {},
        None,
        {"type": "teleport", "version": 1},
        {"type": "teleport", "version": 1, "deadline": "2001-01-01T00:00:00.000000Z"},
        {"deadline": 5},
    ],
)
def test_what_nobody_can_read_is_left_to_its_task(courier, document):
    assert not tasks.settle(courier.deps, SMS_CODES, document)


def test_what_is_in_time_or_is_no_code_or_stands_elsewhere_is_left_to_its_task(courier):
    order = encode(courier.code())
    assert not tasks.settle(courier.deps, SMS_CODES, order)
    courier.clock.turn(300)
    assert not tasks.settle(courier.deps, SMS_NOTICES, order)
    assert not tasks.settle(courier.deps, SMS_CODES, encode(courier.notice(life=-1)))


def test_what_can_not_be_closed_now_is_left_to_its_task(courier):
    order = courier.code()
    courier.clock.turn(300)
    courier.store_goes_away()
    assert not tasks.settle(courier.deps, SMS_CODES, encode(order))


# --- support ----------------------------------------------------------------------------------------------------------


def letters_of(courier):
    return DeadLetters(courier.redis, courier.clock).all()


def _retrying_task(app, courier, monkeypatch, publish, queue=SMS_CODES):
    """The task of this queue as a worker calls it, with the provider down and the broker as given."""
    task = app.tasks[QUEUES[queue]]
    order = courier.code()
    courier.sms.troubles = [ProviderUnavailable("down")]
    task.push_request(args=[encode(order)], kwargs={}, called_directly=False, delivery_info={}, is_eager=False)
    monkeypatch.setattr(type(task), "apply_async", publish)
    return task, [encode(order)]


def test_again_puts_the_task_back_on_its_queue(app, courier, monkeypatch):
    published = []

    def publish(*_, **options):
        published.append(options)

    task, args = _retrying_task(app, courier, monkeypatch, publish)
    with pytest.raises(Retry):
        task.run(*args)
    assert [(options["queue"], options["countdown"]) for options in published] == [(SMS_CODES, 1.0)]


def test_a_task_that_the_broker_does_not_take_back_stays_with_the_broker(app, courier, monkeypatch):
    def publish(*_, **__):
        raise OSError

    task, args = _retrying_task(app, courier, monkeypatch, publish)
    with pytest.raises(Reject) as rejected:
        task.run(*args)
    assert rejected.value.requeue
