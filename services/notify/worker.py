"""The composition root: ``celery -A services.notify.worker:celery worker -Q <queues>``.

The queues are chosen on the command line, so that codes and notices scale, and fail, apart from each other.
"""

import sys
import time
from functools import partial
from typing import Any

from celery.signals import worker_ready
from redis import Redis

from services.notify import overdue
from services.notify.deps import Deps
from services.notify.events import Carrier
from services.notify.providers import EmailProvider, SmsProvider
from services.notify.providers.router import SmsRouter
from services.notify.settings import NotifySettings
from services.notify.tasks import register_tasks, settle
from shared.clock import Clock
from shared.clock_check import ServerClock
from shared.log import configure_logging
from shared.messages import NOTIFY
from shared.queueing import Publisher, make_celery
from shared.reception import equip
from shared.redis_client import connect
from shared.settings import SettingsError
from shared.signing import Signer, Verifier

# A provider's library is loaded only where it is used: Twilio's costs 12 MB in every process.
# ruff: noqa: PLC0415


def _sms_provider(name: str, settings: NotifySettings, redis: Redis, clock: Clock) -> SmsProvider:
    """The provider of that name; settings allow the console in development only."""
    if name == "twilio" and settings.twilio is not None:
        from services.notify.providers.twilio import TwilioSms

        return TwilioSms(settings.twilio, redis)
    if name == "http" and settings.http is not None:
        from services.notify.providers.http import HttpSms

        return HttpSms(settings.http, clock)
    from services.notify.providers.console import ConsoleSms

    return ConsoleSms(redis, clock)


def _email_provider(settings: NotifySettings, redis: Redis, clock: Clock) -> EmailProvider:
    """SMTP where its settings were asked for, else the console."""
    if settings.smtp is not None:
        from services.notify.providers.smtp import SmtpEmail

        return SmtpEmail(settings.smtp)
    from services.notify.providers.console import ConsoleEmail

    return ConsoleEmail(redis, clock)


try:
    settings = NotifySettings.from_env()
except SettingsError as error:
    sys.exit(str(error))
configure_logging("notify", settings.mode)

celery, redis = make_celery("notify", settings.stores.broker_url), connect(settings.stores.state_url)
clock = ServerClock(redis)  # who holds a message, and which is too late, must not depend on the machine
deps = Deps(
    redis=redis,
    sms=SmsRouter(
        providers=tuple(_sms_provider(name, settings, redis, clock) for name in settings.sms_providers),
        rates=settings.sms_rates,
        redis=redis,
        clock=clock,
    ),
    email=_email_provider(settings, redis, clock),
    private_keys=settings.private_keys,
    verifier=Verifier(settings.public_keys),
    clock=clock,
    sms_daily_cap=settings.sms_daily_cap,
    sleep=time.sleep,
)
register_tasks(celery, deps)
equip(celery, redis, clock, settle=partial(settle, deps))


@worker_ready.connect  # type: ignore[untyped-decorator]
def _work_besides(sender: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's
    """In a worker of this app only: another that serves our tasks too (deploy/local/background.py) has no need to."""
    if sender.app is celery:
        Carrier(redis, Publisher(celery), Signer(NOTIFY, settings.signing_keys)).start()
        overdue.start(deps)
