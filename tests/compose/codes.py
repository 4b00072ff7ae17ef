"""Runs inside the gateway's container, from standard input: puts codes on the queue as otp and auth do, or reads them.

``publish COUNT PAUSE_SECONDS`` prints the message ids; ``status ID…`` prints what became of each.
"""

import json
import sys
import time
from datetime import timedelta

from services.auth.settings import AuthSettings
from shared import delivery
from shared.clock import system_clock
from shared.envelope import Envelope
from shared.ids import new_id
from shared.messages import SendSmsCode
from shared.queueing import Publisher, make_celery
from shared.redis_client import connect

settings = AuthSettings.from_env()
redis = connect(settings.stores.state_url)


def publish(count, pause_seconds):
    publisher = Publisher(make_celery("codes", settings.stores.broker_url))
    for number in range(count):
        now, message_id = system_clock(), new_id("sms")
        envelope = Envelope("acc_flood", f"+4915123{number:06d}", None, "a code", now + timedelta(minutes=5))
        pipeline = redis.pipeline(transaction=True)
        sealed = envelope.seal(settings.notify_public_key)
        delivery.queue_put(pipeline, message_id, sealed, now=now, ttl=timedelta(minutes=5))
        pipeline.execute()
        deadline = now + timedelta(minutes=4)
        publisher.publish(SendSmsCode(id=new_id("msg"), occurred_at=now, message_id=message_id, deadline=deadline))
        yield message_id
        time.sleep(pause_seconds)


match sys.argv[1:]:
    case ["publish", count, pause_seconds]:
        answer = list(publish(int(count), float(pause_seconds)))
    case ["status", *message_ids]:
        answer = [delivery.read(redis, message_id).status for message_id in message_ids]
sys.stdout.write(json.dumps(answer))
