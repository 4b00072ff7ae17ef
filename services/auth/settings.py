"""What the gateway and its worker read from the environment, once."""

from dataclasses import dataclass
from typing import Any

from shared.keys import Key, KeyList
from shared.secret import Secret
from shared.settings import Environment, Mode, StoreSettings, web_address


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What acting on events takes: the worker holds no key that signs or digests."""

    mode: Mode
    database_url: str
    stores: StoreSettings
    notify_public_key: Key
    public_origin: str

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
    trusted_proxy_count: int
    reset_cool_off_seconds: int
    sms_countries: frozenset[str]
    twilio_auth_tokens: tuple[Secret[str], ...]
    portal: bool

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "AuthSettings":
        """Read and check. Raises SettingsError that names every fault."""
        env = env or Environment()
        members = _worker_members(env) | {
            "otp_url": _otp_url(env),
            "otp_api_key": _newest(env.keys("OTP_API_KEYS")),
            "digest_keys": env.keys("AUTH_DIGEST_KEYS"),
            "jwt_signing_keys": env.keys("JWT_SIGNING_KEYS"),
            "trusted_proxy_count": env.integer("TRUSTED_PROXY_COUNT", 0),
            "reset_cool_off_seconds": env.integer("RESET_COOL_OFF_SECONDS", 24 * 3600, minimum=1),
            "sms_countries": frozenset(env.text("SMS_COUNTRIES", DEFAULT_SMS_COUNTRIES).replace(" ", "").split(",")),
            "twilio_auth_tokens": env.optional_secrets("TWILIO_AUTH_TOKEN"),
            "portal": env.choice("PORTAL", ("on", "off"), default="on") == "on",
        }
        env.done()
        return cls(**members)

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach us over HTTPS, which decides on ``__Host-`` cookies."""
        return self.public_origin.startswith("https://")

    @property
    def session_cookie(self) -> str:
        """Its name. ``__Host-`` binds it to this host over HTTPS; plain HTTP (development) can't carry that prefix."""
        return self._cookie("latchkey_session")

    @property
    def device_cookie(self) -> str:
        """The name of the remembered device's cookie."""
        return self._cookie("latchkey_device")

    def _cookie(self, name: str) -> str:
        return f"__Host-{name}" if self.secure_cookies else name


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What the audit chain takes: for the worker that seals and the commands that check, never for the gateway."""

    database_url: str
    audit_keys: KeyList

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "AuditSettings":
        """Read and check. Raises SettingsError that names every fault."""
        env = env or Environment()
        settings = cls(env.text("AUTH_DATABASE_URL"), env.keys("AUTH_AUDIT_KEYS"))
        env.done()
        return settings


# Where SMS may go unless the operator says otherwise: every further country is a further route for SMS pumping.
DEFAULT_SMS_COUNTRIES = "AT,AU,BE,CA,CH,DE,DK,ES,FI,FR,GB,IE,IT,LU,NL,NO,NZ,PT,SE,US"


def database_url_from_env(env: Environment | None = None) -> str:
    """All that migrations and the account commands need. Raises SettingsError."""
    env = env or Environment()
    url = env.text("AUTH_DATABASE_URL")
    env.done()
    return url


def _otp_url(env: Environment) -> str:
    url = env.text("OTP_URL").rstrip("/")
    if url and web_address(url) is None:
        env.fault("OTP_URL must be an http or https URL")
    return url


def _worker_members(env: Environment) -> dict[str, Any]:
    mode = env.mode()
    origin = env.text("PUBLIC_ORIGIN").rstrip("/")
    parts = web_address(origin)
    if parts is None or parts.path:
        env.fault("PUBLIC_ORIGIN must be scheme://host[:port]")
    elif mode is Mode.PRODUCTION and parts.scheme != "https":
        env.fault("PUBLIC_ORIGIN must be https in production")
    return {
        "mode": mode,
        "database_url": env.text("AUTH_DATABASE_URL"),
        "stores": StoreSettings.read(env),
        "notify_public_key": _newest(env.keys("NOTIFY_PUBLIC_KEY")),
        "public_origin": origin,
    }


def _newest(keys: KeyList) -> Key | None:
    """The key to write with; a list that could not be read is empty, and ``done`` will say so."""
    return next(iter(keys), None)
