"""A value that must not be printed."""

import hmac
from typing import Generic, TypeVar

T = TypeVar("T", str, bytes)


class Secret(Generic[T]):
    """Holds a secret so that logs, reprs and tracebacks show ``***`` (ASVS 16.2.5)."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        """The value itself; call it as late as possible."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_as_bytes(self._value), _as_bytes(other.reveal()))

    def __hash__(self) -> int:
        raise TypeError("a Secret is not hashable: a dict key is a place where it would be printed")

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled: reveal it where it is used")


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
