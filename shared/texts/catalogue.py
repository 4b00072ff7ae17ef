"""A catalogue of texts: by key, the text in each language, with ``{places}`` that are filled in.

A text that counts has a form for each plural category of its language (Unicode CLDR), and ``{n}`` chooses among them.
A deployment may replace our texts by its own. They hold the same places, so no fact and no link gets lost.

``cldr`` is imported where a text counts, because Babel takes 4 MiB. A process that only sends codes never loads it.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

from shared.texts.languages import DEFAULT_LANGUAGE, LANGUAGES

Text = str | Mapping[str, str]
Catalogue = Mapping[str, Mapping[str, Text]]

PLACE = re.compile(r"\{([a-z_]+)\}")
COUNTED, WHOLE = "n", "other"  # the place whose number chooses the form, and the form that has every place
_PLURAL_FORMS = frozenset({"zero", "one", "two", "few", "many", WHOLE})  # of all languages
LONGEST_TEXT = 2000
# Control characters, and those that change the direction of the text beside them.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@cache
def read(file: str) -> Catalogue:
    """All texts of one of our files, such as ``pages.toml``, by key and language.

    Raises ValueError for a file that is no TOML.
    """
    texts: dict[str, dict[str, Text]] = {}
    for language in LANGUAGES:
        source = files(__package__).joinpath(language, file).read_text("utf-8")
        try:
            table = tomllib.loads(source)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"shared/texts/{language}/{file}: {error}") from None
        for key, text in _rows("", table):
            texts.setdefault(key, {})[language] = text
    return texts


def fill(text: Text, values: Mapping[str, object], language: str) -> str:
    """The text with its places filled. Braces in a value are no places. Raises KeyError for a missing value."""
    if not isinstance(text, str):
        from shared.texts.cldr import plural_form  # noqa: PLC0415 - see the module's docstring

        text = text.get(plural_form(language, cast("float", values[COUNTED])), text[WHOLE])
    return PLACE.sub(lambda place: str(values[place[1]]), text)


def in_language(catalogue: Catalogue, language: str) -> dict[str, Text]:
    """The texts of one language, by key; English where it lacks one (tests/unit/texts finds that)."""
    return {key: row.get(language, row[DEFAULT_LANGUAGE]) for key, row in catalogue.items()}


def replaced(
    catalogue: Catalogue, own: Mapping[str, Any], *, paragraphs: frozenset[str] = frozenset()
) -> tuple[Catalogue, list[str]]:
    """The catalogue with a deployment's own texts, and a sentence for each own text that cannot be used.

    ``paragraphs`` are the last parts of the keys whose texts may have several lines.
    """
    texts = {key: dict(row) for key, row in catalogue.items()}
    faults: list[str] = []
    groups = {key[: dot.start()] for key in texts for dot in re.finditer(r"\.", key)}
    for key, row in _own_rows("", own, groups):
        if key not in texts or not isinstance(row, Mapping):
            faults.append(f"{key} is not the key of a text")
            continue
        for language, text in row.items():
            ours = texts[key].get(language)
            if ours is None:
                faults.append(f"{key} is there in {', '.join(texts[key])}, not in {language}")
                continue
            several_lines = key.rpartition(".")[2] in paragraphs
            fault = _fault(text, ours, language) or (None if several_lines else _fault_of_lines(text))
            if fault is None:
                texts[key][language] = text
            else:
                faults.append(f"{key} in {language} {fault}")
    return texts, faults


def forms_of(text: Text) -> Mapping[str, str]:
    """The forms of a text by plural category; a text that does not count has the form ``other`` alone."""
    return {WHOLE: text} if isinstance(text, str) else text


def _fault(text: object, ours: Text, language: str) -> str | None:
    from shared.texts.cldr import plural_forms  # noqa: PLC0415 - see the module's docstring

    forms = text if isinstance(text, Mapping) else {WHOLE: text}
    wanted = frozenset(PLACE.findall(forms_of(ours)[WHOLE]))
    if WHOLE not in forms or (isinstance(text, Mapping) and COUNTED not in wanted):
        return "must be a text"
    if strange := forms.keys() - plural_forms(language):
        return f"must not have a form {', '.join(sorted(strange))}"
    for name, form in forms.items():
        spared = frozenset() if name == WHOLE else frozenset({COUNTED})  # "one" may say the number in a word
        if fault := _fault_of_form(form, wanted, spared):
            return fault
    return None


def _fault_of_form(text: object, wanted: frozenset[str], spared: frozenset[str]) -> str | None:
    if not isinstance(text, str) or not text.strip():
        return "must be a text"
    if len(text) > LONGEST_TEXT:
        return f"must have at most {LONGEST_TEXT} characters"
    if _HIDDEN.search(text.replace("\n", "")):
        return "must have no control characters"
    if "{" in PLACE.sub("", text) or "}" in PLACE.sub("", text):
        return "has a brace that belongs to no {place}"
    found = frozenset(PLACE.findall(text))
    missing, strange = _named(wanted - spared - found), _named(found - wanted)
    return f"lacks {missing}" if missing else f"must not have {strange}" if strange else None


def _fault_of_lines(text: Text) -> str | None:
    return "must be one line" if any("\n" in form for form in forms_of(text).values()) else None


def _named(places: Iterable[str]) -> str:
    return ", ".join(f"{{{place}}}" for place in sorted(places))


def _own_rows(prefix: str, table: Mapping[str, Any], groups: Collection[str]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if key in groups and isinstance(value, Mapping):
            yield from _own_rows(f"{key}.", value, groups)
        else:
            yield key, value


def _rows(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and not (WHOLE in value and value.keys() <= _PLURAL_FORMS):
            yield from _rows(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value
