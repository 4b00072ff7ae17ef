"""The accounts that the probes sign in as: a file for a deployment of somebody's, made anew for a stack of ours."""

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.files import write_private


class AccountsError(Exception):
    """An accounts file that can't be used; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account made for this: its 2FA is off, and nobody's work hangs on it.

    ``id`` is what the API calls it; an operator has the one-time word that its enrolment takes.
    """

    email: str
    password: str = field(repr=False)
    role: str = "member"
    team: str = ""
    id: str = ""
    enrollment_word: str | None = field(default=None, repr=False)


class AccountSource:
    """Hands each account out once; safe to be asked by many threads."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._left = list(accounts)
        self._owned = {account.team for account in self._left if account.role == "owner"}
        self._asking = threading.Lock()

    def take(self, role: str, team: str | None = None) -> Account | None:
        """An account of this role (and team). Members of teams that have an owner are kept for who names the team."""
        with self._asking:
            fit = [account for account in self._left if account.role == role and team in {None, account.team}]
            if not fit:
                return None
            # False sorts before True: the members nobody will ask for by their team come first.
            chosen = min(fit, key=lambda account: account.role == "member" and account.team in self._owned)
            self._left.remove(chosen)
            return chosen

    def left(self) -> int:
        """How many are still unused."""
        return len(self._left)


def read_accounts(path: Path) -> list[Account]:
    """Read a file that `python -m deploy.attack accounts` wrote. Raises AccountsError."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["accounts"]
        return [Account(**row) for row in rows]
    except OSError as error:
        raise AccountsError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        members = '"email", "password", "role", "team", "id", "enrollment_word"'
        message = f'{path} is not {{"accounts": [{{{members}}}]}}: {type(error).__name__}'
        raise AccountsError(message) from error


def write_accounts(path: Path, accounts: Sequence[Account]) -> None:
    """Write the file, readable by its owner only."""
    write_private(path, json.dumps({"accounts": [asdict(account) for account in accounts]}, indent=1) + "\n")
