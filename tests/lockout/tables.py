"""What strangers get at many accounts, and what the owners keep.

The numbers of the tables are written here once more, so that a limit that changes in the product alone is found. No
rule is read from the product.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from shared.budgets import DAY, HOUR, MINUTE, Rate, Window
from tests.lockout.guesses import RIGHT_PASSWORD, WRONG_CODE, Brake
from tests.lockout.ledger import Ledger, Row

IN, NEEDS_CODE, WRONG_PASSWORD, WRONG = "in", "second_factor_required", "invalid_credentials", "invalid_passcode"
TOO_MANY, GUESSING, LOCKED, EXPIRED = "too_many_requests", "guessing", "second_factor_locked", "challenge_expired"

_PASSWORD_TRIES = (Window(10, 15 * MINUTE), Window(50, DAY))
_CODE_TRIES = (Window(5, 5 * MINUTE), Window(20, HOUR), Window(50, DAY))
PASSWORDS = Rate("passwords in new browsers", "account", _PASSWORD_TRIES)
PASSWORDS_OF_DEVICE = Rate("passwords in a known browser", "device", _PASSWORD_TRIES)
CODES = Rate("codes in new browsers", "account", _CODE_TRIES)
CODES_OF_DEVICE = Rate("codes in a known browser", "device", _CODE_TRIES)
BACKUP_CODES = Rate("backup codes", "login", (Window(10, 10 * MINUTE), Window(50, DAY)))
ONE_TRY = Rate("codes under the brake", "account", (Window(1, DAY),))
COUNTED = Rate("right passwords that the brake counts", "account", (Window(5, DAY),))
UNLOCKS = Rate("unlocks of one operator", "account", (Window(3, DAY),))
# An IPv4 address, or a /48; and a /64 of it has half.
_SITE, _LINK = (Window(60, 5 * MINUTE), Window(600, DAY)), (Window(30, 5 * MINUTE), Window(300, DAY))
NETWORKS = {what: (Rate(what, "site", _SITE), Rate(f"{what} of a /64", "link", _LINK)) for what in ("password", "code")}

STRANGERS_AT_MOST, DEVICE_AT_MOST, ALL_AT_MOST = 60, 10, 100  # wrong codes in a row
WRONG_CODES_A_NOTICE = 5
LOGIN_LIVES, DEVICE_KNOWN_FOR, NOTICES_MERGED_FOR = timedelta(minutes=10), timedelta(days=90), timedelta(minutes=5)


@dataclass(frozen=True)
class Address:
    """``site``: the IPv4 address or the /48. ``link``: the /64, for IPv6 alone."""

    ip: str
    site: str
    link: str | None = None

    @property
    def shown(self) -> str:
        """As a notice names it."""
        return self.site if self.link is None else self.ip


@dataclass(eq=False)
class Device:
    """A client that an account knows."""

    id: str
    used_at: datetime
    failures: int = 0


@dataclass(eq=False)
class Login:
    """One that waits for its code. ``device``: of the client that began it, if the account knew it.

    ``is_counted``: its right password is in the sum of the brake.
    """

    id: str
    account: str
    device: Device | None
    begun_at: datetime
    begun_from: Address
    is_counted: bool


@dataclass
class Standing:
    """Where an account stands. ``strangers`` and ``all`` are wrong codes in a row; ``lifted`` what support lifted."""

    has_two_factor: bool
    known: dict[str, Device] = field(default_factory=dict)
    strangers: int = 0
    all: int = 0
    lifted: int = 0
    wrong_codes: int = 0
    mails: int = 0
    series: dict[str, tuple[int, datetime]] = field(default_factory=dict)


class Tables:
    """Predicts the answer to each call."""

    def __init__(self, clock: Callable[[], datetime], floor: int) -> None:
        self.clock = clock
        self.ledger, self.brake = Ledger(clock), Brake(clock, floor)
        self.accounts: dict[str, Standing] = {}
        self.is_counted = False  # the last right password, in the sum of the brake
        self._numbers = count(1)

    def device(self, account: str, client: str) -> Device | None:
        """The client's device, while the account knows it."""
        found = self.accounts[account].known.get(client)
        return found if found is not None and found.used_at + DEVICE_KNOWN_FOR > self.clock() else None

    # --- what is said ---------------------------------------------------------------------------------------------

    def password(self, account: str, client: str, address: Address, *, right: bool) -> str:
        """A known client pays from its own row; any other one from the account's and its network's."""
        device = self.device(account, client)
        network = () if device else self._network("password", address)
        own = (PASSWORDS_OF_DEVICE, device.id) if device else (PASSWORDS, account)
        if not self.ledger.take(*network, own):
            return TOO_MANY
        if not right:
            return WRONG_PASSWORD
        self.ledger.give_back(own)
        if self.accounts[account].has_two_factor:  # the network gets it back when a code completes the login
            self.is_counted = device is None and self.ledger.take((COUNTED, account))
            if self.is_counted:
                self.brake.count(RIGHT_PASSWORD)
            return NEEDS_CODE
        self.ledger.give_back(*network)
        self._signed_in(account, client, device)
        return IN

    def code(self, login: Login, client: str, address: Address, *, is_digits: bool, right: bool) -> str:
        """A code of six digits, or a backup code, from wherever."""
        standing, device = self.accounts[login.account], login.device
        has_room = self.ledger.take(*self._network("code", address))
        if device is None and not has_room:
            return TOO_MANY
        if not self.is_open(login):
            return EXPIRED
        braked: list[Row] = [(ONE_TRY, login.account)] if device is None and is_digits and self.brake.is_on else []
        if not self.ledger.take(*braked):
            return GUESSING
        own = self._code_row(login, is_digits=is_digits)
        if is_digits and self.is_locked(standing, device):
            self.ledger.give_back(*braked)
            return LOCKED
        if not self.ledger.take(own):
            self.ledger.give_back(*braked)
            return TOO_MANY
        if not right:
            self._wrong(login, address, is_digits=is_digits)
            return WRONG
        self.ledger.give_back(own, *braked)
        if device is None:
            self.ledger.give_back(*self._network("password", login.begun_from))
            if login.is_counted:
                self.ledger.give_back((COUNTED, login.account))
                self.brake.give_back(RIGHT_PASSWORD, login.begun_at)
        else:
            device.failures = 0
        standing.all = standing.lifted = 0  # and what strangers did stays
        self._signed_in(login.account, client, device)
        return IN

    def is_open(self, login: Login) -> bool:
        """Whether it still waits: ten minutes, and no longer than its device lives."""
        lives = login.device is None or login.device in self.accounts[login.account].known.values()
        return lives and self.clock() < login.begun_at + LOGIN_LIVES

    @staticmethod
    def is_locked(standing: Standing, device: Device | None) -> bool:
        """Whether no six digits are compared."""
        own = standing.strangers >= STRANGERS_AT_MOST if device is None else device.failures >= DEVICE_AT_MOST
        return own or standing.all >= ALL_AT_MOST

    def held_out(self, account: str) -> dict[str, int | None]:
        """What the account page names, and for how many seconds; None where no time ends it."""
        standing = self.accounts[account]
        known = [
            (PASSWORDS_OF_DEVICE, device.id) for name, device in standing.known.items() if self.device(account, name)
        ]
        waits = {
            "passwords_new_clients": self.ledger.wait_seconds((PASSWORDS, account)),
            "passwords_known_clients": max((self.ledger.wait_seconds(row) for row in known), default=0),
            "codes_login": self.ledger.wait_seconds((CODES, account)),
            "codes_one_try": self.ledger.wait_seconds((ONE_TRY, account)) if self.brake.is_on else 0,
        }
        held: dict[str, int | None] = {what: seconds for what, seconds in waits.items() if seconds}
        if standing.all >= ALL_AT_MOST:
            held["codes_everywhere"] = None
        elif standing.strangers >= STRANGERS_AT_MOST:
            held["codes_new_clients"] = None
        return held

    # --- what happens ---------------------------------------------------------------------------------------------

    def ends(self, account: str, client: str) -> None:
        """The account no longer knows this client."""
        self.accounts[account].known.pop(client, None)

    def unlocked(self, account: str) -> None:
        """By support: rows of passwords and codes, and the one try; none of a network, or of a device's codes."""
        standing = self.accounts[account]
        standing.lifted += standing.all
        standing.strangers = standing.all = 0
        devices = [(PASSWORDS_OF_DEVICE, device.id) for device in standing.known.values()]
        self.ledger.forget([(PASSWORDS, account), (CODES, account), (ONE_TRY, account), *devices])

    def _signed_in(self, account: str, client: str, device: Device | None) -> None:
        if device is None:
            device = self.accounts[account].known[client] = Device(f"device {next(self._numbers)}", self.clock())
        device.used_at = self.clock()

    def _wrong(self, login: Login, address: Address, *, is_digits: bool) -> None:
        standing, device = self.accounts[login.account], login.device
        self._tell(standing, address)
        if not is_digits:
            return
        standing.all += 1
        if device is None:
            standing.strangers += 1
            self.brake.count(WRONG_CODE)
            return
        device.failures += 1
        if device.failures >= DEVICE_AT_MOST:
            standing.known = {name: one for name, one in standing.known.items() if one is not device}

    def _tell(self, standing: Standing, address: Address) -> None:
        """Every fifth is told: one mail at once, and one more for all others of five minutes from the same place."""
        standing.wrong_codes += 1
        if standing.wrong_codes % WRONG_CODES_A_NOTICE:
            return
        times, ends_at = standing.series.get(address.shown, (0, self.clock()))
        if ends_at <= self.clock():
            times, ends_at = 0, self.clock() + NOTICES_MERGED_FOR
        standing.series[address.shown] = times + 1, ends_at
        standing.mails += times < 2

    @staticmethod
    def _code_row(login: Login, *, is_digits: bool) -> Row:
        if not is_digits:
            return BACKUP_CODES, login.id
        return (CODES, login.account) if login.device is None else (CODES_OF_DEVICE, login.device.id)

    @staticmethod
    def _network(what: str, address: Address) -> tuple[Row, ...]:
        site, link = NETWORKS[what]
        return ((site, address.site),) if address.link is None else ((site, address.site), (link, address.link))
