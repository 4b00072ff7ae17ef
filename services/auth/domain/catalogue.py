"""A catalogue of texts, in TOML: a key, then the text in each language, with ``{places}`` that are filled in.

A deployment may put texts of its own in the place of ours. They hold the same places, so no fact and no link gets lost.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

Catalogue = Mapping[str, Mapping[str, str]]

PLACE = re.compile(r"\{([a-z_]+)\}")
LONGEST_TEXT = 2000
# Control characters, and those that turn the direction of what stands beside the text.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def parse(source: str) -> Catalogue:
    """All texts of a catalogue of ours, by key and language."""
    return dict(_rows("", tomllib.loads(source)))


def fill(text: str, values: Mapping[str, object]) -> str:
    """The text with its places filled. Braces in a value are no places. Raises KeyError for a missing value."""
    return PLACE.sub(lambda place: str(values[place[1]]), text)


def in_language(catalogue: Catalogue, language: str) -> dict[str, str]:
    """The texts of one language, by key."""
    return {key: row[language] for key, row in catalogue.items()}


def replaced(
    catalogue: Catalogue, own: Mapping[str, Any], *, paragraphs: frozenset[str] = frozenset()
) -> tuple[Catalogue, list[str]]:
    """The catalogue with a deployment's own texts, and a sentence for each of those that cannot be used.

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
                faults.append(f"{key} is there in {' and '.join(texts[key])}, not in {language}")
                continue
            fault = _fault(text, ours)
            if fault is None and "\n" in text and key.rpartition(".")[2] not in paragraphs:
                fault = "must be one line"
            if fault is None:
                texts[key][language] = text
            else:
                faults.append(f"{key} in {language} {fault}")
    return texts, faults


def _fault(text: object, ours: str) -> str | None:
    if not isinstance(text, str) or not text.strip():
        return "must be a text"
    if len(text) > LONGEST_TEXT:
        return f"must have at most {LONGEST_TEXT} characters"
    if _HIDDEN.search(text.replace("\n", "")):
        return "must have no control characters"
    if "{" in PLACE.sub("", text) or "}" in PLACE.sub("", text):
        return "has a brace that belongs to no {place}"
    wanted, found = set(PLACE.findall(ours)), set(PLACE.findall(text))
    missing, strange = _named(wanted - found), _named(found - wanted)
    return f"lacks {missing}" if missing else f"must not have {strange}" if strange else None


def _named(places: Iterable[str]) -> str:
    return ", ".join(f"{{{place}}}" for place in sorted(places))


def _own_rows(prefix: str, table: Mapping[str, Any], groups: Collection[str]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if key in groups and isinstance(value, Mapping):
            yield from _own_rows(f"{key}.", value, groups)
        else:
            yield key, value


def _rows(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
            yield from _rows(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value
