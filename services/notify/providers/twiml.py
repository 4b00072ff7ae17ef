"""A call's script as TwiML, the XML that Twilio's voice executes (https://www.twilio.com/docs/voice/twiml)."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring  # nosec B405  # written, never parsed

from services.notify.domain.spoken import KEYS, Script

# The voice that speaks each of our languages: Amazon Polly's standard ones, because Twilio's own voices lack Arabic.
# Both attributes are needed. Twilio rejects a voice with a language that is not its own, and without a voice it takes
# the one of the account's settings. https://www.twilio.com/docs/voice/twiml/say/text-speech
VOICES: Mapping[str, Mapping[str, str]] = {
    "en": {"voice": "Polly.Joanna", "language": "en-US"},
    "de": {"voice": "Polly.Vicki", "language": "de-DE"},
    "es": {"voice": "Polly.Lucia", "language": "es-ES"},
    "fr": {"voice": "Polly.Celine", "language": "fr-FR"},
    "pt": {"voice": "Polly.Camila", "language": "pt-BR"},
    "nl": {"voice": "Polly.Lotte", "language": "nl-NL"},
    "pl": {"voice": "Polly.Ewa", "language": "pl-PL"},
    "ja": {"voice": "Polly.Mizuki", "language": "ja-JP"},
    "ar": {"voice": "Polly.Zeina", "language": "arb"},  # Modern Standard Arabic (ISO 639-3)
}
# Twice what is asked, and what is said twice at the end, fit into the minute that a call may last.
_ASKS = 2
_WAITS_SECONDS = 5


def opening(script: Script, callback_url: str) -> str:
    """What a call begins with: it asks for the keys and sends them to the callback. It holds nothing of the code.

    ``finishOnKey`` is empty, so that # and * are keys like the others.
    """
    response = Element("Response")
    for _ in range(_ASKS):
        gather = SubElement(
            response,
            "Gather",
            {
                "input": "dtmf",
                "numDigits": str(KEYS),
                "timeout": str(_WAITS_SECONDS),
                "finishOnKey": "",
                "action": callback_url,
                "method": "POST",
            },
        )
        _say(gather, script, script.opening)
    return _document(response)


def told(script: Script) -> str:
    """What is said after the right keys."""
    response = Element("Response")
    for sentence in script.told:
        _say(response, script, sentence)
        SubElement(response, "Pause", {"length": "1"})
    return _document(response)


def refused(script: Script) -> str:
    """What is said after other keys."""
    response = Element("Response")
    _say(response, script, script.refused)
    return _document(response)


def _say(parent: Element, script: Script, sentence: str) -> None:
    SubElement(parent, "Say", dict(VOICES[script.language])).text = sentence


def _document(response: Element) -> str:
    SubElement(response, "Hangup")
    return tostring(response, encoding="unicode")
