"""A courier without a worker: a clock to turn, providers that remember, and the messages that go in."""

import base64
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import fakeredis
from nacl.public import PrivateKey

from services.notify.delivery import deliver
from services.notify.deps import Deps
from services.notify.domain.retries import Again, Outcome
from services.notify.providers import ProviderUnavailable
from services.notify.providers.router import SmsRouter
from shared import delivery
from shared.envelope import Envelope
from shared.keys import KeyList
from shared.messages import Message, SendEmailNotice, SendSmsCode, SendSmsNotice, decode
from shared.sealed_text import SealedText
from shared.sending_budgets import SMS_DAILY_CAP
from tests.support.signing import SIGNERS, VERIFIER

# Far ahead: fakeredis forgets by the clock of the machine what has an end in ours.
START = datetime(2126, 11, 24, 12, 0, 0, tzinfo=UTC)
PHONE = "+41791234567"
ADDRESS = "owner@portal.example"
CODE = "481516"
DOWN = ProviderUnavailable("503")
BODY = f"Your code is {CODE}. Reference K7.\n\n@portal.example #{CODE}"
ACCOUNT = "acc_1"


class FakeClock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class FakeProvider:
    """Sends into a list; ``troubles`` are raised, or called, one for each send."""

    name: str = "fake"
    idempotent: bool = False
    sent: list = field(default_factory=list)
    troubles: list = field(default_factory=list)
    calls: int = 0
    makes_calls: bool = False

    def call(self, message) -> str:
        return self.send(message)

    def send(self, message) -> str:
        self.calls += 1
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            trouble()
        self.sent.append(message)
        return f"provider-{len(self.sent)}"


def make_keys() -> tuple[KeyList, KeyList]:
    """A private key list and the public one that fits."""
    private = PrivateKey(os.urandom(32))
    pair = (bytes(private), bytes(private.public_key))
    return tuple(KeyList.parse(f"k1:{base64.urlsafe_b64encode(raw).decode()}") for raw in pair)


class Courier:
    """Everything that a test of a use case touches: one SMS provider, unless others are given."""

    def __init__(self, *providers, rates: dict[str, float] | None = None, redis=None) -> None:
        self.clock = FakeClock()
        self.server = fakeredis.FakeServer()
        self.redis = redis or fakeredis.FakeStrictRedis(server=self.server, decode_responses=True)
        self.sms, self.email = FakeProvider("fake-sms"), FakeProvider("fake-email")
        self.private_keys, self.public_keys = make_keys()
        self.slept: list[float] = []
        self.deps = Deps(
            redis=self.redis,
            sms=SmsRouter(providers or (self.sms,), rates or {}, self.redis, self.clock),
            email=self.email,
            private_keys=self.private_keys,
            verifier=VERIFIER,
            clock=self.clock,
            sms_daily_cap=SMS_DAILY_CAP,
            sleep=self._sleep,
        )
        self._pauses_until_back: int | None = None

    def store_goes_away(self) -> None:
        self.server.connected = False

    def store_is_back_after(self, pauses: int) -> None:
        self._pauses_until_back = pauses

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self._pauses_until_back:
            self.server.connected = True

    def seal(
        self,
        recipient: str = PHONE,
        *,
        life: float = 300,
        subject: str | None = None,
        body: str = BODY,
        account: str = ACCOUNT,
        **call,
    ) -> str:
        expires_at = self.clock() + timedelta(seconds=life)
        return Envelope(account, recipient, subject, body, expires_at, **call).seal(self.public_keys.newest)

    def code(
        self,
        message_id: str = "msg_1",
        *,
        life: float = 300,
        within: float | None = None,
        account_id: str | None = ACCOUNT,
        **seal,
    ) -> SendSmsCode:
        """Leave a code as otp does, to be sent ``within`` so many seconds, and the order that auth publishes."""
        within = life if within is None else within
        pipeline = self.redis.pipeline()
        sealed = self.seal(life=life, **seal)
        # A store that expires keys by its own clock would not follow ours; the deadline is what is tested.
        deadline = self.clock() + timedelta(seconds=within)
        text = SealedText.sign(SIGNERS["otp"], message_id, sealed, deadline)
        delivery.queue_put(pipeline, message_id, text, now=self.clock(), ttl=timedelta(days=1), account_id=account_id)
        pipeline.execute()
        return self.order(message_id, deadline=deadline)

    def order(self, message_id: str = "msg_1", *, life: float = 300, deadline: datetime | None = None) -> SendSmsCode:
        now = self.clock()
        deadline = now + timedelta(seconds=life) if deadline is None else deadline
        return SendSmsCode(id=f"cmd_{message_id}", occurred_at=now, message_id=message_id, deadline=deadline)

    def notice(
        self,
        kind=SendSmsNotice,
        message_id: str = "ntc_1",
        *,
        life: float = 3600,
        sealed: str | None = None,
        text_kind: str | None = None,
    ):
        now = self.clock()
        recipient = PHONE if kind is SendSmsNotice else ADDRESS
        return kind(
            id=f"cmd_{message_id}",
            occurred_at=now,
            message_id=message_id,
            sealed=sealed or self.seal(recipient, subject="2FA is on", life=life),
            deadline=now + timedelta(seconds=life),
            **({"kind": text_kind} if text_kind else {}),
        )

    def email_notice(self, **how) -> SendEmailNotice:
        return self.notice(SendEmailNotice, **how)

    def run(self, use_case, order) -> Outcome:
        """Serve the task as often as it says "again", each time when it asks for it."""
        while isinstance(outcome := use_case(self.deps, order), Again):
            self.clock.turn(outcome.seconds)
        return outcome

    def status(self, message_id: str = "msg_1") -> tuple[str, str | None]:
        found = delivery.read(self.redis, message_id)
        return (found.status, found.reason) if found else ("unknown", None)

    def changes(self) -> list[Message]:
        """What waits to be carried to auth."""
        return [decode(json.loads(text)) for text in self.redis.lrange("notify:changes", 0, -1)]

    def told(self) -> list[tuple[str, str | None]]:
        return [(event.status, event.reason) for event in self.changes()]


def send(courier, message_id):
    courier.run(deliver, courier.code(message_id))
