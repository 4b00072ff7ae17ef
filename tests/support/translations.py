"""What a translation must keep of the English text, besides what ``catalogue.replaced`` asks of every text."""

from collections.abc import Iterator

from shared.texts.catalogue import WHOLE, Text, forms_of
from shared.texts.cldr import plural_form

# Marks of the direction. The pages isolate codes and addresses, so a text needs none. The catalogue itself refuses the
# other controls of the direction.
_MARKS = frozenset("\u061c\u200e\u200f")
_A_LABEL = 30  # characters; longer texts are sentences


def needed_forms(language: str) -> frozenset[str]:
    """The plural forms of the language's whole numbers below a thousand, and ``other``.

    Spanish, French and Portuguese have ``many`` for millions only, and no text of ours counts millions.
    """
    return frozenset({plural_form(language, n) for n in range(1000)} | {WHOLE})


def is_overlong(translated: str, english: str) -> bool:
    """Whether it takes more room than its place has (shared/texts/README.md, "Room")."""
    most = 2 * len(english) + 8 if len(english) <= _A_LABEL else 1.7 * len(english) + 20
    return len(translated) > most


def is_untranslated(translated: Text, english: Text) -> bool:
    """Whether a sentence is still the English one. A label may be the same word in both languages."""
    return translated == english and len(forms_of(english)[WHOLE]) > _A_LABEL


def faults(translated: Text, english: Text, language: str, *, is_page: bool) -> Iterator[str]:
    """What is wrong with a translation, besides what ``catalogue.replaced`` finds.

    A label of a mail or call may take any room; one of a page may not.
    """
    whole = forms_of(english)[WHOLE]
    if not isinstance(translated, str) and (lacking := needed_forms(language) - translated.keys()):
        yield f"lacks the forms {', '.join(sorted(lacking))}"
    if is_untranslated(translated, english):
        yield "is not translated"
    for form in forms_of(translated).values():
        if marks := [f"U+{ord(one):04X}" for one in form if one in _MARKS]:
            yield f"has {', '.join(marks)}"
        if (is_page or len(whole) > _A_LABEL) and is_overlong(form, whole):
            yield f"is too long: {len(form)} characters for {len(whole)}"
