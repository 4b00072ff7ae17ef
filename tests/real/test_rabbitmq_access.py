"""The table of users against a real RabbitMQ: what each of them can't do, and that a worker works with what it has."""

import json
import time
import uuid

import pytest
from amqp.exceptions import AccessRefused

from deploy.access.rabbitmq import PREVIOUS_DELAYS, PREVIOUS_EXCHANGE, WAITS, render
from deploy.access.users import SERVICES
from shared import health
from shared.brokers import exchange_of, waiting_queue
from shared.clock import system_clock
from shared.messages import AUTH_EVENTS, OTP_EVENTS, QUEUES
from shared.problems import Unavailable
from shared.queueing import Publisher, make_celery
from shared.queues import read_depths
from shared.secret import Secret
from shared.settings import Environment
from tests.support.consumer import Journal, consumer
from tests.support.rabbitmq import rabbitmq_server

USERS = [user for user in SERVICES if user.on_broker]
PASSWORDS = {user.name: user.name for user in SERVICES}


@pytest.fixture(scope="module")
def port():
    """Of a server with the users of the table, whose passwords are their names."""
    definitions = render(SERVICES, PASSWORDS)
    with rabbitmq_server(definitions=definitions, user="auth") as (_, url):
        yield url.rpartition(":")[2]


@pytest.fixture
def celery_of(port):
    apps = []

    def make(name):
        apps.append(make_celery("test", Secret(f"amqp://{name}:{name}@127.0.0.1:{port}"), reply_seconds=5.0))
        return apps[-1]

    yield make
    for app in apps:
        app.close()


def refused(app, act):
    """Whether the broker refuses this, for want of a right."""
    with app.connection_for_write() as connection:
        try:
            act(connection.channel())
        except AccessRefused:
            return True
        return False


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_only_the_users_in_the_table_put_on_a_queue_and_only_its_worker_takes_from_it(celery_of, user, queue):
    app = celery_of(user.name)
    before = read_depths(app, [queue])[queue].waiting
    if queue in user.publishes_to:
        Publisher(app).publish_to(queue, {})
        assert read_depths(app, [queue])[queue].waiting == before + 1
    else:
        with pytest.raises(Unavailable):
            Publisher(app).publish_to(queue, {})
    assert refused(app, lambda channel: channel.basic_get(queue)) == (queue not in user.takes)


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_no_service_makes_empties_deletes_or_overhears_a_queue(celery_of, user):
    app = celery_of(user.name)
    for queue in QUEUES:
        assert refused(app, lambda channel, queue=queue: channel.queue_delete(queue))
        assert refused(app, lambda channel, queue=queue: channel.queue_bind(queue, exchange_of(queue), "#"))
        if queue not in user.takes:
            assert refused(app, lambda channel, queue=queue: channel.queue_purge(queue))
        assert refused(app, lambda channel, queue=queue: channel.exchange_delete(exchange_of(queue)))
    assert refused(app, lambda channel: channel.queue_declare("mine", durable=True))
    pings = f"x.{user.name}.pidbox"
    if user.takes:
        assert not refused(app, lambda channel: channel.queue_declare(pings, auto_delete=True))
        for queue in QUEUES:
            assert refused(app, lambda channel, queue=queue: channel.queue_bind(pings, exchange_of(queue), "#"))
    assert refused(app, lambda channel: channel.exchange_declare("other.pidbox", "fanout"))


def put(channel, exchange, key, **headers):
    channel.confirm_select()
    channel.basic_publish_confirm(channel.prepare_message(b"x", headers=headers), exchange, key)


def own_exchange(channel, user, kind, **arguments):
    """Declare an exchange under a name that belongs to the pings of this user's worker."""
    name = f"{uuid.uuid4().hex}.{user.name}.pidbox"
    arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.exchange_declare(name, kind, durable=False, auto_delete=False, arguments=arguments)
    return name


def by_copies(channel, _user, exchange, key, queues):
    """RabbitMQ before 4.0 checks no right on the routing keys in these headers."""
    put(channel, exchange, key, CC=[*queues, *(waiting_queue(queue, 1) for queue in queues)])
    put(channel, exchange, key, BCC=queues)


def by_an_alternate_exchange(channel, user, exchange, key, queues):
    name = own_exchange(channel, user, "direct", alternate_exchange=exchange)
    for queue in queues:
        put(channel, name, queue, CC=[key])


def by_a_bound_exchange(channel, user, exchange, key, queues):
    name = own_exchange(channel, user, "fanout")
    channel.exchange_bind(exchange, name)
    for queue in queues:
        put(channel, name, queue, CC=[key])


def by_dead_letters(channel, user, exchange, _key, queues):
    name = own_exchange(channel, user, "fanout")
    for queue in queues:
        dead = {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": queue, "x-message-ttl": 0}
        expired = f"{uuid.uuid4().hex}.{name}"
        channel.queue_declare(expired, auto_delete=False, arguments=dead | {"x-expires": 5000})
        channel.queue_bind(expired, name)
    put(channel, name, "any")


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_what_waits_for_a_queue_is_put_there_by_the_queues_own_users_alone(celery_of, user):
    app = celery_of(user.name)
    before = read_depths(app)
    for queue in QUEUES:
        for seconds in WAITS:
            way = (exchange_of(queue), waiting_queue(queue, seconds))
            assert refused(app, lambda channel, way=way: put(channel, *way)) == (queue not in user.publishes_to)
            assert refused(app, lambda channel, name=way[1]: channel.basic_get(name))
            assert refused(app, lambda channel, name=way[1]: channel.queue_delete(name))
    time.sleep(WAITS[-1] + 1)
    after = read_depths(app)
    for queue in QUEUES:
        assert after[queue].waiting - before[queue].waiting == (len(WAITS) if queue in user.publishes_to else 0)


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_a_routing_key_names_the_queue_that_the_exchange_leads_to_and_no_other(celery_of, user):
    """A worker reads the queue from the routing key. The copy in CC would bring the message there all the same."""
    app = celery_of(user.name)
    for queue in user.publishes_to:
        other = next(one for one in QUEUES if one != queue)
        assert refused(app, lambda channel, way=(queue, other): put(channel, exchange_of(way[0]), way[1], CC=[way[0]]))


DETOURS = [by_copies, by_an_alternate_exchange, by_a_bound_exchange, by_dead_letters]


@pytest.mark.parametrize("detour", DETOURS, ids=lambda detour: detour.__name__)
@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_no_detour_leads_to_a_queue_that_the_table_does_not_give(celery_of, user, detour):
    app = celery_of(user.name)
    others = [queue for queue in QUEUES if queue not in user.publishes_to]
    before = read_depths(app, others)
    entries = [(queue.exchange.name, queue.name) for queue in app.amqp.queues.values()]
    for exchange, key in [*entries, ("", others[0] if others else "")]:
        refused(app, lambda channel, way=(exchange, key): detour(channel, user, *way, others))
    time.sleep(0.5)  # the broker moves dead letters after it has confirmed the message
    assert read_depths(app, others) == before


def test_nobody_comes_in_with_the_default_user(port):
    app = make_celery("test", Secret(f"amqp://guest:guest@127.0.0.1:{port}"), reply_seconds=5.0)
    with pytest.raises(AccessRefused), app.connection_for_write() as connection:
        connection.connect()
    app.close()


@pytest.mark.parametrize(("name", "queue"), [("auth-worker", AUTH_EVENTS), ("otp-worker", OTP_EVENTS)])
def test_a_worker_with_its_rights_acts_and_puts_a_task_back(port, celery_of, tmp_path, name, queue):
    journal, app = Journal(tmp_path / "journal"), celery_of(name)
    with app.connection_for_write() as connection:
        connection.channel().queue_purge(queue)
    url = f"amqp://{name}:{name}@127.0.0.1:{port}"
    with consumer(url, journal, name="celery", queues=queue):
        Publisher(app).publish_to(queue, {"id": "m1", "fail": 1, "again": 1, "again_times": 1})
        journal.wait_for("done", "m1", seconds=60)
        env = Environment({"LATCHKEY_ENV": "development", "REDIS_URL": "redis://127.0.0.1:1", "BROKER_URL": url})
        assert health.worker(env, system_clock) is None
    assert journal.count("begun")["m1"] == 2


def release_before():
    """Definitions with one exchange for all queues; its delayed delivery is an exchange that delays nothing."""
    document = json.loads(render(SERVICES, PASSWORDS, for_upgrade=True))
    exchange = document["exchanges"][0]
    ways = {"vhost": "/", "source": PREVIOUS_EXCHANGE, "destination_type": "queue", "arguments": {}}
    late = ways | {
        "source": PREVIOUS_DELAYS,
        "destination": PREVIOUS_EXCHANGE,
        "destination_type": "exchange",
        "routing_key": "#",
    }
    return document | {
        "topic_permissions": [],
        "exchanges": [exchange | {"name": name} for name in (PREVIOUS_EXCHANGE, PREVIOUS_DELAYS)],
        "queues": [queue for queue in document["queues"] if queue["name"] in QUEUES],
        "bindings": [
            late,
            *(ways | {"destination": queue, "routing_key": f"#.{queue}"} for queue in QUEUES),
        ],
    }


def test_an_upgrade_takes_messages_from_both_releases_until_the_last_definitions_close_the_old_way():
    with rabbitmq_server(definitions=json.dumps(release_before()), user="auth-worker") as (server, url):
        app = make_celery("test", Secret(url), reply_seconds=5.0)

        def old_ways_refused():
            late = "0." * 27 + f"1.{AUTH_EVENTS}"
            ways = [(PREVIOUS_EXCHANGE, AUTH_EVENTS), (PREVIOUS_DELAYS, late)]
            return [refused(app, lambda channel, way=way: put(channel, *way)) for way in ways]

        def load(definitions):
            server.stop()
            (server.log.parent / "definitions.json").write_text(definitions)
            server.start()

        assert old_ways_refused() == [False, False]
        with pytest.raises(Unavailable):
            Publisher(app).publish_to(AUTH_EVENTS, {})
        load(render(SERVICES, PASSWORDS, for_upgrade=True))
        assert old_ways_refused() == [False, False]
        Publisher(app).publish_to(AUTH_EVENTS, {})
        load(render(SERVICES, PASSWORDS))
        assert old_ways_refused() == [True, True]
        Publisher(app).publish_to(AUTH_EVENTS, {})
        assert read_depths(app)[AUTH_EVENTS].waiting == 6
        app.close()
