"""Every text of the pages, in each language."""

from collections.abc import Iterable, Mapping

from shared.texts import catalogue
from shared.texts.catalogue import Catalogue, Text, fill
from shared.texts.languages import LANGUAGES, direction, isolated


class Texts:
    """The texts of one language."""

    def __init__(self, language: str, texts: Mapping[str, Text]) -> None:
        self.language = language
        self.direction = direction(language)
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """The text, its ``{places}`` filled. Raises KeyError for one that the catalogue lacks.

        A value in a text that is read from right to left keeps its own direction (UAX #9, isolates). Otherwise the plus
        sign of ``+49…`` would stand at the end. ``static/page.js`` does the same.
        """
        if self.direction == "rtl":
            values = {name: isolated(one) if isinstance(one, str) else one for name, one in values.items()}
        return fill(self._texts[key], values, self.language)

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def under(self, groups: Iterable[str]) -> dict[str, Text]:
        """Those of some groups, for a page's scripts."""
        wanted = tuple(f"{group}." for group in groups)
        return {key: text for key, text in self._texts.items() if key.startswith(wanted)}


def by_language(texts: Catalogue) -> Mapping[str, Texts]:
    """The texts of each language."""
    return {language: Texts(language, catalogue.in_language(texts, language)) for language in LANGUAGES}
