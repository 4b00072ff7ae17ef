import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import MetaData, select

from shared import outbox
from shared.database import create_database, reading, writing
from shared.messages import AUTH_EVENTS, OTP_EVENTS, RecoveryCodesRegenerated, TwoFactorResetApproved, decode

NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
METADATA = MetaData()
BOX = outbox.outbox_tables(METADATA)


@pytest.fixture
def database(tmp_path):
    engine = create_database(f"sqlite:///{tmp_path}/box.sqlite3")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def message(number):
    return RecoveryCodesRegenerated(id=f"evt_{number}", occurred_at=NOW, account_id="acc_1")


def record(database, *numbers, not_before=None):
    with writing(database) as connection:
        for number in numbers:
            outbox.record(connection, BOX, message(number), not_before=not_before)


def pending(database, now=NOW, limit=100):
    with reading(database) as connection:
        return outbox.pending(connection, BOX, now, limit)


def ids(rows):
    return [row.document["id"] for row in rows]


def test_a_message_is_there_when_its_change_is_and_not_otherwise(database):
    with suppress(RuntimeError), writing(database) as connection:
        outbox.record(connection, BOX, message(1))
        raise RuntimeError
    assert pending(database) == []
    record(database, 2)
    (row,) = pending(database)
    assert (row.queue, decode(row.document)) == (AUTH_EVENTS, message(2))


def test_each_goes_to_the_queues_of_those_who_act_on_it(database):
    approved = TwoFactorResetApproved(id="evt_1", occurred_at=NOW, account_id="acc_1", reset_id="rst_1")
    with writing(database) as connection:
        outbox.record(connection, BOX, approved)
    assert [row.queue for row in pending(database)] == [OTP_EVENTS]


def test_the_order_is_that_of_recording(database):
    record(database, 3, 1, 2)
    assert ids(pending(database)) == ["evt_3", "evt_1", "evt_2"]
    assert ids(pending(database, limit=2)) == ["evt_3", "evt_1"]


def test_a_message_that_is_to_wait_waits_and_lets_others_by(database):
    due = NOW + timedelta(hours=1)
    record(database, 1, not_before=due)
    record(database, 2)
    assert ids(pending(database)) == ["evt_2"]
    assert ids(pending(database, due - timedelta(microseconds=1))) == ["evt_2"]
    assert ids(pending(database, due)) == ["evt_1", "evt_2"]


def test_what_is_published_is_not_pending(database):
    record(database, 1, 2, 3)
    first, _, third = pending(database)
    with writing(database) as connection:
        outbox.mark_published(connection, BOX, [first.position, third.position], NOW)
    assert ids(pending(database)) == ["evt_2"]


def test_marking_nothing_marks_nothing(database):
    record(database, 1)
    with writing(database) as connection:
        outbox.mark_published(connection, BOX, [], NOW)
    assert ids(pending(database)) == ["evt_1"]


def test_a_message_is_handled_once(database):
    with writing(database) as connection:
        assert outbox.handle_once(connection, BOX, "evt_1", NOW)
        assert not outbox.handle_once(connection, BOX, "evt_1", NOW)
        assert outbox.handle_once(connection, BOX, "evt_2", NOW)
    with writing(database) as connection:
        assert not outbox.handle_once(connection, BOX, "evt_1", NOW + timedelta(days=1))


def test_a_consumer_whose_effects_are_rolled_back_has_not_handled_it(database):
    with suppress(RuntimeError), writing(database) as connection:
        assert outbox.handle_once(connection, BOX, "evt_1", NOW)
        raise RuntimeError
    with writing(database) as connection:
        assert outbox.handle_once(connection, BOX, "evt_1", NOW)


def test_what_is_old_is_forgotten_and_what_waits_never_is(database):
    record(database, 1, 2)
    with writing(database) as connection:
        first, _ = outbox.pending(connection, BOX, NOW, 10)
        outbox.mark_published(connection, BOX, [first.position], NOW)
        outbox.handle_once(connection, BOX, "evt_9", NOW)
    with writing(database) as connection:
        assert outbox.forget_before(connection, BOX, NOW) == 0
        assert outbox.forget_before(connection, BOX, NOW + timedelta(microseconds=1)) == 2
    assert ids(pending(database, NOW + timedelta(days=365))) == ["evt_2"]


def test_a_document_is_stored_as_it_will_travel(database):
    record(database, 1)
    with reading(database) as connection:
        stored = connection.execute(select(BOX.outbox.c.document)).scalar_one()
    assert json.loads(stored) == pending(database)[0].document
