"""The least that a Celery worker can do: take the same message from the same queue and make the same HTTP POST.

Celery and kombu as they are, without a line of ours: what our transport for Redis costs, or saves, is ours. Like ours
it acknowledges late, takes as many messages as it has threads, and keeps no results.
"""

import os

import requests
from celery import Celery
from requests.adapters import HTTPAdapter

from services.notify.providers import transport
from shared.brokers import broker_of
from shared.messages import QUEUES, SMS_CODES
from tests.support.twilio_stub import ACCOUNT_SID, AUTH_TOKEN

# The benchmark sets both; they are no product settings here.
_PROVIDER = os.environ.get("TWILIO_API_BASE_URL", "http://127.0.0.1:1")
_BROKER = os.environ.get("BROKER_URL", "redis://127.0.0.1:1/0")
_URL = f"{_PROVIDER}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"

celery: Celery = Celery("bare", broker=_BROKER)
celery.conf.update(
    task_queues=broker_of(_BROKER, 5.0).queues,  # as they were declared; RabbitMQ refuses other arguments
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)

# requests is what Twilio's own client sends with, and what most would write.
_session = requests.Session()
_session.trust_env = False
_session.mount("http://", HTTPAdapter(pool_maxsize=transport.POOL_SIZE))


@celery.task(name=QUEUES[SMS_CODES], shared=False, acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
def send(document: dict[str, str]) -> None:
    """POST what the courier posts."""
    form = {
        "To": f"+49{document['message_id'].partition('_')[2]}",
        "Body": "Your code is 123456",
        "From": "+15005550006",
        "ValidityPeriod": "290",
    }
    auth = (ACCOUNT_SID, AUTH_TOKEN)
    answer = _session.post(_URL, data=form, auth=auth, timeout=transport.TIMEOUT_SECONDS)
    answer.raise_for_status()
    answer.json()
