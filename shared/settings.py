"""Reads the environment once, typed, and reports every fault at once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from redis.connection import parse_url as parse_redis_url

from shared.keys import KeyList
from shared.secret import Secret

T = TypeVar("T")


class Mode(StrEnum):
    """Where the process runs; development serves the inbox and takes generated keys."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class SettingsError(Exception):
    """The environment lacks or misspells settings; the message names each one and shows no value."""


class Environment:
    """A typed reader over environment variables. ``NAME_FILE`` may name a file that holds the value of ``NAME``.

    Faults are collected; ``done`` raises them together, so that an operator mends them in one round.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables
        self._faults: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """A setting as it stands; without a default it must be there."""
        return self._read(name, default, str, fallback="")

    def optional(self, name: str) -> str | None:
        """A setting that may be absent."""
        return self._raw(name)

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        """A whole number of at least ``minimum``."""

        def convert(raw: str) -> int:
            if not raw.isascii() or not raw.isdigit() or int(raw) < minimum:
                raise ValueError(f"must be a whole number of at least {minimum}")
            return int(raw)

        return self._read(name, default, convert, fallback=minimum)

    def mode(self) -> Mode:
        """``LATCHKEY_ENV``; production unless said otherwise."""
        # Production first: until done() speaks up, a word that we don't know counts as the first choice.
        return Mode(self.choice("LATCHKEY_ENV", (Mode.PRODUCTION, Mode.DEVELOPMENT), default=Mode.PRODUCTION))

    def choice(self, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One word out of a few."""

        def convert(raw: str) -> str:
            if raw not in allowed:
                raise ValueError(f"must be one of {', '.join(allowed)}")
            return raw

        return self._read(name, default, convert, fallback=allowed[0])

    def secret(self, name: str) -> Secret[str]:
        """A secret; it never has a default."""
        return self._read(name, None, Secret[str], fallback=Secret(""))

    def optional_secret(self, name: str) -> Secret[str] | None:
        """A secret that may be absent."""
        raw = self._raw(name)
        return None if raw is None else Secret(raw)

    def keys(self, name: str, *, size_bytes: int = 32) -> KeyList:
        """A key list, newest first."""
        return self._read(name, None, lambda raw: KeyList.parse(raw, size_bytes=size_bytes), fallback=KeyList(()))

    def fault(self, message: str) -> None:
        """Add a fault that spans several settings."""
        self._faults.append(message)

    def done(self) -> None:
        """Raise SettingsError when anything was wrong."""
        if self._faults:
            raise SettingsError("settings: " + "; ".join(self._faults))

    def _raw(self, name: str) -> str | None:
        file = self._variables.get(f"{name}_FILE")
        if file:
            try:
                return Path(file).read_text(encoding="utf-8").strip() or None
            except OSError as error:
                self._faults.append(f"{name}_FILE cannot be read ({error.strerror})")
                return None
            except UnicodeDecodeError:
                self._faults.append(f"{name}_FILE cannot be read (it is not UTF-8)")
                return None
        return self._variables.get(name) or None

    def _read(self, name: str, default: T | None, convert: Callable[[str], T], *, fallback: T) -> T:
        raw = self._raw(name)
        if raw is None:
            if default is None:
                self._faults.append(f"{name} is not set")
                return fallback
            return default
        try:
            return convert(raw)
        except ValueError as error:
            self._faults.append(f"{name} {error}")
            return fallback


def web_address(url: str) -> SplitResult | None:
    """The parts of an http or https URL with a host and, if any, a port that is one; else None."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname else None


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who knows which of several Redis servers is the master: ``sentinel://[user:password@]host[:port],…/MASTER[/DB]``.

    User and password are those of the master.
    """

    hosts: tuple[tuple[str, int], ...]
    master: str
    db: int
    username: str | None
    password: Secret[str] | None

    @classmethod
    def parse(cls, url: str) -> "Sentinels":
        """Raises ValueError when it is not of that form; the message shows no value."""
        try:
            return cls._parse(url)
        except ValueError:
            # Its own words could hold a piece of a password that was not quoted.
            raise ValueError("must be sentinel://[user:password@]host[:port],…/MASTER[/DB]") from None

    @classmethod
    def _parse(cls, url: str) -> "Sentinels":
        parts = urlsplit(url)
        # One address at a time: `hostname` and `port` of the whole would be those of a single host.
        addresses = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        master, _, db = parts.path.strip("/").partition("/")
        if parts.scheme != "sentinel" or not master or not all(one.hostname for one in addresses):
            raise ValueError
        return cls(
            hosts=tuple((one.hostname or "", one.port or SENTINEL_PORT) for one in addresses),
            master=master,
            db=int(db or 0),
            username=unquote(parts.username) if parts.username else None,
            password=Secret(unquote(parts.password)) if parts.password else None,
        )


SENTINEL_PORT = 26379
REDIS_SCHEMES = ("redis", "rediss", "sentinel")
RABBITMQ_SCHEMES = ("amqp", "amqps")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Two roles, one Redis server unless said otherwise. Only the broker's may be RabbitMQ."""

    state_url: Secret[str]
    broker_url: Secret[str]

    @classmethod
    def read(cls, env: Environment) -> "StoreSettings":
        """``STATE_REDIS_URL`` and ``BROKER_URL``, both falling back to ``REDIS_URL``."""
        return cls(
            state_url=_store_url(env, "STATE_REDIS_URL", REDIS_SCHEMES),
            broker_url=_store_url(env, "BROKER_URL", REDIS_SCHEMES + RABBITMQ_SCHEMES),
        )


def _store_url(env: Environment, name: str, schemes: tuple[str, ...]) -> Secret[str]:
    own = env.optional_secret(name)
    url, name = (own, name) if own else (env.secret("REDIS_URL"), "REDIS_URL")
    scheme, separator, _ = url.reveal().partition("://")
    if not url.reveal():
        return url  # said already: it is not set
    if not separator or scheme not in schemes:
        env.fault(f"{name} must begin with one of {', '.join(f'{one}://' for one in schemes)}")
        return url
    try:
        _require_readable(scheme, url.reveal())
    except ValueError as error:
        env.fault(f"{name} {error}")
    return url


def _require_readable(scheme: str, url: str) -> None:
    """What a client would stumble over is said at the start. Raises ValueError; the message shows no value."""
    if scheme == "sentinel":
        Sentinels.parse(url)
        return
    try:
        for address in url.split(";") if scheme in RABBITMQ_SCHEMES else [url]:
            parts = urlsplit(address)
            # Read, because it is only then that a port is looked at: what follows a "/" or "#" that stands unquoted in
            # a password makes one of the password's beginning, and a client's own words would show it.
            _ = parts.port, parts.hostname
        if scheme in REDIS_SCHEMES:
            parse_redis_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError(
            f"must be {scheme}://[user:password@]host[:port][/…]; what is special in a password is percent-encoded"
        ) from None
