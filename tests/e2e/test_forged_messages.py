"""Somebody has a stack's broker and Redis and every public key, and no signing key: nothing that he sends acts."""

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from deploy.local.keys import read_keys
from deploy.portal import AuthenticatorApp, Portal, wait_for
from shared import delivery
from shared.clock import system_clock
from shared.dead_letters import DeadLetters
from shared.envelope import Envelope
from shared.ids import new_id
from shared.keys import KeyList, encode_key
from shared.messages import (
    AUTH,
    AUTH_EVENTS,
    OTP,
    OTP_EVENTS,
    SMS_CODES,
    SMS_NOTICES,
    SendSmsCode,
    SendSmsNotice,
    TwoFactorDisabled,
    TwoFactorResetApproved,
    encode,
)
from shared.queueing import Publisher, make_celery
from shared.sealed_text import SealedText
from shared.secret import Secret
from shared.signed_messages import sign
from shared.signing import Signer

pytestmark = pytest.mark.e2e

VICTIM = "+41791234567"
BAIT = "Call this number at once"
THIEVES_KEYS = KeyList.parse(f"dev1:{encode_key(b'x' * 32)}")  # the id is no secret


@pytest.fixture
def redis(stack):
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as client:
        yield client
        client.delete("dead_letters", "dead_letters:order")


@pytest.fixture
def publish(stack):
    celery = make_celery("thief", Secret(stack.settings.broker_url))
    yield Publisher(celery).publish_to
    celery.close()


def reasons(redis):
    return sorted(letter.reason for letter in DeadLetters(redis, system_clock).all())


def forged(message, sender, queue):
    """Unsigned, and signed under a key of the thief's own."""
    return [encode(message), sign(message, Signer(sender, THIEVES_KEYS), queue)]


def signed_in(stack):
    """A seeded account whose 2FA is on."""
    owner = stack.demo.account("support@latchkey.example")
    portal = Portal(stack.base_url, ip="198.51.100.48")
    answer = portal.log_in(owner.email, owner.password)
    assert answer.status == 200, answer.body
    answer = portal.verify(answer.body["challenge"]["id"], AuthenticatorApp(owner.totp_secret).fresh())
    assert answer.status == 200, answer.body
    return portal, owner.id


def test_no_event_of_a_thief_turns_2fa_off_or_ends_a_session(stack, publish, redis):
    portal, account_id = signed_in(stack)
    active = tuple(row["id"] for row in portal.get("/v1/two-factor").body["authenticators"])
    facts = {"occurred_at": datetime.now(UTC), "account_id": account_id}
    approved = TwoFactorResetApproved(id=new_id("msg"), reset_id="rst_1", authenticators=active, **facts)
    disabled = TwoFactorDisabled(id=new_id("evt"), **facts)
    for document in forged(approved, AUTH, OTP_EVENTS):
        publish(OTP_EVENTS, document)
    for document in forged(disabled, OTP, AUTH_EVENTS):
        publish(AUTH_EVENTS, document)
    wait_for(lambda: len(reasons(redis)) == 4, seconds=20)
    assert reasons(redis) == [
        "two_factor.disabled: not signed",
        "two_factor.disabled: the signature is not that of otp over this text",
        "two_factor.reset_approved: not signed",
        "two_factor.reset_approved: the signature is not that of auth over this text",
    ]
    assert portal.get("/v1/two-factor").body["enabled"] is True
    assert not [item for item in portal.get("/v1/activity").body["items"] if item["type"] == "two_factor.disabled"]


def test_no_text_of_a_thief_goes_out(stack, inbox, publish, redis):
    """notify's public key seals; it does not say who did."""
    public_key = KeyList.parse(read_keys(stack.settings.keys_file)["NOTIFY_PUBLIC_KEY"]).newest
    now = system_clock()
    later = now + timedelta(minutes=4)
    sealed = Envelope("acc_none", VICTIM, None, BAIT, later).seal(public_key)
    notice = SendSmsNotice(id=new_id("msg"), occurred_at=now, message_id=new_id("msg"), sealed=sealed, deadline=later)
    for document in forged(notice, AUTH, SMS_NOTICES):
        publish(SMS_NOTICES, document)
    message_ids = []
    for number, signer in enumerate((None, Signer(OTP, THIEVES_KEYS))):
        message_id = f"sms_forged_{number}"
        text = SealedText(sealed, later, "") if signer is None else SealedText.sign(signer, message_id, sealed, later)
        with redis.pipeline(transaction=True) as pipeline:
            delivery.queue_put(pipeline, message_id, text, now=now, ttl=timedelta(minutes=5))
            pipeline.execute()
        order = SendSmsCode(id=new_id("msg"), occurred_at=now, message_id=message_id, deadline=later)
        publish(SMS_CODES, encode(order))
        message_ids.append(message_id)
    wait_for(lambda: all(delivery.read(redis, one).status == "failed" for one in message_ids), seconds=20)
    wait_for(lambda: len(reasons(redis)) == 2, seconds=20)
    assert all(reason.startswith("send_sms_notice: ") for reason in reasons(redis))
    assert inbox.count(BAIT) == 0
