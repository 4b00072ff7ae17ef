"""The courier's environment: read once, typed, refused at start when something is missing."""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from shared.keys import KeyList
from shared.secret import Secret
from shared.settings import Environment, Mode, StoreSettings


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


_SMTP_PORTS = {SmtpSecurity.NONE: 25, SmtpSecurity.STARTTLS: 587, SmtpSecurity.TLS: 465}
_SENDER = re.compile(r"[^\r\n]*[^\s@<>]+@[^\s@<>]+>?\Z")


@dataclass(frozen=True, slots=True)
class TwilioSettings:
    """One of ``messaging_service_sid`` and ``from_number`` is set."""

    account_sid: str
    auth_token: Secret[str]
    messaging_service_sid: str | None
    from_number: str | None
    api_base_url: str
    status_callback_url: str | None


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """``sender`` is an address, or ``Name <address>``."""

    host: str
    port: int
    username: str | None
    password: Secret[str] | None
    sender: str
    security: SmtpSecurity


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Everything that the courier is told from outside; ``twilio`` and ``smtp`` are there when they are chosen."""

    mode: Mode
    stores: StoreSettings
    private_keys: KeyList
    sms_provider: str
    email_provider: str
    twilio: TwilioSettings | None
    smtp: SmtpSettings | None

    @classmethod
    def from_env(cls, environment: Environment | None = None) -> "NotifySettings":
        """Read it all. Raises SettingsError that names every fault."""
        env = environment or Environment()
        mode = env.mode()
        sms_provider = _provider(env, mode, "SMS_PROVIDER", "twilio")
        email_provider = _provider(env, mode, "EMAIL_PROVIDER", "smtp")
        settings = cls(
            mode=mode,
            stores=StoreSettings.read(env),
            private_keys=env.keys("NOTIFY_PRIVATE_KEYS"),
            sms_provider=sms_provider,
            email_provider=email_provider,
            twilio=_twilio(env) if sms_provider == "twilio" else None,
            smtp=_smtp(env, mode) if email_provider == "smtp" else None,
        )
        env.done()
        return settings


def _provider(env: Environment, mode: Mode, name: str, real: str) -> str:
    """The chosen provider. Production has no default and no console, which delivers to nobody."""
    chosen = env.choice(name, (real, "console"), None if mode is Mode.PRODUCTION else "console")
    if chosen == "console" and mode is Mode.PRODUCTION:
        env.fault(f"{name} console is for development: it delivers to nobody")
    return chosen


def _twilio(env: Environment) -> TwilioSettings:
    settings = TwilioSettings(
        account_sid=env.text("TWILIO_ACCOUNT_SID"),
        auth_token=env.secret("TWILIO_AUTH_TOKEN"),
        messaging_service_sid=env.optional("TWILIO_MESSAGING_SERVICE_SID"),
        from_number=env.optional("TWILIO_FROM"),
        api_base_url=env.text("TWILIO_API_BASE_URL", "https://api.twilio.com"),
        status_callback_url=env.optional("TWILIO_STATUS_CALLBACK_URL"),
    )
    if bool(settings.messaging_service_sid) == bool(settings.from_number):
        env.fault("exactly one of TWILIO_MESSAGING_SERVICE_SID and TWILIO_FROM is needed")
    _check_url(env, "TWILIO_API_BASE_URL", settings.api_base_url)
    if settings.status_callback_url is not None:
        _check_url(env, "TWILIO_STATUS_CALLBACK_URL", settings.status_callback_url)
    return settings


def _smtp(env: Environment, mode: Mode) -> SmtpSettings:
    security = SmtpSecurity(env.choice("SMTP_SECURITY", tuple(SmtpSecurity), SmtpSecurity.STARTTLS))
    settings = SmtpSettings(
        host=env.text("SMTP_HOST"),
        port=env.integer("SMTP_PORT", _SMTP_PORTS[security], minimum=1),
        username=env.optional("SMTP_USERNAME"),
        password=env.optional_secret("SMTP_PASSWORD"),
        sender=env.text("SMTP_FROM"),
        security=security,
    )
    if (settings.username is None) != (settings.password is None):
        env.fault("SMTP_USERNAME and SMTP_PASSWORD are needed together")
    if settings.sender and not _SENDER.match(settings.sender):
        env.fault("SMTP_FROM must be an address, or Name <address>")
    if settings.password is not None and security is SmtpSecurity.NONE and mode is Mode.PRODUCTION:
        env.fault("SMTP_SECURITY none would send SMTP_PASSWORD in the clear")
    return settings


def _check_url(env: Environment, name: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
        env.fault(f"{name} must be an http or https URL")
