"""otp's use cases over a Redis and a database of their own, under a clock that is turned."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from redis import Redis

from deploy.local.environment import SERVICE_KEYS
from deploy.local.keys import load_or_make_keys
from services.otp import store
from services.otp.deps import Deps, make_deps
from services.otp.settings import OtpSettings
from services.otp.store import NewAuthenticator
from shared.database import create_database, writing
from shared.hashing import HashingPool
from shared.ids import new_id
from shared.keys import KeyList
from shared.migrations import upgrade
from shared.secret import Secret
from shared.settings import Environment

_BEGINS = datetime(2026, 11, 24, 6, tzinfo=UTC)


@dataclass
class TurnedClock:
    """A clock that stands still until it is turned."""

    now: datetime = _BEGINS

    def __call__(self) -> datetime:
        """The time."""
        return self.now


def open_verifier(folder: Path, redis: Redis, clock: TurnedClock) -> tuple[Deps, KeyList]:
    """What the use cases work with, as make run would have it, and the keys that open what they seal for notify."""
    keys, _ = load_or_make_keys(folder / "keys.env")
    url = f"sqlite:///{folder}/otp.sqlite3"
    upgrade("otp", url)
    own = {name: keys[name] for name in SERVICE_KEYS["otp"]}
    places = {"OTP_DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1", "PUBLIC_ORIGIN": "https://portal.example"}
    settings = OtpSettings.from_env(Environment({"LATCHKEY_ENV": "development", **places, **own}))
    database = create_database(url)
    deps = make_deps(settings, database, redis, HashingPool(max_waiting=1), clock=clock, totp_clock=clock)
    return deps, KeyList.parse(keys["NOTIFY_PRIVATE_KEYS"])


def enrol(deps: Deps, account_id: str) -> None:
    """Turn 2FA on, without which no code by SMS lets anybody sign in."""
    authenticator_id = new_id("enr")
    sealed = deps.secret_box.seal(Secret(account_id.encode().ljust(20, b".")), account_id, authenticator_id)
    with writing(deps.database) as connection:
        store.put_active(connection, NewAuthenticator(authenticator_id, account_id, "app", sealed, deps.clock()))
