"""What strangers with many leaked passwords do to many accounts, and what the owners keep, over the gateway's HTTP.

Of the owners, Ann has 2FA, and Tom and Ida have none. After each step all three sign in with the browser that they
share. The tables (tables.py) predict every answer, at the other accounts too.
"""

from collections import Counter
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import func, select

from services.auth import guessing_brake
from services.auth.models import timeline
from services.auth.store.timeline import Entry
from services.otp import attempts_store
from services.otp.domain.failure_row import FailureRow
from services.otp.limits import durable_row
from shared.database import reading
from tests.lockout.crowd import (
    ADDRESSES,
    HOME,
    HOME_ADDRESS,
    LEAKED,
    NEW,
    PHONE,
    PHONE_ADDRESS,
    PLAIN,
    STRANGER,
    WRONG_BACKUP_CODE,
    Crowd,
)
from tests.lockout.stage import Stage
from tests.lockout.tables import GUESSING, IN, LOCKED, TOO_MANY, WRONG, WRONG_CODES_A_NOTICE

EVERYBODY = (*LEAKED, *PLAIN)
WHERE = st.sampled_from(sorted(ADDRESSES))
WHOSE, LEAKED_ONE = st.sampled_from(EVERYBODY), st.sampled_from(LEAKED)
# The first floor is out of reach, so that the rows of each account fill. The other one is a sweep over the accounts.
FLOORS = st.sampled_from([10**6, 25])
HOUSE = ["flat", "next door", "upstairs"]
# What lifts each of them, as the account page says it.
LIFTED_BY = {
    "passwords_new_clients": {"time", "known_client", "support"},
    "passwords_known_clients": {"time", "support"},
    "codes_login": {"time", "known_client", "backup_code", "support"},
    "codes_one_try": {"time", "known_client", "backup_code", "support"},
    "codes_new_clients": {"known_client", "backup_code", "owner_word", "new_password", "support"},
}


class Strangers(RuleBasedStateMachine):
    """Eight accounts and eight addresses."""

    stage: ClassVar[Stage]
    tally: ClassVar[Counter] = Counter()
    crowd: Crowd

    @initialize(floor=FLOORS)
    def begin(self, floor: int) -> None:
        """Each owner has signed in once, and no address has spent anything."""
        self.tally["sequences"] += 1
        self.crowd = Crowd(self.stage, floor, self.tally)
        for name in EVERYBODY:
            assert self.crowd.own(name, PHONE, PHONE_ADDRESS) == IN
        for name in ("ann", *PLAIN):
            assert self.crowd.own(name, HOME, HOME_ADDRESS) == IN

    # --- strangers ------------------------------------------------------------------------------------------------

    @rule(where=st.lists(WHERE, min_size=1, max_size=4), tries=st.integers(1, 8))
    def sweep(self, where: list[str], tries: int) -> None:
        """Wrong codes at one account after the other, from these addresses in turn."""
        for number in range(tries):
            for place, name in enumerate(LEAKED):
                self.crowd.guess(name, ADDRESSES[where[(number + place) % len(where)]])

    @rule(name=LEAKED_ONE, where=st.lists(WHERE, min_size=1, max_size=4), failures=st.integers(5, 70))
    def besiege(self, name: str, where: list[str], failures: int) -> None:
        """Wrong codes at one account for days, each as soon as it is taken."""
        for number in range(3 * failures):
            said, wait = self.crowd.guess(name, ADDRESSES[where[number % len(where)]])
            failures -= said == WRONG
            if failures <= 0 or said == LOCKED:
                break
            if said in {TOO_MANY, GUESSING}:
                self.crowd.wait(wait + 1)

    @rule(where=st.just(HOUSE) | st.lists(WHERE, min_size=1, max_size=4), tries=st.integers(1, 65))
    def try_leaked_passwords(self, where: list[str], tries: int) -> None:
        """Right passwords that meet no code. From the three /64 together they are too many for their /48."""
        for number in range(tries):
            self.crowd.enter_password(LEAKED[number % len(LEAKED)], STRANGER, ADDRESSES[where[number % len(where)]])

    @rule(name=WHOSE, where=st.lists(WHERE, min_size=1, max_size=4), tries=st.integers(1, 15))
    def guess_passwords(self, name: str, where: list[str], tries: int) -> None:
        for number in range(tries):
            self.crowd.enter_password(name, STRANGER, ADDRESSES[where[number % len(where)]], right=False)

    @rule(name=LEAKED_ONE, where=WHERE, tries=st.integers(1, 12))
    def guess_backup_codes(self, name: str, where: str, tries: int) -> None:
        """They are told like other wrong codes, and fill no row of six digits."""
        for _ in range(tries):
            self.crowd.enter_code(name, STRANGER, ADDRESSES[where], WRONG_BACKUP_CODE, right=False)

    @rule(name=LEAKED_ONE, where=WHERE, tries=st.integers(1, 11))
    def guess_with_a_stolen_device(self, name: str, where: str, tries: int) -> None:
        """The thief of a phone, or a copy of its token; after ten in a row it is a stranger's."""
        for _ in range(tries):
            said, wait = self.crowd.guess(name, ADDRESSES[where], PHONE)
            if said == TOO_MANY and self.crowd.tables.device(name, PHONE) and wait < 600:
                self.crowd.wait(wait + 1)

    # --- owners ---------------------------------------------------------------------------------------------------

    @rule(name=WHOSE, client=st.sampled_from([PHONE, NEW]), where=WHERE, by_backup_code=st.booleans())
    def sign_in(self, name: str, client: str, where: str, by_backup_code: bool) -> None:
        has_one = bool(self.crowd.backup_codes.get(name))
        self.crowd.own(name, client, ADDRESSES[where], by_backup_code=by_backup_code and has_one)

    @rule(name=WHOSE, client=st.sampled_from([HOME, PHONE]), tries=st.integers(1, 12))
    def mistype_the_password(self, name: str, client: str, tries: int) -> None:
        """In a browser of one's own, which spends its own row and no other one."""
        for _ in range(tries):
            self.crowd.enter_password(name, client, HOME_ADDRESS, right=False)

    @rule(name=WHOSE, client=st.sampled_from([HOME, PHONE]))
    def forget_this_browser(self, name: str, client: str) -> None:
        """At a logout. The thief of its token has nothing; in a shared browser the others stay known."""
        if self.crowd.own(name, client, PHONE_ADDRESS) == IN:
            self.crowd.forget(name, client, PHONE_ADDRESS)
            self.tally["browsers forgotten"] += 1

    # --- support and time -----------------------------------------------------------------------------------------

    @rule(name=WHOSE)
    def support_unlocks(self, name: str) -> None:
        self.crowd.unlock(name)

    @rule(seconds=st.sampled_from([61, 301, 901, 3601, 86_401, 86_401, 46 * 86_400]))
    def time_passes(self, seconds: int) -> None:
        """Two of the longest waits are more than the 90 days of a browser that is not used."""
        self.crowd.wait(seconds)

    # --- what must be so, whatever happened -----------------------------------------------------------------------

    @invariant()
    def owners_get_in_with_what_is_known(self) -> None:
        """In the shared browser, unless it has been forgotten, or has spent its own row of passwords."""
        if not hasattr(self, "crowd"):
            return
        self.tally["steps"] += 1
        self._counts_agree()
        crowd, tables = self.crowd, self.crowd.tables
        for name in ("ann", *PLAIN):
            device = tables.device(name, HOME)
            spends_own = "passwords_known_clients" in tables.held_out(name)
            said = crowd.own(name, HOME, HOME_ADDRESS)
            assert said == IN or device is None or (said == TOO_MANY and spends_own), (name, said)
            if said == IN:
                self._page_says_what_holds_out(name)

    def _page_says_what_holds_out(self, name: str) -> None:
        shown, expected = self.crowd.held_out(HOME, HOME_ADDRESS), self.crowd.tables.held_out(name)
        assert {what: seconds for what, (seconds, _) in shown.items()} == expected, (name, shown, expected)
        for what, (_, lifted_by) in shown.items():
            without = set() if self.crowd.backup_codes.get(name) else {"backup_code"}
            assert set(lifted_by) == LIFTED_BY[what] - without, (what, lifted_by)
            self.tally[f"shown: {what}"] += 1

    def _counts_agree(self) -> None:
        """Rows in SQL and in Redis, what was told, and the brake."""
        crowd, tables = self.crowd, self.crowd.tables
        self.stage.world.deps.recorder.flush()
        mails = crowd.read_mail()
        for name in LEAKED:
            standing, account = tables.accounts[name], crowd.accounts[name]
            expected = {FailureRow.STRANGERS: standing.strangers, FailureRow.ALL: standing.all}
            with reading(self.stage.world.database) as connection:
                assert attempts_store.read_failures(connection, account.id).in_a_row == expected, (name, standing)
            for row, failures in expected.items():
                in_redis = self.stage.world.redis.get(durable_row(row, account.id).keys()[0])
                assert in_redis is None or int(in_redis) == failures, (name, row, in_redis, standing)
            of_it = timeline.c.account_id == account.id, timeline.c.type == Entry.SECOND_FACTOR_FAILED
            with reading(self.stage.gateway.database) as connection:
                told = connection.execute(select(func.count()).where(*of_it)).scalar_one()
            assert told == standing.wrong_codes // WRONG_CODES_A_NOTICE, (name, standing)
            assert mails[name] == standing.mails, (name, mails, standing)
        assert guessing_brake.is_on(self.stage.world.redis) == tables.brake.is_on, tables.brake.ends_at
        self.tally["braked"] += tables.brake.is_on

    def teardown(self) -> None:
        """What was compared, over the whole sequence."""
        if hasattr(self, "crowd"):
            self.crowd.tables.ledger.check()
