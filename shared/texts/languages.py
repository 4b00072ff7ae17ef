"""The languages that the product speaks. A language has a row here and a folder of texts beside this file."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache

from babel import Locale, negotiate_locale
from babel.dates import format_datetime

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
DEFAULT_LANGUAGE = "en"
# What a POSIX locale has behind its language: "de_DE.UTF-8", "en-US@posix". Some browsers send it as it is.
_CODESET_OR_MODIFIER = re.compile(r"[.@].*")
# The plural categories of the CLDR.
PLURAL_FORMS = frozenset({"zero", "one", "two", "few", "many", "other"})


def ours(language: str | None) -> str:
    """The language, or English where there is none or where it is not ours."""
    return language if language is not None and language in LANGUAGES else DEFAULT_LANGUAGE


@cache
def locale(language: str) -> Locale:
    """What the Unicode CLDR knows of a language."""
    return Locale.parse(language)


def direction(language: str) -> str:
    """``ltr`` or ``rtl``, as HTML writes it."""
    return locale(language).text_direction


def plural_form(language: str, n: float) -> str:
    """The CLDR's category of a number: ``one``, ``few`` …, or ``other``."""
    return locale(language).plural_form(n)


def plural_forms(language: str) -> frozenset[str]:
    """The categories that the language distinguishes."""
    return locale(language).plural_form.tags | {"other"}


def written(at: datetime, language: str) -> str:
    """A moment in UTC, as the language writes it: ``November 24, 2026, 5:00:00 AM UTC``."""
    return format_datetime(at.astimezone(UTC), "long", locale=locale(language))


def country_name(code: str, language: str) -> str:
    """A country (ISO 3166-1) in this language; its code, if the CLDR does not know it."""
    name: str = locale(language).territories.get(code, code)
    return name


def best_of(accepted: Iterable[str]) -> str:
    """The first language of ours among those that a browser accepts, best first (RFC 9110 §12.5.4); else English.

    ``pt-BR`` counts as ``pt``, and a POSIX locale as its language. What names no language, such as ``C``, is skipped.
    """
    tags = [_CODESET_OR_MODIFIER.sub("", tag).replace("_", "-") for tag in accepted]
    return negotiate_locale(tags, LANGUAGES, sep="-") or DEFAULT_LANGUAGE
