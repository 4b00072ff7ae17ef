"""The secret files that docker-compose.yml mounts: made once, one value a file, kept over runs.

The folder lets nobody but its owner in (0700). The files in it are 0444: Compose mounts each one as it is, and in the
container it is read by that image's user, whose number means nobody, or somebody else, on this machine.
"""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.files import exclusive, make_private_dir, write_private
from deploy.local.keys import MADE, new_list, public_half

READABLE = 0o444
KEY_STEM = "k"  # not the one of development keys: these serve in production

# Derived from others, so written anew each time: to change a password, delete its file and start again.
_DERIVED: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "auth_database_url": lambda made: _postgres_url("auth", "auth", made["auth_database_password"]),
    "otp_database_url": lambda made: _postgres_url("otp", "otp", made["otp_database_password"]),
    "relay_auth_database_url": lambda made: _postgres_url("auth", "relay", made["relay_database_password"]),
    "relay_otp_database_url": lambda made: _postgres_url("otp", "relay", made["relay_database_password"]),
    "redis_conf": lambda made: f"requirepass {made['redis_password']}",
    "redis_url": lambda made: f"redis://:{made['redis_password']}@redis:6379/0",
    "rabbitmq_conf": lambda made: f"default_user = latchkey\ndefault_pass = {made['rabbitmq_password']}",
    "rabbitmq_url": lambda made: f"amqp://latchkey:{made['rabbitmq_password']}@rabbitmq:5672//",
    "notify_public_key": lambda made: public_half(made["notify_private_keys"]),
}
_PASSWORDS = (
    "postgres_password",
    "auth_database_password",
    "otp_database_password",
    "relay_database_password",
    "redis_password",
    "rabbitmq_password",
)
# Somebody else's, so nobody can make them: there, so that they can be mounted, and empty, which counts as not set.
_GIVEN = ("twilio_auth_token", "sms_http_keys", "smtp_password")


def make(folder: Path) -> list[str]:
    """Make what is missing in the folder; the names of the files that were written."""
    make_private_dir(folder)
    with exclusive(folder):
        return _make(folder)


def put(folder: Path, name: str, value: str) -> None:
    """Give one secret another value, in one step."""
    write_private(folder / name, value + "\n")
    (folder / name).chmod(READABLE)


def read(folder: Path, name: str) -> str | None:
    """One secret; None when it was never made."""
    path = folder / name
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


def _make(folder: Path) -> list[str]:
    makers: dict[str, Callable[[], str]] = {
        **dict.fromkeys(_PASSWORDS, lambda: secrets.token_urlsafe(24)),
        **dict.fromkeys((name.lower() for name in MADE), lambda: new_list(KEY_STEM)),
        **dict.fromkeys(_GIVEN, lambda: ""),
    }
    values = {name: read(folder, name) for name in (*makers, *_DERIVED)}
    made = {name: make() if (value := values[name]) is None else value for name, make in makers.items()}
    made |= {name: derive(made) for name, derive in _DERIVED.items()}
    written = [name for name, value in made.items() if value != values[name]]
    for name in written:
        put(folder, name, made[name])
    for name in made:
        (folder / name).chmod(READABLE)
    return written


def _postgres_url(database: str, user: str, password: str) -> str:
    return f"postgresql+psycopg://{user}:{password}@postgres:5432/{database}"
