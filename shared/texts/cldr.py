"""What the Unicode CLDR knows of a language, by Babel: plural forms, dates, names of countries.

Babel takes 4 MiB, and 1.5 MiB more for each language in use. So only modules that need the CLDR import this one, and
languages.py does not.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache

from babel import Locale, negotiate_locale
from babel.dates import format_datetime

from shared.texts.languages import DEFAULT_LANGUAGE, LANGUAGES

# What a POSIX locale has behind its language: "de_DE.UTF-8", "en-US@posix". Some browsers send it as it is.
_CODESET_OR_MODIFIER = re.compile(r"[.@].*")


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(language)


def plural_form(language: str, n: float) -> str:
    """The category of a number: ``one``, ``few`` …, or ``other``."""
    return _locale(language).plural_form(n)


def plural_forms(language: str) -> frozenset[str]:
    """The categories that the language distinguishes."""
    return _locale(language).plural_form.tags | {"other"}


def written(at: datetime, language: str) -> str:
    """A moment in UTC, as the language writes it: ``November 24, 2026, 5:00:00 AM UTC``."""
    return format_datetime(at.astimezone(UTC), "long", locale=_locale(language))


def country_name(code: str, language: str) -> str:
    """The name of a country (ISO 3166-1) in this language; its code, if the CLDR does not know it."""
    name: str = _locale(language).territories.get(code, code)
    return name


def best_of(accepted: Iterable[str]) -> str:
    """The first of our languages among those that a browser accepts, best first (RFC 9110 §12.5.4); else English.

    ``pt-BR`` counts as ``pt``, and a POSIX locale as its language. A tag without a language, such as ``C``, is skipped.
    """
    tags = [_CODESET_OR_MODIFIER.sub("", tag).replace("_", "-") for tag in accepted]
    return negotiate_locale(tags, LANGUAGES, sep="-") or DEFAULT_LANGUAGE
