"""Hands an SMS to the provider whose turn it is, and says what became of it. The rules are in domain/routing.py."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from redis import Redis
from redis.exceptions import RedisError

from services.notify.domain.health import Health, Sample, is_good, judge
from services.notify.domain.retries import CODE_DELAYS, MAYBE_SENT_DELAYS, NOTICE_DELAYS, NOTICE_TURN_SECONDS
from services.notify.domain.routing import Route, Turn, choose, maybe_taken, next_try, not_taken
from services.notify.providers import (
    CallMessage,
    ProviderMisconfigured,
    ProviderUnavailable,
    RecipientRejected,
    SmsMessage,
    SmsProvider,
    state,
)
from services.notify.providers.state import Known, NoTurn
from shared.clock import Clock
from shared.delivery_reasons import DeliveryReason
from shared.lua import Call

log = structlog.get_logger("notify.sms")


@dataclass(frozen=True, slots=True)
class Urgency:
    """How a kind of message waits: between rounds, and in line for a turn or not."""

    delays: tuple[float, ...]
    in_line: bool


CODE = Urgency(CODE_DELAYS, in_line=True)
NOTICE = Urgency(NOTICE_DELAYS, in_line=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """A provider took it; ``confirmed`` is False when it may have, and its answer was lost.

    ``sample`` remembers how the provider did; whoever records the message runs it along.
    """

    provider: str
    sample: Call[None]
    provider_message_id: str | None = None
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class Later:
    """Nobody took it yet: send it again in ``seconds``, not before."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """It is not sent, and will not be."""

    provider: str | None
    reason: DeliveryReason


@dataclass(frozen=True, slots=True)
class _Order:
    message: SmsMessage | CallMessage
    deadline: datetime
    urgency: Urgency


@dataclass(frozen=True, slots=True)
class SmsRouter:
    """The providers in the order in which they are preferred, and the messages a second that each allows, if it does.

    One sender for each provider, so its name is the name of its rate.
    """

    providers: tuple[SmsProvider, ...]
    rates: Mapping[str, float]
    redis: Redis
    clock: Clock

    def asking(self, message_id: str) -> Call[Known]:
        """What ``send`` must know. For a message that is about to be sent, and for no other.

        A new message goes to the first provider while that is well; unless its turn must be had first, the answer
        says that it is handed over already. The claim of the same round trip keeps copies of its task away.
        """
        names = [provider.name for provider in self.providers]
        return state.reading(message_id, names, hands_over=names[0] not in self.rates)

    def send(
        self, message: SmsMessage | CallMessage, deadline: datetime, urgency: Urgency, known: Known
    ) -> Sent | Later | GivenUp:
        """Send through one provider, a call through one that calls.

        Raises RedisError, but never after a provider took the message.
        """
        order, now = _Order(message, deadline, urgency), self.clock()
        able = self._able(message)
        if not able:
            log.error("no provider makes calls", **_facts(message, None))
            return GivenUp(None, DeliveryReason.OUR_FAULT)
        route = known.route
        provider = self._choose(able, known, now)
        if provider is None:
            log.error("sms at a provider that is not in use", **_facts(message, route.at))
            return GivenUp(None, DeliveryReason.PROVIDER_DOWN)
        turn = self._turn(order, route, provider.name, now)
        if isinstance(turn, NoTurn) and not urgency.in_line:
            return Later(max(NOTICE_TURN_SECONDS, (turn.at - now).total_seconds()))
        if isinstance(turn, NoTurn):
            log.warning("sms provider has no turn in time", **_facts(message, provider.name))
            return self._not_taken(order, route, provider.name, DeliveryReason.TOO_LATE)
        if turn > now:
            state.put_route(self.redis, message.message_id, replace(route, turn=Turn(provider.name, turn)))
            return Later((turn - now).total_seconds())
        if known.handed_to != provider.name:
            state.put_route(self.redis, message.message_id, route.handed_to(provider.name))
        if route.at is not None:
            facts = _facts(message, provider.name)
            log.warning("sms handed over again", **facts, possible_duplicate=not provider.idempotent)
        return self._hand_over(order, route, provider)

    def _able(self, message: SmsMessage | CallMessage) -> tuple[SmsProvider, ...]:
        """The providers that can take it."""
        if isinstance(message, SmsMessage):
            return self.providers
        return tuple(provider for provider in self.providers if provider.makes_calls)

    def _choose(self, able: tuple[SmsProvider, ...], known: Known, now: datetime) -> SmsProvider | None:
        by_name = {provider.name: provider for provider in able}
        names = tuple(by_name)
        health = {name: judge(known.samples[name], now) for name in names}
        well = {name for name in names if health[name] is Health.WELL}
        probation = {name for name in names if health[name] is Health.ON_PROBATION}
        name = choose(names, well | probation, known.route)
        if name in probation and len(names) > 1 and not state.claim_probe(self.redis, name, now):
            name = choose(names, well, known.route)
        return by_name[name] if name is not None else None

    def _turn(self, order: _Order, route: Route, name: str, now: datetime) -> datetime | NoTurn:
        """When the provider's rate lets this message go; a turn that was waited for has come."""
        if name not in self.rates or (route.turn is not None and route.turn.provider == name and route.turn.at <= now):
            return now
        latest = order.deadline - timedelta(milliseconds=1) if order.urgency.in_line else now
        return state.take_turn(self.redis, name, self.rates[name], now, latest)

    def _hand_over(self, order: _Order, route: Route, provider: SmsProvider) -> Sent | Later | GivenUp:
        began = self.clock()
        try:
            message = order.message
            provider_message_id = provider.send(message) if isinstance(message, SmsMessage) else provider.call(message)
        except RecipientRejected as error:
            self.remember(self._sample(provider.name, began, failed=False))
            facts = _facts(order.message, provider.name)
            log.warning("sms refused", **facts, reason=error.reason, detail=error.detail)
            return GivenUp(provider.name, error.reason)
        except ProviderUnavailable as error:
            sample = self._sample(provider.name, began, failed=True)
            facts = _facts(order.message, provider.name)
            level = log.error if isinstance(error, ProviderMisconfigured) else log.warning
            level("sms provider failed", **facts, detail=error.detail, maybe_sent=error.maybe_sent)
            if error.maybe_sent and not provider.idempotent:
                return Sent(provider.name, sample, confirmed=False)
            self.remember(sample)
            if not error.maybe_sent:
                return self._not_taken(order, route, provider.name, error.reason)
            return self._try_later(
                order, maybe_taken(route, provider.name), MAYBE_SENT_DELAYS, provider.name, error.reason
            )
        return Sent(provider.name, self._sample(provider.name, began, failed=False), provider_message_id)

    def _not_taken(self, order: _Order, route: Route, name: str, reason: DeliveryReason) -> Later | GivenUp:
        after = not_taken(route, name, [provider.name for provider in self._able(order.message)])
        return self._try_later(order, after, order.urgency.delays, name, reason)

    def _try_later(
        self, order: _Order, route: Route, delays: tuple[float, ...], name: str, reason: DeliveryReason
    ) -> Later | GivenUp:
        delay = next_try(route, self.clock(), order.deadline, delays)
        if delay is None:
            return GivenUp(name, reason)
        state.put_route(self.redis, order.message.message_id, route)
        return Later(delay)

    def _sample(self, name: str, began: datetime, *, failed: bool) -> Call[None]:
        now = self.clock()
        return state.noting(name, Sample(now, is_good((now - began).total_seconds(), failed=failed)))

    def remember(self, sample: Call[None]) -> None:
        """Remember how a provider did. A store that is away forgets it, and nothing else: the SMS may be out."""
        try:
            sample.run(self.redis)
        except RedisError as error:
            log.warning("store does not answer", cause=type(error).__name__)


def _facts(message: SmsMessage | CallMessage, provider: str | None) -> dict[str, str | None]:
    """What a log line says of whom."""
    return {"message_id": message.message_id, "phone": message.to.masked(), "provider": provider}
