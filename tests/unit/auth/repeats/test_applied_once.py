"""Turning 2FA on or off ends what stood before it. A repeat finishes that, and ends nothing that began since."""

from dataclasses import dataclass

import pytest

from services.auth import events, session_store
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from services.auth.store import devices
from shared.database import reading
from shared.ids import new_token
from shared.messages import decode
from tests.support.auth import Api, add_device, sign_in
from tests.support.ceremony import IMMEDIATE_BY_TWO, request_reset
from tests.support.repeats import KEY, begun
from tests.support.resets import stored

DONE = {200, 204}


@dataclass
class Change:
    """``answer`` is how the path ends by which otp makes the change."""

    caller: Api
    method: str
    path: str
    body: dict | None
    answer: str

    def make(self):
        """Make it, or repeat it with the token that the session has then."""
        return self.caller.call(self.method, self.path, self.body, headers=KEY).status_code


@pytest.fixture
def confirm(api, tom, world):
    caller = api(tom, Factor.PASSWORD)
    return Change(caller, "POST", *begun(caller, world, tom), "/confirm")


@pytest.fixture
def disable(api, tom, world):
    world.enrol(tom.id)
    return Change(api(tom), "DELETE", "/v1/two-factor", None, "/two-factor")


@pytest.fixture(params=["confirm", "disable"])
def change(request):
    return request.getfixturevalue(request.param)


def opened(deps, account):
    """The token of a new session, beside a device that is new, too."""
    _, token = sign_in(deps, account)
    add_device(deps, account, new_token())
    return token


def left(deps, account, token):
    """Whether the session lives, how many devices are trusted, and how often logins were ended."""
    with reading(deps.database) as connection:
        trusted = devices.count_trusted(connection, account.id, deps.clock())
    lives = session_store.find(deps.redis, token) is not None
    return lives, trusted, session_store.epoch(deps.redis, account.id)


def test_a_repeat_ends_nothing_that_began_since(deps, tom, change, clock):
    before = opened(deps, tom)
    assert change.make() in DONE
    assert left(deps, tom, before) == (False, 0, 1)
    since = opened(deps, tom)
    clock.turn(seconds=59)
    assert change.make() in DONE
    assert left(deps, tom, since) == (True, 1, 1)


def test_a_repeat_ends_no_reset_that_was_requested_since(deps, make_account, tom, confirm, clock):
    sam = make_account("sam@latchkey.example", role=Role.SUPPORT, team="Support")
    assert confirm.make() == 200
    clock.turn(seconds=1)
    reset = request_reset(deps, sam, tom, IMMEDIATE_BY_TWO)
    assert confirm.make() == 200
    assert stored(deps, reset).status is reset.status


def test_a_repeat_leaves_the_session_its_token_and_its_step_up(deps, confirm, clock):
    assert confirm.make() == 200
    token = confirm.caller.token
    session, proven = session_store.find(deps.redis, token), (Factor.PASSWORD, Factor.TOTP)
    stepped_up = session_store.step_up(deps.redis, session, token, clock(), proven)
    clock.turn(seconds=1)
    assert confirm.make() == 200
    assert confirm.caller.token == token
    assert session_store.find(deps.redis, token) == stepped_up


@pytest.mark.parametrize("first", ["the event", "a try of which otp answers no ending"])
def test_a_repeat_finishes_a_change_and_spares_what_began_since(deps, tom, world, otp, change, clock, first):
    before = opened(deps, tom)
    otp.lose = change.answer if first == "the event" else "/endings"
    change.make()
    if first == "the event":
        events.handle(deps, decode(world.events()[-1]))
    clock.turn(seconds=1)
    since = opened(deps, tom)
    assert change.make() in DONE
    assert session_store.find(deps.redis, before) is None
    assert left(deps, tom, since) == (True, 1, 1)
