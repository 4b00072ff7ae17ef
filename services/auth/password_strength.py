"""Is this password good enough? Length (OWASP: at least 12) and zxcvbn's guess count; one rule for portal and CLI.

A request rates in the lane ``Deps.rating``, never on its own thread.
"""

from dataclasses import asdict, dataclass
from typing import Any

from services.auth import password_form
from services.auth.limits import PASSWORD_MAX_CHARACTERS, PASSWORD_MIN_CHARACTERS, PASSWORD_MIN_SCORE

_TOO_SHORT = f"Use at least {PASSWORD_MIN_CHARACTERS} characters."
_TOO_LONG = f"Use at most {PASSWORD_MAX_CHARACTERS} characters."
_REFUSED = "Leave out control characters and invisible characters. Some emoji contain them."


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
    """Rate the prepared form of a password; the bounds count its characters. An acceptable password can be prepared.

    ``hints`` are words that an attacker would try first for this person: address, name, team.
    """
    if password_form.is_too_long(password):
        return Strength(0, _TOO_LONG, [], acceptable=False)
    prepared = password_form.prepare(password)
    if password and prepared is None:
        return Strength(0, _REFUSED, [], acceptable=False)
    if prepared is None or len(prepared) < PASSWORD_MIN_CHARACTERS:
        return Strength(0, _TOO_SHORT, ["A few uncommon words make a good password."], acceptable=False)
    # The word lists take 25 MB, and most processes never rate a password.
    from zxcvbn.feedback import get_feedback  # noqa: PLC0415
    from zxcvbn.time_estimates import guesses_to_score  # noqa: PLC0415

    from services.auth.password_guesses import guess  # noqa: PLC0415

    guessed = guess(prepared, _words(hints))
    score = int(guesses_to_score(guessed.guesses))
    feedback = get_feedback(score, guessed.pieces)
    return Strength(
        score,
        feedback["warning"] or "",
        list(feedback["suggestions"]),
        acceptable=score >= PASSWORD_MIN_SCORE,
    )


def _words(hints: list[str]) -> list[str]:
    """The hints and their parts: ``ann@example.com`` is guessed as a whole, as ``ann`` and as ``example``."""
    parts = [part for hint in hints for part in hint.replace("@", " ").replace(".", " ").split()]
    return list(dict.fromkeys(hint.lower() for hint in (*hints, *parts)))
