import contextlib
import gc
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from celery.concurrency.thread import TaskPool
from hypothesis import given
from hypothesis import strategies as st

from shared.brokers import VISIBILITY_TIMEOUT_SECONDS
from shared.canary import CANARY
from shared.clock import system_clock
from shared.messages import QUEUES, SMS_CODES, SMS_NOTICES
from shared.queueing import RETRY_SECONDS, make_celery
from shared.reception import MALFORMED, NEVER_SET, Consumer, fault_of, wait_of
from shared.secret import Secret

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEADERS = {"task": QUEUES[SMS_CODES], "id": "4f"}
PAYLOAD = [[{"type": "send_sms_code"}], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
EVERYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def fault(headers=None, payload=PAYLOAD, queue=SMS_CODES):
    return fault_of(HEADERS | (headers or {}), payload, queue)


def test_what_our_publishers_make_is_received():
    sent = make_celery("test", Secret("memory://")).amqp.as_task_v2("4f", QUEUES[SMS_CODES], args=[{"type": "x"}])
    assert fault_of(sent.headers, list(sent.body), SMS_CODES) is None


def test_a_canary_is_received_on_every_queue():
    assert [fault({"task": CANARY}, queue=queue) for queue in QUEUES] == [None] * len(QUEUES)


@pytest.mark.parametrize("task", ["nobody.knows", "celery.chain", "", None, ["a", "list"], 5, QUEUES[SMS_NOTICES]])
def test_a_queue_is_for_its_own_task(task):
    assert "not for a task of this name" in fault({"task": task})


def test_no_task_is_for_a_queue_that_nobody_knows():
    assert fault(queue=None)


@pytest.mark.parametrize("headers", [None, {}, [], "text", {"task": QUEUES[SMS_CODES]}, HEADERS | {"id": 5}])
def test_a_message_without_an_id_is_no_task(headers):
    assert "no id" in fault_of(headers, PAYLOAD, SMS_CODES)


@pytest.mark.parametrize(
    "payload",
    [
        *(None, 5, "text", {}, [], [1, 2], [[], {}, {}], [[1, 2], {}, {}], [[1], {"named": 1}, {}]),
        *([[1], {}], [[1], {}, None], ["1", {}, {}], [[1], {}, {"callbacks": [{"task": "any"}]}]),
    ],
)
def test_a_task_takes_one_document_and_nothing_else(payload):
    assert "one document" in fault(payload=payload)


@pytest.mark.parametrize("header", NEVER_SET)
def test_what_none_of_our_tasks_asks_for_is_refused(header):
    assert header in fault({header: "2001-01-01T00:00:00"})


@pytest.mark.parametrize("seconds", [0.5, 7, VISIBILITY_TIMEOUT_SECONDS])
def test_a_countdown_is_waited_for(seconds):
    eta = NOW + timedelta(seconds=seconds)
    assert wait_of({"eta": eta.isoformat()}, NOW) == timedelta(seconds=seconds)
    assert wait_of({"eta": eta.replace(tzinfo=None).isoformat()}, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("eta", [None, "0001-01-01T00:00:00", "2026-11-24T11:59:59+00:00", "2026-11-24T12:00:00"])
def test_what_is_due_does_not_wait(eta):
    assert wait_of({"eta": eta}, NOW) == timedelta()


@pytest.mark.parametrize("eta", ["9999-12-31T23:59:59", "2026-11-24T12:05:00+00:00", "2026-11-24T12:00:16+00:00"])
def test_a_countdown_that_a_wrong_clock_has_set_is_no_longer_than_a_retrys(eta):
    assert wait_of({"eta": eta}, NOW) == timedelta(seconds=RETRY_SECONDS)


@given(eta=EVERYTHING)
def test_no_wait_is_longer_than_the_broker_leaves_a_task_with_a_worker(eta):
    with contextlib.suppress(*MALFORMED):
        assert timedelta() <= wait_of({"eta": eta}, NOW) <= timedelta(seconds=VISIBILITY_TIMEOUT_SECONDS)


@given(headers=EVERYTHING, payload=EVERYTHING, queue=st.none() | st.sampled_from(list(QUEUES)))
def test_whatever_comes_is_refused_or_is_known_to_be_malformed(headers, payload, queue):
    with contextlib.suppress(MALFORMED):
        assert fault_of(headers, payload, queue)


@given(header=st.sampled_from(["expires", "shadow", "task", "id"]), value=EVERYTHING)
def test_no_header_raises_what_nobody_expects(header, value):
    with contextlib.suppress(MALFORMED):
        fault({header: value})


class Idle:
    """A watch that watches nothing."""

    def start(self, queues):
        self.queues = queues

    def consumed(self, queue):
        pass


@pytest.fixture
def settled():
    """Whether what comes is settled at once."""
    return False


@pytest.fixture
def consumer(settled):
    """Of a worker of four threads."""
    celery = make_celery("test", Secret("memory://"))
    yield Consumer(
        None,
        app=celery,
        controller=SimpleNamespace(use_eventloop=False),
        pool=TaskPool(4, app=celery),
        hostname="h",
        initial_prefetch_count=4,
        letters=None,
        watch=Idle(),
        clock=system_clock,
        settle=lambda queue, document: settled and (queue, document) == (SMS_CODES, PAYLOAD[0][0]),
    )
    celery.close()


def test_a_worker_has_one_message_at_hand_beyond_those_of_its_threads(consumer):
    assert consumer.initial_prefetch_count == 5
    assert consumer.max_prefetch_count == 5  # what it returns to after the connection was lost


def test_what_is_loaded_when_a_worker_is_ready_is_never_looked_through_for_garbage_again(consumer):
    consumer.task_consumer = SimpleNamespace(queues=())
    assert gc.get_freeze_count() == 0
    try:
        consumer.on_ready()
        frozen = gc.get_freeze_count()
        assert frozen > 10_000
        made_since = [[] for _ in range(100_000)]
        consumer.on_ready()  # connected anew
        assert gc.get_freeze_count() <= frozen
        assert len(gc.get_objects()) >= len(made_since)
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("settled", [True, False])
def test_what_is_settled_at_once_is_acknowledged_and_becomes_no_task(consumer, settled):
    acknowledged, tasks = [], []
    consumer.strategies[QUEUES[SMS_CODES]] = lambda *what: tasks.append(what)
    message = SimpleNamespace(
        headers=dict(HEADERS),
        payload=PAYLOAD,
        delivery_info={"routing_key": SMS_CODES},
        ack_log_error=lambda *_: acknowledged.append(True),
        reject_log_error=None,
    )
    consumer.create_task_handler()(message)
    assert (len(acknowledged), len(tasks)) == ((1, 0) if settled else (0, 1))
