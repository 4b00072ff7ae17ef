"""Two at once: real Redis, real databases of both kinds, real threads."""

import pytest

from services.auth import events, phone, reset_cancellation, resets
from services.auth.deps import Deps
from services.auth.domain.account import Role
from services.auth.domain.reset import Status
from services.auth.resets import ResetRequest
from services.auth.store import resets as store
from shared.database import create_database, reading
from shared.hashing import HashingPool
from shared.messages import AuthenticatorEnrolled, TwoFactorResetApproved
from shared.redis_client import connect
from shared.secret import Secret
from tests.support import auth
from tests.support.auth import CLIENT, NOW, PHONE, FakeOtp, ListPublisher, TurnedClock, fresh, make_account, types_of
from tests.support.threads import answers_at_once

ROUNDS = 12


@pytest.fixture
def deps(real_redis_url, new_database):
    database, redis, clock = create_database(new_database("auth")), connect(Secret(real_redis_url)), TurnedClock()
    redis.flushall()
    yield Deps(
        settings=auth.settings(),
        database=database,
        redis=redis,
        otp=FakeOtp(clock),
        publisher=ListPublisher(),
        hashing=HashingPool(max_waiting=1, threads=1),
        clock=clock,
    )
    redis.close()
    database.dispose()


@pytest.fixture
def operators(deps):
    return [make_account(deps, f"op{number}@latchkey.example", role=Role.SUPPORT) for number in range(4)]


def enrolled_account(deps, number):
    account = make_account(deps, f"m{number}@example.com", phone=PHONE)
    deps.otp.enabled.add(account.id)
    return account


def asked(*checks):
    return ResetRequest("T", "lost", list(checks))


def approvals(deps):
    return [message for message in auth.outbox(deps) if isinstance(message, TwoFactorResetApproved)]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_operators_who_ask_at_once_one_opens_a_reset(deps, operators, round_):
    account = enrolled_account(deps, round_)
    answers = answers_at_once(
        *(
            lambda operator=operator: resets.request(
                deps, CLIENT, operator, account.id, asked("video_id", "callback_proven_phone")
            )
            for operator in operators
        )
    )
    assert answers.count("reset_already_open") == len(operators) - 1
    assert len(approvals(deps)) == 1
    assert types_of(deps, account).count("two_factor.reset_requested") == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_approval_against_cancellation_has_one_winner(deps, operators, round_):
    account = enrolled_account(deps, round_)
    reset = resets.request(deps, CLIENT, operators[0], account.id, asked("video_id"))
    approved, *cancelled = answers_at_once(
        lambda: resets.approve(deps, CLIENT, operators[1], account.id, reset.id),
        lambda: reset_cancellation.cancel_own(deps, CLIENT, account, reset.id) or "cancelled",
        lambda: reset_cancellation.cancel(deps, CLIENT, operators[2], account.id, reset.id) and "cancelled",
    )
    assert [approved, *cancelled].count("reset_not_open") == 2
    with reading(deps.database) as connection:
        status = store.by_id(connection, reset.id).status
    was_approved = approved != "reset_not_open"
    assert status is (Status.APPROVED if was_approved else Status.CANCELLED)
    assert len(approvals(deps)) == was_approved


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_the_end_of_the_cool_off_against_cancellation_has_one_winner(deps, operators, round_):
    account = enrolled_account(deps, round_)
    reset = resets.request(deps, CLIENT, operators[0], account.id, asked("callback_proven_phone", "billing_details"))
    (ended,) = auth.events_in(deps)
    cancelled, _ = answers_at_once(
        lambda: reset_cancellation.cancel_own(deps, CLIENT, account, reset.id),
        lambda: events.handle(deps, ended),
    )
    assert len(approvals(deps)) == (cancelled == "reset_not_open")


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_an_event_that_several_workers_get_at_once_acts_once(deps, round_):
    account = enrolled_account(deps, round_)
    message = AuthenticatorEnrolled(
        id="evt_1", occurred_at=NOW, account_id=account.id, authenticator_id="enr_1", session_id=None
    )
    answers_at_once(*(lambda: events.handle(deps, message) for _ in range(4)))
    assert types_of(deps, account) == ["two_factor.enabled"]
    assert len(auth.notices_in(deps)) == 2


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_proofs_at_once_one_changes_the_phone(deps, round_):
    account = make_account(deps, f"m{round_}@example.com")
    phone.set_phone(deps, CLIENT, account, "DE", PHONE.e164)
    pending = fresh(deps, account)

    # Even an otp that took one code twice would not prove the number twice.
    def prove():
        deps.otp.expect(account.id, "phone_verification", pending.pending_phone_binding)
        return phone.verify(deps, CLIENT, pending, "424242")

    answers = answers_at_once(*(prove for _ in range(4)))
    assert types_of(deps, account).count("phone.changed") == 1
    assert sum(not isinstance(answer, str) for answer in answers) == 1
