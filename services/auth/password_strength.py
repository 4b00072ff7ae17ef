"""Is this password good enough? Length (OWASP: at least 12) and zxcvbn's guess count; one rule for portal and CLI."""

from dataclasses import asdict, dataclass
from typing import Any

from services.auth.limits import PASSWORD_MAX_CHARACTERS, PASSWORD_MIN_CHARACTERS, PASSWORD_MIN_SCORE

# zxcvbn's time grows faster than the length. A password whose beginning is strong is strong.
_CHARACTERS_RATED = 72
_TOO_SHORT = f"Use at least {PASSWORD_MIN_CHARACTERS} characters."
_TOO_LONG = f"Use at most {PASSWORD_MAX_CHARACTERS} characters."


@dataclass(frozen=True, slots=True)
class Strength:
    """zxcvbn's ``score`` (0-4) and advice. ``acceptable`` is our rule's answer."""

    score: int
    warning: str
    suggestions: list[str]
    acceptable: bool

    def document(self) -> dict[str, Any]:
        """As JSON; the password is not in it."""
        return asdict(self)

    @property
    def advice(self) -> str:
        """Warning and suggestions as one text."""
        return " ".join(filter(None, [self.warning, *self.suggestions]))


def assess(password: str, hints: list[str]) -> Strength:
    """Rate it. ``hints`` are words that an attacker would try first for this person: address, name, team."""
    if len(password) < PASSWORD_MIN_CHARACTERS:
        return Strength(0, _TOO_SHORT, ["A few uncommon words make a good password."], acceptable=False)
    if len(password) > PASSWORD_MAX_CHARACTERS:
        return Strength(0, _TOO_LONG, [], acceptable=False)
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its word lists take 12 MB, and most processes never rate a password

    rated = zxcvbn(password[:_CHARACTERS_RATED], user_inputs=_words(hints))
    score = int(rated["score"])
    return Strength(
        score,
        rated["feedback"]["warning"] or "",
        list(rated["feedback"]["suggestions"]),
        acceptable=score >= PASSWORD_MIN_SCORE,
    )


def _words(hints: list[str]) -> list[str]:
    """The hints and their parts: ``ann@example.com`` is guessed as a whole, as ``ann`` and as ``example``."""
    parts = [part for hint in hints for part in hint.replace("@", " ").replace(".", " ").split()]
    return list(dict.fromkeys(hint.lower() for hint in (*hints, *parts)))
