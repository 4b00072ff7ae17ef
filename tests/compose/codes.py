"""Runs inside a container, from standard input: puts codes on the queue as otp and auth do, or reads them.

In otp's: ``leave COUNT`` leaves as many signed texts and prints ``ID@DEADLINE`` of each.
In auth's: ``ring PAUSE_SECONDS ID@DEADLINE…`` publishes them; ``status ID…`` prints what became of each.
"""

import json
import sys
import time
from datetime import timedelta

from shared import delivery
from shared.clock import parse_rfc3339, rfc3339, system_clock
from shared.envelope import Envelope
from shared.ids import new_id
from shared.messages import OTP, SMS_CODES, SendSmsCode, encode
from shared.queueing import Publisher, make_celery
from shared.redis_client import connect
from shared.sealed_text import SealedText
from shared.settings import Environment, StoreSettings
from shared.signing import Signer

env = Environment()
stores = StoreSettings.read(env)
redis = connect(stores.state_url)


def leave(count):
    signer, public_key = Signer(OTP, env.keys("OTP_SIGNING_KEYS")), env.keys("NOTIFY_PUBLIC_KEY").newest
    for number in range(count):
        now, message_id = system_clock(), new_id("sms")
        deadline = now + timedelta(minutes=4)
        envelope = Envelope("acc_flood", f"+4915123{number:06d}", None, "a code", now + timedelta(minutes=5))
        text = SealedText.sign(signer, message_id, envelope.seal(public_key), deadline)
        pipeline = redis.pipeline(transaction=True)
        delivery.queue_put(pipeline, message_id, text, now=now, ttl=timedelta(minutes=5))
        pipeline.execute()
        yield f"{message_id}@{rfc3339(deadline)}"


def ring(pause_seconds, codes):
    publisher = Publisher(make_celery("codes", stores.broker_url))
    for code in codes:
        message_id, _, deadline = code.partition("@")
        order = SendSmsCode(
            id=new_id("msg"), occurred_at=system_clock(), message_id=message_id, deadline=parse_rfc3339(deadline)
        )
        publisher.publish_to(SMS_CODES, encode(order))
        yield message_id
        time.sleep(pause_seconds)


match sys.argv[1:]:
    case ["leave", count]:
        answer = list(leave(int(count)))
    case ["ring", pause_seconds, *codes]:
        answer = list(ring(float(pause_seconds), codes))
    case ["status", *message_ids]:
        answer = [delivery.read(redis, message_id).status for message_id in message_ids]
sys.stdout.write(json.dumps(answer))
