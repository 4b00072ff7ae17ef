"""What a call with a code says, in each language.

A voicemail may answer, and an attacker with access to it could play the recording. So the call says the code only after
two keys were pressed, and it names them itself. A recorded greeting that plays key tones can only guess them.
"""

import secrets
from dataclasses import dataclass

from shared.messages import CODE_LIVES_FOR
from shared.texts import catalogue
from shared.texts.languages import ours

KEYS = 2
TEXTS = catalogue.read("codes.toml")


@dataclass(frozen=True, slots=True, repr=False)
class Script:
    """What one call says, in a language of ours. It never prints the code."""

    language: str
    keys: str
    opening: str
    told: tuple[str, ...]
    refused: str


def new_keys() -> str:
    """The keys of one call, from the CSPRNG."""
    return "".join(str(secrets.randbelow(10)) for _ in range(KEYS))


def write(sender: str, language: str | None, digits: str, keys: str) -> Script:
    """The script of a call in this language, or in English; digits are said one by one, twice."""
    language = ours(language)

    def say(part: str, **values: object) -> str:
        return catalogue.fill(TEXTS[f"call.{part}"][language], values, language)

    one_by_one, minutes = ", ".join(digits), int(CODE_LIVES_FOR.total_seconds()) // 60
    return Script(
        language=language,
        keys=keys,
        opening=say("opening", sender=sender, keys=f", {say('then')} ".join(keys)),
        told=(say("code", digits=one_by_one), say("again", digits=one_by_one), say("goodbye", minutes=minutes)),
        refused=say("refused"),
    )
