"""What has to be said and recorded, by the tables of limits and README's words, and what may never come to be.

A row of failures ends at its stop, nothing but a success or support begins it anew, a lost Redis doesn't, and no
stranger can do anything that refuses the owner in the owner's own browser.
"""

from collections import Counter

from services.auth import limits as gateway_limits
from services.otp import attempts_store
from services.otp import limits as otp_limits
from services.otp.domain.purpose import Purpose
from services.otp.limits import HARD_STOP, STOP_FOR_STRANGERS, STOP_FOR_STRANGERS_DIGITS
from shared.database import reading
from shared.messages import EVERYWHERE, NEW_BROWSERS
from tests.lockout.ledger import Ledger, Row
from tests.lockout.people import Browser
from tests.lockout.stage import Stage

CROSSED_AT_MOST = 2  # tries that were counted and are not yet, or no more, in the row as SQL has it


class Model:
    """One account's budgets, its row of failures, and what its owner was told."""

    def __init__(self, stage: Stage, account_id: str, tally: Counter) -> None:
        self.stage, self.account_id, self.tally = stage, account_id, tally
        self.ledger = Ledger(lambda: stage.clock.now)
        # The row of failures: as it was evaluated; of it, the owner's own; and by how much Redis may be off since two
        # tries crossed: a failure that a success overtook, and one that was compared in the moment of a loss. A try
        # that meets a stop levels SQL with Redis; what that takes from the owner's share is ``early``.
        self.failures = self.own_failures = self.ahead = self.lost_in_flight = self.early = 0
        self.lifted = 0
        self.met_a_stop = False
        self.told: set[str] = set()
        self.lock_notices: Counter = Counter()

    def password_rows(self, browser: Browser) -> tuple[Row, ...]:
        if browser.known:
            return ((gateway_limits.LOGIN_KNOWN_DEVICE, browser.name),)
        return (gateway_limits.LOGIN_IP, browser.ip), (gateway_limits.LOGIN_EMAIL, self.account_id)

    def network_rows(self, browser: Browser) -> tuple[Row, ...]:
        """What a right password stays charged to until a code completes its login."""
        return () if browser.known else ((gateway_limits.LOGIN_IP, browser.ip),)

    def otp_row(self, purpose: Purpose, browser: Browser) -> Row:
        if purpose is Purpose.LOGIN and browser.known:
            return otp_limits.VERIFY_LOGIN_KNOWN_DEVICE, browser.name
        return otp_limits.VERIFY[purpose], self.account_id

    def stop(self, browser: Browser, shape: str) -> int:
        if browser.known:
            return HARD_STOP
        return STOP_FOR_STRANGERS_DIGITS if shape == "digits" else STOP_FOR_STRANGERS

    def stopped(self, stop: int) -> set[str] | None:
        """Whether the row of failures is at its end; where tries crossed that comes a little early."""
        return {"second_factor_locked"} if self.failures + self.ahead >= stop else None

    def meets(self, refusal: set[str]) -> None:
        self.met_a_stop = self.met_a_stop or "second_factor_locked" in refusal

    def refusal(self, browser: Browser, shape: str) -> set[str] | None:
        """Why a code isn't compared; None when it is."""
        if not browser.known and self.ledger.wait_seconds((gateway_limits.VERIFY_IP, browser.ip)):
            return {"too_many_requests"}
        stopped = self.stopped(self.stop(browser, shape))
        if stopped is not None:
            if browser.known:
                own = HARD_STOP - STOP_FOR_STRANGERS - self.ahead - self.early - self.lost_in_flight
                assert self.own_failures >= own, "a stranger has locked the owner's own browser"
            return stopped
        return {"too_many_requests"} if self.ledger.wait_seconds(self.otp_row(Purpose.LOGIN, browser)) else None

    def count_network(self, browser: Browser) -> None:
        self.ledger.take((gateway_limits.VERIFY_IP, browser.ip))

    def count_try(self, browser: Browser, shape: str) -> None:
        """A try that will be compared."""
        assert self.refusal(browser, shape) is None
        self.count_network(browser)
        assert self.ledger.take(self.otp_row(Purpose.LOGIN, browser))

    def count_attempt(self, browser: Browser, shape: str) -> set[str]:
        """A wrong code: what has to be said to it, with all that it costs."""
        refusal = self.refusal(browser, shape)
        if refusal is not None:
            self.count_network(browser)
            self.meets(refusal)
            return refusal
        self.count_try(browser, shape)
        self.evaluated(browser)
        return {"invalid_passcode"}

    def room(self, browser: Browser, shape: str, tries: int) -> int:
        """How many of so many tries at once are compared."""
        rows = [self.otp_row(Purpose.LOGIN, browser)]
        if not browser.known:
            rows.append((gateway_limits.VERIFY_IP, browser.ip))
        below_the_stop = self.stop(browser, shape) - self.failures - self.ahead
        return max(0, min([tries, below_the_stop, *(self.ledger.room(row) for row in rows)]))

    def evaluated(self, browser: Browser) -> None:
        """One more failure in the row."""
        self.failures += 1
        self.own_failures += browser.known
        assert self.failures <= HARD_STOP + self.lost_in_flight, "more than a hundred in a row"

    def row_ends(self, *, lifted: int = 0) -> None:
        """By a success; or by an unlock, which keeps in mind what it lifted."""
        self.lifted = lifted
        self.failures = self.own_failures = self.ahead = self.lost_in_flight = self.early = 0
        self.met_a_stop = False
        self.told.clear()

    def settle(self) -> None:
        """A tenth of a second later: what is recorded after the answers agrees with what they were."""
        self.stage.flush()
        in_redis = self.stage.world.redis.get(otp_limits.consecutive_failures(self.account_id).keys()[0])
        if self.met_a_stop and in_redis is not None and int(in_redis) > self.failures:
            crossed = int(in_redis) - self.failures
            self.early += max(0, min(crossed, int(in_redis) - STOP_FOR_STRANGERS))
            self.failures += crossed
            assert crossed <= CROSSED_AT_MOST >= self.early, (in_redis, crossed, self.early)
        self.met_a_stop = False
        for scope, stop in ((NEW_BROWSERS, STOP_FOR_STRANGERS_DIGITS), (EVERYWHERE, HARD_STOP)):
            if self.failures >= stop and scope not in self.told:
                self.told.add(scope)
                self.lock_notices.update({(scope, "send_sms_notice"): 1, (scope, "send_email_notice"): 1})
                self.tally[f"locked, {scope}"] += 1
        assert self.stage.lock_notices == self.lock_notices, "told once for each lock, on every channel"
        with reading(self.stage.world.database) as connection:
            in_sql = attempts_store.read_failures(connection, self.account_id)
        assert in_sql == self.failures, (in_sql, self.failures)
        if in_redis is not None:
            self.ahead = int(in_redis) - in_sql
            assert 0 <= self.ahead <= CROSSED_AT_MOST, (in_redis, in_sql)
