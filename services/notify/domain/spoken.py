"""What a call with a code says, in each language.

A voicemail may answer, and an attacker with access to it could play the recording. So the call says the code only after
two keys were pressed, and it names them itself. A recorded greeting that plays key tones can only guess them.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

KEYS = 2
DEFAULT_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class Sentences:
    """The sentences of one language; ``voice`` is the language tag of the provider's voice (BCP 47)."""

    voice: str
    opening: str
    then: str
    code: str
    again: str
    goodbye: str
    refused: str


SENTENCES: Mapping[str, Sentences] = {
    "en": Sentences(
        voice="en-US",
        opening="This is {sender} with your code. To hear it, press {keys}.",
        then="then",
        code="Your code is: {digits}.",
        again="Once more, your code is: {digits}.",
        goodbye="It expires in 5 minutes. Don't share it. Goodbye.",
        refused="Those were not the right keys. Request another call to get a code. Goodbye.",
    ),
    "de": Sentences(
        voice="de-DE",
        opening="Hier ist {sender} mit Ihrem Code. Um ihn zu hören, drücken Sie auf Ihrem Telefon die {keys}.",
        then="dann die",
        code="Ihr Code lautet: {digits}.",
        again="Noch einmal, Ihr Code lautet: {digits}.",
        goodbye="Er gilt 5 Minuten. Sagen Sie ihn niemandem. Auf Wiederhören.",
        refused="Das waren nicht die richtigen Tasten. Fordern Sie für einen Code einen neuen Anruf an. "
        "Auf Wiederhören.",
    ),
}


@dataclass(frozen=True, slots=True, repr=False)
class Script:
    """What one call says. It never prints the code."""

    voice: str
    keys: str
    opening: str
    told: tuple[str, ...]
    refused: str


def new_keys() -> str:
    """The keys of one call, from the CSPRNG."""
    return "".join(str(secrets.randbelow(10)) for _ in range(KEYS))


def write(sender: str, language: str | None, digits: str, keys: str) -> Script:
    """The script of a call in this language, or in English; digits are said one by one, twice."""
    words = SENTENCES.get(language or DEFAULT_LANGUAGE, SENTENCES[DEFAULT_LANGUAGE])
    spoken = ", ".join(digits)
    return Script(
        voice=words.voice,
        keys=keys,
        opening=words.opening.format(sender=sender, keys=f", {words.then} ".join(keys)),
        told=(words.code.format(digits=spoken), words.again.format(digits=spoken), words.goodbye),
        refused=words.refused,
    )
