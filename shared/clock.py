"""Time as an argument: aware UTC only."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The present moment, aware UTC."""
    return datetime.now(UTC)


def unix_seconds(moment: datetime) -> int:
    """Whole seconds since the epoch (RFC 6238's T)."""
    return int(moment.timestamp())


def unix_milliseconds(moment: datetime) -> int:
    """Whole milliseconds since the epoch, as Redis and its scripts count."""
    return int(moment.timestamp() * 1000)


def rfc3339(moment: datetime) -> str:
    """``2026-11-24T05:00:00.123456Z``; sorts as text in the order of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """The moment that rfc3339 wrote. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # in the first or the last hours of the calendar
        raise ValueError("a time outside the calendar") from None


def after(moment: datetime, seconds: float) -> datetime:
    """``seconds`` later."""
    return moment + timedelta(seconds=seconds)
