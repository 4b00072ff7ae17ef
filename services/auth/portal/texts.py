"""Every text of the pages, from one catalogue (texts.toml), in each of its languages."""

import re
from collections.abc import Iterable, Mapping

from werkzeug.datastructures import LanguageAccept

from services.auth.branding import read_catalogue
from services.auth.domain import catalogue
from services.auth.domain.catalogue import Catalogue, fill

LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}
DEFAULT_LANGUAGE = "en"
# What a POSIX locale has behind its language: "de_DE.UTF-8", "en-US@posix". Some browsers send it as it is.
_CODESET_OR_MODIFIER = re.compile(r"[.@].*")


class Texts:
    """The texts of one language."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """The text, its ``{places}`` filled. Raises KeyError for one that the catalogue lacks."""
        return fill(self._texts[key], values)

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def under(self, groups: Iterable[str]) -> dict[str, str]:
        """Those of some groups, for a page's scripts."""
        wanted = tuple(f"{group}." for group in groups)
        return {key: text for key, text in self._texts.items() if key.startswith(wanted)}


def by_language(texts: Catalogue) -> Mapping[str, Texts]:
    """The texts of each language."""
    return {language: Texts(language, catalogue.in_language(texts, language)) for language in LANGUAGES}


_OURS = by_language(read_catalogue())


def choose(wanted: str | None, accepted: LanguageAccept, texts: Mapping[str, Texts] = _OURS) -> Texts:
    """What the visitor chose by hand; else the best of what the browser accepts (RFC 9110 §12.5.4).

    A POSIX locale is read as its language. One without a language, such as ``C``, is passed over.
    """
    if wanted is not None and wanted in texts:
        return texts[wanted]
    tags = LanguageAccept((_CODESET_OR_MODIFIER.sub("", tag), quality) for tag, quality in accepted)
    return texts[tags.best_match(list(LANGUAGES), DEFAULT_LANGUAGE)]
