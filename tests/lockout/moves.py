"""What each of them does: a call of the services' own use cases, held against what the model says of it."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from services.auth import limits as gateway_limits
from services.auth import login, login_sms, step_up, two_factor, unlocks
from services.auth.consequences import Acting
from services.auth.deps import Client
from services.otp import limits as otp_limits
from services.otp.domain.purpose import Purpose
from services.otp.limits import HARD_STOP
from shared.channel import Channel
from shared.problems import Refusal
from shared.texts.languages import DEFAULT_LANGUAGE
from tests.lockout.model import CROSSED_AT_MOST, Model
from tests.lockout.people import AWAY, HOME, MINE, Browser, People
from tests.lockout.stage import Stage
from tests.support.auth import PASSWORD
from tests.support.ceremony import at_console

IN = "signed in"
TEXT_LIVES = timedelta(minutes=5)


class Moves:
    """``retry_after``: when the last call said to come again; 0 where it didn't."""

    def __init__(self, stage: Stage, people: People, model: Model, tally: Counter) -> None:
        self.stage, self.people, self.model, self.tally = stage, people, model, tally
        self.retry_after = 0

    def call(self, act: Callable[[], object]) -> tuple[str, object]:
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

    def log_in(self, browser: Browser, password: str) -> str:
        said, answer = self.call(
            lambda: login.log_in(
                self.stage.gateway,
                browser.client,
                email=self.people.account.email,
                password=password,
                transport="cookie" if browser.name == MINE else "bearer",
                device_tokens=[browser.device_token] if browser.device_token else [],
            )
        )
        if said == IN:
            assert isinstance(answer, login.SecondFactorRequired), "no code, no session"
            browser.challenge_id, browser.binding, browser.text = answer.challenge.id, answer.binding, None
            browser.challenge_ends_at = answer.challenge.expires_at
        return said

    def challenged(self, browser: Browser) -> bool:
        """A sign-in waits for its code, or is begun; False when the password isn't even looked at."""
        if browser.challenge_ends_at is not None and self.stage.clock.now < browser.challenge_ends_at:
            return True
        rows = self.model.password_rows(browser)
        room = self.model.ledger.take(*rows)
        said = self.log_in(browser, PASSWORD)
        assert said == (IN if room else "too_many_requests"), (browser.name, said, room)
        if room:
            browser.charged = self.model.network_rows(browser)
            self.model.ledger.give_back(*(row for row in rows if row not in browser.charged))
        return room

    def verify(self, browser: Browser, code: str) -> tuple[str, object]:
        return self.call(
            lambda: login.verify(
                self.stage.gateway,
                browser.client,
                login.Answer(str(browser.challenge_id), browser.binding, code),
            )
        )

    def attempt(self, browser: Browser, code: str, shape: str) -> str:
        """A wrong code at a login, and what has to be said to it."""
        if not self.challenged(browser):
            return "too_many_requests"
        expected, spends_device = self.model.count_attempt(browser, shape)
        said, _ = self.verify(browser, code)
        assert said in expected, (browser.name, shape, said, expected, self.model.all, self.model.strangers)
        if spends_device:
            self.device_ends(browser)
        return said

    def device_ends(self, browser: Browser) -> None:
        """Ten wrong codes in a row: the account no longer knows it, and what it has opened ends."""
        if self.people.session is not None and self.people.session[0].device_id == browser.device_id:
            self.people.session = None
        browser.device_id = browser.device_token = None
        browser.challenge_id = browser.challenge_ends_at = browser.text = None
        self.tally["devices ended"] += 1

    def sign_in(self, browser: Browser, code: str, shape: str = "digits", *, settle: bool = True) -> str:
        """A right code at a login."""
        if not self.challenged(browser):
            return "too_many_requests"
        refusal = self.model.refusal(browser, shape)
        self.model.count_network(browser)
        said, answer = self.verify(browser, code)
        if refusal is not None:
            assert said in refusal, (browser.name, said, refusal)
            self.model.meets(self.model.rows(browser, shape), refusal)
            return said
        assert said == IN, (browser.name, said, self.model.all, self.model.strangers)
        assert isinstance(answer, login.SignedIn)
        row = self.model.otp_row(browser, shape)
        self.model.ledger.take(row)
        self.model.ledger.give_back(row, *browser.charged)
        self.model.succeeded(browser.device_id)
        if answer.device_token is not None and browser.name == MINE:  # the others keep no cookies
            browser.device_token, browser.device_id = answer.device_token, answer.session.device_id
        browser.challenge_id = browser.challenge_ends_at = browser.text = None
        self.people.session = answer.session, answer.token
        self.people.use_up(code)
        self.succeeded(settle=settle)
        return IN

    def step_up(self, code: str) -> str:
        session, token = self.people.session or (None, None)
        assert session is not None
        assert token is not None
        if self.stage.clock.now >= session.expires_at:
            self.people.session = None
            return "not_authenticated"
        right = code == self.people.totp(look=True)
        own = gateway_limits.REAUTHENTICATE, session.id
        row, rows = (otp_limits.VERIFY_STEP_UP, session.id), [self.model.all]
        ends: list[str] = []
        if not self.model.ledger.take(own):
            expected = {"too_many_requests"}
        else:
            expected = self.model.stopped(rows) or (
                {"too_many_requests"} if self.model.ledger.wait_seconds(row) else None
            )
            if expected is not None:
                self.model.meets(rows, expected)
            else:
                self.model.ledger.take(row)
                ones = [session.id, *([session.device_id] if session.device_id else [])]
                ends = [] if right else [one for one in ones if self.model.counts_for_one(one)]
                expected = {IN} if right else {"not_authenticated"} if ends else {"invalid_passcode"}
        said, _ = self.call(
            lambda: step_up.reauthenticate(
                self.stage.gateway,
                Client(HOME, MINE),
                self.people.account,
                Acting(session, token),
                password=PASSWORD,
                code=code,
            )
        )
        assert said in expected, (said, expected)
        if said == IN:
            self.model.ledger.give_back(own)
            self.model.ledger.give_back(row)
            self.people.use_up(code)
            self.model.succeeded(session.id, session.device_id)
            self.succeeded()
        elif said in {"invalid_passcode", "not_authenticated"}:
            self.model.all.add()
            self.model.own_failures += 1
        if session.id in ends:
            self.people.session = None
            self.tally["sessions ended"] += 1
        if session.device_id in ends:
            self.people.session = None
            for browser in self.people.browsers.values():
                if browser.device_id == session.device_id:
                    self.device_ends(browser)
        return said

    def let_strangers_try(self) -> None:
        """The owner's word, from a known browser."""
        session, token = self.people.session or (None, None)
        if session is None or token is None or self.stage.clock.now >= session.expires_at:
            return
        said, _ = self.call(
            lambda: two_factor.let_strangers_try(self.stage.gateway, Client(HOME, MINE), Acting(session, token))
        )
        expected = "browser_not_known"
        if session.device_id is not None:
            has_room = self.model.ledger.take((gateway_limits.STRANGERS_LET_TRY, session.device_id))
            expected = IN if has_room else "too_many_requests"
        assert said == expected, (said, expected)
        if said == IN:
            self.model.strangers_let_try()
            self.model.ledger.forget([(rate, self.people.account.id) for rate in otp_limits.OF_STRANGERS])
            self.tally["strangers let try"] += 1

    def send_text(self, browser: Browser) -> str:
        if not self.challenged(browser):
            return "too_many_requests"
        self.model.settle()
        room_in_network = self.model.ledger.take((gateway_limits.SMS_IP, browser.ip))
        device = otp_limits.SENDS_OF[Purpose.LOGIN, browser.known]
        rows = [
            (device[0], self.people.account.id),
            (device[1], "phone"),
            (otp_limits.SMS_RESEND, str(browser.challenge_id)),
        ]
        if not room_in_network and not browser.known:
            expected = "too_many_requests"
        elif any(row.failures >= row.stop for row in self.model.rows(browser, "digits")):
            expected = "second_factor_locked"
        else:
            expected = IN if self.model.ledger.take(*rows) else "too_many_requests"
        said, sent = self.call(
            lambda: login_sms.send(
                self.stage.gateway,
                browser.client,
                str(browser.challenge_id),
                browser.binding,
                Channel.SMS,
                language=DEFAULT_LANGUAGE,
            )
        )
        assert said == expected, (browser.name, said, expected)
        if said == IN:
            code = self.stage.passcode(sent.message_id)  # type: ignore[attr-defined]
            browser.text = code, self.stage.clock.now + TEXT_LIVES
            self.people.sent.add(code)
            self.tally["texts"] += 1
        return said

    def unlock(self) -> None:
        """One operator has three a day, and together they lift no hundred in a row."""
        row = (gateway_limits.UNLOCK, self.people.account.id)
        has_room = self.model.ledger.take(row)
        asked = {"ticket": "T-1", "reason": "locked out"}
        console = Client(AWAY, "console")
        gateway, account_id = self.stage.gateway, self.people.account.id
        operator = at_console(gateway, self.stage.operator)
        said, waiting = self.call(lambda: unlocks.request(gateway, console, operator, account_id, **asked))
        together = self.model.lifted + self.model.all.failures
        if said == "reset_needed":
            assert together + CROSSED_AT_MOST >= HARD_STOP, "a lock that support may lift was not lifted"
            if has_room:
                self.model.ledger.give_back(row)
            return
        if not has_room:
            assert said == IN
            assert waiting is not None, "the fourth of a day waits for a second operator"
            self.tally["unlock waits"] += 1
            return
        assert waiting is None
        assert said == IN
        assert together < HARD_STOP, "support lifted a hundred in a row"
        self.model.unlocked()
        rates = (*otp_limits.UNLOCKED, gateway_limits.LOGIN_EMAIL)
        devices = [one.device_id for one in self.people.browsers.values() if one.device_id is not None]
        known = [(gateway_limits.LOGIN_KNOWN_DEVICE, device_id) for device_id in devices]
        own = [(gateway_limits.REAUTHENTICATE, self.people.session[0].id)] if self.people.session is not None else []
        self.model.ledger.forget([*((rate, account_id) for rate in rates), *known, *own])
        self.tally["unlocked"] += 1

    def lose_redis(self) -> None:
        self.stage.world.redis.flushall()
        self.model.ledger.forget()
        self.people.session = None
        self.model.lost_redis()
        for browser in self.people.browsers.values():
            browser.challenge_id = browser.challenge_ends_at = browser.text = None
        self.tally["redis lost"] += 1

    def guess_after_a_loss(self, browser: Browser, code: str) -> None:
        """What is being compared just then is in no count; if only a hundred were left, there is one more."""
        self.lose_redis()
        self.model.all.lost_in_flight += 1
        self.model.strangers.lost_in_flight += 1
        self.attempt(browser, code, "digits")

    def succeeded(self, *, settle: bool = True) -> None:
        self.tally["successes"] += 1
        if settle:
            self.model.settle()
