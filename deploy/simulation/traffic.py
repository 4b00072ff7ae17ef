"""Who asks for SMS codes, when, and who enters them: honest users everywhere, pumps inside a few prefixes."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from services.otp.domain.lane import Lane
from services.otp.domain.purpose import Purpose
from shared.phone import PhoneNumber

HOUR = 3600.0
# German, French, British and American ranges, each with its share of the honest users.
HONEST_SHARES: Mapping[str, float] = {
    "491512": 0.30, "491601": 0.14, "491704": 0.10, "336123": 0.10, "447400": 0.08, "336789": 0.08,
    "14155": 0.07, "447911": 0.05, "336451": 0.04, "12125": 0.02, "447500": 0.01, "491579": 0.01,
}  # fmt: skip
# A busy prefix, one of middling traffic and one that hardly anybody has: where pumps hide best, and worst.
PUMPED = ("491512", "447400", "447500")
# What the simulation asks for. A text for a step-up is judged by the same rule, in lanes of its own.
PURPOSES = (Purpose.LOGIN, Purpose.PHONE_VERIFICATION)
_SUBSCRIBER_DIGITS = 6
_NEW_USERS = 0.2  # who prove a phone; the others sign in


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what. Rates of conversion are drawn for each prefix, delays (seconds) for each code."""

    seed: int = 1
    hours: float = 12
    honest: int = 3_000
    pumped: int = 10_000
    attack_from_hour: float = 4
    attack_hours: float = 3
    shares: Mapping[str, float] = field(default_factory=lambda: HONEST_SHARES)
    pumped_prefixes: tuple[str, ...] = PUMPED
    pumped_logins: float = 0.0  # the share of pumps that own proven phones there, and sign in
    conversion: tuple[float, float] = (0.6, 0.9)
    median_delay: float = 25.0

    @property
    def attack(self) -> tuple[float, float]:
        """When it begins and ends, in seconds."""
        return self.attack_from_hour * HOUR, (self.attack_from_hour + self.attack_hours) * HOUR


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody asks for a code. ``enters_after`` is None for who never enters it."""

    at: float
    account_id: str
    phone: PhoneNumber
    purpose: Purpose
    enters_after: float | None
    pumped: bool

    @property
    def lane(self) -> Lane:
        """Where it is judged."""
        return Lane.of(self.purpose, self.phone)


def asks(plan: Plan) -> list[Ask]:
    """All of them, in order of time."""
    rng = random.Random(plan.seed)  # noqa: S311 - a simulation
    return sorted([*_honest(plan, rng), *_pumped(plan, rng)], key=lambda ask: ask.at)


def _honest(plan: Plan, rng: random.Random) -> Iterator[Ask]:
    rates = {prefix: rng.uniform(*plan.conversion) for prefix in plan.shares}
    prefixes = rng.choices(list(plan.shares), list(plan.shares.values()), k=plan.honest)
    for number, prefix in enumerate(prefixes):
        # Most read the text at once; some are minutes late, and the code has five.
        delay = min(rng.lognormvariate(0, 0.6) * plan.median_delay, 280.0)
        enters_after = delay if rng.random() < rates[prefix] else None
        purpose = _purpose(rng, logins=1 - _NEW_USERS)
        at = rng.uniform(0, plan.hours * HOUR)
        yield Ask(at, f"acc_honest_{number}", _phone(rng, prefix), purpose, enters_after, pumped=False)


def _pumped(plan: Plan, rng: random.Random) -> Iterator[Ask]:
    """Another account and another phone each time; otp sees no addresses."""
    for number in range(plan.pumped):
        phone, purpose = _phone(rng, rng.choice(plan.pumped_prefixes)), _purpose(rng, logins=plan.pumped_logins)
        yield Ask(rng.uniform(*plan.attack), f"acc_pump_{number}", phone, purpose, None, pumped=True)


def _phone(rng: random.Random, prefix: str) -> PhoneNumber:
    return PhoneNumber(f"+{prefix}{rng.randrange(10**_SUBSCRIBER_DIGITS):0{_SUBSCRIBER_DIGITS}}")


def _purpose(rng: random.Random, *, logins: float) -> Purpose:
    return Purpose.LOGIN if rng.random() < logins else Purpose.PHONE_VERIFICATION
