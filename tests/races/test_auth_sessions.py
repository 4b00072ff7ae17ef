"""Logins at once against what ends them: real Redis, real databases of both kinds, real threads."""

import itertools
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from services.auth import challenge_store, events, login, password_change, session_store, sessions, two_factor
from services.auth.challenge_store import LoginChallenge
from services.auth.consequences import Acting
from services.auth.domain.session import Factor
from services.auth.limits import SESSIONS_AT_MOST
from services.auth.login import Answer, SignedIn
from services.auth.otp_client import Verified
from services.auth.store import devices
from shared import budgets
from shared.budgets import Charge, Rate, Window
from shared.database import reading
from shared.hashing import HashingPool
from shared.ids import new_id, token_digest
from shared.messages import TwoFactorResetApplied
from tests.support import auth
from tests.support.auth import CLIENT, NOW, FakeOtp, end_all, end_one, fresh, make_account, sign_in, types_of
from tests.support.threads import answers_at_once

BINDING = "held by the client"
THREADS = 16
ROUNDS = 8
NEW_PASSWORD = "nine dry badgers hum softly"


class GenerousOtp(FakeOtp):
    """Takes every code, however often: so what is tested is the gateway's claim."""

    def verify(self, *_args):
        return Verified("totp")

    def disable(self, *_args):
        pass


class InstantHashing(HashingPool):
    def hash(self, password):
        return f"hash of {password}"


@pytest.fixture
def deps(gateway):
    return gateway(GenerousOtp, InstantHashing(max_waiting=1, threads=1))


def begin(deps, account):
    """A challenge as the right password makes it."""
    challenge = LoginChallenge(
        id=new_id("chl"),
        account_id=account.id,
        epoch=session_store.epoch(deps.redis, account.id),
        transport="bearer",
        methods=("totp",),
        expires_at=deps.clock().replace(hour=6),
        device_id=None,
        ip=CLIENT.ip,
        user_agent=CLIENT.browser,
        binding_digest=token_digest(BINDING),
    )
    challenge_store.put(deps.redis, challenge, NOW)
    return challenge.id


def verifier(deps, challenge_id, *, remember=False):
    return lambda: login.verify(deps, CLIENT, Answer(challenge_id, BINDING, "424242", remember))


def live(deps, account):
    return {session.id for session in session_store.sessions_of(deps.redis, account.id)}


def trusted(deps, account):
    with reading(deps.database) as connection:
        return devices.count_trusted(connection, account.id, deps.clock())


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_one_challenge_makes_one_session(deps, round_):
    account = make_account(deps, "mia@example.com")
    challenge_id = begin(deps, account)
    answers = answers_at_once(*[verifier(deps, challenge_id)] * THREADS)
    assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
    assert answers.count("challenge_expired") == THREADS - 1
    assert len(live(deps, account)) == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_one_challenge_makes_one_session_though_the_commit_of_some_fails(deps, round_):
    """otp says yes to all of them; what fails is undone, and whoever comes next may have the challenge."""
    account = make_account(deps, "mia@example.com")
    challenge_id, commits = begin(deps, account), itertools.count()

    def cut(_connection):
        if next(commits) <= round_ % 3:
            raise OperationalError("COMMIT", {}, Exception("cut"))

    def enter():
        try:
            return verifier(deps, challenge_id)()
        except OperationalError:
            return "service_unavailable"

    event.listen(deps.database, "commit", cut)
    answers = answers_at_once(*[enter] * THREADS)
    event.remove(deps.database, "commit", cut)
    if not any(isinstance(answer, SignedIn) for answer in answers):
        answers += answers_at_once(enter)
    (signed_in,) = [answer for answer in answers if isinstance(answer, SignedIn)]
    assert answers.count("service_unavailable") >= 1
    assert live(deps, account) == {signed_in.session.id}
    assert answers_at_once(enter) == ["challenge_expired"]
    assert types_of(deps, account).count("session.started") == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_no_use_revives_a_session_that_ends_meanwhile(deps, round_):
    deps = replace(deps, settings=auth.settings(SESSION_IDLE_SECONDS="3600"))
    account = make_account(deps, "mia@example.com")
    session, token = sign_in(deps, account)

    def use(minutes):
        return lambda: session_store.keep(deps.redis, token, session.expires_at + timedelta(minutes=minutes), NOW)

    uses = [use(minutes) for minutes in range(1, THREADS)]
    uses.insert(round_, lambda: end_one(deps, account, session))
    answers_at_once(*uses)
    assert (session_store.find(deps.redis, token), live(deps, account)) == (None, set())


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_the_latest_of_uses_at_once_counts_and_a_step_up_beside_them_is_not_lost(deps, round_):
    deps = replace(deps, settings=auth.settings(SESSION_IDLE_SECONDS="3600"))
    account = make_account(deps, "mia@example.com")
    session, token = sign_in(deps, account, Factor.PASSWORD, stepped_up=False)

    def use(minutes):
        return lambda: session_store.keep(deps.redis, token, session.expires_at + timedelta(minutes=minutes), NOW)

    uses = [use(minutes) for minutes in range(1, THREADS)]
    uses.insert(round_, lambda: session_store.step_up(deps.redis, session, token, NOW, (Factor.PASSWORD, Factor.TOTP)))
    answers_at_once(*uses)
    found = session_store.find(deps.redis, token)
    assert found.expires_at == session.expires_at + timedelta(minutes=THREADS - 1)
    assert (found.assurance, found.stepped_up_at) == ("aal2", NOW)
    left = deps.redis.pttl(f"auth:session:{token_digest(token)}")
    assert 4_400_000 < left <= (3600 + 60 * (THREADS - 1)) * 1000


def _change_password(deps, account, own):
    password_change.set_new(deps, CLIENT, account, Acting(own.session, own.token), NEW_PASSWORD)


def _disable(deps, account, own):
    two_factor.disable(deps, account, Acting(own.session, own.token))


def _reset(deps, account, _own):
    events.handle(
        deps,
        TwoFactorResetApplied(
            id=new_id("evt"), occurred_at=deps.clock(), account_id=account.id, reset_id=new_id("rst")
        ),
    )


@pytest.mark.parametrize(("change", "spares_own"), [(_change_password, True), (_disable, True), (_reset, False)])
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_no_login_and_no_trust_from_before_a_change_outlives_it(deps, round_, change, spares_own):
    """Whichever came first: a session before the change is ended by it, a login after it is refused."""
    account = make_account(deps, "mia@example.com")
    own = verifier(deps, begin(deps, account), remember=True)()
    logins = [verifier(deps, begin(deps, account), remember=True) for _ in range(6)]

    def end_it():
        time.sleep(round_ * 0.005)  # so that it meets the logins at another place each round
        change(deps, fresh(deps, account), own)

    answers_at_once(*logins, end_it)
    assert live(deps, account) == ({own.session.id} if spares_own else set())
    assert trusted(deps, account) == 0


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_step_up_brings_no_session_back(deps, round_):
    account = make_account(deps, "mia@example.com")
    session, token = sign_in(deps, account)
    answers_at_once(
        *[lambda: session_store.step_up(deps.redis, session, token, NOW, session.factors)] * 4,
        lambda: end_one(deps, account, session),
    )
    assert session_store.find(deps.redis, token) is None


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_ends_at_once_all_succeed_and_leave_one_entry(deps, round_):
    account = make_account(deps, "mia@example.com")
    session, _ = sign_in(deps, account)
    acting = Acting(*sign_in(deps, account))
    answers = answers_at_once(*[lambda: sessions.end(deps, CLIENT, acting, session.id)] * THREADS)
    assert answers == [True] * THREADS
    assert types_of(deps, account) == ["session.ended"]


def test_logins_at_once_leave_an_account_fifty_sessions(deps):
    account = make_account(deps, "mia@example.com")
    for _ in range(SESSIONS_AT_MOST - 2):
        sign_in(deps, account)
    answers_at_once(*[verifier(deps, begin(deps, account)) for _ in range(THREADS)])
    assert len(live(deps, account)) == deps.redis.hlen(f"auth:sessions:{account.id}") == SESSIONS_AT_MOST


def test_ending_all_sessions_costs_the_same_after_sixty_and_after_a_thousand(deps):
    account = make_account(deps, "mia@example.com")

    def commands_of_ending(opened):
        for _ in range(opened):
            sign_in(deps, account)
        deps.redis.config_resetstat()
        assert len(end_all(deps, account)) == SESSIONS_AT_MOST
        return sum(row["calls"] for row in deps.redis.info("commandstats").values())

    commands_of_ending(60)  # the server learns the script
    assert commands_of_ending(60) == commands_of_ending(1000) <= 5 * SESSIONS_AT_MOST


def test_tries_at_once_never_exceed_a_budget(deps):
    charge = Charge(Rate("race", "account", (Window(5, 60), Window(8, 3600))), "mia")
    answers = answers_at_once(*[lambda: budgets.take(deps.redis, charge).allowed] * 40)
    assert Counter(answers) == {True: 5, False: 35}
    deps.redis.delete(charge.keys()[0])
    answers = answers_at_once(*[lambda: budgets.take(deps.redis, charge).allowed] * 40)
    assert Counter(answers) == {True: 3, False: 37}


def test_a_window_ends_by_itself_and_a_refused_try_does_not_lengthen_it(deps):
    charge = Charge(Rate("race", "account", (Window(2, 1),)), "mia")
    assert [budgets.take(deps.redis, charge).allowed for _ in range(3)] == [True, True, False]
    deadline = time.monotonic() + 1.5
    while not budgets.take(deps.redis, charge).allowed:
        assert time.monotonic() < deadline
        time.sleep(0.02)
