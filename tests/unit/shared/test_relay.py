import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import fakeredis
import pytest
from sqlalchemy import MetaData, insert

from shared import outbox, relay
from shared.clock import system_clock
from shared.database import create_database, reading, writing
from shared.dead_letters import DeadLetters
from shared.messages import AUTH_EVENTS, RecoveryCodesRegenerated
from shared.problems import Unavailable
from shared.relay import Deps, Relay, carry
from shared.secret import Secret
from shared.settings import Environment, SettingsError
from tests.support.signing import SIGNERS

NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
METADATA = MetaData()
BOX = outbox.outbox_tables(METADATA)
STATE = fakeredis.FakeServer()
LETTERS = DeadLetters(fakeredis.FakeRedis(server=STATE, decode_responses=True), system_clock)


@dataclass
class Broker:
    """Takes messages until it is ``down`` or has taken ``room`` of them."""

    sent: list[str] = field(default_factory=list)
    down: bool = False
    room: int = 10_000
    crash: bool = False

    def publish_to(self, queue, document):
        if self.down or len(self.sent) >= self.room:
            raise RuntimeError("killed") if self.crash else Unavailable("broker")
        self.sent.append(document["id"])


@pytest.fixture
def database(tmp_path):
    engine = create_database(f"sqlite:///{tmp_path}/box.sqlite3")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def time():
    return [NOW]


@pytest.fixture
def deps(database, broker, time):
    return Deps(database, broker, LETTERS, lambda: time[0])


def record(database, *numbers, not_before=None):
    with writing(database) as connection:
        for number in numbers:
            message = RecoveryCodesRegenerated(id=f"evt_{number}", occurred_at=NOW, account_id="acc_1")
            outbox.record(connection, BOX, message, SIGNERS["otp"], not_before=not_before)


def waiting(database):
    with reading(database) as connection:
        return [row.document["id"] for row in outbox.pending(connection, BOX, NOW + timedelta(days=9), 1000)]


# --- one batch --------------------------------------------------------------------------------------------------------


def test_everything_goes_out_once_and_in_order(deps, database, broker):
    record(database, 1, 2, 3)
    assert carry(deps) == 3
    assert carry(deps) == 0
    assert broker.sent == ["evt_1", "evt_2", "evt_3"]


def test_what_a_broker_lost_is_published_once_more_and_nothing_older(deps, database, broker, time):
    record(database, 1)
    carry(deps)
    time[0] += timedelta(hours=2)
    record(database, 2)
    carry(deps)
    record(database, 3)
    with writing(database) as connection:
        assert outbox.publish_again(connection, BOX, time[0] - timedelta(hours=1)) == 1
    assert carry(deps) == 2
    assert broker.sent == ["evt_1", "evt_2", "evt_2", "evt_3"]


def test_the_command_says_how_many_and_ends(database, broker, monkeypatch, capsys):
    record(database, 1, 2)
    carry(Deps(database, broker, LETTERS, system_clock))
    monkeypatch.setenv("LATCHKEY_ENV", "development")
    monkeypatch.setenv("AUTH_DATABASE_URL", str(database.url))
    monkeypatch.setenv("OTP_DATABASE_URL", str(database.url))
    assert relay.main(["--again", "60"]) == 0
    assert capsys.readouterr().out.startswith("2 messages")
    assert waiting(database) == ["evt_1", "evt_2"]


def test_when_the_broker_fails_midway_only_the_rest_is_sent_later(deps, database, broker):
    record(database, 1, 2, 3)
    broker.room = 2
    assert carry(deps) == 2
    assert waiting(database) == ["evt_3"]
    with pytest.raises(Unavailable):
        carry(deps)
    broker.room = 10
    assert carry(deps) == 1
    assert broker.sent == ["evt_1", "evt_2", "evt_3"]


def test_a_broker_that_is_down_loses_nothing(deps, database, broker):
    record(database, 1, 2)
    broker.down = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            carry(deps)
    broker.down = False
    carry(deps)
    assert broker.sent == ["evt_1", "evt_2"]


def test_a_failure_that_nobody_foresaw_marks_what_was_published_by_then(deps, database, broker):
    record(database, 1, 2)
    broker.room, broker.crash = 1, True
    with pytest.raises(RuntimeError):
        carry(deps)
    assert waiting(database) == ["evt_2"]
    broker.room = 10
    carry(deps)
    assert broker.sent == ["evt_1", "evt_2"]


def test_no_transaction_is_open_while_the_broker_is_asked(deps, database, broker):
    """On SQLite it would hold the only write lock, and sign-ins would answer 503 while the broker hangs."""
    record(database, 1)
    publish = broker.publish_to

    def slow(queue, document):
        with writing(database) as connection:
            outbox.handle_once(connection, BOX, "meanwhile", NOW)
        publish(queue, document)

    broker.publish_to = slow
    assert carry(deps) == 1


def test_a_message_does_not_go_before_its_time(deps, database, broker, time):
    record(database, 1, not_before=NOW + timedelta(hours=1))
    record(database, 2)
    carry(deps)
    assert broker.sent == ["evt_2"]
    time[0] += timedelta(hours=1, microseconds=-1)
    assert carry(deps) == 0
    time[0] += timedelta(microseconds=1)
    assert carry(deps) == 1
    assert broker.sent == ["evt_2", "evt_1"]


def test_a_batch_is_bounded(deps, database, broker):
    record(database, *range(relay.BATCH + 1))
    assert carry(deps) == relay.BATCH
    assert carry(deps) == 1


def test_an_idle_relay_takes_no_write_lock(deps, database):
    record(database, 1, not_before=NOW + timedelta(hours=1))
    with writing(database):  # another writer holds it
        assert carry(deps) == 0


# --- for ever ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(deps, monkeypatch):
    monkeypatch.setattr(relay, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(relay, "PAUSE_AFTER_FAILURE_SECONDS", 0.02)
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=(deps, stop))
    yield thread
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def wait_until(holds):
    patience = threading.Event()
    for _ in range(500):
        if holds():
            return
        patience.wait(0.01)
    raise AssertionError("it did not come")


def test_it_survives_an_outage_of_the_broker(running, database, broker):
    broker.down = True
    record(database, 1)
    running.start()
    threading.Event().wait(0.1)
    assert running.is_alive()
    broker.down = False
    wait_until(lambda: broker.sent == ["evt_1"])


def test_it_survives_an_outage_of_the_database(running, database, broker):
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO gone")
    running.start()
    threading.Event().wait(0.1)
    assert running.is_alive()
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO outbox")
    record(database, 1)
    wait_until(lambda: broker.sent == ["evt_1"])


def test_it_survives_an_outage_of_the_dead_letters(running, database):
    with writing(database) as connection:
        connection.execute(insert(BOX.outbox).values(queue=AUTH_EVENTS, document="{", recorded_at=NOW))
    STATE.connected = False
    running.start()
    threading.Event().wait(0.1)
    assert running.is_alive()
    STATE.connected = True
    wait_until(lambda: LETTERS.count() == 1)


def test_it_sweeps_what_is_old_and_keeps_what_a_broker_may_redeliver(running, database, deps, time):
    record(database, 1)
    carry(deps)
    record(database, 2, not_before=NOW + timedelta(days=400))
    with writing(database) as connection:
        outbox.handle_once(connection, BOX, "old", NOW)
        outbox.handle_once(connection, BOX, "young", NOW + timedelta(days=1))
    time[0] = NOW + outbox.KEEP_FOR + timedelta(hours=1)
    running.start()

    def rows(table):
        with reading(database) as connection:
            return connection.execute(table.select()).all()

    wait_until(lambda: len(rows(BOX.outbox)) == 1)
    assert [row.message_id for row in rows(BOX.handled)] == ["young"]


def test_when_one_relay_fails_for_good_all_end_and_say_so():
    both = Relay(["nonsense://x", "sqlite://"], Secret("memory://"), LETTERS, system_clock)
    both.start()
    assert both.join() is False


def test_a_relay_that_is_asked_to_stop_stops_well(tmp_path):
    one = Relay([f"sqlite:///{tmp_path}/empty.sqlite3"], Secret("memory://"), LETTERS, system_clock)
    one.start()
    one.stop()
    assert one.join() is True


# --- settings ---------------------------------------------------------------------------------------------------------


def test_every_missing_setting_is_named_at_once():
    with pytest.raises(SettingsError) as error:
        relay.from_environment(Environment({}))
    for name in ("AUTH_DATABASE_URL", "OTP_DATABASE_URL", "REDIS_URL"):
        assert name in str(error.value)


def test_wrong_settings_end_the_process_with_2(monkeypatch, capsys):
    for name in ("AUTH_DATABASE_URL", "OTP_DATABASE_URL", "REDIS_URL", "BROKER_URL", "STATE_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    assert relay.main() == 2
    assert "AUTH_DATABASE_URL is not set" in capsys.readouterr().err
