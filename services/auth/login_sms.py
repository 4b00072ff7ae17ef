"""A code by SMS or by call for a login under way, and what became of it."""

from dataclasses import dataclass

from services.auth import challenge_store, guessing_brake, phone_numbers, session_store, sms_request
from services.auth.challenge_store import LoginChallenge, SentSms
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account
from services.auth.sms_request import SentCode, SmsOrder
from services.auth.store import accounts
from shared import delivery
from shared.channel import Channel
from shared.database import reading
from shared.delivery import Delivery
from shared.phone import PhoneNumber
from shared.problems import Refusal, Unavailable


@dataclass(frozen=True, slots=True)
class ChallengeState:
    """A challenge as its page shows it. ``one_try``: as of login.SecondFactorRequired."""

    challenge: LoginChallenge
    account: Account
    sent: SentSms | None
    delivery: Delivery | None
    one_try: bool


def send(
    deps: Deps,
    client: Client,
    challenge_id: str,
    binding: str | None,
    channel: Channel,
    *,
    language: str,
) -> SentCode:
    """Mint a code and put its request on the queue.

    ``language`` is that of the request, for an account that has none. When the queue does not take the request, the
    challenge is deleted: the page must not wait for a code that never comes.
    Raises Refusal challenge_expired, sms_unavailable or call_unavailable, too_many_requests; Unavailable.
    """
    challenge, account = live_challenge(deps, challenge_id, binding)
    if account.phone is None or not challenge.offers_sms:
        raise Refusal("sms_unavailable" if channel is Channel.SMS else "call_unavailable")
    order = SmsOrder(
        account, "login", challenge.id, account.phone, challenge.device_id, language=language, channel=channel
    )
    try:
        sent = sms_request.send_code(deps, client, order)
    except Unavailable as outage:
        if outage.reason == "broker":
            challenge_store.delete(deps.redis, challenge.id)
        raise
    noted = SentSms(sent.message_id, sent.reference, is_text=sent.channel is Channel.SMS)
    challenge_store.note_sms(deps.redis, challenge, noted, deps.clock())
    return sent


def state(deps: Deps, challenge_id: str, binding: str | None) -> ChallengeState:
    """The challenge and the delivery of its last SMS. Raises Refusal challenge_expired."""
    challenge, account = live_challenge(deps, challenge_id, binding)
    sent = challenge_store.last_sms(deps.redis, challenge.id)
    delivered = delivery.read(deps.redis, sent.message_id) if sent is not None else None
    is_braked = challenge.device_id is None and guessing_brake.is_on(deps.redis)
    one_try = is_braked and not challenge_store.is_confirmed(deps.redis, challenge.id)
    return ChallengeState(challenge, account, sent, delivered, one_try)


def channels(deps: Deps, challenge: LoginChallenge, phone: PhoneNumber | None) -> frozenset[Channel]:
    """How a code for this challenge can reach the account's phone."""
    return phone_numbers.channels(phone, deps.settings.reach) if challenge.offers_sms else frozenset()


def live_challenge(deps: Deps, challenge_id: str, binding: str | None) -> tuple[LoginChallenge, Account]:
    """The challenge, for the client that began it, and its account. Raises Refusal challenge_expired."""
    challenge = challenge_store.get(deps.redis, challenge_id)
    if challenge is None or challenge.expires_at <= deps.clock() or not challenge.belongs_to(binding):
        raise Refusal("challenge_expired")
    if session_store.epoch(deps.redis, challenge.account_id) != challenge.epoch:
        raise Refusal("challenge_expired")
    with reading(deps.database) as connection:
        account = accounts.by_id(connection, challenge.account_id)
    if account is None:
        raise Refusal("challenge_expired")
    return challenge, account
