"""The languages that the product speaks. A language has a row here and a folder of texts beside this file."""

from collections.abc import Mapping

# By the language's tag (ISO 639-1), in the order of the menu: what its speakers call it.
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
    """The language, or English where there is none or where it is not ours."""
    return language if language is not None and language in LANGUAGES else DEFAULT_LANGUAGE


def direction(language: str) -> str:
    """``ltr`` or ``rtl``, as HTML writes it."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"
