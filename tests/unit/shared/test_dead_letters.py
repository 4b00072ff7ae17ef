import json
from datetime import UTC, datetime, timedelta

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import RedisError

from shared import dead_letters
from shared.dead_letters import LONGEST_DOCUMENT, DeadLetters, main, replay, table
from shared.messages import SMS_CODES, UnreadableMessage
from shared.problems import Unavailable

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
DOCUMENT = '{"type":"teleport","version":7}'


class Box:
    """The list, on a clock that goes on by a second with each look at it."""

    def __init__(self):
        self.now = START
        self.server = fakeredis.FakeServer()
        self.redis = fakeredis.FakeStrictRedis(server=self.server, decode_responses=True)
        self.letters = DeadLetters(self.redis, self.clock)

    def clock(self):
        self.now += timedelta(seconds=1)
        return self.now

    def keep(self, document=DOCUMENT, *, queue=SMS_CODES, task="notify.send_sms_code", reason="why", source_id="4f"):
        self.letters.keep(queue=queue, task=task, document=document, reason=reason, source_id=source_id)


class Publisher:
    """A list in place of the broker; it raises its ``error`` when it has one."""

    def __init__(self, error=None):
        self.sent, self.error = [], error

    def publish_to(self, queue, document, *, task=None):
        if self.error:
            raise self.error
        self.sent.append((queue, document, task))


@pytest.fixture
def box():
    return Box()


def test_a_letter_says_what_came_where_when_and_why_nobody_acted_on_it(box):
    box.keep()
    [letter] = box.letters.all()
    assert (letter.queue, letter.task, letter.reason) == (SMS_CODES, "notify.send_sms_code", "why")
    assert letter.document == DOCUMENT
    assert letter.at == START + timedelta(seconds=1)
    assert box.letters.find(letter.id) == letter


def test_letters_are_shown_oldest_first(box):
    for number in range(20):
        box.keep(source_id=str(number), reason=str(number))
    assert [letter.reason for letter in box.letters.all()] == [str(number) for number in range(20)]


def test_a_message_that_is_delivered_again_is_the_same_letter(box):
    box.keep()
    box.keep()
    assert box.letters.count() == 1


@pytest.mark.parametrize("other", [{"source_id": "50"}, {"document": "{}"}, {"queue": "auth.events"}])
def test_another_message_is_another_letter(box, other):
    box.keep()
    box.keep(**other)
    assert box.letters.count() == 2


def test_when_there_are_too_many_the_oldest_makes_room_and_the_log_says_so(box, monkeypatch, capsys):
    monkeypatch.setattr(dead_letters, "MOST_KEPT", 3)
    for number in range(5):
        box.keep(source_id=str(number), reason=str(number))
    assert [letter.reason for letter in box.letters.all()] == ["2", "3", "4"]
    assert box.letters.count() == 3
    assert capsys.readouterr().out.count("dead letter dropped: there are too many") == 2


def test_a_document_without_end_does_not_fill_the_store(box):
    box.keep("x" * (LONGEST_DOCUMENT * 3))
    assert len(box.letters.all()[0].document) == LONGEST_DOCUMENT


@given(document=st.text() | st.text(alphabet=st.characters(categories=["Cs"]), max_size=1), task=st.none() | st.text())
def test_whatever_came_is_kept_as_it_came(document, task):
    box = Box()
    box.keep(document, task=task)
    [letter] = box.letters.all()
    assert (letter.document, letter.task) == (document, task)
    table([(letter.task or "", letter.document)]).encode()


def test_a_dropped_letter_is_gone(box):
    box.keep()
    box.letters.drop(box.letters.all()[0].id)
    assert box.letters.all() == []
    assert box.letters.count() == 0


def test_a_store_that_is_away_keeps_nothing_and_says_so(box):
    box.server.connected = False
    with pytest.raises(RedisError):
        box.keep()


# --- replay -----------------------------------------------------------------------------------------------------------


def test_a_replay_publishes_what_came_to_the_queue_that_it_came_on_and_forgets_it(box):
    box.keep()
    publisher = Publisher()
    replay(box.letters, publisher, box.letters.all()[0])
    assert publisher.sent == [(SMS_CODES, json.loads(DOCUMENT), "notify.send_sms_code")]
    assert box.letters.all() == []


def test_what_was_no_json_is_replayed_as_the_text_that_it_was(box):
    box.keep("no json", task=None)
    publisher = Publisher()
    replay(box.letters, publisher, box.letters.all()[0])
    assert publisher.sent == [(SMS_CODES, "no json", None)]


@pytest.mark.parametrize("error", [Unavailable("broker"), UnreadableMessage("no such queue")])
def test_a_letter_that_the_broker_does_not_take_is_kept(box, error):
    box.keep()
    with pytest.raises(type(error)):
        replay(box.letters, Publisher(error), box.letters.all()[0])
    assert box.letters.count() == 1


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["replay"], ["drop"], ["replay", "4f", "--all"], ["drop", "4f", "--all"], ["show"], []]
)
def test_nothing_is_replayed_or_dropped_that_was_not_named(command):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2


def test_a_missing_address_is_a_sentence(monkeypatch, capsys):
    for name in ("REDIS_URL", "STATE_REDIS_URL", "BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["list"]) == 2
    assert "REDIS_URL is not set" in capsys.readouterr().err


def test_a_store_that_is_away_is_a_sentence(monkeypatch, capsys):
    monkeypatch.setenv("REDIS_URL", "redis://operator:pw@127.0.0.1:1/0")
    assert main(["list"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_table_acts_on_no_terminal():
    assert "\x1b" not in table([("\x1b[2J", "a\nb")])
    assert len(table([("\x1b[2J", "a\nb")]).splitlines()) == 1
