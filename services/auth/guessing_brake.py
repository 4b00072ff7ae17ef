"""The brake on guesses that are spread over accounts and networks. ``domain/guessing.py`` decides when it is on.

While it is on, a browser that the account does not know gets one code of six digits a day and account. Backup codes,
known browsers, open sessions and logins that a link in a mail has confirmed (``login_confirmation.py``) are exempt.
When Redis is down nothing is let through (503). A Redis that was lost has forgotten the counts, as it has those of all
budgets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from services.auth.deps import Deps
from services.auth.domain import guessing
from services.auth.domain.guessing import Guess, Hour, Past, Reading, Rule
from services.auth.limits import (
    BRAKED_CODE,
    GUESSES,
    GUESSING_MULTIPLE,
    PASSWORDS_COUNTED,
    WRONG_CODES,
)
from shared import budgets
from shared.budgets import Charge
from shared.lua import LuaScript
from shared.problems import Refusal

if TYPE_CHECKING:
    from redis import Redis

KEY = "auth:guessing:brake"
_HOUR = timedelta(hours=1)
_KEPT_SECONDS = guessing.HOURS_READ * 3600
_DETAIL = (
    "Many wrong codes are being entered at many accounts, so a browser that is new to an account has one try of six "
    "digits a day. Use a browser that you have signed in with before, a backup code, or a link that we send by mail."
)

log = structlog.get_logger("auth.guessing")

# Keep what a look has found. Of two looks, the one whose brake ends later decides. The reply: whether this look put the
# brake on.
_LOOKED = LuaScript("""
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('SET', KEYS[3], ARGV[4], 'EX', 3600)
local left, brakes_for = redis.call('PTTL', KEYS[1]), tonumber(ARGV[1])
if brakes_for > left and brakes_for > 0 then redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) end
return left < 0 and brakes_for > 0 and 1 or 0
""")


@dataclass(frozen=True, slots=True)
class Noted:
    """What came of a right password. ``brakes``: the brake is on. ``is_counted``: it counts in the sum."""

    brakes: bool
    is_counted: bool


def charge(guess: Guess, at: datetime) -> Charge:
    """The row of all guesses of that hour."""
    return Charge(GUESSES[guess], str(_hour(at)))


def charges_of_password(account_id: str, at: datetime) -> tuple[Charge, ...]:
    """The sum that a right password of that moment counts in, and how many the account may add in a day."""
    return charge(Guess.RIGHT_PASSWORD, at), Charge(PASSWORDS_COUNTED, account_id)


def note_right_password(deps: Deps, account_id: str, now: datetime) -> Noted:
    """Count a right password, until a completed login gives it back. Raises RedisError."""
    guess = Guess.RIGHT_PASSWORD
    taken = budgets.take(deps.redis, *charges_of_password(account_id, now), read=_read(deps, guess, now))
    if taken.allowed:
        _compare(deps, guess, now, taken.counts[0], taken.read)
    return Noted(brakes=taken.read[0] is not None, is_counted=taken.allowed)


def note_wrong_code(deps: Deps, account_id: str, now: datetime, *, is_guess: bool) -> int:
    """Count a wrong code, in the sum only when it ``is_guess``.

    Return how many wrong codes the owner has not been told of. Raises RedisError.
    """
    of_account, guess = wrong_codes_of(account_id), Guess.WRONG_CODE
    if not is_guess:
        return budgets.take(deps.redis, of_account).counts[0]
    counted = charge(guess, now), of_account
    (guesses, untold), texts = budgets.count_on(deps.redis, *counted, read=_read(deps, guess, now))
    _compare(deps, guess, now, guesses, texts)
    return untold


def wrong_codes_of(account_id: str) -> Charge:
    """The row of this account's wrong codes after a right password, of which its owner has not been told."""
    return Charge(WRONG_CODES, account_id)


def is_on(redis: "Redis") -> bool:
    """Whether the brake is on. Raises RedisError."""
    return redis.exists(KEY) == 1


def the_try(account_id: str) -> Charge:
    """The row of the one try of six digits that the brake leaves strangers at this account."""
    return Charge(BRAKED_CODE, account_id)


def take_the_try(deps: Deps, account_id: str) -> Charge:
    """Count the one try of six digits that strangers have at this account today. Raises Refusal too_many_requests."""
    own = the_try(account_id)
    taken = budgets.take(deps.redis, own)
    if not taken.allowed:
        raise Refusal(
            "too_many_requests",
            detail=_DETAIL,
            retry_after_seconds=taken.retry_after_seconds,
            reason="guessing",
            extra={"cause": "guessing"},
        )
    return own


def wait_seconds(deps: Deps, account_id: str) -> int:
    """How long until the brake leaves strangers a try of six digits here; 0 where it does now. Raises RedisError."""
    return budgets.waits(deps.redis, the_try(account_id))[0] if is_on(deps.redis) else 0


def reading(redis: "Redis", floor: int, guess: Guess, now: datetime) -> Reading:
    """How much is guessed of this kind. Raises RedisError."""
    return guessing.read(_rule(floor), _hours(redis, guess, now))


def _read(deps: Deps, guess: Guess, now: datetime) -> list[str]:
    """The keys that a count reads with it: the brake, what the hours before the last two say, and the last hour."""
    return [KEY, _past_key(deps, guess, now), charge(guess, now - _HOUR).keys()[0]]


def _compare(deps: Deps, guess: Guess, now: datetime, guesses: int, texts: Sequence[str | None]) -> None:
    """Compare the sum with last week. The first guess of an hour reads the hours before it.

    To read them each time would cost a wrong code a millisecond more. ``guesses``: of the running hour, with this one.
    ``texts``: what stood at the keys of ``_read``.
    """
    _brake, kept, of_last_hour = texts
    if kept is not None:
        past, rule = Past(*map(float, kept.split())), _rule(deps.settings.guessing_floor)
        if not guessing.read_on(rule, past, guesses, int(of_last_hour or 0)).brakes:
            return
    _look(deps, guess, now)


def _look(deps: Deps, guess: Guess, now: datetime) -> None:
    """Read all hours, keep what the next guesses of this hour need, and put the brake on where too much is guessed."""
    rule, hours = _rule(deps.settings.guessing_floor), _hours(deps.redis, guess, now)
    past, seen = guessing.past(rule, hours), guessing.read(rule, hours)
    hour, brakes_for_ms = _hour(now), 0
    if seen.brakes:
        ends_at = datetime.fromtimestamp((hour + seen.hours_left) * _HOUR.total_seconds(), UTC)
        brakes_for_ms = (ends_at - now) // timedelta(milliseconds=1)
    keys = [KEY, _most_key(guess, hour), _past_key(deps, guess, now)]
    kept = f"{past.level!r} {past.threshold!r}"
    if _LOOKED.run(deps.redis, keys, [brakes_for_ms, seen.counts_at_most, _KEPT_SECONDS, kept]):
        log.warning("guessing brake on", guess=guess, guesses=int(seen.level), threshold=int(seen.threshold))


def _hours(redis: "Redis", guess: Guess, now: datetime) -> list[Hour]:
    hours = range(_hour(now), _hour(now) - guessing.HOURS_READ, -1)
    keys = [key for hour in hours for key in (*Charge(GUESSES[guess], str(hour)).keys(), _most_key(guess, hour))]
    texts = iter(redis.mget(keys))
    return [
        Hour(int(count or 0), None if most is None else int(most)) for count, most in zip(texts, texts, strict=True)
    ]


def _rule(floor: int) -> Rule:
    return Rule(floor, GUESSING_MULTIPLE)


def _hour(at: datetime) -> int:
    return int(at.timestamp() // _HOUR.total_seconds())


def _most_key(guess: Guess, hour: int) -> str:
    return f"auth:guessing:most:{guess}:{hour}"


def _past_key(deps: Deps, guess: Guess, now: datetime) -> str:
    return f"auth:guessing:past:{guess}:{deps.settings.guessing_floor}:{_hour(now)}"
