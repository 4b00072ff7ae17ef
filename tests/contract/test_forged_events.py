"""Whoever has the broker and no signing key changes nothing: forgeries are dead letters, and replays do nothing."""

import dataclasses
from contextlib import ExitStack
from datetime import timedelta

import pytest
from sqlalchemy import inspect

from services.auth import events as auth_events
from services.auth import session_store
from services.auth import tasks as auth_tasks
from services.auth.deps import WorkerDeps as AuthDeps
from services.auth.domain.session import Factor
from services.otp import tasks as otp_tasks
from shared import outbox
from shared.dead_letters import DeadLetters
from shared.hashing import HashingPool
from shared.keys import KeyList, encode_key
from shared.messages import (
    AUTH_EVENTS,
    OTP_EVENTS,
    QUEUES,
    AuthenticatorsReinstated,
    RecoveryCodesRegenerated,
    TwoFactorDisabled,
    TwoFactorResetApproved,
    TwoFactorResetCoolOffEnded,
    encode,
)
from shared.queueing import make_celery
from shared.redis_client import connect
from shared.secret import Secret
from shared.signed_messages import ACCEPTED_FOR, Gate, _canonical, sign
from shared.signing import Signer
from tests.support import auth
from tests.support.auth import types_of
from tests.support.clock import NOW
from tests.support.migrated import copied, migrated
from tests.support.otp import ACCOUNT, World, make_world
from tests.support.signing import SIGNERS, VERIFIER, signed

THIEF = Signer("auth", KeyList.parse(f"g1:{encode_key(b'x' * 32)}"))


class Stack:
    """The event workers of both services over one real Redis."""

    def __init__(self, world: World, deps: AuthDeps) -> None:
        self.world, self.auth = world, deps
        self.ann = auth.make_account(deps, "ann@example.com")
        self.celery = make_celery("test", Secret("memory://"))
        otp_tasks.register_tasks(self.celery, world.worker_deps, Gate(OTP_EVENTS, VERIFIER, world.clock))
        auth_tasks.register_tasks(self.celery, deps, Gate(AUTH_EVENTS, VERIFIER, world.clock))

    def deliver(self, queue: str, document: object) -> None:
        self.celery.tasks[QUEUES[queue]].apply(args=[document], throw=True)

    def set_aside(self) -> list[tuple[str, str]]:
        return [(letter.queue, letter.reason) for letter in DeadLetters(self.auth.redis, self.auth.clock).all()]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return {service: migrated(service, tmp_path_factory.mktemp(service)) for service in ("auth", "otp")}


@pytest.fixture
def stack(running, files, tmp_path):
    redis = connect(Secret(running[1]))
    redis.flushall()
    with ExitStack() as stack:
        databases = {}
        for service, file in files.items():
            (tmp_path / service).mkdir()
            databases[service] = stack.enter_context(copied(file, tmp_path / service))
        hashing = HashingPool(max_waiting=1)
        world = make_world(databases["otp"], redis, hashing, auth.ENVIRONMENT["NOTIFY_PUBLIC_KEY"])
        stack.callback(world.deps.recorder.close)
        yield Stack(world, AuthDeps(auth.settings(), databases["auth"], redis, world.clock, SIGNERS["auth"]))
    redis.close()


def approved(world: World):
    """A reset of what is active."""
    active = tuple(row["id"] for row in world.state()["authenticators"])
    return TwoFactorResetApproved(
        id="msg_1", occurred_at=NOW, account_id=ACCOUNT, reset_id="rst_1", authenticators=active
    )


def thieves(message, queue):
    """The message as it could be put on the broker without its sender's key, and what the letter says."""
    genuine, unsigned = signed(message), encode(message)
    addressed = unsigned | {"sender": genuine["sender"], "queue": queue}
    other = "otp" if genuine["sender"] == "auth" else "auth"
    return [
        (unsigned, "not signed"),
        (addressed | {"signature": ""}, "not signed"),
        (addressed | {"signature": SIGNERS[other].sign("message", _canonical(addressed))}, "not that of"),
        (genuine | {"account_id": "acc_victim"}, "not that of"),
        (genuine | {"id": "msg_again"}, "not that of"),
        (signed(message, "sms.receipts"), "another queue"),
    ]


def test_a_forged_reset_turns_off_no_2fa(stack: Stack):
    stack.world.enrol()
    reset = approved(stack.world)
    forgeries = [*thieves(reset, OTP_EVENTS), (sign(reset, THIEF, OTP_EVENTS), "not that of")]
    for document, _ in forgeries:
        stack.deliver(OTP_EVENTS, document)
    assert stack.world.state()["enabled"] is True
    assert stack.world.event_types() == []
    reasons = [reason for _, reason in stack.set_aside()]
    assert len(reasons) == len({str(document) for document, _ in forgeries})
    for _, why in forgeries:
        assert any(why in reason and reason.startswith("two_factor.reset_approved: ") for reason in reasons)


def test_a_genuine_reset_acts_once_however_often_it_is_delivered(stack: Stack):
    stack.world.enrol()
    document = signed(approved(stack.world))
    for _ in range(3):
        stack.deliver(OTP_EVENTS, document)
    assert stack.world.state()["enabled"] is False
    assert stack.world.event_types() == ["two_factor.reset_applied"]
    assert stack.set_aside() == []


def test_a_genuine_reset_older_than_the_consumers_memory_is_set_aside(stack: Stack):
    """The rows of what was handled are swept after 14 days; until then they know it."""
    stack.world.enrol()
    document = signed(approved(stack.world))
    stack.deliver(OTP_EVENTS, document)
    stack.world.clock.turn(seconds=ACCEPTED_FOR.total_seconds())
    with stack.world.database.begin() as connection:
        assert outbox.KEEP_FOR > ACCEPTED_FOR
        connection.exec_driver_sql("DELETE FROM handled_messages")
    stack.deliver(OTP_EVENTS, document)
    assert stack.world.event_types() == ["two_factor.reset_applied"]
    assert "older than" in stack.set_aside()[0][1]


def test_a_forged_event_of_otp_ends_nothing_at_the_gateway(stack: Stack):
    facts = {"occurred_at": NOW, "account_id": stack.ann.id}
    for message in (TwoFactorDisabled(id="evt_1", **facts), RecoveryCodesRegenerated(id="evt_2", **facts)):
        for document, _ in thieves(message, AUTH_EVENTS):
            stack.deliver(AUTH_EVENTS, document)
    assert types_of(stack.auth, stack.ann) == []
    assert len(stack.set_aside()) == 12


def test_what_notify_signs_is_taken_for_no_word_of_otp(stack: Stack):
    """notify is the one service with a way out to the internet."""
    message = TwoFactorDisabled(id="evt_1", occurred_at=NOW, account_id=stack.ann.id)
    members = {**encode(message), "sender": "notify", "queue": AUTH_EVENTS}
    forged = members | {"signature": SIGNERS["notify"].sign("message", _canonical(members))}
    stack.deliver(AUTH_EVENTS, forged)
    assert types_of(stack.auth, stack.ann) == []
    assert stack.set_aside() == [(AUTH_EVENTS, "two_factor.disabled: the signature is not that of otp over this text")]


def test_the_end_of_a_cool_off_that_comes_early_is_set_aside(stack: Stack):
    """A relay that was broken into can publish it before its time, and change no member of it."""
    ended = TwoFactorResetCoolOffEnded(id="msg_1", occurred_at=NOW, account_id=stack.ann.id, reset_id="rst_1")
    due = NOW + timedelta(hours=24)
    stack.deliver(AUTH_EVENTS, signed(ended, not_before=due))
    stack.deliver(AUTH_EVENTS, signed(ended, not_before=due) | {"not_before": "2026-11-24T05:00:00.000000Z"})
    assert {reason.partition(": ")[2] for _, reason in stack.set_aside()} == {
        "not due before 2026-11-25T05:00:00.000000Z",
        "the signature is not that of auth over this text",
    }
    with stack.auth.database.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM handled_messages").scalar() == 0


def example(kind, **facts):
    """A message of this kind; a member that no test knows yet is a KeyError."""
    known = {
        "id": "msg_1",
        "occurred_at": NOW,
        "reset_id": "rst_1",
        "session_id": "ses_1",
        "authenticator_id": "enr_1",
        "authenticators": (),
        "ended_by": ("totp", "recovery_code"),
        "factor": "totp",
        "remaining": 9,
        "consecutive_failures": 100,
        "scope": "everywhere",
        "message_id": "sms_1",
        "status": "sent",
        "reason": None,
        "provider": "twilio",
        "voided_by": None,
        "channel": "sms",
        **facts,
    }
    return kind(**{member.name: known[member.name] for member in dataclasses.fields(kind)})


def everything(database, redis):
    """All that the stores hold."""
    readers = {"string": redis.get, "hash": redis.hgetall, "set": redis.smembers, "zset": redis.zcard}
    kept = {key: readers[redis.type(key)](key) for key in redis.keys("*") if redis.type(key) != "list"}
    with database.connect() as connection:
        for table in inspect(connection).get_table_names():
            kept[table] = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608
    return kept


@pytest.mark.parametrize("kind", otp_tasks.HANDLERS, ids=lambda kind: kind.TYPE)
def test_a_replay_ends_nothing_that_the_account_has_begun_since(stack: Stack, kind):
    world = stack.world
    world.enrol()
    message = example(kind, account_id=ACCOUNT, authenticators=approved(world).authenticators)
    stack.deliver(OTP_EVENTS, signed(message))
    world.clock.turn(minutes=2)
    stack.deliver(OTP_EVENTS, signed(example(AuthenticatorsReinstated, id="msg_2", account_id=ACCOUNT)))
    if not world.state()["enabled"]:
        world.enrol()
    assert world.send_sms().status_code == 202
    assert world.send_sms(purpose="step_up", binding="ses_1").status_code == 202
    before = everything(world.database, world.redis)
    stack.deliver(OTP_EVENTS, signed(message))
    assert everything(world.database, world.redis) == before


@pytest.mark.parametrize("kind", auth_events.HANDLERS, ids=lambda kind: kind.TYPE)
def test_a_replay_takes_nothing_from_a_session_that_has_stepped_up_since(stack: Stack, kind):
    session, token = auth.sign_in(stack.auth, stack.ann)
    message = example(kind, account_id=stack.ann.id, session_id=session.id)
    stack.deliver(AUTH_EVENTS, signed(message))
    stack.world.clock.turn(minutes=2)
    auth.sign_in(stack.auth, stack.ann)
    now = stack.world.clock()
    session_store.step_up(stack.auth.redis, session, token, now, (Factor.PASSWORD, Factor.TOTP))
    before = everything(stack.auth.database, stack.auth.redis)
    stack.deliver(AUTH_EVENTS, signed(message))
    assert everything(stack.auth.database, stack.auth.redis) == before
