"""What a probe is, what it finds, and what it is given to work with."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from deploy.attack.accounts import Account, AccountSource
from deploy.attack.browser import Browser, Meter
from deploy.attack.inbox import Inbox
from deploy.local.stack import Stack


class CannotTryError(Exception):
    """This deployment, or what was given about it, leaves no way to try it; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe saw.

    ``tries`` counts the calls made against the guard. ``hole`` says in one line what got through, None when nothing
    did. ``skipped`` says why it could not be tried.
    """

    tries: int
    tried: str
    hole: str | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment under attack. ``control`` is None when it is somebody else's.

    ``client_addresses``: it takes the client's address from X-Forwarded-For, one trusted proxy deep, and we stand where
    that proxy stands. ``meter`` counts calls where all of them come from one address. ``patient``: minutes may be spent
    on waiting for something to expire.
    """

    base_url: str
    accounts: AccountSource
    inbox: Inbox | None = None
    control: Stack | None = None
    client_addresses: bool = False
    meter: Meter | None = None
    patient: bool = False

    def browser(self, ip: str | None = None, *, patient: bool = True) -> Browser:
        """A client nobody has seen before: own connection, own cookies, and an own address where that is possible.

        A patient one asks again for a few seconds when it hears 503; ``raw`` never does.
        """
        address = (ip or new_address()) if self.client_addresses else None
        return Browser(self.base_url, ip=address, patient=patient, meter=self.meter)

    def copy_of(self, browser: Browser, *, patient: bool = True) -> Browser:
        """A client with the session and the logins of this one, with its own connection and its own address."""
        copy = self.browser(patient=patient)
        copy.token, copy.bindings = browser.token, dict(browser.bindings)
        return copy

    def account(self, role: str = "member", team: str | None = None) -> Account:
        """A fresh account, 2FA off, which no other probe gets. Raises CannotTryError when none is left."""
        found = self.accounts.take(role, team)
        if found is None:
            wanted = f"{role} of team {team!r}" if team else role
            raise CannotTryError(f"no unused account is left for a {wanted}")
        return found

    def need_inbox(self) -> Inbox:
        """The development inbox. Raises CannotTryError where there is none."""
        if self.inbox is None:
            raise CannotTryError("needs the development inbox")
        return self.inbox

    def need_control(self) -> Stack:
        """The stack itself: logs, Redis, processes. Raises CannotTryError against somebody else's."""
        if self.control is None:
            raise CannotTryError("needs a stack on this machine (--var-dir)")
        return self.control

    def need_addresses(self) -> None:
        """Raise CannotTryError where all of our clients have one address."""
        if not self.client_addresses:
            raise CannotTryError("needs clients with addresses of their own (--client-addresses)")


@dataclass(frozen=True, slots=True)
class Probe:
    """One attack. ``alone``: nothing else runs meanwhile, for it takes a part down or floods one."""

    row: int
    name: str
    attack: str
    reference: str
    run: Callable[[Target], Finding]
    alone: bool = False


def new_address() -> str:
    """An IPv4 address of the private range 10/8."""
    return ".".join(["10", *(str(secrets.randbelow(254) + 1) for _ in range(3))])
