import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.database import UtcDateTime, create_database, reading, writing

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=True),
    Column("parent", Integer, ForeignKey("things.id"), nullable=True),
)


@pytest.fixture
def database(tmp_path):
    engine = create_database(f"sqlite:///{tmp_path}/x.sqlite3")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def add(database, **values):
    with writing(database) as connection:
        connection.execute(insert(THINGS).values(**values))


def rows(database):
    with reading(database) as connection:
        return connection.execute(select(THINGS).order_by(THINGS.c.id)).all()


# --- time -------------------------------------------------------------------------------------------------------------

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001


@given(MOMENTS, st.sampled_from([sqlite.dialect(), postgresql.dialect()]))
def test_a_moment_reads_back_as_the_same_moment_in_utc(moment, dialect):
    column = UtcDateTime()
    back = column.process_result_value(column.process_bind_param(moment, dialect), dialect)
    assert back == moment
    assert back.tzinfo is UTC


def test_a_moment_survives_the_database(database):
    moment = datetime(2026, 11, 24, 5, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    add(database, id=1, at=moment)
    add(database, id=2, at=None)
    assert [row.at for row in rows(database)] == [moment, None]
    assert rows(database)[0].at.tzinfo is UTC


def test_moments_compare_across_zones(database):
    moment = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
    add(database, id=1, at=moment)
    elsewhere = moment.astimezone(timezone(timedelta(hours=9)))
    with reading(database) as connection:
        at = THINGS.c.at
        assert connection.execute(select(THINGS.c.id).where(at == elsewhere)).scalar() == 1
        assert connection.execute(select(THINGS.c.id).where(at < elsewhere)).scalar() is None


def test_a_naive_moment_is_a_bug(database):
    with pytest.raises(StatementError, match="naive"):
        add(database, id=1, at=datetime(2026, 11, 24))  # noqa: DTZ001


# --- transactions -----------------------------------------------------------------------------------------------------


def test_all_of_a_transaction_is_kept_or_nothing(database):
    with pytest.raises(IntegrityError), writing(database) as connection:
        connection.execute(insert(THINGS), [{"id": 1}, {"id": 2}, {"id": 1}])
    assert rows(database) == []
    with writing(database) as connection:
        connection.execute(insert(THINGS).values(id=1))
        connection.execute(insert(THINGS).values(id=2))
    assert len(rows(database)) == 2


def test_readers_do_not_wait_for_a_writer_and_see_what_was_committed(database):
    with writing(database) as connection:
        connection.execute(insert(THINGS).values(id=1))
        assert rows(database) == []
    assert len(rows(database)) == 1


def test_a_reader_holds_no_snapshot(database):
    with reading(database) as connection:
        assert connection.execute(select(THINGS)).all() == []
        add(database, id=1)
        assert len(connection.execute(select(THINGS)).all()) == 1


def test_writers_of_one_process_take_turns_and_none_is_turned_away(database):
    def write(number):
        for step in range(10):
            add(database, id=number * 100 + step)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(database)) == 80


def test_a_read_and_a_write_in_one_transaction_lose_no_update(database):
    """A DEFERRED transaction would read an old value and then meet SQLITE_BUSY."""
    add(database, id=1, at=datetime(2026, 1, 1, tzinfo=UTC))

    def add_a_day():
        for _ in range(5):
            with writing(database) as connection:
                at = connection.execute(select(THINGS.c.at)).scalar_one()
                connection.execute(THINGS.update().values(at=at + timedelta(days=1)))

    threads = [threading.Thread(target=add_a_day) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(database)[0].at == datetime(2026, 1, 21, tzinfo=UTC)


def test_a_lock_of_another_process_is_given_up_on_in_time(database, tmp_path):
    other = create_database(f"sqlite:///{tmp_path}/x.sqlite3")
    with writing(database), pytest.raises((OperationalError, PoolTimeoutError)):
        add(other, id=1)
    add(other, id=2)
    other.dispose()


def test_foreign_keys_hold(database):
    with pytest.raises(IntegrityError):
        add(database, id=1, parent=99)


def test_an_error_does_not_carry_what_was_to_be_stored(database):
    add(database, id=424242)
    with pytest.raises(IntegrityError) as error:
        add(database, id=424242)
    assert "424242" not in str(error.value)
    assert create_database("postgresql+psycopg://u:p@127.0.0.1/x").hide_parameters


def test_a_file_that_is_not_there_is_an_error_and_not_a_hang(tmp_path):
    engine = create_database(f"sqlite:///{tmp_path}/no/such/folder/x.sqlite3")
    with pytest.raises(OperationalError), reading(engine):
        pass
