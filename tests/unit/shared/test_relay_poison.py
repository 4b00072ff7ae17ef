"""A recorded message that cannot be published, for ever: it becomes a dead letter, and the rest goes on."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import fakeredis
import pytest
from redis.exceptions import RedisError
from sqlalchemy import MetaData, insert, update

from shared import outbox
from shared.database import create_database, reading, writing
from shared.dead_letters import DeadLetters
from shared.messages import AUTH_EVENTS, UnreadableMessage
from shared.problems import Unavailable
from shared.queueing import Publisher, make_celery
from shared.relay import BATCH, Deps, carry
from shared.secret import Secret

NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
METADATA = MetaData()
BOX = outbox.outbox_tables(METADATA)
GOOD = '{"id":"evt_good"}'
POISON = {
    "half a document": (AUTH_EVENTS, '{"id":"evt_'),
    "empty": (AUTH_EVENTS, ""),
    "not an object": (AUTH_EVENTS, '["evt_1"]'),
    "a queue that nobody serves": ("gone.events", GOOD),
}


@dataclass
class Broker:
    """The publisher of the product, over a broker that notes what it takes."""

    sent: list[str] = field(default_factory=list)
    down: bool = False

    def __post_init__(self):
        self._publisher = Publisher(make_celery("test", Secret("memory://")))

    def publish_to(self, queue, document):
        if self.down:
            raise Unavailable("broker")
        self._publisher.publish_to(queue, document)
        self.sent.append(document["id"])


@pytest.fixture
def state():
    return fakeredis.FakeServer()


@pytest.fixture
def deps(tmp_path, state):
    database = create_database(f"sqlite:///{tmp_path}/box.sqlite3")
    METADATA.create_all(database)
    letters = DeadLetters(fakeredis.FakeRedis(server=state, decode_responses=True), lambda: NOW)
    yield Deps(database, Broker(), letters, lambda: NOW)
    database.dispose()


def record(deps, *rows):
    with writing(deps.database) as connection:
        for queue, document in rows:
            values = {"queue": queue, "document": document, "recorded_at": NOW}
            connection.execute(insert(BOX.outbox).values(values))


def waiting(deps, now=NOW + timedelta(days=3650)):
    with reading(deps.database) as connection:
        return [row.text for row in outbox.pending(connection, BOX, now, 1000)]


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_it_becomes_a_dead_letter_and_the_rest_goes_on(deps, poison):
    record(deps, (AUTH_EVENTS, GOOD), poison, (AUTH_EVENTS, GOOD))
    assert carry(deps) == 2
    assert deps.publisher.sent == ["evt_good"] * 2
    assert waiting(deps) == []
    (letter,) = deps.letters.all()
    assert (letter.queue, letter.document) == poison
    assert letter.reason.startswith("outbox position 2: ")
    assert carry(deps) == 0


def test_without_a_place_for_its_letter_it_waits_and_the_rest_goes_on(deps, state):
    record(deps, (AUTH_EVENTS, GOOD), (AUTH_EVENTS, "{"), (AUTH_EVENTS, GOOD))
    state.connected = False
    with pytest.raises(RedisError):
        carry(deps)
    assert deps.publisher.sent == ["evt_good"] * 2
    assert waiting(deps) == ["{"]
    state.connected = True
    assert carry(deps) == 0
    assert (waiting(deps), deps.letters.count()) == ([], 1)


def test_a_batch_of_nothing_else_does_not_keep_the_next_one_back(deps):
    record(deps, *[(AUTH_EVENTS, "{")] * BATCH, (AUTH_EVENTS, GOOD))
    assert carry(deps) == 0
    assert carry(deps) == 1


def test_it_is_set_aside_also_when_the_broker_is_down(deps):
    record(deps, (AUTH_EVENTS, "{"), (AUTH_EVENTS, GOOD))
    deps.publisher.down = True
    with pytest.raises(Unavailable):
        carry(deps)
    assert waiting(deps) == [GOOD]


def test_it_is_kept_for_a_person_however_long_that_takes(deps):
    record(deps, (AUTH_EVENTS, "{"))
    carry(deps)
    with writing(deps.database) as connection:
        assert outbox.forget_before(connection, BOX, NOW + timedelta(days=3650)) == 0
    with writing(deps.database) as connection:  # who has put it right
        connection.execute(update(BOX.outbox).values(document=GOOD, not_before=None))
    assert carry(deps) == 1


def test_what_json_cannot_hold_is_no_outage_of_the_broker():
    with pytest.raises(UnreadableMessage):
        Publisher(make_celery("test", Secret("memory://"))).publish_to(AUTH_EVENTS, {"id": object()})
