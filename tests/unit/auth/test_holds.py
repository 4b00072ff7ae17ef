"""What holds an account out is told to its owner and to support, and an unlock lifts it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth import guessing_brake, holds, limits
from services.auth.domain.hold import Held, Hold, LiftedBy
from services.auth.domain.session import Factor
from services.auth.otp_client import Throttle
from shared.clock import parse_rfc3339
from tests.support.auth import PASSWORD
from tests.support.sign_in import email_of, log_in, spend

ASKED = {"ticket": "SUP-1", "reason": "Held out"}


def held_out(caller):
    return caller.get("/v1/two-factor").json["held_out"]


def at_support(api, sam, account):
    return api(sam).get(f"/v1/support/accounts/{account.id}").json["held_out"]


def unlock(api, sam, account):
    assert api(sam).post(f"/v1/support/accounts/{account.id}/unlock", ASKED).status_code == 204


@pytest.fixture
def home(api, tom):
    """Tom's session."""
    return api(tom, Factor.PASSWORD)


@pytest.fixture
def known(stranger, tom):
    """The token of a client that Tom has signed in with."""
    return log_in(stranger, tom).json["device_token"]


def spend_all(home, deps, stranger, tom, known):
    """What strangers, somebody at the owner's client and somebody at an open session have spent."""
    spend(deps, limits.LOGIN_EMAIL, email_of(deps, tom), 10)
    for _ in range(10):
        log_in(stranger, tom, "wrong", device_token=known)
    for _ in range(5):
        home.post("/v1/reauthenticate", {"password": "wrong"})


def test_nothing_holds_an_account_out_at_first(api, sam, tom, home):
    assert held_out(home) == at_support(api, sam, tom) == []


def test_passwords_by_strangers_say_until_when_and_what_lifts_them(deps, clock, home, tom):
    spend(deps, limits.LOGIN_EMAIL, email_of(deps, tom), 10)
    (hold,) = held_out(home)
    assert (hold["what"], hold["lifted_by"]) == ("passwords_new_clients", ["time", "known_client", "support"])
    assert timedelta(minutes=14) < parse_rfc3339(hold["until"]) - clock() <= timedelta(minutes=15)


def test_every_row_of_passwords_is_told_to_the_owner_and_to_support(deps, api, sam, stranger, tom, home, known):
    spend_all(home, deps, stranger, tom, known)
    for holds_told in (held_out(home), at_support(api, sam, tom)):
        # Without the ends: Redis counts the waits by a clock that goes on between the two answers.
        assert [(hold["what"], hold["lifted_by"]) for hold in holds_told] == [
            ("passwords_new_clients", ["time", "known_client", "support"]),
            ("passwords_step_up", ["time", "support"]),
            ("passwords_known_clients", ["time", "support"]),
        ]


def test_an_unlock_lifts_every_row_of_passwords(deps, api, sam, stranger, tom, home, known):
    spend_all(home, deps, stranger, tom, known)

    def right_passwords():
        return [
            log_in(stranger, tom).status_code,
            log_in(stranger, tom, device_token=known).status_code,
            home.post("/v1/reauthenticate", {"password": PASSWORD}).status_code,
        ]

    assert right_passwords() == [429, 429, 429]
    unlock(api, sam, tom)
    assert held_out(home) == []
    assert right_passwords() == [200, 200, 200]


def test_an_unlock_lifts_nothing_of_another_account(deps, api, sam, stranger, tom, mia, home):
    spend(deps, limits.LOGIN_EMAIL, email_of(deps, tom), 10)
    unlock(api, sam, mia)
    assert [hold["what"] for hold in held_out(home)] == ["passwords_new_clients"]


def test_wrong_passwords_in_one_session_hold_out_no_other(deps, api, stranger, tom, home, known):
    spend_all(home, deps, stranger, tom, known)
    other = api(tom, Factor.PASSWORD)
    assert other.post("/v1/reauthenticate", {"password": PASSWORD}).status_code == 200
    assert "passwords_step_up" in [hold["what"] for hold in held_out(other)]


def test_the_brakes_one_try_is_a_hold_that_an_unlock_lifts(deps, api, sam, clock, mia):
    owner = api(mia)
    guessing_brake.take_the_try(deps, mia.id)
    assert held_out(owner) == [], "the brake is not on"
    deps.redis.set(guessing_brake.KEY, 1)
    (hold,) = held_out(owner)
    assert (hold["what"], hold["lifted_by"]) == (
        "codes_one_try",
        ["time", "known_client", "backup_code", "support"],
    )
    assert timedelta(hours=23) < parse_rfc3339(hold["until"]) - clock() <= timedelta(days=1)
    unlock(api, sam, mia)
    assert held_out(owner) == []


@pytest.mark.parametrize("purpose", ["login", "phone_verification", "enrollment"])
def test_codes_say_until_when(api, clock, mia, otp, purpose):
    until = clock() + timedelta(minutes=4)
    otp.throttled[mia.id] = [Throttle(purpose, until)]
    (hold,) = held_out(api(mia))
    assert (hold["what"], parse_rfc3339(hold["until"])) == (f"codes_{purpose}", until)
    more = ["known_client", "backup_code"] if purpose == "login" else []
    assert hold["lifted_by"] == ["time", *more, "support"]


@pytest.mark.parametrize(("reset_needed", "helper"), [(False, LiftedBy.SUPPORT), (True, LiftedBy.RESET)])
def test_a_lock_of_new_clients_has_no_end_and_says_what_lifts_it(deps, mia, otp, reset_needed, helper):
    state = replace(otp.state(mia.id), locked=True, locked_everywhere=False, reset_needed=reset_needed)
    own = LiftedBy.KNOWN_CLIENT, LiftedBy.BACKUP_CODE, LiftedBy.OWNER_WORD, LiftedBy.NEW_PASSWORD
    assert holds.of_account(deps, mia, state, []) == (Hold(Held.CODES_NEW, None, (*own, helper)),)


def test_a_backup_code_is_named_only_while_there_is_one(deps, mia, otp):
    state = replace(otp.state(mia.id), locked=True, locked_everywhere=False, recovery_codes_remaining=0)
    until = deps.clock() + timedelta(minutes=4)
    for hold in holds.of_account(deps, mia, state, [Throttle("login", until)]):
        assert LiftedBy.BACKUP_CODE not in hold.lifted_by


def test_where_an_unlock_would_be_refused_support_is_not_named(deps, api, mia, otp):
    otp.locked.add(mia.id)
    otp.reset_needed.add(mia.id)
    spend(deps, limits.LOGIN_EMAIL, email_of(deps, mia), 10)
    assert [(hold["what"], hold["lifted_by"]) for hold in held_out(api(mia))] == [
        ("codes_everywhere", ["backup_code", "reset"]),
        ("passwords_new_clients", ["time", "known_client"]),
    ]
