import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import MetaData, insert, select

from shared import outbox
from shared.database import create_database, reading, writing
from shared.messages import (
    AUTH_EVENTS,
    OTP_EVENTS,
    RecoveryCodesRegenerated,
    TwoFactorResetApproved,
    UnreadableMessage,
    compact,
    encode,
)
from shared.signed_messages import Gate
from shared.signing import Signer, Verifier, public_halves
from tests.support.signing import SIGNERS, SIGNING_KEYS, VERIFIER, message_in

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
            outbox.record(connection, BOX, message(number), SIGNERS["otp"], not_before=not_before)


def pending(database, now=NOW, limit=100):
    with reading(database) as connection:
        return outbox.pending(connection, BOX, now, limit)


def ids(rows):
    return [row.document["id"] for row in rows]


def test_a_message_is_there_when_its_change_is_and_not_otherwise(database):
    with suppress(RuntimeError), writing(database) as connection:
        outbox.record(connection, BOX, message(1), SIGNERS["otp"])
        raise RuntimeError
    assert pending(database) == []
    record(database, 2)
    (row,) = pending(database)
    assert (row.queue, message_in(row.document)) == (AUTH_EVENTS, message(2))


def test_each_goes_to_the_queues_of_those_who_act_on_it(database):
    approved = TwoFactorResetApproved(id="evt_1", occurred_at=NOW, account_id="acc_1", reset_id="rst_1")
    with writing(database) as connection:
        outbox.record(connection, BOX, approved, SIGNERS["auth"])
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


def test_what_is_recorded_is_signed_for_its_queue_and_its_time(database):
    """The relay, which has no key, publishes it as it stands."""
    due = NOW + timedelta(hours=1)
    record(database, 1, not_before=due)
    [row] = pending(database, due)
    assert Gate(row.queue, VERIFIER, lambda: due).open(row.document) == message(1)
    with pytest.raises(UnreadableMessage, match="not due"):
        Gate(row.queue, VERIFIER, lambda: NOW).open(row.document)


def test_a_service_records_no_message_that_another_one_sends(database):
    with pytest.raises(ValueError, match="auth does not send"), writing(database) as connection:
        outbox.record(connection, BOX, message(1), SIGNERS["auth"])
    assert pending(database) == []


# --- signed anew ------------------------------------------------------------------------------------------------------


def put(database, number, *, not_before=None, published_at=None, queue=AUTH_EVENTS, document=None):
    """As the release before has recorded it."""
    text = compact(encode(message(number))) if document is None else document
    row = {"queue": queue, "document": text, "recorded_at": NOW, "not_before": not_before, "published_at": published_at}
    with writing(database) as connection:
        connection.execute(insert(BOX.outbox), row)


def sign_anew(database, since=NOW, signer=SIGNERS["otp"]):
    with writing(database) as connection:
        return outbox.sign_anew(connection, BOX, signer, since)


def test_what_was_recorded_unsigned_is_signed_and_published_with_its_time(database):
    due = NOW + timedelta(hours=24)
    put(database, 1)
    put(database, 2, not_before=due)
    assert sign_anew(database) == 2
    (now,), (_, later) = pending(database), pending(database, due)
    assert Gate(AUTH_EVENTS, VERIFIER, lambda: NOW).open(now.document) == message(1)
    with pytest.raises(UnreadableMessage, match="not due"):
        Gate(AUTH_EVENTS, VERIFIER, lambda: NOW).open(later.document)
    assert Gate(AUTH_EVENTS, VERIFIER, lambda: due).open(later.document) == message(2)
    assert sign_anew(database) == 0


def test_published_messages_are_signed_anew_from_the_moment_consumers_began_to_set_them_aside(database):
    put(database, 1, published_at=NOW - timedelta(microseconds=1))
    put(database, 2, published_at=NOW)
    assert sign_anew(database) == 1
    assert ids(pending(database)) == ["evt_2"]


def test_messages_signed_under_a_listed_key_are_left_and_the_others_are_signed_anew(database):
    """A key that leaked was dropped without waiting."""
    record(database, 1)
    before = pending(database)[0].text
    keys = SIGNING_KEYS["otp"].added(b"2" * 32).used()
    assert sign_anew(database, signer=Signer("otp", keys)) == 0
    assert pending(database)[0].text == before
    new = Signer("otp", keys.dropped())
    assert sign_anew(database, signer=new) == 1
    document = pending(database)[0].document
    assert Gate(AUTH_EVENTS, Verifier({"otp": public_halves(new.keys)}), lambda: NOW).open(document) == message(1)


@pytest.mark.parametrize("document", ["{", "[]", "7", "{}", json.dumps({"type": "teleport", "version": 1})])
def test_what_nobody_can_read_is_left(database, document):
    put(database, 1, document=document)
    assert sign_anew(database) == 0


def test_no_service_signs_what_another_one_sends(database):
    put(database, 1)
    assert sign_anew(database, signer=SIGNERS["auth"]) == 0
