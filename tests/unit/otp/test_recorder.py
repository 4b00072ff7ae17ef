import multiprocessing
import threading
import time
from datetime import UTC, datetime

import fakeredis
import pytest
from sqlalchemy.exc import OperationalError

from services.otp import attempts_store
from services.otp import recorder as recorder_module
from services.otp.attempt_batch import Attempt
from services.otp.attempts_store import AttemptRow
from services.otp.domain.attempt import Reason, Rejected
from services.otp.domain.failure_row import FailureRow
from services.otp.recorder import AttemptRecorder
from shared.database import create_database
from tests.support.otp import ACCOUNT, World
from tests.support.signing import SIGNERS


def test_it_writes_by_itself_within_a_moment(world: World):
    world.enrol()
    world.verify(world.wrong_code())
    deadline = time.monotonic() + 2
    while not world.account("GET", "attempts").json["items"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(world.account("GET", "attempts").json["items"]) == 1


def test_closing_writes_what_waits(world: World):
    world.enrol()
    for _ in range(5):
        world.verify(world.wrong_code())
    world.deps.recorder.close()
    assert len(world.account("GET", "attempts").json["items"]) == 5


def test_a_database_that_is_away_loses_nothing(world: World, monkeypatch):
    world.enrol()
    world.verify(world.code())
    away = monkeypatch.context
    with away() as patch:

        def fails(*_args):
            raise OperationalError("INSERT", {}, Exception("away"))

        patch.setattr(attempts_store, "insert_attempts", fails)
        for _ in range(2):
            with pytest.raises(OperationalError):
                world.settle()
    world.settle()
    assert len(world.account("GET", "attempts").json["items"]) == 1
    # The success was given back once, not once a try.
    assert world.redis.get(f"budget:otp.verify.login:300:{ACCOUNT}") == "0"


def test_a_redis_that_is_away_does_not_hold_up_the_record(world: World, redis_server):
    world.enrol()
    world.verify(world.code())
    redis_server.connected = False
    world.settle()
    redis_server.connected = True
    assert len(world.account("GET", "attempts").json["items"]) == 1


def test_order_decides_the_count(world: World):
    world.enrol()
    world.verify(world.wrong_code())
    world.verify(world.wrong_code())
    world.verify(world.code())
    world.verify(world.wrong_code())
    world.settle()  # all in one batch
    assert world.state()["consecutive_failures"] == 1


def test_it_is_bounded_and_throttled_tries_go_first(world: World, monkeypatch):
    monkeypatch.setattr(recorder_module, "CAPACITY", 8)
    monkeypatch.setattr(recorder_module, "CAPACITY_FOR_THROTTLED", 6)
    world.deps.recorder._start = lambda: None
    world.enrol()
    for _ in range(20):
        world.verify(world.wrong_code())
    world.enrol("acc_bob")
    world.begin_row("acc_bob")
    for _ in range(5):
        world.verify(world.wrong_code("acc_bob"), account="acc_bob")
    world.settle()
    assert [item["outcome"] for item in world.attempts()] == ["throttled"] + ["rejected"] * 5
    assert len(world.attempts("acc_bob")) == 2


def test_the_thread_is_one_and_starts_with_the_first_attempt(world: World):
    def writers():
        return [thread for thread in threading.enumerate() if thread.name == "attempts"]

    before = len(writers())
    world.enrol()
    for _ in range(3):
        world.verify(world.wrong_code())
    assert len(writers()) == before + 1
    world.deps.recorder.close()
    assert len(writers()) == before


def record_and_end(url: str) -> None:
    """What a server's worker process does: it answers, and its main thread ends."""
    recorder = AttemptRecorder(create_database(url), fakeredis.FakeRedis(), lambda: datetime.now(UTC), SIGNERS["otp"])
    row = AttemptRow(ACCOUNT, datetime.now(UTC), "login", None, "rejected", "wrong", None, device_known=False)
    counts_in = frozenset({FailureRow.ALL})
    recorder.record(Attempt(row, Rejected(Reason.WRONG), second_factor=True, failure_rows=counts_in))


def test_a_process_that_ends_writes_what_waits(world: World):
    url = world.database.url.render_as_string()
    # Spawned, as servers spawn their workers: functions registered with atexit don't run there.
    worker = multiprocessing.get_context("spawn").Process(target=record_and_end, args=(url,))
    worker.start()
    worker.join(30)
    assert worker.exitcode == 0
    assert len(world.account("GET", "attempts").json["items"]) == 1
    assert world.state()["consecutive_failures"] == 1
