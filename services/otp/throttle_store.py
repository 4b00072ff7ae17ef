"""Which throttled tries get a row of their own: the first of each wait.

A throttled try costs a stranger nothing, and a thousand rows would say what one says: until when. The first is found by
SET NX in the recorder's batch, so that it is one over all processes and the request waits for nothing.
"""

from collections.abc import Iterable

from redis import Redis
from redis.exceptions import RedisError

from services.otp.domain.attempt import Brake, Throttled
from services.otp.limits import UNLOCKED
from shared.budgets import HOUR, Charge, Rate

# A row that a killed process lost must come again, and a wait of a day or more shows that somebody still tries.
LONGEST = HOUR


def keys_of_later_tries(redis: Redis, throttled: Iterable[tuple[Charge, Throttled]]) -> set[str]:
    """The budgets whose wait has its row already; the others' rows are due now. Empty when Redis is away."""
    seconds = {key(charge): _seconds(outcome) for charge, outcome in throttled}
    if not seconds:
        return set()
    pipeline = redis.pipeline(transaction=False)
    for name, life in seconds.items():
        pipeline.set(name, 1, ex=life, nx=True)
    try:
        first = pipeline.execute()
    except RedisError:
        return set()
    return {name for name, is_first in zip(seconds, first, strict=True) if not is_first}


def forget(redis: Redis, account_id: str, rates: Iterable[Rate] = UNLOCKED) -> None:
    """Windows of the account begin anew: the next wait is another one."""
    redis.delete(*(key(Charge(rate, account_id)) for rate in rates))


def key(charge: Charge) -> str:
    """Where it stands that this budget's wait has its row. Each stop in the row of failures is a wait of its own."""
    return f"otp:throttled:{charge.rate.name}:{charge.rate.windows[-1].max}:{charge.subject}"


def _seconds(outcome: Throttled) -> int:
    if outcome.brake is Brake.HARD_STOP or outcome.retry_after_seconds is None:
        return LONGEST
    return max(1, min(outcome.retry_after_seconds, LONGEST))
