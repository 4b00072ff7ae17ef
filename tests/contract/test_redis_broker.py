"""Redis as broker: what is published and not acknowledged is delivered again, whatever dies and whenever."""

import socket
import threading
import time

import pytest
from kombu import Connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.lua import LuaScript
from shared.messages import EMAIL_NOTICES, QUEUES, SMS_CODES
from shared.queueing import Publisher, make_celery
from shared.redis_notes import index_of, notes_of
from shared.secret import Secret

VISIBILITY_SECONDS = 0.3


@pytest.fixture(scope="module")
def server_url(running):
    return running[1]


@pytest.fixture
def redis(server_url):
    client = Redis.from_url(server_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def celery(server_url, redis):
    app = make_celery("test", Secret(server_url), reply_seconds=1.0)
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "visibility_timeout": VISIBILITY_SECONDS,
    }
    yield app
    app.close()


@pytest.fixture
def publish(celery):
    publisher = Publisher(celery)
    return lambda number=0, queue=SMS_CODES: publisher.publish_to(queue, {"number": number})


class Worker:
    """The broker's side of one: takes messages, acknowledges them or not, and looks for lost ones."""

    def __init__(self, connection: Connection):
        self.channel = connection.channel()
        self.channel.basic_qos(0, 100, apply_global=False)
        for queue in QUEUES:
            self.channel.basic_consume(queue, no_ack=False, callback=None, consumer_tag=queue)

    def take(self, queue=SMS_CODES):
        return self.channel.basic_get(queue)

    def look(self):
        self.channel.qos.restore_visible(num=200)


@pytest.fixture
def worker(celery):
    with celery.connection_for_read() as connection:
        yield Worker(connection)


def die_with(redis, queue=SMS_CODES):
    """A worker's command took the message off its list, and the worker died before it said a word more."""
    assert redis.rpop(queue) is not None


def wait():
    time.sleep(VISIBILITY_SECONDS + 0.05)


@pytest.mark.parametrize("queue", QUEUES)
def test_a_message_that_died_with_a_worker_which_had_not_noted_it_is_delivered(redis, publish, worker, queue):
    publish(queue=queue)
    die_with(redis, queue)
    wait()
    worker.look()
    assert worker.take(queue) is not None
    assert worker.take(queue) is None


def test_not_before_the_visibility_timeout(redis, publish, worker):
    publish()
    die_with(redis)
    worker.look()
    assert worker.take() is None


def test_it_may_die_again_and_again(redis, publish, worker):
    publish()
    for _ in range(3):
        die_with(redis)
        wait()
        worker.look()
    assert worker.take() is not None


def test_messages_that_wait_are_not_doubled(redis, publish, worker):
    for number in range(5):
        publish(number)
    die_with(redis)
    for _ in range(3):
        wait()
        worker.look()
    assert redis.llen(SMS_CODES) == 5


def test_what_was_put_back_and_waits_is_not_doubled(redis, publish, worker):
    publish()
    die_with(redis)
    for _ in range(3):
        wait()
        worker.look()
    assert redis.llen(SMS_CODES) == 1


def test_an_acknowledged_message_leaves_nothing_behind(redis, publish, worker):
    publish()
    worker.take().ack()
    assert not redis.hlen(notes_of(SMS_CODES))
    assert not redis.zcard(index_of(SMS_CODES))
    wait()
    worker.look()
    assert worker.take() is None


def test_a_message_in_hand_is_given_to_another_when_its_worker_stays_silent(publish, worker):
    publish()
    held = worker.take()
    wait()
    worker.look()
    again = worker.take()
    assert again.payload == held.payload
    assert again.headers["redelivered"]


@pytest.mark.parametrize("end", ["ack", "reject", "requeue"])
def test_an_acknowledgement_that_redis_does_not_answer_leaves_no_hand_full(server, publish, worker, end):
    """Celery goes on after it over the same connection."""
    worker.channel.basic_qos(0, 1, apply_global=False)
    publish()
    held = worker.take()
    assert not worker.channel.qos.can_consume()
    server.pause()
    try:
        with pytest.raises(RedisTimeoutError):
            getattr(held, end)()
    finally:
        server.resume()
    assert worker.channel.qos.can_consume()


def test_a_message_given_back_comes_first_and_once(publish, worker):
    publish(1)
    publish(2)
    worker.take().reject(requeue=True)
    assert [worker.take().payload[0][0]["number"] for _ in range(2)] in ([1, 2], [2, 1])
    assert worker.take() is None


@pytest.mark.parametrize("queue", QUEUES)
def test_codes_are_served_newest_first_all_else_in_order(publish, worker, queue):
    for number in range(3):
        publish(number, queue)
    taken = [worker.take(queue).payload[0][0]["number"] for _ in range(3)]
    assert taken == ([2, 1, 0] if queue == SMS_CODES else [0, 1, 2])


def test_a_rejected_message_is_gone(redis, publish, worker):
    publish()
    worker.take().reject()
    wait()
    worker.look()
    assert worker.take() is None
    assert not redis.hlen(notes_of(SMS_CODES))


def test_a_message_from_elsewhere_is_noted_when_it_is_taken(celery, redis, publish, worker):
    """An older publisher's, or one that somebody pushed by hand: what stands on the list is all there is of it."""
    publish()
    redis.delete(notes_of(SMS_CODES), index_of(SMS_CODES))
    worker.take()
    wait()
    worker.look()
    assert worker.take() is not None


def test_what_is_noted_without_a_message_is_forgotten(redis, worker):
    redis.zadd(index_of(SMS_CODES), {"a-tag": 1.0})
    worker.look()
    assert not redis.zcard(index_of(SMS_CODES))


def test_a_worker_puts_back_nothing_of_a_queue_that_it_does_not_take_from(redis, publish, worker):
    publish(queue=EMAIL_NOTICES)
    die_with(redis, EMAIL_NOTICES)
    wait()
    worker.channel.basic_cancel(EMAIL_NOTICES)
    worker.look()
    assert redis.llen(EMAIL_NOTICES) == 0


def test_a_message_that_says_to_be_of_another_queue_is_no_task(celery, redis, publish):
    publish(queue=EMAIL_NOTICES)
    redis.lpush(SMS_CODES, redis.rpop(EMAIL_NOTICES))
    taken = []
    with celery.connection_for_read() as connection:
        connection.channel().basic_consume(SMS_CODES, no_ack=True, callback=taken.append, consumer_tag="one")
        connection.drain_events(timeout=2)
    assert taken[0].delivery_info["routing_key"] == SMS_CODES
    assert taken[0].headers == {}


def test_messages_of_one_queue_do_not_come_back_on_another(redis, publish, worker):
    publish(queue=EMAIL_NOTICES)
    die_with(redis, EMAIL_NOTICES)
    wait()
    worker.look()
    assert worker.take(SMS_CODES) is None
    assert worker.take(EMAIL_NOTICES) is not None


# --- the connection that a channel keeps for its own scripts --------------------------------------------------------


def connections(redis):
    return redis.info("stats")["total_connections_received"]


def test_messages_are_taken_and_acknowledged_over_a_connection_that_is_kept(redis, publish, worker):
    for _ in range(2):
        publish()
        worker.take().ack()
    made = connections(redis)
    for number in range(5):
        publish(number)
        worker.take().ack()
    assert connections(redis) == made


def test_a_connection_that_was_cut_meanwhile_is_found_out_before_it_is_used(redis, publish, worker):
    publish()
    held = worker.take()
    redis.client_kill_filter(_type="normal", skipme=True)
    held.ack()
    assert not redis.hlen(notes_of(SMS_CODES))


def test_a_channel_that_lost_its_connections_makes_new_ones_and_closes_them(celery, redis, publish):
    publish()
    before = len(redis.client_list())
    with celery.connection_for_read() as connection:
        worker = Worker(connection)
        held = worker.take()
        worker.channel._disconnect_pools()
        held.ack()
        assert not redis.hlen(notes_of(SMS_CODES))
        worker.channel._disconnect_pools()
        assert len(redis.client_list()) == before


def test_a_server_that_hangs_up_is_tried_once_for_each_question():
    """Else who asks waits for two time-outs."""
    redis = Redis(host="127.0.0.1", retry=Retry(NoBackoff(), 0), port=0)
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        redis.connection_pool.connection_kwargs["port"] = server.getsockname()[1]

        def hang_up():
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                calls.append(connection)  # before the client can know
                connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        for asked in range(1, 4):
            with pytest.raises(RedisConnectionError):
                LuaScript("return 1").run(redis, [], [])
            assert len(calls) == asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
