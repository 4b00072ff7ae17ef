"""What a run left behind in the databases and at the broker, and what was odd about it."""

from collections import Counter
from collections.abc import Collection, Iterable

from redis import Redis
from sqlalchemy import Engine, func, select

from services.auth.models import BOX as AUTH_BOX
from services.auth.models import timeline
from services.otp import models as otp_models
from services.otp.models import recovery_codes
from shared import delivery
from shared.clock import system_clock
from shared.database import reading
from shared.delivery import DeliveryStatus
from shared.messages import QUEUES
from shared.redis_notes import notes_of
from tests.faults.ledger import Asked, Fate, Ledger, Row, Stores

# "expired" is no news when the text was withdrawn because its code was used; a run that expects it says so.
_REPORTED = frozenset({DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.DELIVERED})


def look(
    auth: Engine, otp: Engine, state: Redis, accounts: Collection[str], told: Iterable[Row], asked: Iterable[Asked]
) -> Stores:
    """What the databases hold of these accounts, and what they must: what was ``told`` before, and what follows.

    ``asked``: the texts whose end, once their provider has said it, belongs in the owner's timeline.
    """
    expected = set(told)
    with reading(otp) as connection:
        query = select(recovery_codes.c.account_id).where(
            recovery_codes.c.account_id.in_(accounts), recovery_codes.c.spent_at.is_not(None)
        )
        expected |= {Row(account, "recovery_code.spent") for (account,) in connection.execute(query)}
        unpublished = connection.execute(_unpublished(otp_models.outbox.outbox)).scalar_one()
    with reading(auth) as connection:
        query = select(timeline.c.account_id, timeline.c.type, timeline.c.details).where(
            timeline.c.account_id.in_(accounts)
        )
        rows = [_row(*line) for line in connection.execute(query)]
        unpublished += connection.execute(_unpublished(AUTH_BOX.outbox)).scalar_one()
    for text in asked:
        fate = delivery.read(state, text.message_id)
        if fate is not None and fate.status in _REPORTED:
            expected.add(Row(text.account, "sms.delivery_changed", f"{text.message_id} {fate.status}"))
    return Stores(rows, expected, unpublished)


def left_at_the_broker(broker_url: str) -> list[str]:
    """Messages that wait or are in somebody's hands when all should be settled (Redis shows it easily)."""
    if not broker_url.startswith("redis"):
        return []
    client = Redis.from_url(broker_url)
    left = {queue: client.llen(queue) for queue in QUEUES} | {
        f"unacknowledged {queue}": client.hlen(notes_of(queue)) for queue in QUEUES
    }
    return [f"left at the broker: {count} {name}" for name, count in left.items() if count]


def evidence(ledger: Ledger, stores: Stores) -> list[str]:
    """What stood behind the counts, for whoever reads the table."""
    odd_codes = Counter(
        f"{code.factor} {code.fate}: {code.statuses}"
        for code in ledger.codes
        if code.good and code.fate is not Fate.PASSED
    )
    notes = [f"{count} x {words}" for words, count in odd_codes.items()]
    away = Counter(f"{call.what} 503 {call.part}" for call in ledger.calls if call.status == 503)
    notes += [f"{count} x {words}" for words, count in away.items()]
    seen = set(stores.rows)
    notes += [f"missing: {row.type} {row.detail}" for row in sorted(stores.expected - seen, key=str)]
    if stores.unpublished:
        notes.append(f"{stores.unpublished} messages stayed in an outbox")
    odd = [call for call in ledger.calls if call.status >= 500 and (call.status != 503 or not call.retry_after)]
    notes += [f"{call.what}: {call.status} {call.code}" for call in odd]
    return notes


def _unpublished(outbox):
    due = func.coalesce(outbox.c.not_before, outbox.c.recorded_at)
    return select(func.count()).where(outbox.c.published_at.is_(None), due <= system_clock())


def _row(account: str, kind: str, details: dict) -> Row:
    if kind == "sms.delivery_changed":
        return Row(account, kind, f"{details['message_id']} {details['status']}")
    if kind == "session.started":
        return Row(account, kind, details["session_id"], tuple(details["factors"]))
    if kind == "two_factor.reset_applied":
        return Row(account, kind, details["reset_id"])
    return Row(account, kind)
