"""The secret files that docker-compose.yml mounts: made once, one value a file, kept over runs.

The folder lets nobody but its owner in (0700). The files in it are 0444: Compose mounts each one as it is, and in the
container it is read by that image's user, whose number means nobody, or somebody else, on this machine.
"""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.access import rabbitmq, redis_acl
from deploy.access.redis_acl import password_hash
from deploy.access.users import OPERATOR, SERVICES, User
from deploy.local.files import exclusive, make_private_dir, write_private
from deploy.local.keys import DERIVED, MADE, new_list

READABLE = 0o444
KEY_STEM = "k"  # not the one of development keys: these serve in production


def _of_key_list(name: str, derive: Callable[[str], str]) -> Callable[[Mapping[str, str]], str]:
    return lambda made: derive(made[name])


DEFINITIONS = "/etc/rabbitmq/latchkey.json"  # where docker-compose.yml mounts them
_REDIS_USERS = (OPERATOR, *(user.name for user in SERVICES))
_BROKER_USERS = tuple(user for user in SERVICES if user.on_broker)


def secret_name(user: str, what: str) -> str:
    """The name of the secret file with one user's password for Redis or RabbitMQ."""
    return f"{user.replace('-', '_')}_{what}"


def _passwords(made: Mapping[str, str], user: str, server: str) -> list[str]:
    """A user's passwords, newest first; Redis takes several while one is changed (docs/access.md)."""
    return made[secret_name(user, f"{server}_password")].split(",")


def _redis_url(user: User) -> Callable[[Mapping[str, str]], str]:
    return lambda made: f"redis://{user.name}:{_passwords(made, user.name, 'redis')[0]}@redis:6379/0"


def _rabbitmq_url(user: User) -> Callable[[Mapping[str, str]], str]:
    return lambda made: f"amqp://{user.name}:{_passwords(made, user.name, 'rabbitmq')[0]}@rabbitmq:5672//"


def _rabbitmq_passwords(made: Mapping[str, str]) -> dict[str, str]:
    return {user.name: _passwords(made, user.name, "rabbitmq")[0] for user in _BROKER_USERS}


# Derived from others, so written anew each time: to change a password, delete its file and start again.
_DERIVED: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "auth_database_url": lambda made: _postgres_url("auth", "auth", made["auth_database_password"]),
    "otp_database_url": lambda made: _postgres_url("otp", "otp", made["otp_database_password"]),
    "relay_auth_database_url": lambda made: _postgres_url("auth", "relay", made["relay_database_password"]),
    "relay_otp_database_url": lambda made: _postgres_url("otp", "relay", made["relay_database_password"]),
    "redis_users": lambda made: redis_acl.render(
        SERVICES, {name: [password_hash(one) for one in _passwords(made, name, "redis")] for name in _REDIS_USERS}
    ),
    "rabbitmq_conf": lambda _: f"load_definitions = {DEFINITIONS}",
    "rabbitmq_definitions": lambda made: rabbitmq.render(SERVICES, _rabbitmq_passwords(made)),
    # For an upgrade from the previous release (docs/access.md). No container mounts it.
    "rabbitmq_definitions_for_upgrade": lambda made: rabbitmq.render(
        SERVICES, _rabbitmq_passwords(made), for_upgrade=True
    ),
    **{secret_name(user.name, "redis_url"): _redis_url(user) for user in SERVICES},
    **{secret_name(user.name, "rabbitmq_url"): _rabbitmq_url(user) for user in _BROKER_USERS},
    **{name.lower(): _of_key_list(source.lower(), derive) for name, (source, derive) in DERIVED.items()},
}
_PASSWORDS = (
    "postgres_password",
    "auth_database_password",
    "otp_database_password",
    "relay_database_password",
    *(secret_name(name, "redis_password") for name in _REDIS_USERS),
    *(secret_name(user.name, "rabbitmq_password") for user in _BROKER_USERS),
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
    made |= {name: derive(made).strip() for name, derive in _DERIVED.items()}
    written = [name for name, value in made.items() if value != values[name]]
    for name in written:
        put(folder, name, made[name])
    for name in made:
        (folder / name).chmod(READABLE)
    return written


def _postgres_url(database: str, user: str, password: str) -> str:
    return f"postgresql+psycopg://{user}:{password}@postgres:5432/{database}"
