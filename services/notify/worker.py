"""The composition root: ``celery -A services.notify.worker:celery worker -Q <queues>``.

The queues are chosen on the command line, so that codes and notices scale, and fail, apart from each other.
"""

import sys
import time
from collections.abc import Callable, Mapping

from redis import Redis

from services.notify.deps import Deps
from services.notify.providers import EmailProvider, SmsProvider
from services.notify.settings import NotifySettings
from services.notify.tasks import register_tasks
from shared.clock import system_clock
from shared.log import configure_logging
from shared.queueing import Publisher, make_celery
from shared.redis_client import connect
from shared.settings import SettingsError

# A provider's library is loaded only where it is used: Twilio's costs 12 MB in every process.
# ruff: noqa: PLC0415


def _twilio(settings: NotifySettings, _: Redis) -> SmsProvider:
    from services.notify.providers.twilio import TwilioSms

    assert settings.twilio is not None  # noqa: S101 - NotifySettings reads it for this provider
    return TwilioSms(settings.twilio)


def _console_sms(_: NotifySettings, redis: Redis) -> SmsProvider:
    from services.notify.providers.console import ConsoleSms

    return ConsoleSms(redis, system_clock)


def _smtp(settings: NotifySettings, _: Redis) -> EmailProvider:
    from services.notify.providers.smtp import SmtpEmail

    assert settings.smtp is not None  # noqa: S101 - NotifySettings reads it for this provider
    return SmtpEmail(settings.smtp)


def _console_email(_: NotifySettings, redis: Redis) -> EmailProvider:
    from services.notify.providers.console import ConsoleEmail

    return ConsoleEmail(redis, system_clock)


SMS_PROVIDERS: Mapping[str, Callable[[NotifySettings, Redis], SmsProvider]] = {
    "twilio": _twilio,
    "console": _console_sms,
}
EMAIL_PROVIDERS: Mapping[str, Callable[[NotifySettings, Redis], EmailProvider]] = {
    "smtp": _smtp,
    "console": _console_email,
}


try:
    settings = NotifySettings.from_env()
except SettingsError as error:
    sys.exit(str(error))
configure_logging("notify", settings.mode)

celery, redis = make_celery("notify", settings.stores.broker_url), connect(settings.stores.state_url)
deps = Deps(
    redis=redis,
    sms=SMS_PROVIDERS[settings.sms_provider](settings, redis),
    email=EMAIL_PROVIDERS[settings.email_provider](settings, redis),
    private_keys=settings.private_keys,
    publisher=Publisher(celery),
    clock=system_clock,
    sleep=time.sleep,
)
register_tasks(celery, deps)
