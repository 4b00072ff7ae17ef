"""The courier's environment: read once, typed, refused at start when something is missing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.keys import KeyList
from shared.messages import AUTH, OTP
from shared.secret import Secret
from shared.sending_budgets import SMS_DAILY_CAP
from shared.settings import SMTP, Environment, Mode, StoreSettings
from shared.store_urls import is_loopback


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


_SMTP_PORTS = {SmtpSecurity.NONE: 25, SmtpSecurity.STARTTLS: 587, SmtpSecurity.TLS: 465}
_SENDER = re.compile(r"[^\r\n]*[^\s@<>]+@[^\s@<>]+>?\Z")
CONSOLE: Final = "console"
SMS_PROVIDERS: Final = ("twilio", "http", CONSOLE)
_RATE = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?\Z")


@dataclass(frozen=True, slots=True)
class TwilioSettings:
    """One of ``messaging_service_sid`` and ``from_number`` is set.

    ``call_url``: where the gateway says what follows the keys; without it nobody is called. ``call_from`` calls.
    """

    account_sid: str
    auth_token: Secret[str]
    messaging_service_sid: str | None
    from_number: str | None
    api_base_url: str
    status_callback_url: str | None
    call_from: str | None = None
    call_url: str | None = None


@dataclass(frozen=True, slots=True)
class HttpSmsSettings:
    """Where the gateway is, and the keys that sign what it is sent, newest first."""

    url: str
    keys: KeyList


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
    """Everything that the courier is told from outside; ``twilio``, ``http`` and ``smtp`` are there when chosen.

    ``private_keys`` open texts; ``signing_keys`` sign events; ``public_keys`` are of the services whose texts are sent.
    ``sms_providers`` in the order of preference; ``sms_rates`` are messages a second, for those that have a limit.
    """

    mode: Mode
    stores: StoreSettings
    private_keys: KeyList
    signing_keys: KeyList
    public_keys: Mapping[str, KeyList]
    sms_providers: tuple[str, ...]
    sms_rates: Mapping[str, float]
    sms_daily_cap: int
    email_provider: str
    twilio: TwilioSettings | None
    http: HttpSmsSettings | None
    smtp: SmtpSettings | None

    @classmethod
    def from_env(cls, environment: Environment | None = None) -> "NotifySettings":
        """Read it all. Raises SettingsError that names every fault."""
        env = environment or Environment()
        mode = env.mode()
        sms_providers = _sms_providers(env, mode)
        email_provider = env.choice("EMAIL_PROVIDER", ("smtp", CONSOLE), _default(mode))
        for name, chosen in (("SMS_PROVIDERS", sms_providers), ("EMAIL_PROVIDER", (email_provider,))):
            if CONSOLE in chosen and mode is Mode.PRODUCTION:
                env.fault(f"{name} console is for development: it delivers to nobody")
        settings = cls(
            mode=mode,
            stores=StoreSettings.read(env),
            private_keys=env.keys("NOTIFY_PRIVATE_KEYS"),
            signing_keys=env.keys("NOTIFY_SIGNING_KEYS"),
            public_keys={AUTH: env.keys("AUTH_VERIFY_KEYS"), OTP: env.keys("OTP_VERIFY_KEYS")},
            sms_providers=sms_providers,
            sms_rates=_sms_rates(env),
            sms_daily_cap=env.integer("SMS_DAILY_CAP", SMS_DAILY_CAP, minimum=1),
            email_provider=email_provider,
            twilio=_twilio(env) if "twilio" in sms_providers else None,
            http=_http(env) if "http" in sms_providers else None,
            smtp=_smtp(env, mode) if email_provider == "smtp" else None,
        )
        env.done()
        return settings


def _default(mode: Mode) -> str | None:
    """Production has no default provider and no console, which delivers to nobody."""
    return None if mode is Mode.PRODUCTION else CONSOLE


def _sms_providers(env: Environment, mode: Mode) -> tuple[str, ...]:
    names = tuple(name.strip() for name in env.text("SMS_PROVIDERS", _default(mode)).split(","))
    if names != ("",) and not (set(names) <= set(SMS_PROVIDERS) and len(set(names)) == len(names)):
        env.fault(f"SMS_PROVIDERS must list each of its names once, out of {', '.join(SMS_PROVIDERS)}")
    return names


def _sms_rates(env: Environment) -> dict[str, float]:
    """``name:messages`` for each provider that allows so many a second."""
    rates: dict[str, float] = {}
    for row in filter(None, (env.optional("SMS_RATE_PER_SECOND") or "").split(",")):
        name, _, rate = (part.strip() for part in row.partition(":"))
        if name not in SMS_PROVIDERS or name in rates or not _RATE.match(rate) or float(rate) == 0:
            env.fault("SMS_RATE_PER_SECOND must be like twilio:10,http:0.5, each name once, from 0.001 to 9999.999")
            return {}
        rates[name] = float(rate)
    return rates


def _twilio(env: Environment) -> TwilioSettings:
    settings = TwilioSettings(
        account_sid=env.text("TWILIO_ACCOUNT_SID"),
        auth_token=env.secrets("TWILIO_AUTH_TOKEN")[0],
        messaging_service_sid=env.optional("TWILIO_MESSAGING_SERVICE_SID"),
        from_number=env.optional("TWILIO_FROM"),
        api_base_url=env.text("TWILIO_API_BASE_URL", "https://api.twilio.com"),
        status_callback_url=env.optional("TWILIO_STATUS_CALLBACK_URL"),
        call_from=env.optional("TWILIO_CALL_FROM") or env.optional("TWILIO_FROM"),
        call_url=env.optional("TWILIO_CALL_URL"),
    )
    if bool(settings.messaging_service_sid) == bool(settings.from_number):
        env.fault("exactly one of TWILIO_MESSAGING_SERVICE_SID and TWILIO_FROM is needed")
    env.web_url("TWILIO_API_BASE_URL", settings.api_base_url)
    if settings.status_callback_url is not None:
        env.web_url("TWILIO_STATUS_CALLBACK_URL", settings.status_callback_url)
    if settings.call_url is not None:
        env.web_url("TWILIO_CALL_URL", settings.call_url)
        if settings.call_from is None:
            env.fault("TWILIO_CALL_URL needs TWILIO_CALL_FROM, the number that calls")
    return settings


def _http(env: Environment) -> HttpSmsSettings:
    settings = HttpSmsSettings(url=env.text("SMS_HTTP_URL"), keys=env.keys("SMS_HTTP_KEYS"))
    parts = env.web_url("SMS_HTTP_URL", settings.url)
    if parts is not None and (parts.username or parts.password):
        env.fault("SMS_HTTP_URL must hold no password: the signature says who we are")
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
    if security is SmtpSecurity.NONE and mode is Mode.PRODUCTION:
        if settings.password is not None:
            env.fault("SMTP_SECURITY none would send SMTP_PASSWORD in the clear")
        # Mails hold check words, and links that confirm or cancel.
        if not is_loopback(settings.host) and SMTP not in env.private_network():
            env.fault(f"SMTP_SECURITY must be tls or starttls off loopback, or PRIVATE_NETWORK must name {SMTP}")
    return settings
