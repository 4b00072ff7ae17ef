"""What a stranger who has the password, the owner, their neighbours, support and fate may do, in any order.

Each rule plays moves, and each move is held against the model, which predicts every answer.
"""

import functools
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from services.auth import limits as gateway_limits
from services.auth.deps import by_network
from shared import budgets
from tests.lockout.model import Model
from tests.lockout.moves import IN, Moves
from tests.lockout.people import HOME, MINE, MY_NEW_ONE, STRANGER_AT_HOME, STRANGER_AWAY, People
from tests.lockout.stage import Stage
from tests.support.auth import PASSWORD
from tests.support.threads import at_once

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
        """The owner signs in with MINE, a cookie client, and it gets a device token."""
        account = self.stage.begin()
        self.people = People(self.stage, account)
        self.model = Model(self.stage, account.id, self.tally)
        self.moves = Moves(self.stage, self.people, self.model, self.tally)
        self.tally["sequences"] += 1
        mine = self.people.browsers[MINE]
        assert self.moves.sign_in(mine, self.people.totp()) == IN
        assert mine.known

    # --- what people do -----------------------------------------------------------------------------------------------

    @move(name=ANYBODYS, shape=SHAPES, tries=st.integers(1, 6))
    def guess(self, name: str, shape: str, tries: int) -> None:
        """A handful of wrong codes, faster than they can be recorded."""
        for _ in range(tries):
            self.moves.attempt(self.people.browsers[name], self.people.wrong(shape), shape)
        self.model.settle()

    @move(name=ANYBODYS, shape=SHAPES, failures=st.integers(5, 45))
    def besiege(self, name: str, shape: str, failures: int) -> None:
        """Wrong codes for hours or days, each as soon as it is taken."""
        browser = self.people.browsers[name]
        for _ in range(3 * failures):
            said = self.moves.attempt(browser, self.people.wrong(shape), shape)
            self.model.settle()
            failures -= said == "invalid_passcode"
            if failures <= 0 or said == "second_factor_locked":
                break
            if said == "too_many_requests":
                self.people.wait(self.moves.retry_after + 1)

    @move(name=ANYBODYS, factor=st.sampled_from(["totp", "totp", "backup", "text"]))
    def sign_in(self, name: str, factor: str) -> None:
        """The owner, with a right code, in a browser of the owner's or in a new one; a stranger has no right code."""
        browser = self.people.browsers[name if name in {MINE, MY_NEW_ONE} else MY_NEW_ONE]
        code = self.people.right(browser, factor)
        if code is not None:
            self.moves.sign_in(browser, code, "backup" if factor == "backup" else "digits")
        self.model.settle()

    @move(name=ANYBODYS)
    def send_text(self, name: str) -> None:
        """A code by SMS, for a login under way."""
        self.moves.send_text(self.people.browsers[name])
        self.model.settle()

    @move(name=ANYBODYS, texts=st.integers(2, 25))
    def use_up_texts(self, name: str, texts: int) -> None:
        """One text after the other, as soon as it is sent, at most a day long."""
        for _ in range(texts):
            said = self.moves.send_text(self.people.browsers[name])
            if said == "second_factor_locked" or self.moves.retry_after > 700:
                break
            self.people.wait(31 if self.moves.retry_after <= 30 else self.moves.retry_after + 1)
        self.model.settle()

    @precondition(lambda self: self.people.session is not None)
    @move(right=st.booleans(), tries=st.integers(1, 6))
    def prove_oneself_again(self, right: bool, tries: int) -> None:
        """Step up in an open session, or fail to."""
        for _ in range(1 if right else tries):
            if self.moves.step_up(self.people.totp() if right else self.people.wrong("digits")) == "not_authenticated":
                break
        self.model.settle()

    @move(name=ANYBODYS, tries=st.integers(1, 12))
    def mistype_the_password(self, name: str, tries: int) -> None:
        """Or guess at it."""
        browser = self.people.browsers[name]
        for _ in range(tries):
            rows = self.model.password_rows(browser)
            expected = "invalid_credentials" if self.model.ledger.take(*rows) else "too_many_requests"
            said = self.moves.log_in(browser, "not " + PASSWORD)
            assert said == expected, (browser.name, said, expected)

    @move(rate=st.sampled_from(NEIGHBOURS))
    def neighbours_are_busy(self, rate: budgets.Rate) -> None:
        """Somebody in the owner's network uses up what it may try."""
        while self.model.ledger.take((rate, HOME)):
            assert budgets.take(self.stage.world.redis, *by_network(self.stage.gateway, rate, HOME)).allowed

    @move(tries=st.integers(2, 8), name=ANYBODYS, shape=SHAPES)
    def guess_at_once(self, tries: int, name: str, shape: str) -> None:
        """Threads: however they come to run, no more are compared than there is room for."""
        browser, code = self.people.browsers[name], self.people.wrong(shape)
        if not self.moves.challenged(browser):
            return
        room = self.model.room(browser, shape, tries)
        said = Counter(at_once(tries, lambda _: self.moves.verify(browser, code)[0]))
        assert said["invalid_passcode"] == room, (said, room)
        ended = said["challenge_expired"]  # with the device
        assert sum(said.values()) == room + said["too_many_requests"] + said["second_factor_locked"] + ended
        device_ended = False
        for _ in range(tries):
            if device_ended:
                self.model.count_network(browser)
                continue
            _, device_ended = self.model.count_attempt(browser, shape)
            if device_ended:
                self.moves.device_ends(browser)
        assert device_ended or not ended
        self.model.settle()

    @move(
        name=ANYBODYS,
        shape=SHAPES,
        other=ANYBODYS,
        meanwhile=st.sampled_from(["guess", "sign in", "unlock", "lose redis", "lose redis, guess", "record"]),
    )
    def cross(self, name: str, shape: str, other: str, meanwhile: str) -> None:
        """Something else happens after a wrong code was counted, and before it is compared."""
        browser, second, mine = self.people.browsers[name], self.people.browsers[other], self.people.browsers[MINE]
        code = self.people.right(mine, "totp") if meanwhile == "sign in" else None
        if browser is second or (code and browser is mine):
            return
        if not all(self.moves.challenged(each) for each in (browser, second, mine)):
            return
        if self.model.refusal(browser, shape) is not None or (code and self.model.refusal(mine, "digits") is not None):
            return
        wrong, others_wrong = self.people.wrong(shape), self.people.wrong("digits")
        happenings: dict[str, Callable[[], object]] = {
            "guess": lambda: self.moves.attempt(second, others_wrong, "digits"),
            "sign in": lambda: self.moves.sign_in(mine, str(code), settle=False),
            "unlock": self.moves.unlock,
            "lose redis": self.moves.lose_redis,
            "lose redis, guess": lambda: self.moves.guess_after_a_loss(second, others_wrong),
            "record": self.model.settle,
        }
        known, rows = browser.known, self.model.rows(browser, shape)
        spends_device = self.model.count_try(browser, shape)

        def happen() -> None:
            for row in rows:
                row.ahead += 1  # counted, and not yet found wrong
            happenings[meanwhile]()

        self.stage.clock.meanwhile = happen
        said, _ = self.moves.verify(browser, wrong)
        assert self.stage.clock.meanwhile is None, "it never came to be compared"
        assert said == "invalid_passcode", said
        for row in rows:
            row.add()
        self.model.own_failures += known and shape != "backup"
        if spends_device:
            self.moves.device_ends(browser)
        self.tally["crossed"] += 1
        self.model.settle()

    @move(name=ANYBODYS, factor=st.sampled_from(["totp", "backup"]))
    def cross_a_success(self, name: str, factor: str) -> None:
        """The owner's right code was counted; before it is compared, a wrong one comes."""
        browser, mine = self.people.browsers[name], self.people.browsers[MINE]
        shape = "backup" if factor == "backup" else "digits"
        code = self.people.right(mine, factor)
        if browser is mine or code is None or not self.moves.challenged(browser) or not self.moves.challenged(mine):
            return
        if self.model.refusal(mine, shape) is not None:
            return
        wrong, row = self.people.wrong("digits"), self.model.otp_row(mine, shape)

        def happen() -> None:
            self.model.ledger.take(row)
            for counted in self.model.rows(mine, shape):
                counted.ahead += 1
            self.moves.attempt(browser, wrong, "digits")
            self.model.ledger.give_back(row)

        self.stage.clock.meanwhile = happen
        assert self.moves.sign_in(mine, code, shape) == IN
        self.tally["crossed"] += 1

    @precondition(lambda self: self.people.session is not None)
    @move()
    def let_strangers_try(self) -> None:
        """The owner says that new browsers may enter codes again."""
        self.moves.let_strangers_try()
        self.model.settle()

    # --- what happens to them -----------------------------------------------------------------------------------------

    @move(seconds=st.sampled_from([31, 61, 301, 601, 901, 3601, 86_401]))
    def time_passes(self, seconds: int) -> None:
        """Half a minute to a day."""
        self.people.wait(seconds)

    @move()
    def redis_is_lost(self) -> None:
        """Empty, as after a failover to nothing: sessions, sign-ins under way, texts and windows are gone."""
        self.moves.lose_redis()

    @move()
    def support_unlocks(self) -> None:
        """An operator lifts the lock, or what there is of it."""
        self.moves.unlock()
        self.model.settle()

    def teardown(self) -> None:
        """What was paid for, over the whole sequence."""
        self.model.ledger.check()
