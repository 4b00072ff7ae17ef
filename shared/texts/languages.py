"""The languages that the product speaks. A language has a row here and a folder of texts beside this file."""

from collections.abc import Mapping

# Tag (ISO 639-1) -> what its speakers call the language, in the order of the menu.
LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "de": "Deutsch",
    "es": "Español",
    "fr": "Français",
    "pt": "Português",
    "nl": "Nederlands",
    "pl": "Polski",
    "ja": "日本語",
    "ar": "العربية",
}
RIGHT_TO_LEFT = frozenset({"ar"})
DEFAULT_LANGUAGE = "en"


def ours(language: str | None) -> str:
    """The language if it is one of ours, else English."""
    return language if language is not None and language in LANGUAGES else DEFAULT_LANGUAGE


def direction(language: str) -> str:
    """``ltr`` or ``rtl``, as HTML writes it."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


def isolated(text: str) -> str:
    """The text between the marks that give it a direction of its own (UAX #9, first strong isolate)."""
    return f"\u2068{text}\u2069" if text else text
