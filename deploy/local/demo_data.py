"""What was seeded: `var/demo.json`, for people and scripts."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.files import write_private


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """One seeded account with all that is needed to sign in as it."""

    id: str
    email: str
    password: str
    role: str
    totp_secret: str | None


@dataclass(frozen=True, slots=True)
class DemoData:
    """The gateway's address and the seeded accounts."""

    base_url: str
    accounts: tuple[DemoAccount, ...]

    def account(self, email: str) -> DemoAccount:
        """The account of this address. Raises KeyError when none was seeded."""
        for account in self.accounts:
            if account.email == email:
                return account
        raise KeyError(email)


def read_demo(path: Path) -> DemoData:
    """Read the file. Raises OSError when there is none, ValueError or KeyError when it isn't what `make run` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return DemoData(data["base_url"], tuple(DemoAccount(**account) for account in data["accounts"]))


def write_demo(path: Path, demo: DemoData) -> None:
    """Write the file in one step, readable by its owner only."""
    write_private(path, json.dumps(asdict(demo), indent=2) + "\n")
