"""Two at once: real Redis, real databases of both kinds, real threads."""

import time

import pytest
from sqlalchemy import select

from services.auth import enrollment_words, events, identity_checks, phone, reset_cancellation, resets, sessions
from services.auth.consequences import Acting
from services.auth.domain.account import Role
from services.auth.domain.reset import Status
from services.auth.models import enrollment_words as word_table
from services.auth.models import timeline
from services.auth.resets import ResetRequest
from services.auth.store import accounts
from services.auth.store import resets as store
from shared.database import reading, writing
from shared.hashing import HashingPool
from shared.messages import AuthenticatorEnrolled, TwoFactorResetApproved, TwoFactorResetCoolOffEnded
from tests.support import auth
from tests.support.auth import CLIENT, NOW, PHONE, FakeOtp, fresh, make_account, types_of
from tests.support.ceremony import (
    COOL_OFF,
    IMMEDIATE,
    IMMEDIATE_BY_TWO,
    at_console,
    pass_check,
    pass_checks,
    request_reset,
    words_sent,
)
from tests.support.threads import answers_at_once

ROUNDS = 12


@pytest.fixture
def deps(gateway):
    return gateway(FakeOtp, HashingPool(max_waiting=1, threads=1))


@pytest.fixture
def operators(deps):
    return [make_account(deps, f"op{number}@latchkey.example", role=Role.SUPPORT) for number in range(4)]


@pytest.fixture
def consoles(deps, operators):
    return [at_console(deps, operator) for operator in operators]


def enrolled_account(deps, number):
    account = make_account(deps, f"m{number}@example.com", phone=PHONE)
    deps.otp.enabled.add(account.id)
    return account


ASKED = ResetRequest("T", "lost")


def approvals(deps):
    return [message for message in auth.outbox(deps) if isinstance(message, TwoFactorResetApproved)]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_operators_who_ask_at_once_one_opens_a_reset(deps, operators, consoles, round_):
    account = enrolled_account(deps, round_)
    for operator in operators:
        pass_checks(deps, operator, account, IMMEDIATE)
    answers = answers_at_once(
        *(lambda console=console: resets.request(deps, CLIENT, console, account.id, ASKED) for console in consoles)
    )
    assert answers.count("reset_already_open") == len(operators) - 1
    assert len(approvals(deps)) == 1
    assert types_of(deps, account).count("two_factor.reset_requested") == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_approval_against_cancellation_has_one_winner(deps, operators, consoles, round_):
    account = enrolled_account(deps, round_)
    reset = request_reset(deps, operators[0], account, IMMEDIATE_BY_TWO)
    owner = Acting(*auth.sign_in(deps, account))
    approved, by_owner, by_operator = answers_at_once(
        lambda: resets.approve(deps, CLIENT, consoles[1], account.id, reset.id),
        lambda: reset_cancellation.cancel_own(deps, CLIENT, account, owner, reset.id) or "cancelled",
        lambda: reset_cancellation.cancel(deps, CLIENT, consoles[2], account.id, reset.id) and "cancelled",
    )
    with reading(deps.database) as connection:
        status = store.by_id(connection, reset.id).status
    was_approved = approved != "reset_not_open"
    # Where the operator is first, the owner finds the reset cancelled. The owner wanted that.
    assert by_owner == ("reset_not_open" if was_approved else "cancelled")
    assert by_operator in ({"reset_not_open"} if was_approved else {"reset_not_open", "cancelled"})
    assert types_of(deps, account).count("two_factor.reset_cancelled") == (not was_approved)
    assert status is (Status.APPROVED if was_approved else Status.CANCELLED)
    assert len(approvals(deps)) == was_approved


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_no_approval_is_committed_after_the_operators_session_was_ended(deps, operators, consoles, round_):
    """Whichever came first: what stands in the timeline stands there before the end."""
    account = enrolled_account(deps, round_)
    reset = request_reset(deps, operators[0], account, IMMEDIATE_BY_TWO)

    def end_it():
        time.sleep(round_ * 0.001)
        session_id = consoles[1].acting.session.id
        return sessions.end(deps, CLIENT, at_console(deps, operators[1]).acting, session_id)

    approved, ended = answers_at_once(lambda: resets.approve(deps, CLIENT, consoles[1], account.id, reset.id), end_it)
    assert ended is True
    with reading(deps.database) as connection:
        entries = list(connection.execute(select(timeline.c.type).order_by(timeline.c.position)).scalars())
    if approved == "not_authenticated":
        assert "two_factor.reset_approved" not in entries
    else:
        assert entries.index("two_factor.reset_approved") < entries.index("session.ended")


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_two_approvers_at_once_one_approves(deps, operators, consoles, round_):
    account = enrolled_account(deps, round_)
    reset = request_reset(deps, operators[0], account, IMMEDIATE_BY_TWO)
    answers = answers_at_once(
        *(
            lambda console=console: resets.approve(deps, CLIENT, console, account.id, reset.id)
            for console in consoles[1:]
        )
    )
    assert answers.count("reset_not_open") == len(operators) - 2
    assert len(approvals(deps)) == 1
    assert types_of(deps, account).count("two_factor.reset_approved") == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_an_operators_reset_needs_two_other_operators_in_any_order(deps, operators, consoles, round_):
    *colleagues, subject = operators
    deps.otp.enabled.add(subject.id)
    reset = request_reset(deps, colleagues[0], subject, IMMEDIATE_BY_TWO)
    answers_at_once(
        *(
            lambda console=console: resets.approve(deps, CLIENT, console, subject.id, reset.id)
            for console in (consoles[1], consoles[2], consoles[1], consoles[2])
        )
    )
    with reading(deps.database) as connection:
        found = store.by_id(connection, reset.id)
    assert found.status is Status.COOLING_OFF
    assert {found.approved_by, found.second_approved_by} == {colleagues[1].id, colleagues[2].id}
    assert types_of(deps, subject).count("two_factor.reset_approved") == 2


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_check_is_used_for_one_reset(deps, operators, consoles, round_):
    account = enrolled_account(deps, round_)
    pass_checks(deps, operators[0], account, COOL_OFF)
    answers = answers_at_once(*(lambda: resets.request(deps, CLIENT, consoles[0], account.id, ASKED) for _ in range(4)))
    refused = [answer for answer in answers if isinstance(answer, str)]
    assert len(refused) == 3
    assert set(refused) <= {"reset_already_open", "identity_checks_insufficient"}


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_guesses_at_once_are_five_at_most(deps, consoles, round_):
    account = enrolled_account(deps, round_)
    check = identity_checks.begin(deps, CLIENT, consoles[0], account.id, "phone_code", None)
    answers = answers_at_once(
        *(
            lambda: identity_checks.verify(deps, CLIENT, consoles[0], account.id, check.id, "wrong words")
            for _ in range(8)
        )
    )
    assert answers.count("wrong_words") == 5
    assert answers.count("check_not_open") == 3


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_the_right_words_pass_a_check_once(deps, consoles, round_):
    account = enrolled_account(deps, round_)
    check = identity_checks.begin(deps, CLIENT, consoles[0], account.id, "phone_code", None)
    words = words_sent(deps, "phone_code")
    answers_at_once(
        *(lambda: identity_checks.verify(deps, CLIENT, consoles[0], account.id, check.id, words) for _ in range(4))
    )
    assert types_of(deps, account).count("identity_check.passed") == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_cancel_of_the_checks_against_a_request_leaves_no_reset_open(deps, operators, consoles, round_):
    account = enrolled_account(deps, round_)
    pass_check(deps, operators[0], account, "phone_code")
    token = auth.notices_in(deps)[0].body.partition("/reset/cancel#")[2].split()[0]
    pass_check(deps, operators[0], account, "billing_details")
    requested, cancelled = answers_at_once(
        lambda: resets.request(deps, CLIENT, consoles[0], account.id, ASKED),
        lambda: reset_cancellation.cancel_by_token(deps, CLIENT, token) or "cancelled",
    )
    assert cancelled == "cancelled"
    with reading(deps.database) as connection:
        assert store.open_of(connection, account.id) is None
    assert requested is not None


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_the_end_of_the_cool_off_against_cancellation_has_one_winner(deps, operators, round_):
    account = enrolled_account(deps, round_)
    reset = request_reset(deps, operators[0], account, COOL_OFF)
    (ended,) = [message for message in auth.events_in(deps) if isinstance(message, TwoFactorResetCoolOffEnded)]
    deps.clock.turn(hours=1)
    owner = Acting(*auth.sign_in(deps, account))
    cancelled, _ = answers_at_once(
        lambda: reset_cancellation.cancel_own(deps, CLIENT, account, owner, reset.id),
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
    acting = Acting(*auth.sign_in(deps, account))
    phone.set_phone(deps, CLIENT, account, acting, "DE", PHONE.e164)
    pending = fresh(deps, account)

    # Even an otp that took one code twice would not prove the number twice.
    def prove():
        deps.otp.expect(account.id, "phone_verification", pending.pending_phone_binding)
        return phone.verify(deps, CLIENT, pending, acting, "424242")

    answers = answers_at_once(*(prove for _ in range(4)))
    assert types_of(deps, account).count("phone.changed") == 1
    assert sum(not isinstance(answer, str) for answer in answers) == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_word_that_is_issued_while_another_becomes_usable_leaves_one_usable(deps, round_):
    """The try of a word is refused where two are usable, because it counts one row."""
    account = make_account(deps, f"m{round_}@example.com")

    def issue(*, usable_at_once):
        with writing(deps.database) as connection:
            keys = deps.settings.digest_keys
            return enrollment_words.issue(connection, keys, account.id, NOW, usable_at_once=usable_at_once)[0]

    def apply_reset():
        with writing(deps.database) as connection:
            accounts.hold(connection, account.id)  # as the worker does, see events.handle
            enrollment_words.activate(connection, account.id, waiting, NOW)

    waiting = issue(usable_at_once=False)
    answers_at_once(lambda: issue(usable_at_once=True), apply_reset, lambda: issue(usable_at_once=True))
    with reading(deps.database) as connection:
        usable = word_table.c.account_id == account.id, word_table.c.usable_from.is_not(None)
        assert len(connection.execute(select(word_table.c.id).where(*usable)).all()) == 1
