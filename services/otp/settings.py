"""What the environment says, read once, typed; README.md has the table."""

from dataclasses import dataclass

from shared import journaling, metrics_port
from shared.branding import brand_name
from shared.journal import Journal
from shared.keys import Key, KeyList
from shared.metrics_port import MetricsPort
from shared.secret import Secret
from shared.sending_budgets import SMS_DAILY_CAP
from shared.settings import Environment, Mode, StoreSettings, web_address


@dataclass(frozen=True, slots=True)
class OtpSettings:
    """The settings of the HTTP service."""

    mode: Mode
    database_url: Secret[str]
    stores: StoreSettings
    signing_keys: KeyList
    api_keys: KeyList
    secret_keys: KeyList
    digest_keys: KeyList
    notify_public_key: Key
    issuer: str
    sms_host: str
    sms_daily_cap: int
    journal: Journal | None
    metrics: MetricsPort | None

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "OtpSettings":
        """Raises SettingsError that names every fault."""
        env = env or Environment()
        mode, database_url, stores = env.mode(), Secret(env.database_url("OTP_DATABASE_URL")), StoreSettings.read(env)
        signing_keys = env.keys("OTP_SIGNING_KEYS")
        api_keys, secret_keys = env.keys("OTP_API_KEYS"), env.keys("OTP_SECRET_KEYS")
        digest_keys, notify_keys = env.keys("OTP_DIGEST_KEYS"), env.keys("NOTIFY_PUBLIC_KEY")
        issuer, sms_host = _issuer(env), _host(env)
        sms_daily_cap = env.integer("SMS_DAILY_CAP", SMS_DAILY_CAP, minimum=1)
        journal, metrics = journaling.from_environment(env, "otp"), metrics_port.from_environment(env)
        env.done()
        return cls(
            mode,
            database_url,
            stores,
            signing_keys,
            api_keys,
            secret_keys,
            digest_keys,
            notify_public_key=notify_keys.newest,
            issuer=issuer,
            sms_host=sms_host,
            sms_daily_cap=sms_daily_cap,
            journal=journal,
            metrics=metrics,
        )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The settings of the event worker: it reads no secret and sends no text, so it has no key for either.

    ``signing_keys`` sign its events; ``auth_public_keys`` are of the service whose events it acts on.
    """

    mode: Mode
    database_url: Secret[str]
    stores: StoreSettings
    signing_keys: KeyList
    auth_public_keys: KeyList
    journal: Journal | None

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "WorkerSettings":
        """Raises SettingsError that names every fault."""
        env = env or Environment()
        settings = cls(
            env.mode(),
            Secret(env.database_url("OTP_DATABASE_URL")),
            StoreSettings.read(env),
            signing_keys=env.keys("OTP_SIGNING_KEYS"),
            auth_public_keys=env.keys("AUTH_VERIFY_KEYS"),
            journal=journaling.from_environment(env, "otp"),
        )
        env.done()
        return settings


@dataclass(frozen=True, slots=True)
class RestoreSettings:
    """The settings of the command ``after-restore``. Of ``secret_keys`` it needs the ids only."""

    database_url: Secret[str]
    stores: StoreSettings
    signing_keys: KeyList
    secret_keys: KeyList
    journal: Journal | None

    @classmethod
    def from_env(cls, env: Environment | None = None) -> "RestoreSettings":
        """Raises SettingsError that names every fault."""
        env = env or Environment()
        env.mode()
        settings = cls(
            Secret(env.database_url("OTP_DATABASE_URL")),
            StoreSettings.read(env),
            signing_keys=env.keys("OTP_SIGNING_KEYS"),
            secret_keys=env.keys("OTP_SECRET_KEYS"),
            journal=journaling.from_environment(env, "otp"),
        )
        env.done()
        return settings


def _issuer(env: Environment) -> str:
    issuer = env.text("OTP_ISSUER", brand_name(env))
    if ":" in issuer:
        env.fault("OTP_ISSUER must not contain ':', which parts issuer and account in the key URI")
    return issuer


def _host(env: Environment) -> str:
    """The host of PUBLIC_ORIGIN, which the last line of a text names."""
    origin = env.text("PUBLIC_ORIGIN")
    parts = web_address(origin)
    host = None if parts is None else parts.hostname
    if origin and not host:
        env.fault("PUBLIC_ORIGIN must look like https://portal.example")
    return host or ""
