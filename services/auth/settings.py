"""What the gateway and its worker read from the environment, once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.auth.branding import Brand, Pages, brand_from, pages_from, wordings_from
from services.auth.domain import targets
from services.auth.domain.hosts import Hosts, origin_of
from services.auth.domain.identity_checks import Times
from services.auth.domain.notice_texts import Wording
from services.auth.domain.reach import Reach
from services.auth.domain.session import SessionTimes
from services.auth.domain.targets import Targets
from services.auth.limits import GUESSING_FLOOR, LONGEST_SESSION
from shared import journaling, messages, metrics_port
from shared.journal import Journal
from shared.keys import Key, KeyList
from shared.metrics_port import MetricsPort
from shared.secret import Secret
from shared.settings import OTP, Environment, Mode, StoreSettings, web_address
from shared.signing import public_halves


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What gateway and event worker share. ``signing_keys`` sign events and notices."""

    mode: Mode
    database_url: str
    stores: StoreSettings
    signing_keys: KeyList
    notify_public_key: Key
    public_origin: str
    brand: Brand
    wordings: Mapping[str, Wording]
    reset_times: Times
    journal: Journal | None

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "WorkerSettings":
        """Read and check. Raises SettingsError that names every fault."""
        env = env or Environment()
        members = _worker_members(env)
        env.done()
        return cls(**members)


@dataclass(frozen=True, slots=True)
class AuthSettings(WorkerSettings):
    """Every setting of auth; README.md lists the variables."""

    otp_url: str
    otp_api_key: Key
    digest_keys: KeyList
    jwt_signing_keys: KeyList
    token_audiences: frozenset[str]
    sign_in_targets: Targets
    session_times: SessionTimes
    trusted_proxy_count: int
    guessing_floor: int
    enrollment_word_required: bool
    enrollment_word_life_seconds: int
    prepares_passwords: bool
    sms_countries: frozenset[str]
    call_countries: frozenset[str]
    twilio_auth_tokens: tuple[Secret[str], ...]
    portal: bool
    pages: Pages
    api_docs: bool
    metrics: MetricsPort | None

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "AuthSettings":
        """Read and check. Raises SettingsError that names every fault."""
        env = env or Environment()
        members = _worker_members(env)
        texted = _countries(env, "SMS_COUNTRIES", DEFAULT_SMS_COUNTRIES)
        members |= {
            "otp_url": _otp_url(env),
            "otp_api_key": _newest(env.keys("OTP_API_KEYS")),
            "digest_keys": env.keys("AUTH_DIGEST_KEYS"),
            "jwt_signing_keys": env.keys("JWT_SIGNING_KEYS"),
            "token_audiences": _audiences(env),
            "sign_in_targets": _targets(env),
            "session_times": _session_times(env),
            "trusted_proxy_count": _trusted_proxy_count(env, members["public_origin"]),
            "guessing_floor": env.integer("GUESSING_FLOOR", GUESSING_FLOOR, minimum=1),
            "enrollment_word_required": _on(env, "ENROLLMENT_WORD_REQUIRED"),
            "enrollment_word_life_seconds": env.integer("ENROLLMENT_WORD_LIFE_SECONDS", 24 * 3600, minimum=1),
            "prepares_passwords": env.choice("PASSWORD_FORM", ("prepared", "typed"), "prepared") == "prepared",
            "sms_countries": texted,
            "call_countries": _call_countries(env, members["mode"], texted),
            "twilio_auth_tokens": env.optional_secrets("TWILIO_AUTH_TOKEN"),
            "portal": _on(env, "PORTAL"),
            "pages": pages_from(env, members["brand"]),
            "api_docs": _on(env, "API_DOCS"),
            "metrics": metrics_port.from_environment(env),
        }
        if members["mode"] is Mode.PRODUCTION and members["call_countries"] and not members["twilio_auth_tokens"]:
            env.fault("CALL_COUNTRIES needs TWILIO_AUTH_TOKEN, because the gateway checks the signature of each call")
        env.done()
        return cls(**members)

    @property
    def reach(self) -> Reach:
        """Where codes go."""
        return Reach(self.sms_countries, self.call_countries)

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach us over HTTPS, which decides on ``__Host-`` cookies."""
        return self.public_origin.startswith("https://")

    @property
    def hosts(self) -> Hosts:
        """The hosts that the gateway answers to."""
        return Hosts(self.public_origin, development=self.mode is Mode.DEVELOPMENT)

    @property
    def session_cookie(self) -> str:
        """Its name. ``__Host-`` binds it to this host over HTTPS; plain HTTP (development) can't carry that prefix."""
        return self._cookie("latchkey_session")

    @property
    def device_cookie(self) -> str:
        """The name of the remembered device's cookie."""
        return self._cookie("latchkey_device")

    @property
    def challenge_cookie(self) -> str:
        """The name of the cookie that binds a login under way to its browser."""
        return self._cookie("latchkey_challenge")

    def _cookie(self, name: str) -> str:
        return f"__Host-{name}" if self.secure_cookies else name


def public_keys_from_env(signing_keys: KeyList, env: Environment | None = None) -> dict[str, KeyList]:
    """The public keys of the services whose events auth's worker acts on, auth among them. Raises SettingsError."""
    env = env or Environment()
    public_keys = {messages.OTP: env.keys("OTP_VERIFY_KEYS"), messages.NOTIFY: env.keys("NOTIFY_VERIFY_KEYS")}
    env.done()
    return {messages.AUTH: public_halves(signing_keys), **public_keys}


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What the audit chain takes: for the worker that seals and the commands that check, never for the gateway."""

    database_url: str
    audit_keys: KeyList
    reset_times: Times
    journal: Journal | None

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "AuditSettings":
        """Read and check. Raises SettingsError that names every fault."""
        env = env or Environment()
        journal = journaling.from_environment(env, "auth")
        database_url, audit_keys = env.database_url("AUTH_DATABASE_URL"), env.keys("AUTH_AUDIT_KEYS")
        settings = cls(database_url, audit_keys, _reset_times(env), journal)
        env.done()
        return settings


_AUDIENCE = re.compile(r"[!-+\--~]{1,200}")  # printable ASCII without a space and a comma

# Where SMS may go unless the operator says otherwise: every further country is a further route for SMS pumping.
DEFAULT_SMS_COUNTRIES = "AT,AU,BE,CA,CH,DE,DK,ES,FI,FR,GB,IE,IT,LU,NL,NO,NZ,PT,SE,US"


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """The settings of the commands that change accounts."""

    database_url: str
    journal: Journal | None

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "AccountSettings":
        """Read and check. Raises SettingsError that names every fault."""
        env = env or Environment()
        settings = cls(env.database_url("AUTH_DATABASE_URL"), journaling.from_environment(env, "auth"))
        env.done()
        return settings


def database_url_from_env(env: Environment | None = None) -> str:
    """All that migrations and the account commands need. Raises SettingsError."""
    env = env or Environment()
    url = env.database_url("AUTH_DATABASE_URL")
    env.done()
    return url


def _on(env: Environment, name: str) -> bool:
    """A switch that is on unless it is set to off."""
    return env.choice(name, ("on", "off"), default="on") == "on"


def _countries(env: Environment, name: str, default: str) -> frozenset[str]:
    """A list of countries (ISO 3166-1 alpha-2), by commas."""
    codes = frozenset(filter(None, env.text(name, default).replace(" ", "").split(",")))
    if not all(_COUNTRY.fullmatch(code) for code in codes):
        env.fault(f"{name} must be ISO 3166-1 codes of two capital letters, by commas, like DE,FR")
    return codes


def _call_countries(env: Environment, mode: Mode, texted: frozenset[str]) -> frozenset[str]:
    """Where codes go by call: nowhere unless set, and in development wherever they go by text."""
    if mode is Mode.DEVELOPMENT and env.optional("CALL_COUNTRIES") is None:
        return texted
    return _countries(env, "CALL_COUNTRIES", "")


def _audiences(env: Environment) -> frozenset[str]:
    """Read whom a token may be for, besides the public origin."""
    listed = [one.strip() for one in env.text("TOKEN_AUDIENCES", "").split(",") if one.strip()]
    if any(not _AUDIENCE.fullmatch(one) for one in listed):
        env.fault("TOKEN_AUDIENCES must list names or URLs, without spaces, by commas")
    return frozenset(listed)


def _session_times(env: Environment) -> SessionTimes:
    life = _seconds(env, "SESSION_LIFE_SECONDS", 12 * _HOUR, _MINUTE)
    if life > LONGEST_SESSION:
        env.fault("SESSION_LIFE_SECONDS must be at most 86400: a session of a second factor ends within 24 hours")
    return SessionTimes(life, _seconds(env, "SESSION_IDLE_SECONDS", _HOUR, _MINUTE))


def _targets(env: Environment) -> Targets:
    try:
        return targets.parse(env.text("SIGN_IN_TARGETS", ""))
    except ValueError as error:
        env.fault(f"SIGN_IN_TARGETS {error}")
        return Targets(())


def _otp_url(env: Environment) -> str:
    url = env.text("OTP_URL").rstrip("/")
    if url:
        env.web_url("OTP_URL", url, part=OTP)
    return url


def _worker_members(env: Environment) -> dict[str, Any]:
    mode, brand = env.mode(), brand_from(env)
    return {
        "mode": mode,
        "database_url": env.database_url("AUTH_DATABASE_URL"),
        "stores": StoreSettings.read(env),
        "signing_keys": env.keys("AUTH_SIGNING_KEYS"),
        "notify_public_key": _newest(env.keys("NOTIFY_PUBLIC_KEY")),
        "public_origin": _public_origin(env, mode),
        "brand": brand,
        "wordings": wordings_from(env, brand),
        "reset_times": _reset_times(env),
        "journal": journaling.from_environment(env, "auth"),
    }


def _public_origin(env: Environment, mode: Mode) -> str:
    """The origin as browsers write it, so that it can be compared with ``Origin`` byte by byte."""
    parts = web_address(env.text("PUBLIC_ORIGIN").rstrip("/"))
    origin = origin_of(parts) if parts is not None else None
    if origin is None:
        env.fault("PUBLIC_ORIGIN must be scheme://host[:port] in ASCII (a name with other letters as xn--…)")
        return ""
    if mode is Mode.PRODUCTION and not origin.startswith("https://"):
        env.fault("PUBLIC_ORIGIN must be https in production")
    return origin


_COUNTRY = re.compile(r"[A-Z]{2}")


def _trusted_proxy_count(env: Environment, public_origin: str) -> int:
    """How many elements of ``X-Forwarded-For``, from the right, proxies of ours have written.

    There is no default where the origin is https. Behind a proxy, 0 gives all clients one address and one budget;
    without one, 1 lets each client name its own address.
    """
    if public_origin.startswith("https://") and env.optional("TRUSTED_PROXY_COUNT") is None:
        env.fault(
            "TRUSTED_PROXY_COUNT is not set, and has no default where PUBLIC_ORIGIN is https: set it to the number of "
            "your proxies in front of the gateway (1 behind one proxy that ends TLS, 0 where clients connect directly)"
        )
    return env.integer("TRUSTED_PROXY_COUNT", 0)


_DAY, _HOUR, _MINUTE = 24 * 3600, 3600, 60
# Every period of a reset: the variable, its default in seconds, and the least that it may be.
RESET_TIMES = {
    "settled": ("RESET_SETTLED_SECONDS", 7 * _DAY, 0),
    "code_login": ("RESET_CODE_LOGIN_SECONDS", _DAY, 0),
    "between_resets": ("RESET_BETWEEN_SECONDS", 30 * _DAY, 0),
    "check_life": ("IDENTITY_CHECK_SECONDS", 30 * _MINUTE, 1),
    "after_cancel": ("RESET_AFTER_CANCEL_SECONDS", 10 * _MINUTE, 0),
    "approval": ("RESET_APPROVAL_SECONDS", 72 * _HOUR, 1),
    "cool_off": ("RESET_COOL_OFF_SECONDS", _DAY, 1),
    "long_cool_off": ("RESET_LONG_COOL_OFF_SECONDS", 72 * _HOUR, 1),
}


def _reset_times(env: Environment) -> Times:
    return Times(**{name: _seconds(env, *setting) for name, setting in RESET_TIMES.items()})


def _seconds(env: Environment, name: str, default: int, minimum: int) -> timedelta:
    return timedelta(seconds=env.integer(name, default, minimum=minimum))


def _newest(keys: KeyList) -> Key | None:
    """The key to write with; a list that could not be read is empty, and ``done`` will say so."""
    return next(iter(keys), None)
