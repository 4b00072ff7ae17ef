"""Each process that writes to PostgreSQL dies in the midst of a transaction: all of it is undone, and done again."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass

import psutil
import psycopg
import pytest
import urllib3
from sqlalchemy import Engine

from deploy.portal import wait_for
from tests.faults.ledger import CUT, Code, Fate
from tests.faults.load import Plan
from tests.faults.people import Person, step_now
from tests.faults.stage import Run, Stage, Support

pytestmark = pytest.mark.timeout(200)

TIMES = 3
# Sign-ins with backup codes, which make events on both sides.
EVENTFUL = Plan(totp=0.2, sms=0.4, backup=0.4)

# What leads a process into a transaction: up to the first yield the table is not locked yet, up to the second it is,
# and after that the process was killed and is back.
Scene = Callable[[Stage, Run, Person, Callable[[], Support]], Iterator[None]]


def of_the_load(*_: object) -> Iterator[None]:
    """Someone comes with a backup code soon."""
    yield
    yield


def of_a_sign_in(stage: Stage, run: Run, person: Person, _support: object) -> Iterator[None]:
    """The browser is to be remembered, which is several writes; and the code is entered once more."""
    statuses = yield from signing_in(stage, run, person, "totp", person.totp(step_now()), remember=True)
    assert statuses[0] == CUT


def of_a_backup_code(stage: Stage, run: Run, person: Person, _support: object) -> Iterator[None]:
    """otp's event wakes the worker. The password comes before the lock, because it writes to the timeline, too."""
    yield from signing_in(stage, run, person, "recovery_code", person.backup_code, remember=False)


def signing_in(
    stage: Stage, run: Run, person: Person, factor: str, code: str, *, remember: bool
) -> Generator[None, None, list[int]]:
    """The code is entered while the table is locked, and once more where that does not sign in."""
    owner, challenge = stage.begin_login(person)
    yield
    statuses = []

    def enter() -> None:
        statuses.append(CUT)
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            statuses[0] = owner.verify(challenge, code, remember=remember).status

    first = threading.Thread(target=enter)
    first.start()
    yield
    first.join(10)
    if statuses != [200]:
        statuses.append(owner.verify(challenge, code, remember=remember).status)
    fate = Fate.PASSED if statuses[-1] == 200 else Fate.REFUSED
    run.ledger.code(Code(person.id, factor, code, good=True, statuses=statuses, fate=fate))
    return statuses


def of_a_reset(stage: Stage, run: Run, person: Person, support: Callable[[], Support]) -> Iterator[None]:
    """It is requested before the table is locked: a check of the caller needs a mail."""
    reset_id = stage.request_reset(person, support())
    yield
    stage.approve_reset(run, person, reset_id, support())
    yield


def of_what_waits(stage: Stage, *_: object) -> Iterator[None]:
    """Events are recorded while the relay stands still: with the table locked, none would be."""
    with connect(stage.otp) as looker:
        wait_for(lambda: stands_between_transactions(stage, looker), seconds=20)
        wait_for(lambda: looker.execute("SELECT 1 FROM outbox WHERE published_at IS NULL").fetchone(), seconds=20)
        assert is_between_transactions(stage, looker)
    yield
    stage.parts["relay"].resume()
    yield


def stands_between_transactions(stage: Stage, looker: psycopg.Connection) -> bool:
    """Freeze the relay, but not in a transaction: the lock of the table would wait for it, and all for the lock."""
    relay = stage.parts["relay"]
    relay.pause()
    time.sleep(0.2)  # what it sent last has reached PostgreSQL
    if not is_between_transactions(stage, looker):
        relay.resume()
        return False
    return True


def is_between_transactions(stage: Stage, looker: psycopg.Connection) -> bool:
    """Whether the relay has connected to this database, and has no transaction open."""
    rows = looker.execute(
        "SELECT xact_start FROM pg_stat_activity WHERE datname = current_database() AND client_port = ANY(%s)",
        [list(ports_of(processes_of(stage, "relay")))],
    ).fetchall()
    return bool(rows) and all(xact_start is None for (xact_start,) in rows)


@dataclass(frozen=True)
class Death:
    """Who dies, what leads there, and the table to which its transaction writes last: there it is held up."""

    process: str
    scene: Scene
    database: str
    table: str
    # The relay's only statement is the one that waits; what it did before, it did at the broker.
    has_written: bool = True


DEATHS = {
    "otp": Death("otp", of_the_load, "otp", "outbox"),
    "auth": Death("auth", of_a_sign_in, "auth", "outbox"),
    "auth's event worker": Death("auth-events", of_a_backup_code, "auth", "timeline"),
    "otp's event worker": Death("otp-events", of_a_reset, "otp", "outbox"),
    "the relay": Death("relay", of_what_waits, "otp", "outbox", has_written=False),
}


@pytest.mark.parametrize("who", DEATHS)
def test_killed_in_a_transaction(large, who):
    death, support = DEATHS[who], functools.cache(large.support)

    def fault(run: Run) -> None:
        for person in run.reserved:
            die(large, run, death, death.scene(large, run, person, support))
            time.sleep(1)
        run.ends()

    line = large.play(f"{who} killed -9 in a transaction, three times", fault, plan=EVENTFUL, reserve=TIMES)
    assert not line.violations()


def die(stage: Stage, run: Run, death: Death, scene: Iterator[None]) -> None:
    """Hold up one of its transactions, kill it there, and only then let PostgreSQL go on."""
    engine: Engine = getattr(stage, death.database)
    supervised = death.process not in stage.parts
    held: set[int] = set()
    next(scene)
    with connect(engine) as holder, holder.transaction(), connect(engine) as looker:
        holder.execute(f"LOCK TABLE {death.table} IN SHARE ROW EXCLUSIVE MODE")
        next(scene)

        def is_held_up() -> bool:
            ports = ports_of(processes_of(stage, death.process))
            held.update(held_up(looker, ports, has_written=death.has_written))
            return bool(held)

        wait_for(is_held_up, seconds=20)
        if supervised:
            stage.kill_supervised(death.process, frozen_seconds=0)
        else:
            stage.kill(run, death.process)
        assert held & held_up(looker, has_written=death.has_written), "its transaction is open yet"
    if not supervised:
        stage.start(death.process)
    stage.wait_until_ready()
    next(scene, None)


def connect(engine: Engine) -> psycopg.Connection:
    url = engine.url
    return psycopg.connect(host=url.host, port=url.port, user=url.username, dbname=url.database, autocommit=True)


def processes_of(stage: Stage, name: str) -> list[psutil.Process]:
    if name not in stage.parts:
        return stage.stack.processes_of(name)
    main = psutil.Process(stage.parts[name]._process.pid)
    return [main, *main.children(recursive=True)]


def ports_of(processes: Collection[psutil.Process]) -> set[int]:
    """Where their connections begin, which is how PostgreSQL knows them."""
    return {connection.laddr.port for process in processes for connection in process.net_connections("tcp4")}


def held_up(looker: psycopg.Connection, ports: Collection[int] | None = None, *, has_written: bool) -> set[int]:
    """The backends whose transaction waits for a lock, by pid; of these clients only, if they are named."""
    rows = looker.execute(
        "SELECT pid, client_port FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND xact_start IS NOT NULL AND (backend_xid IS NOT NULL OR NOT %s)",
        [has_written],
    )
    return {pid for pid, port in rows if ports is None or port in ports}
