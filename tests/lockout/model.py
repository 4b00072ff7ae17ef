"""What has to be said and recorded, by the tables of limits and README's words, and what may never come to be.

Each row of failures ends at its stop, and nothing begins it anew but what the table names. A lost Redis does not begin
the rows of strangers and of all anew. Nothing that a stranger does refuses the owner in the owner's own browser.
"""

from collections import Counter
from dataclasses import dataclass

from services.auth import limits as gateway_limits
from services.otp import attempts_store
from services.otp import limits as otp_limits
from services.otp.domain.failure_row import FailureRow
from services.otp.limits import HARD_STOP, STOP_FOR_A_DEVICE, STOP_FOR_A_SESSION, STOP_FOR_STRANGERS
from shared.database import reading
from shared.messages import EVERYWHERE, NEW_BROWSERS
from tests.lockout.ledger import Ledger, Row
from tests.lockout.people import Browser
from tests.lockout.stage import Stage

CROSSED_AT_MOST = 2  # tries that were counted and are not yet, or no more, in the row as SQL has it


@dataclass
class InARow:
    """A row of failures that lasts in SQL, as it was evaluated.

    ``ahead``, ``lost_in_flight``: by how much Redis may be off since two tries crossed: a failure that a success
    overtook, and one that was compared in the moment of a loss. A try that meets a stop levels SQL with Redis.
    """

    stop: int
    scope: str
    failures: int = 0
    ahead: int = 0
    lost_in_flight: int = 0
    met_a_stop: bool = False
    told: bool = False

    @property
    def is_spent(self) -> bool:
        """Where tries crossed that comes a little early."""
        return self.failures + self.ahead >= self.stop

    def add(self) -> None:
        self.failures += 1
        assert self.failures <= self.stop + self.lost_in_flight, f"more than {self.stop} in a row"

    def end(self) -> None:
        self.failures = self.ahead = self.lost_in_flight = 0
        self.met_a_stop = self.told = False


class Model:
    """One account's budgets, its rows of failures, and what its owner was told."""

    def __init__(self, stage: Stage, account_id: str, tally: Counter) -> None:
        self.stage, self.account_id, self.tally = stage, account_id, tally
        self.ledger = Ledger(lambda: stage.clock.now)
        self.strangers = InARow(STOP_FOR_STRANGERS, NEW_BROWSERS)
        self.all = InARow(HARD_STOP, EVERYWHERE)
        self.of_one: Counter[str] = Counter()  # by the id of a device or session
        # Of the row of all: what strangers did not do, and how often the owner let strangers begin anew in it.
        self.own_failures = self.words = 0
        self.lifted = 0
        self.lock_notices: Counter = Counter()

    # --- which rows -------------------------------------------------------------------------------------------------

    def password_rows(self, browser: Browser) -> tuple[Row, ...]:
        if browser.device_id is not None:
            return ((gateway_limits.LOGIN_KNOWN_DEVICE, browser.device_id),)
        return (gateway_limits.LOGIN_IP, browser.ip), (gateway_limits.LOGIN_EMAIL, self.account_id)

    def network_rows(self, browser: Browser) -> tuple[Row, ...]:
        """What a right password stays charged to until a code completes its login."""
        return () if browser.known else ((gateway_limits.LOGIN_IP, browser.ip),)

    def otp_row(self, browser: Browser, shape: str) -> Row:
        """What a try at a login pays from."""
        if shape == "backup":
            return otp_limits.VERIFY_RECOVERY_CODE, str(browser.challenge_id)
        if browser.device_id is not None:
            return otp_limits.VERIFY_LOGIN_KNOWN_DEVICE, browser.device_id
        return otp_limits.VERIFY_LOGIN, self.account_id

    def rows(self, browser: Browser, shape: str) -> list[InARow]:
        """The rows in SQL in which a wrong code counts, in the order in which otp looks at them."""
        if shape == "backup":
            return []
        return [self.all] if browser.known else [self.strangers, self.all]

    # --- what is refused --------------------------------------------------------------------------------------------

    def stopped(self, rows: list[InARow]) -> set[str] | None:
        spent = next((row for row in rows if row.is_spent), None)
        if spent is None:
            return None
        if self.strangers not in rows:
            of_strangers = STOP_FOR_STRANGERS * (1 + self.words)
            doubt = CROSSED_AT_MOST + self.all.ahead + self.all.lost_in_flight + self.strangers.lost_in_flight
            assert self.own_failures >= HARD_STOP - of_strangers - doubt, (
                "a stranger has locked the owner's own browser"
            )
        return {"second_factor_locked"}

    def meets(self, rows: list[InARow], refusal: set[str]) -> None:
        spent = next((row for row in rows if row.is_spent), None)
        if spent is not None and "second_factor_locked" in refusal:
            spent.met_a_stop = True

    def refusal(self, browser: Browser, shape: str) -> set[str] | None:
        """Why a code isn't compared; None when it is."""
        if not browser.known and self.ledger.wait_seconds((gateway_limits.VERIFY_IP, browser.ip)):
            return {"too_many_requests"}
        stopped = self.stopped(self.rows(browser, shape))
        if stopped is not None:
            return stopped
        return {"too_many_requests"} if self.ledger.wait_seconds(self.otp_row(browser, shape)) else None

    def count_network(self, browser: Browser) -> None:
        self.ledger.take((gateway_limits.VERIFY_IP, browser.ip))

    def count_try(self, browser: Browser, shape: str) -> bool:
        """A try that will be compared; whether its device ends if it is wrong."""
        assert self.refusal(browser, shape) is None
        self.count_network(browser)
        assert self.ledger.take(self.otp_row(browser, shape))
        return shape != "backup" and browser.device_id is not None and self.counts_for_one(browser.device_id)

    def counts_for_one(self, device_or_session: str) -> bool:
        """Whether this failure is the last that the device or session may have."""
        self.of_one[device_or_session] += 1
        most = STOP_FOR_A_SESSION if device_or_session.startswith("ses_") else STOP_FOR_A_DEVICE
        assert self.of_one[device_or_session] <= most
        return self.of_one[device_or_session] == most

    def count_attempt(self, browser: Browser, shape: str) -> tuple[set[str], bool]:
        """A wrong code: what has to be said to it, with all that it costs; and whether it ends the device."""
        refusal = self.refusal(browser, shape)
        if refusal is not None:
            self.count_network(browser)
            self.meets(self.rows(browser, shape), refusal)
            return refusal, False
        spends_device = self.count_try(browser, shape)
        self.evaluated(browser, shape)
        return {"invalid_passcode"}, spends_device

    def room(self, browser: Browser, shape: str, tries: int) -> int:
        """How many of so many tries at once are compared."""
        paid = [self.otp_row(browser, shape)]
        if not browser.known:
            paid.append((gateway_limits.VERIFY_IP, browser.ip))
        below = [row.stop - row.failures - row.ahead for row in self.rows(browser, shape)]
        if browser.device_id is not None and shape != "backup":
            below.append(STOP_FOR_A_DEVICE - self.of_one[browser.device_id])
        return max(0, min([tries, *below, *(self.ledger.room(row) for row in paid)]))

    # --- what happens to the rows -----------------------------------------------------------------------------------

    def evaluated(self, browser: Browser, shape: str) -> None:
        """One more failure in its rows."""
        for row in self.rows(browser, shape):
            row.add()
        self.own_failures += browser.known and shape != "backup"

    def succeeded(self, *ones: str | None) -> None:
        """A right code of this device or session."""
        self.lifted = self.own_failures = self.words = 0
        self.all.end()
        for one in ones:
            self.of_one.pop(str(one), None)

    def unlocked(self) -> None:
        """Support keeps in mind what it lifted."""
        self.lifted += self.all.failures
        self.own_failures = self.words = 0
        self.all.end()
        self.strangers.end()

    def strangers_let_try(self) -> None:
        self.words += 1
        self.strangers.end()

    def lost_redis(self) -> None:
        self.all.ahead = self.strangers.ahead = 0
        self.of_one.clear()

    def settle(self) -> None:
        """A tenth of a second later: what is recorded after the answers agrees with what they were."""
        self.stage.flush()
        for name, row in ((FailureRow.STRANGERS, self.strangers), (FailureRow.ALL, self.all)):
            self._settle(name, row)
        assert self.stage.lock_notices == self.lock_notices, "told once for each lock, on every channel"

    def _settle(self, name: FailureRow, row: InARow) -> None:
        in_redis = self.stage.world.redis.get(otp_limits.durable_row(name, self.account_id).keys()[0])
        if row.met_a_stop and in_redis is not None and int(in_redis) > row.failures:
            assert int(in_redis) - row.failures <= CROSSED_AT_MOST, (in_redis, row)
            row.failures = int(in_redis)
        row.met_a_stop = False
        if row.failures >= row.stop and not row.told:
            row.told = True
            self.lock_notices.update({(row.scope, "send_sms_notice"): 1, (row.scope, "send_email_notice"): 1})
            self.tally[f"locked, {row.scope}"] += 1
        with reading(self.stage.world.database) as connection:
            in_sql = attempts_store.read_failures(connection, self.account_id).in_a_row[name]
        assert in_sql == row.failures, (name, in_sql, row)
        if in_redis is not None:
            row.ahead = int(in_redis) - in_sql
            assert 0 <= row.ahead <= CROSSED_AT_MOST, (name, in_redis, in_sql)
