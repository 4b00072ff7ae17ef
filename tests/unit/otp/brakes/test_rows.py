"""Any order of failures, successes and ends, held against the table of design §6: who spends what, and who is refused.

The table stands here once more, as people read it, so that an edit of limits.py does not edit what is expected.
"""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.brakes import NO_BACKUP_CODE
from tests.support.otp import World

AT_MOST = {"strangers": 60, "device A": 10, "device B": 10, "session 1": 10, "session 2": 10, "all": 100}
# Who enters a code, and the rows in which it counts. Session 2 was opened on device A.
ROWS = {
    "a stranger": ("strangers", "all"),
    "A": ("device A", "all"),
    "B": ("device B", "all"),
    "session 1": ("session 1", "all"),
    "session 2": ("session 2", "device A", "all"),
}
CALLS = {
    "a stranger": {"binding": "chl_0"},
    "A": {"binding": "chl_1", "device_id": "dev_a"},
    "B": {"binding": "chl_2", "device_id": "dev_b"},
    "session 1": {"binding": "ses_1", "purpose": "step_up"},
    "session 2": {"binding": "ses_2", "purpose": "step_up", "device_id": "dev_a"},
}
WHO = st.sampled_from(list(ROWS))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wrong"), WHO, st.integers(1, 12)),
        st.tuples(st.just("wrong"), st.just("a stranger"), st.integers(15, 50)),
        st.tuples(st.just("right"), WHO),
        st.tuples(st.just("wrong backup code"), WHO),
        st.tuples(st.just("backup code"), WHO),
        st.tuples(st.just("the owner's word")),
        st.tuples(st.just("unlock")),
    ),
    max_size=14,
)
_numbers = itertools.count()


class Walk:
    """An account of its own, and what the table says of its rows."""

    def __init__(self, world: World) -> None:
        self.world, self.account = world, f"acc_{next(_numbers)}"
        self.spent: Counter[str] = Counter()
        self.lifted = 0
        world.enrol(self.account)
        self.sheet = world.give_recovery_codes(self.account)

    def enter(self, who: str, code: str) -> int:
        answer = self.world.verify(code, account=self.account, **CALLS[who])
        self.world.settle()
        self.world.end_windows()
        return answer.status_code

    def is_refused(self, who: str) -> bool:
        return any(self.spent[row] >= AT_MOST[row] for row in ROWS[who])

    def succeed(self, who: str) -> None:
        for row in ROWS[who]:
            if row != "strangers":
                self.spent[row] = 0
        self.lifted = 0

    def wrong(self, who: str, times: int) -> None:
        for _ in range(times):
            refused = self.is_refused(who)
            assert self.enter(who, self.world.wrong_code(self.account)) == (429 if refused else 401), (who, self.spent)
            if not refused:
                self.spent.update(ROWS[who])

    def right(self, who: str) -> None:
        self.world.clock.turn(seconds=30)
        refused = self.is_refused(who)
        assert self.enter(who, self.world.code(account=self.account)) == (429 if refused else 200), (who, self.spent)
        if not refused:
            self.succeed(who)

    def wrong_backup_code(self, who: str) -> None:
        assert self.enter(who, NO_BACKUP_CODE) == 401

    def backup_code(self, who: str) -> None:
        if self.sheet:
            assert self.enter(who, self.sheet.pop()) == 200, (who, self.spent)
            self.succeed(who)

    def the_owners_word(self) -> None:
        self.world.clock.turn(seconds=1)
        assert self.world.account("POST", "endings", {"strangers": True}, account=self.account).status_code == 204
        self.spent["strangers"] = 0

    def unlock(self) -> None:
        self.world.clock.turn(seconds=1)
        together = self.spent["all"] + self.lifted
        status = self.world.account("POST", "unlock", {}, account=self.account).status_code
        assert status == (409 if together >= AT_MOST["all"] else 204)
        if status == 204:
            self.spent["strangers"] = self.spent["all"] = 0
            self.lifted = together

    def agrees(self) -> None:
        state = self.world.state(self.account)
        assert state["consecutive_failures"] == self.spent["all"]
        assert state["strangers_failures"] == self.spent["strangers"]
        assert state["locked_everywhere"] == (self.spent["all"] >= AT_MOST["all"])


@pytest.fixture(scope="module")
def walked_world(still_world):
    yield still_world
    still_world.deps.recorder.close()


@settings(max_examples=12, deadline=None)
@given(steps=STEPS)
def test_each_spends_its_own_row(walked_world: World, steps):
    walk = Walk(walked_world)
    for what, *values in steps:
        getattr(walk, what.replace(" ", "_").replace("'", ""))(*values)
        walk.agrees()
