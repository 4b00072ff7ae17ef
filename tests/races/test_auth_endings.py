"""Writes under way against the end of the session that ordered them: real Redis, real databases of both kinds."""

import threading
import time

import pytest

from services.auth import password_change, phone, session_store, sessions, step_up
from services.auth.consequences import Acting
from services.auth.domain.session import Factor
from services.auth.store import accounts
from shared.database import reading
from shared.hashing import HashingPool
from shared.ids import token_digest
from shared.problems import Refusal, Unavailable
from tests.support import auth
from tests.support.auth import CLIENT, OTHER_PHONE, PHONE, FakeOtp, fresh, make_account, sign_in, types_of
from tests.support.threads import answers_at_once

ROUNDS = 8
NEW_PASSWORD = "nine dry badgers hum softly"


class HeldHashing(HashingPool):
    """Hashes a new password when ``go`` is set: the change that asked for it is under way until then."""

    def __init__(self):
        super().__init__(max_waiting=1, threads=1)
        self.began, self.go = threading.Event(), threading.Event()
        self.go.set()

    def hash(self, password):
        self.began.set()
        assert self.go.wait(20)
        return f"hash of {password}"


@pytest.fixture
def deps(gateway):
    return gateway(FakeOtp, HeldHashing())


@pytest.fixture
def people(deps):
    """The account, the owner's session and the thief's."""
    account = make_account(deps, "mia@example.com", phone=PHONE)
    return account, Acting(*sign_in(deps, account)), Acting(*sign_in(deps, account))


def _password(deps, account, thief):
    password_change.set_new(deps, CLIENT, account, thief, NEW_PASSWORD)


def _pending_phone(deps, account, thief):
    phone.set_phone(deps, CLIENT, account, thief, "DE", OTHER_PHONE.e164)


def _no_phone(deps, account, thief):
    phone.remove(deps, CLIENT, account, thief)


WRITES = {"password.changed": _password, "phone.set": _pending_phone, "phone.removed": _no_phone}


@pytest.mark.parametrize("entry", WRITES)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_no_write_is_committed_after_its_session_was_ended(deps, people, entry, round_):
    """Whichever came first: what stands in the timeline stands there before the end."""
    account, owner, thief = people

    def end_it():
        time.sleep(round_ * 0.002)
        return sessions.end(deps, CLIENT, owner, thief.session.id)

    written, _ = answers_at_once(lambda: WRITES[entry](deps, account, thief), end_it)
    rows = types_of(deps, account)
    if "session.ended" in rows and entry in rows:
        assert rows.index(entry) < rows.index("session.ended")
    if entry not in rows:
        assert written == "not_authenticated"


def test_a_password_change_under_way_when_its_session_is_ended_changes_nothing(deps, people):
    account, owner, thief = people
    deps.hashing.go.clear()
    said = []

    def change():
        try:
            _password(deps, account, thief)
        except Refusal as refusal:
            said.append(refusal.code)

    under_way = threading.Thread(target=change)
    under_way.start()
    assert deps.hashing.began.wait(20)
    assert sessions.end(deps, CLIENT, owner, thief.session.id)
    deps.hashing.go.set()
    under_way.join(20)
    assert said == ["not_authenticated"]
    with reading(deps.database) as connection:
        assert accounts.password(connection, account.id).encoded == auth.PASSWORD_HASH
    assert types_of(deps, account) == ["session.ended"]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_two_changes_at_once_leave_one_session_and_it_has_one_token(deps, people, round_):
    """The second one finds that the first has ended its session, or has given it another token."""
    account, owner, thief = people
    answers = answers_at_once(
        lambda: password_change.set_new(deps, CLIENT, account, owner, NEW_PASSWORD),
        lambda: password_change.set_new(deps, CLIENT, account, thief, NEW_PASSWORD),
    )
    assert answers.count("not_authenticated") == 1
    (live,) = session_store.sessions_of(deps.redis, account.id)
    (_, acting) = next(answer for answer in answers if answer != "not_authenticated")
    assert live == acting.session


def test_a_text_that_is_minted_between_the_endings_of_otp_and_the_commit_of_a_removal_is_withdrawn(deps, people):
    account, owner, thief = people
    minted, said = threading.Event(), []
    deps.otp.after_minting = minted.set

    def ask():
        try:
            said.append(step_up.send_code(deps, CLIENT, account, thief.session))
        except Refusal as refusal:
            said.append(refusal.extra.get("cause"))

    asking = threading.Thread(target=ask)

    def ask_and_wait():
        asking.start()
        assert minted.wait(20)

    deps.otp.after_end = ask_and_wait
    phone.remove(deps, CLIENT, account, owner)
    asking.join(20)
    assert (said, deps.otp.live_sms, deps.publisher.messages) == (["changed"], {}, [])


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_no_text_outlives_a_removal_of_its_phone(deps, people, round_):
    """Whichever came first: the removal ends the code, or the text finds the phone gone."""
    account, owner, thief = people

    def ask():
        time.sleep(round_ * 0.002)
        return step_up.send_code(deps, CLIENT, account, thief.session)

    answers_at_once(ask, lambda: phone.remove(deps, CLIENT, account, owner))
    assert (deps.otp.live_sms, deps.otp.codes) == ({}, {})


def test_a_session_that_rests_on_its_phone_may_repeat_a_removal_that_failed_and_ends_then(deps, people):
    account, _, _ = people
    acting = Acting(*sign_in(deps, account, Factor.PASSWORD, Factor.SMS))

    def lose():
        raise Unavailable("otp")

    deps.otp.after_end = lose
    with pytest.raises(Unavailable):
        phone.remove(deps, CLIENT, account, acting)
    assert 0 < deps.redis.pttl(f"auth:session:{token_digest(acting.token)}") <= 60_000
    assert phone.remove(deps, CLIENT, account, acting) is True
    assert session_store.find(deps.redis, acting.token) is None
    assert fresh(deps, account).phone is None
