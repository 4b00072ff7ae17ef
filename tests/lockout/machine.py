"""What a stranger who has the password, the owner, their neighbours, support and fate may do, in any order.

It plays the services' own use cases and predicts each answer from the tables of limits and from README's words. What it
holds beyond that: a row of failures ends at its stop, nothing but a success or support begins it anew, a lost Redis
doesn't, and no stranger can do anything that refuses the owner in the owner's own browser.
"""

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from services.auth import limits as gateway_limits
from services.auth import login, login_sms, step_up, support
from services.auth.deps import Client, by_ip
from services.auth.domain.session import Session
from services.otp import attempts_store
from services.otp import limits as otp_limits
from services.otp.domain.purpose import Purpose
from services.otp.limits import HARD_STOP, STOP_FOR_STRANGERS, STOP_FOR_STRANGERS_DIGITS
from shared import budgets
from shared.database import reading
from shared.messages import EVERYWHERE, NEW_BROWSERS
from shared.problems import Refusal
from tests.lockout.ledger import Ledger, Row
from tests.lockout.stage import Stage
from tests.support.auth import PASSWORD
from tests.support.otp import at_once

HOME, AWAY = "192.0.2.7", "198.51.100.1"  # the owner's network, which a stranger may share, and one far away
IN = "signed in"
CROSSED_AT_MOST = 2  # tries that were counted and are not yet, or no more, in the row as SQL has it
TEXT_LIVES = timedelta(minutes=5)


@dataclass
class Browser:
    """Who sits at it knows the password. ``device_token``: of a browser that the owner has signed in with before."""

    name: str
    ip: str
    device_token: str | None = None
    challenge_id: str | None = None
    challenge_ends_at: datetime | None = None
    text: tuple[str, datetime] | None = None  # the code that was sent for this challenge last

    @property
    def known(self) -> bool:
        return self.device_token is not None

    @property
    def client(self) -> Client:
        return Client(self.ip, self.name)


STRANGER_AT_HOME, STRANGER_AWAY, MINE, MY_NEW_ONE = "stranger at home", "stranger away", "mine", "my new one"
ANYBODYS = st.sampled_from([STRANGER_AT_HOME, STRANGER_AWAY, MY_NEW_ONE, MINE])
SHAPES = st.sampled_from(["digits", "digits", "digits", "backup"])
NEIGHBOURS = (gateway_limits.LOGIN_IP, gateway_limits.VERIFY_IP, gateway_limits.SMS_IP)


def move(**strategies: st.SearchStrategy) -> Callable:
    """A rule that is counted."""

    def counted(act: Callable) -> Callable:
        @functools.wraps(act)
        def count_and_act(machine: "Lockout", **values: object) -> None:
            machine.tally["steps"] += 1
            act(machine, **values)

        return rule(**strategies)(count_and_act)

    return counted


class Lockout(RuleBasedStateMachine):
    """One account, from its first sign-in on."""

    stage: ClassVar[Stage]
    tally: ClassVar[Counter] = Counter()

    @initialize()
    def begin(self) -> None:
        self.account = self.stage.begin()
        self.ledger = Ledger(lambda: self.stage.clock.now)
        self.browsers = {
            STRANGER_AT_HOME: Browser(STRANGER_AT_HOME, HOME),
            STRANGER_AWAY: Browser(STRANGER_AWAY, AWAY),
            MY_NEW_ONE: Browser(MY_NEW_ONE, HOME),
            MINE: Browser(MINE, HOME),
        }
        self.backup_codes = [code.format() for code, _ in self.stage.sheet]
        self.session: tuple[Session, str] | None = None
        self.last_step_at: datetime | None = None
        self.sent: set[str] = set()
        self.texts_at: list[datetime] = []
        self.requests = count()
        # The row of failures: as it was evaluated; of it, the owner's own; and by how much Redis may be off since two
        # tries crossed: a failure that a success overtook, and one that was compared in the moment of a loss. A try
        # that meets a stop levels SQL with Redis; what that takes from the owner's share is ``early``.
        self.failures = self.own_failures = self.ahead = self.lost_in_flight = self.early = 0
        self.met_a_stop = False
        self.told: set[str] = set()
        self.lock_notices: Counter = Counter()
        self.tally["sequences"] += 1
        self._become_known()

    def _become_known(self) -> None:
        """The owner signs in with MINE, a cookie client, and it gets a device token."""
        mine = self.browsers[MINE]
        assert self._sign_in(mine, self._totp()) == IN
        assert mine.known

    # --- what people do -----------------------------------------------------------------------------------------------

    @move(name=ANYBODYS, shape=SHAPES, tries=st.integers(1, 6))
    def guess(self, name: str, shape: str, tries: int) -> None:
        """A handful of wrong codes, faster than they can be recorded."""
        for _ in range(tries):
            self._attempt(self.browsers[name], self._wrong(shape), shape)
        self._settle()

    @move(name=ANYBODYS, shape=SHAPES, failures=st.integers(5, 45))
    def besiege(self, name: str, shape: str, failures: int) -> None:
        """Wrong codes for hours or days, each as soon as it is taken."""
        browser = self.browsers[name]
        for _ in range(3 * failures):
            said = self._attempt(browser, self._wrong(shape), shape)
            self._settle()
            failures -= said == "invalid_passcode"
            if failures <= 0 or said == "second_factor_locked":
                break
            if said == "too_many_requests":
                self._pass(self.retry_after + 1)

    @move(name=ANYBODYS, factor=st.sampled_from(["totp", "totp", "backup", "text"]))
    def sign_in(self, name: str, factor: str) -> None:
        """The owner, with a right code, in a browser of the owner's or in a new one; a stranger has no right code."""
        browser = self.browsers[name if name in {MINE, MY_NEW_ONE} else MY_NEW_ONE]
        code = self._right(browser, factor)
        if code is not None:
            self._sign_in(browser, code, "backup" if factor == "backup" else "digits")
        self._settle()

    @move(name=ANYBODYS)
    def send_text(self, name: str) -> None:
        """A code by SMS, for a login under way."""
        self._send_text(self.browsers[name])
        self._settle()

    @move(name=ANYBODYS, texts=st.integers(2, 25))
    def use_up_texts(self, name: str, texts: int) -> None:
        """One text after the other, as soon as it is sent, at most a day long."""
        for _ in range(texts):
            said = self._send_text(self.browsers[name])
            if said == "second_factor_locked" or self.retry_after > 700:
                break
            self._pass(31 if self.retry_after <= 30 else self.retry_after + 1)
        self._settle()

    @precondition(lambda self: self.session is not None)
    @move(right=st.booleans(), tries=st.integers(1, 6))
    def prove_oneself_again(self, right: bool, tries: int) -> None:
        """Step up in an open session, or fail to."""
        for _ in range(1 if right else tries):
            if self._step_up(self._totp() if right else self._wrong("digits")) == "not_authenticated":
                break
        self._settle()

    @move(name=ANYBODYS, tries=st.integers(1, 12))
    def mistype_the_password(self, name: str, tries: int) -> None:
        """Or guess at it."""
        browser = self.browsers[name]
        for _ in range(tries):
            rows = self._password_rows(browser)
            expected = "invalid_credentials" if self.ledger.take(*rows) else "too_many_requests"
            said = self._log_in(browser, "not " + PASSWORD)
            assert said == expected, (browser.name, said, expected)

    @move(rate=st.sampled_from(NEIGHBOURS))
    def neighbours_are_busy(self, rate: budgets.Rate) -> None:
        """Somebody in the owner's network uses up what it may try."""
        while self.ledger.take((rate, HOME)):
            assert budgets.take(self.stage.world.redis, by_ip(self.stage.gateway, rate, Client(HOME, ""))).allowed

    @move(tries=st.integers(2, 8), name=ANYBODYS, shape=SHAPES)
    def guess_at_once(self, tries: int, name: str, shape: str) -> None:
        """Threads: however they come to run, no more are compared than there is room for."""
        browser, code = self.browsers[name], self._wrong(shape)
        if not self._challenged(browser):
            return
        room = self._room(browser, shape, tries)
        said = Counter(at_once(tries, lambda _: self._verify(browser, code)[0]))
        assert said["invalid_passcode"] == room, (said, room)
        assert sum(said.values()) == room + said["too_many_requests"] + said["second_factor_locked"]
        for _ in range(tries):
            self._count_attempt(browser, shape)
        self._settle()

    @move(
        name=ANYBODYS,
        shape=SHAPES,
        other=ANYBODYS,
        meanwhile=st.sampled_from(["guess", "sign in", "unlock", "lose redis", "lose redis, guess", "record"]),
    )
    def cross(self, name: str, shape: str, other: str, meanwhile: str) -> None:
        """Something else happens after a wrong code was counted, and before it is compared."""
        browser, second, mine = self.browsers[name], self.browsers[other], self.browsers[MINE]
        code = self._right(mine, "totp") if meanwhile == "sign in" else None
        if browser is second or (code and browser is mine):
            return
        if not all(self._challenged(each) for each in (browser, second, mine)):
            return
        if self._refusal(browser, shape) is not None or (code and self._refusal(mine, "digits") is not None):
            return
        wrong, others_wrong = self._wrong(shape), self._wrong("digits")
        happenings: dict[str, Callable[[], object]] = {
            "guess": lambda: self._attempt(second, others_wrong, "digits"),
            "sign in": lambda: self._sign_in(mine, str(code), settle=False),
            "unlock": self._unlock,
            "lose redis": self._lose_redis,
            "lose redis, guess": lambda: self._guess_after_a_loss(second, others_wrong),
            "record": self._settle,
        }
        self._count_try(browser, shape)

        def happen() -> None:
            self.ahead += 1  # counted, and not yet found wrong
            happenings[meanwhile]()

        self.stage.clock.meanwhile = happen
        said, _ = self._verify(browser, wrong)
        assert self.stage.clock.meanwhile is None, "it never came to be compared"
        assert said == "invalid_passcode", said
        self._evaluated(browser)
        self.tally["crossed"] += 1
        self._settle()

    @move(name=ANYBODYS, factor=st.sampled_from(["totp", "backup"]))
    def cross_a_success(self, name: str, factor: str) -> None:
        """The owner's right code was counted; before it is compared, a wrong one comes."""
        browser, mine = self.browsers[name], self.browsers[MINE]
        shape = "backup" if factor == "backup" else "digits"
        code = self._right(mine, factor)
        if browser is mine or code is None or not self._challenged(browser) or not self._challenged(mine):
            return
        if self._refusal(mine, shape) is not None:
            return
        wrong, row = self._wrong("digits"), self._otp_row(Purpose.LOGIN, mine)

        def happen() -> None:
            self.ledger.take(row)
            self.ahead += 1
            self._attempt(browser, wrong, "digits")
            self.ledger.give_back(row)

        self.stage.clock.meanwhile = happen
        assert self._sign_in(mine, code, shape) == IN
        self.tally["crossed"] += 1

    # --- what happens to them -----------------------------------------------------------------------------------------

    @move(seconds=st.sampled_from([31, 61, 301, 601, 901, 3601, 86_401]))
    def time_passes(self, seconds: int) -> None:
        """Half a minute to a day."""
        self._pass(seconds)

    @move()
    def redis_is_lost(self) -> None:
        """Empty, as after a failover to nothing: sessions, sign-ins under way, texts and windows are gone."""
        self._lose_redis()

    @move()
    def support_unlocks(self) -> None:
        """An operator lifts the lock, or what there is of it."""
        self._unlock()
        self._settle()

    def teardown(self) -> None:
        """What was paid for, over the whole sequence."""
        self.ledger.check()

    # --- moves --------------------------------------------------------------------------------------------------------

    def _call(self, act: Callable[[], object]) -> tuple[str, object]:
        """IN, or the code of the refusal; there is no other way to end."""
        self.tally["calls"] += 1
        said, answer, wait = IN, None, 0
        try:
            answer = act()
        except Refusal as refusal:
            said = refusal.code
            wait = (refusal.retry_after_seconds or 0) if said == "too_many_requests" else 0
            self.tally[said] += 1
        assert (said == "too_many_requests") == (wait > 0), "who may come again hears when"
        self.retry_after = wait
        return said, answer

    def _log_in(self, browser: Browser, password: str) -> str:
        said, answer = self._call(
            lambda: login.log_in(
                self.stage.gateway,
                browser.client,
                email=self.account.email,
                password=password,
                transport="cookie" if browser.name == MINE else "bearer",
                device_token=browser.device_token,
            )
        )
        if said == IN:
            assert isinstance(answer, login.SecondFactorRequired), "no code, no session"
            browser.challenge_id, browser.text = answer.challenge.id, None
            browser.challenge_ends_at = answer.challenge.expires_at
        return said

    def _challenged(self, browser: Browser) -> bool:
        """A sign-in waits for its code, or is begun; False when the password isn't even looked at."""
        if browser.challenge_ends_at is not None and self.stage.clock.now < browser.challenge_ends_at:
            return True
        rows = self._password_rows(browser)
        room = self.ledger.take(*rows)
        said = self._log_in(browser, PASSWORD)
        assert said == (IN if room else "too_many_requests"), (browser.name, said, room)
        if room:
            self.ledger.give_back(*rows)
        return room

    def _verify(self, browser: Browser, code: str) -> tuple[str, object]:
        return self._call(
            lambda: login.verify(
                self.stage.gateway,
                browser.client,
                challenge_id=str(browser.challenge_id),
                code=code,
                remember_device=False,
            )
        )

    def _attempt(self, browser: Browser, code: str, shape: str) -> str:
        """A wrong code at a login, and what has to be said to it."""
        if not self._challenged(browser):
            return "too_many_requests"
        expected = self._count_attempt(browser, shape)
        said, _ = self._verify(browser, code)
        assert said in expected, (browser.name, shape, said, expected, self.failures)
        return said

    def _sign_in(self, browser: Browser, code: str, shape: str = "digits", *, settle: bool = True) -> str:
        """A right code at a login."""
        if not self._challenged(browser):
            return "too_many_requests"
        refusal = self._refusal(browser, shape)
        self._count_network(browser)
        said, answer = self._verify(browser, code)
        if refusal is not None:
            assert said in refusal, (browser.name, said, refusal)
            self._meets(refusal)
            return said
        assert said == IN, (browser.name, said, self.failures)
        assert isinstance(answer, login.SignedIn)
        row = self._otp_row(Purpose.LOGIN, browser)
        self.ledger.take(row)
        self.ledger.give_back(row)
        if answer.device_token is not None:
            browser.device_token = answer.device_token
        browser.challenge_id = browser.challenge_ends_at = browser.text = None
        self.session = answer.session, answer.token
        self._use_up(code)
        self._succeeded(settle=settle)
        return IN

    def _step_up(self, code: str) -> str:
        session, token = self.session or (None, None)
        assert session is not None
        assert token is not None
        if self.stage.clock.now >= session.expires_at:
            self.session = None
            return "not_authenticated"
        right = code == self._totp(look=True)
        own = gateway_limits.REAUTHENTICATE, self.account.id
        row = self._otp_row(Purpose.STEP_UP, self.browsers[MINE])
        if not self.ledger.take(own):
            expected = {"too_many_requests"}
        else:
            expected = self._stopped(HARD_STOP) or ({"too_many_requests"} if self.ledger.wait_seconds(row) else None)
            if expected is not None:
                self._meets(expected)
            else:
                self.ledger.take(row)
                expected = {IN} if right else {"invalid_passcode"}
        said, _ = self._call(
            lambda: step_up.reauthenticate(
                self.stage.gateway,
                Client(HOME, MINE),
                self.account,
                session,
                token,
                password=PASSWORD,
                code=code,
            )
        )
        assert said in expected, (said, expected)
        if said == IN:
            self.ledger.give_back(own)
            self.ledger.give_back(row)
            self._use_up(code)
            self._succeeded()
        elif said == "invalid_passcode":
            self.failures += 1
            self.own_failures += 1
            assert self.failures <= HARD_STOP + self.lost_in_flight
        return said

    def _send_text(self, browser: Browser) -> str:
        if not self._challenged(browser):
            return "too_many_requests"
        self._settle()
        room_in_network = self.ledger.take((gateway_limits.SMS_IP, browser.ip))
        device = otp_limits.SENDS_OF[Purpose.LOGIN, browser.known]
        rows = [(device[0], self.account.id), (device[1], "phone"), (otp_limits.SMS_RESEND, str(browser.challenge_id))]
        if not room_in_network and not browser.known:
            expected = "too_many_requests"
        elif self.failures >= self._stop(browser, "digits"):
            expected = "second_factor_locked"
        else:
            expected = IN if self.ledger.take(*rows) else "too_many_requests"
        said, sent = self._call(lambda: login_sms.send(self.stage.gateway, browser.client, str(browser.challenge_id)))
        if said == "sms_unavailable" and expected == IN:
            assert self._prefix_may_pause(), "so few texts pause no prefix"
            self.ledger.give_back(*rows)
            return said
        assert said == expected, (browser.name, said, expected)
        if said == IN:
            self.texts_at.append(self.stage.clock.now)
            code = self.stage.passcode(sent.message_id)  # type: ignore[attr-defined]
            browser.text = code, self.stage.clock.now + TEXT_LIVES
            self.sent.add(code)
            self.tally["texts"] += 1
        return said

    def _prefix_may_pause(self) -> bool:
        """Whether the guard against SMS pumping has had enough unanswered texts; how it heals is tested elsewhere."""
        for row in otp_limits.SMS_LANE:
            span = timedelta(seconds=row.rate.windows[0].seconds)
            pausing = [at for at in self.texts_at if self.stage.clock.now - at < span + otp_limits.SMS_PAUSE_LASTS]
            for start, at in enumerate(pausing):
                if sum(later - at < span for later in pausing[start:]) >= row.rule.unjudged_sends:
                    return True
        return False

    def _unlock(self) -> None:
        support.unlock(self.stage.gateway, Client(AWAY, "console"), self.stage.operator, self.account.id)
        self._row_ends()
        self.ledger.forget([(rate, self.account.id) for rate in otp_limits.UNLOCKED])
        self.tally["unlocked"] += 1

    def _lose_redis(self) -> None:
        self.stage.world.redis.flushall()
        self.ledger.forget()
        self.session, self.ahead = None, 0
        self.texts_at.clear()
        for browser in self.browsers.values():
            browser.challenge_id = browser.challenge_ends_at = browser.text = None
        self.tally["redis lost"] += 1

    def _guess_after_a_loss(self, browser: Browser, code: str) -> None:
        """What is being compared just then is in no count; if only a hundred were left, there is one more."""
        self._lose_redis()
        self.lost_in_flight += 1
        self._attempt(browser, code, "digits")

    def _pass(self, seconds: float) -> None:
        self.stage.clock.now += timedelta(seconds=seconds)

    # --- codes --------------------------------------------------------------------------------------------------------

    def _totp(self, *, look: bool = False) -> str:
        """What the app shows; its owner waits for a new one where this one was used."""
        world = self.stage.world
        if not look and self.last_step_at is not None:
            self._pass(max(0.0, 31 - (self.stage.clock.now - self.last_step_at).total_seconds()))
        return world.code(account=self.account.id)

    def _right(self, browser: Browser, factor: str) -> str | None:
        if factor == "backup":
            return self.backup_codes[0] if self.backup_codes else None
        if factor == "text":
            alive = browser.text is not None and self.stage.clock.now < browser.text[1]
            waits = browser.challenge_ends_at is not None and self.stage.clock.now < browser.challenge_ends_at
            return browser.text[0] if alive and waits and browser.text else None
        return self._totp()

    def _use_up(self, code: str) -> None:
        if code in self.backup_codes:
            self.backup_codes.remove(code)
        self.last_step_at = self.stage.clock.now

    def _wrong(self, shape: str) -> str:
        if shape == "backup":
            return "0AAA-BBBB-CCCC-DDDD"
        world = self.stage.world
        near = {world.code(offset, account=self.account.id) for offset in range(-12, 13)} | self.sent
        return next(digits for number in count() if (digits := f"{number:06}") not in near)

    # --- what has to be said ------------------------------------------------------------------------------------------

    def _password_rows(self, browser: Browser) -> tuple[Row, ...]:
        if browser.known:
            return ((gateway_limits.LOGIN_KNOWN_DEVICE, browser.name),)
        return (gateway_limits.LOGIN_IP, browser.ip), (gateway_limits.LOGIN_EMAIL, self.account.id)

    def _otp_row(self, purpose: Purpose, browser: Browser) -> Row:
        if purpose is Purpose.LOGIN and browser.known:
            return otp_limits.VERIFY_LOGIN_KNOWN_DEVICE, browser.name
        return otp_limits.VERIFY[purpose], self.account.id

    def _stop(self, browser: Browser, shape: str) -> int:
        if browser.known:
            return HARD_STOP
        return STOP_FOR_STRANGERS_DIGITS if shape == "digits" else STOP_FOR_STRANGERS

    def _stopped(self, stop: int) -> set[str] | None:
        """Whether the row of failures is at its end; where tries crossed that comes a little early."""
        return {"second_factor_locked"} if self.failures + self.ahead >= stop else None

    def _meets(self, refusal: set[str]) -> None:
        self.met_a_stop = self.met_a_stop or "second_factor_locked" in refusal

    def _refusal(self, browser: Browser, shape: str) -> set[str] | None:
        """Why a code isn't compared; None when it is."""
        if not browser.known and self.ledger.wait_seconds((gateway_limits.VERIFY_IP, browser.ip)):
            return {"too_many_requests"}
        stopped = self._stopped(self._stop(browser, shape))
        if stopped is not None:
            if browser.known:
                own = HARD_STOP - STOP_FOR_STRANGERS - self.ahead - self.early - self.lost_in_flight
                assert self.own_failures >= own, "a stranger has locked the owner's own browser"
            return stopped
        return {"too_many_requests"} if self.ledger.wait_seconds(self._otp_row(Purpose.LOGIN, browser)) else None

    def _count_network(self, browser: Browser) -> None:
        self.ledger.take((gateway_limits.VERIFY_IP, browser.ip))

    def _count_try(self, browser: Browser, shape: str) -> None:
        """A try that will be compared."""
        assert self._refusal(browser, shape) is None
        self._count_network(browser)
        assert self.ledger.take(self._otp_row(Purpose.LOGIN, browser))

    def _count_attempt(self, browser: Browser, shape: str) -> set[str]:
        """A wrong code: what has to be said to it, with all that it costs."""
        refusal = self._refusal(browser, shape)
        if refusal is not None:
            self._count_network(browser)
            self._meets(refusal)
            return refusal
        self._count_try(browser, shape)
        self._evaluated(browser)
        return {"invalid_passcode"}

    def _room(self, browser: Browser, shape: str, tries: int) -> int:
        """How many of so many tries at once are compared."""
        rows = [self._otp_row(Purpose.LOGIN, browser)]
        if not browser.known:
            rows.append((gateway_limits.VERIFY_IP, browser.ip))
        below_the_stop = self._stop(browser, shape) - self.failures - self.ahead
        return max(0, min([tries, below_the_stop, *(self.ledger.room(row) for row in rows)]))

    def _evaluated(self, browser: Browser) -> None:
        """One more failure in the row."""
        self.failures += 1
        self.own_failures += browser.known
        assert self.failures <= HARD_STOP + self.lost_in_flight, "more than a hundred in a row"

    def _succeeded(self, *, settle: bool = True) -> None:
        self._row_ends()
        self.tally["successes"] += 1
        if settle:
            self._settle()

    def _row_ends(self) -> None:
        self.failures = self.own_failures = self.ahead = self.lost_in_flight = self.early = 0
        self.met_a_stop = False
        self.told.clear()

    def _settle(self) -> None:
        """A tenth of a second later: what is recorded after the answers agrees with what they were."""
        self.stage.flush()
        in_redis = self.stage.world.redis.get(otp_limits.consecutive_failures(self.account.id).keys()[0])
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
            in_sql = attempts_store.read_failures(connection, self.account.id)
        assert in_sql == self.failures, (in_sql, self.failures)
        if in_redis is not None:
            self.ahead = int(in_redis) - in_sql
            assert 0 <= self.ahead <= CROSSED_AT_MOST, (in_redis, in_sql)
