"""What the clock coach saw last of an authenticator, in Redis. A new one knows nothing of the one before it."""

from redis import Redis

from services.otp.domain.clock_coach import REMEMBERED_FOR, Observation
from services.otp.domain.time_step import TimeStep


def exchange(redis: Redis, authenticator_id: str, seen: Observation) -> Observation | None:
    """Remember this observation and return the one before it, in one step."""
    earlier = redis.set(f"otp:clock:{authenticator_id}", f"{seen.step}:{seen.offset}", ex=REMEMBERED_FOR, get=True)
    if not isinstance(earlier, str):
        return None
    step, _, offset = earlier.partition(":")
    return Observation(TimeStep(int(step)), int(offset))
