"""Reads the environment once, typed, and reports every fault at once."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import SplitResult, urlsplit

from shared.keys import KeyList
from shared.secret import Secret
from shared.store_urls import (
    RABBITMQ_SCHEMES,
    REDIS_SCHEMES,
    database_weaknesses,
    is_loopback,
    require_readable,
    weaknesses,
)

T = TypeVar("T")


class Mode(StrEnum):
    """Where the process runs; development serves the inbox and takes development keys."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


# What PRIVATE_NETWORK may name: parts on a private network, which may be reached without TLS.
REDIS, BROKER, OTP, DATABASE, SMTP = "redis", "broker", "otp", "database", "smtp"
PRIVATE_PARTS = (REDIS, BROKER, OTP, DATABASE, SMTP)
DATABASES = ("sqlite://", "postgresql+psycopg://")


class SettingsError(Exception):
    """The environment lacks or misspells settings; the message names each one and shows no value."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("settings: " + "; ".join(faults))
        self.faults = tuple(faults)


def exit_for_settings(error: SettingsError) -> NoReturn:
    """Print the error and exit with 78 (EX_CONFIG of sysexits.h): a supervisor need not try again."""
    sys.stderr.write(f"{error}\n")
    sys.exit(os.EX_CONFIG)


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
        """A key list, newest first. Outside development, none of its keys may be one that a development stack made."""
        keys = self._read(name, None, lambda raw: KeyList.parse(raw, size_bytes=size_bytes), fallback=KeyList(()))
        made_here = [key.id for key in keys if key.is_for_development]
        if made_here and self.is_production():
            self.fault(
                f"{name} holds the development key {made_here[0]}, which serves nowhere but under "
                "LATCHKEY_ENV=development; make a key for production (docs/keys.md)"
            )
        return keys

    def secrets(self, name: str) -> tuple[Secret[str], ...]:
        """Secrets that somebody else makes (so that they have no ids), newest first, by commas; at least one."""
        return self._read(name, None, _secrets, fallback=(Secret(""),))

    def optional_secrets(self, name: str) -> tuple[Secret[str], ...]:
        """The same, or none."""
        return self._read(name, (), _secrets, fallback=())

    def is_production(self) -> bool:
        """Whether the rules of production hold: they do unless ``LATCHKEY_ENV`` says development."""
        return self._raw("LATCHKEY_ENV") != Mode.DEVELOPMENT

    def private_network(self) -> frozenset[str]:
        """Read ``PRIVATE_NETWORK``: the parts, by commas, that are reached over a private network."""
        names = frozenset(filter(None, (name.strip() for name in (self._raw("PRIVATE_NETWORK") or "").split(","))))
        if not names <= set(PRIVATE_PARTS):
            self.fault(f"PRIVATE_NETWORK must list parts out of {', '.join(PRIVATE_PARTS)}")
        return names

    def database_url(self, name: str) -> str:
        """Read an SQLAlchemy URL.

        In production PostgreSQL off loopback needs TLS, unless ``PRIVATE_NETWORK`` lists ``database``.
        """
        url = self.text(name)
        if url and not url.startswith(DATABASES):
            self.fault(f"{name} must begin with one of {', '.join(DATABASES)}")
        if url.startswith("postgresql") and self.is_production():
            for fault in database_weaknesses(url, private=DATABASE in self.private_network()):
                self.fault(f"{name} {fault}")
        return url

    def web_url(self, name: str, url: str, *, part: str | None = None) -> SplitResult | None:
        """The parts of an http or https URL. In production it is https.

        ``part``: one of ours, which is reached by http too, on loopback or where ``PRIVATE_NETWORK`` names it.
        """
        parts = web_address(url)
        if parts is None or parts.fragment:
            self.fault(f"{name} must be an http or https URL")
            return parts
        inside = part is not None and (is_loopback(parts.hostname) or part in self.private_network())
        if parts.scheme == "http" and self.is_production() and not inside:
            unless = f", or PRIVATE_NETWORK must name {part}" if part else ""
            self.fault(f"{name} must be https in production{unless}")
        return parts

    def fault(self, message: str) -> None:
        """Add a fault that spans several settings, once even if it is found again."""
        if message not in self._faults:
            self._faults.append(message)

    def done(self) -> None:
        """Raise SettingsError when anything was wrong."""
        if self._faults:
            raise SettingsError(self._faults)

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


def _secrets(raw: str) -> tuple[Secret[str], ...]:
    parts = [part.strip() for part in raw.split(",")]
    if not all(parts):
        raise ValueError("must be secrets without a gap, newest first, by commas")
    return tuple(Secret(part) for part in parts)


def web_address(url: str) -> SplitResult | None:
    """The parts of an http or https URL with a host and, if any, a port that is one; else None."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname else None


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Two roles, one Redis server unless said otherwise. Only the broker's may be RabbitMQ."""

    state_url: Secret[str]
    broker_url: Secret[str]

    @classmethod
    def read(cls, env: Environment) -> "StoreSettings":
        """``STATE_REDIS_URL`` and ``BROKER_URL``, both falling back to ``REDIS_URL``.

        In production each needs a password, and TLS off loopback unless ``PRIVATE_NETWORK`` names its role.
        """
        private = env.private_network()
        return cls(
            state_url=_store_url(env, "STATE_REDIS_URL", REDIS_SCHEMES, private=REDIS in private),
            broker_url=_store_url(env, "BROKER_URL", REDIS_SCHEMES + RABBITMQ_SCHEMES, private=BROKER in private),
        )


def _store_url(env: Environment, name: str, schemes: tuple[str, ...], *, private: bool) -> Secret[str]:
    own = env.optional_secret(name)
    url, name = (own, name) if own else (env.secret("REDIS_URL"), "REDIS_URL")
    scheme, separator, _ = url.reveal().partition("://")
    if not url.reveal():
        return url  # said already: it is not set
    if not separator or scheme not in schemes:
        env.fault(f"{name} must begin with one of {', '.join(f'{one}://' for one in schemes)}")
        return url
    try:
        require_readable(scheme, url.reveal())
    except ValueError as error:
        env.fault(f"{name} {error}")
        return url
    if env.is_production():
        for fault in weaknesses(url.reveal(), private=private):
            env.fault(f"{name} {fault}")
    return url
