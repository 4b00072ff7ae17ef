"""What a translation must keep of the English text, besides what ``catalogue.replaced`` asks of every text."""

import unicodedata
from collections.abc import Iterator

from shared.texts.catalogue import Text, forms_of
from shared.texts.cldr import plural_form

# Marks and controls of the direction. Codes and addresses are set apart by the pages, so a text needs none.
_STEERS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_MARKS = frozenset("\u061c\u200e\u200f")
_A_LABEL = 30  # characters; longer texts are sentences


def steering(text: str) -> list[str]:
    """The characters that steer the direction of what stands beside them."""
    return [f"U+{ord(one):04X}" for one in text if one in _MARKS or unicodedata.bidirectional(one) in _STEERS]


def needed_forms(language: str) -> frozenset[str]:
    """The plural forms of the language's whole numbers below a thousand, and ``other``.

    Spanish, French and Portuguese have ``many`` for millions alone, which no text of ours counts.
    """
    return frozenset({plural_form(language, n) for n in range(1000)} | {"other"})


def is_overlong(translated: str, english: str) -> bool:
    """Whether there is no room for it: a label has twice the English, a sentence 1.7 times."""
    most = 2 * len(english) + 8 if len(english) <= _A_LABEL else 1.7 * len(english) + 20
    return len(translated) > most


def is_untranslated(translated: Text, english: Text) -> bool:
    """Whether a sentence is still the English one. A label may be the same word in both languages."""
    return translated == english and len(forms_of(english)["other"]) > _A_LABEL


def faults(translated: Text, english: Text, language: str, *, is_page: bool) -> Iterator[str]:
    """What is wrong with a translation, besides its places.

    A label of a mail or call has more room than one of a page.
    """
    whole = forms_of(english)["other"]
    if not isinstance(translated, str) and (lacking := needed_forms(language) - translated.keys()):
        yield f"lacks the forms {', '.join(sorted(lacking))}"
    if is_untranslated(translated, english):
        yield "is not translated"
    for form in forms_of(translated).values():
        if steers := steering(form):
            yield f"has {', '.join(steers)}"
        if (is_page or len(whole) > _A_LABEL) and is_overlong(form, whole):
            yield f"is too long: {len(form)} characters for {len(whole)}"
