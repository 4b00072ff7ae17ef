"""Every text of the pages, from one catalogue (texts.toml), in each of its languages."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from werkzeug.datastructures import LanguageAccept

LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}
DEFAULT_LANGUAGE = "en"
PLACE = re.compile(r"\{([a-z_]+)\}")
# What a POSIX locale has behind its language: "de_DE.UTF-8", "en-US@posix". Some browsers send it as it is.
_CODESET_OR_MODIFIER = re.compile(r"[.@].*")


class Texts:
    """The texts of one language."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """The text, its ``{places}`` filled. Raises KeyError for one that the catalogue lacks."""
        return PLACE.sub(lambda place: str(values[place[1]]), self._texts[key])

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def under(self, groups: Iterable[str]) -> dict[str, str]:
        """Those of some groups, for a page's scripts."""
        wanted = tuple(f"{group}." for group in groups)
        return {key: text for key, text in self._texts.items() if key.startswith(wanted)}


def read_catalogue() -> dict[str, dict[str, str]]:
    """All texts by key and language."""
    source = files(__package__).joinpath("texts.toml").read_text(encoding="utf-8")
    return dict(_flat("", tomllib.loads(source)))


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, str]]]:
    for name, value in table.items():
        if any(isinstance(inner, dict) for inner in value.values()):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


_CATALOGUE = read_catalogue()
_TEXTS = {language: Texts(language, {key: row[language] for key, row in _CATALOGUE.items()}) for language in LANGUAGES}


def choose(wanted: str | None, accepted: LanguageAccept) -> Texts:
    """What the visitor chose by hand; else the best of what the browser accepts (RFC 9110 §12.5.4).

    A POSIX locale is read as its language. One without a language, such as ``C``, is passed over.
    """
    if wanted in _TEXTS:
        return _TEXTS[wanted]
    tags = LanguageAccept((_CODESET_OR_MODIFIER.sub("", tag), quality) for tag, quality in accepted)
    return _TEXTS[tags.best_match(list(LANGUAGES), DEFAULT_LANGUAGE)]
