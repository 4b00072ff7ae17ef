"""Who plays: the owner and two strangers who have the password, each browser of theirs, and the codes they have."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from services.auth.deps import Client
from services.auth.domain.account import Account
from services.auth.domain.session import Session
from tests.lockout.ledger import Row
from tests.lockout.stage import Stage

HOME, AWAY = "192.0.2.7", "198.51.100.1"  # the owner's network, which a stranger may share, and one far away
STRANGER_AT_HOME, STRANGER_AWAY, MINE, MY_NEW_ONE = "stranger at home", "stranger away", "mine", "my new one"


@dataclass
class Browser:
    """Who sits at it knows the password. ``device_token``: of a browser that the owner has signed in with before."""

    name: str
    ip: str
    device_token: str | None = None
    device_id: str | None = None
    challenge_id: str | None = None
    binding: str | None = None
    challenge_ends_at: datetime | None = None
    charged: tuple[Row, ...] = ()  # what the password of this challenge is charged to until its login is completed
    text: tuple[str, datetime] | None = None  # the code that was sent for this challenge last

    @property
    def known(self) -> bool:
        return self.device_token is not None

    @property
    def client(self) -> Client:
        return Client(self.ip, self.name)


class People:
    """Around one account, from its first sign-in on."""

    def __init__(self, stage: Stage, account: Account) -> None:
        self.stage, self.account = stage, account
        self.browsers = {
            STRANGER_AT_HOME: Browser(STRANGER_AT_HOME, HOME),
            STRANGER_AWAY: Browser(STRANGER_AWAY, AWAY),
            MY_NEW_ONE: Browser(MY_NEW_ONE, HOME),
            MINE: Browser(MINE, HOME),
        }
        self.backup_codes = [code.format() for code, _ in stage.sheet]
        self.session: tuple[Session, str] | None = None
        self.last_step_at: datetime | None = None
        self.sent: set[str] = set()

    def totp(self, *, look: bool = False) -> str:
        """What the app shows; its owner waits for a new one where this one was used."""
        world = self.stage.world
        if not look and self.last_step_at is not None:
            self.wait(max(0.0, 31 - (self.stage.clock.now - self.last_step_at).total_seconds()))
        return world.code(account=self.account.id)

    def right(self, browser: Browser, factor: str) -> str | None:
        if factor == "backup":
            return self.backup_codes[0] if self.backup_codes else None
        if factor == "text":
            alive = browser.text is not None and self.stage.clock.now < browser.text[1]
            waits = browser.challenge_ends_at is not None and self.stage.clock.now < browser.challenge_ends_at
            return browser.text[0] if alive and waits and browser.text else None
        return self.totp()

    def use_up(self, code: str) -> None:
        if code in self.backup_codes:
            self.backup_codes.remove(code)
        self.last_step_at = self.stage.clock.now

    def wrong(self, shape: str) -> str:
        if shape == "backup":
            return "0AAA-BBBB-CCCC-DDDD"
        world = self.stage.world
        near = {world.code(offset, account=self.account.id) for offset in range(-12, 13)} | self.sent
        return next(digits for number in count() if (digits := f"{number:06}") not in near)

    def wait(self, seconds: float) -> None:
        self.stage.clock.now += timedelta(seconds=seconds)
