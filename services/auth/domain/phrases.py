"""Phrases that a person reads out on the phone: a few short, common words, and never digits.

A caller who is used to reading out digits gives a login code to anybody who asks for it. A phrase of words cannot be
mistaken for a login code. Two words hold 18 bits and three words hold 28, so every use limits the attempts.
"""

import re
import secrets
from importlib.resources import files

from services.auth.domain.typed import plain

WORDS: tuple[str, ...] = tuple(files(__package__).joinpath("words.txt").read_text("utf-8").split())

_SEPARATORS = re.compile(r"[\s\-.,;]+")  # what a keyboard or an operator's note puts between words


def new_phrase(count: int) -> str:
    """Draw ``count`` words with the operating system's random generator, joined by one blank."""
    return " ".join(secrets.choice(WORDS) for _ in range(count))


def normalise(text: str) -> str:
    """Return what was typed or heard in the form of ``new_phrase``: lower case, one blank between words."""
    return " ".join(word for word in _SEPARATORS.split(plain(text).casefold()) if word)
