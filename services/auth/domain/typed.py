"""How the rules for codes, phone numbers and spoken words read what a person types or pastes.

`portal/static/codes.js` reads the same. `tests/support/typed_codes.json` has examples that both must read alike.
"""

import unicodedata

# Characters that people type or paste as a dash, though Unicode does not list them as one (Pd): minus, hyphen bullet,
# modifier minus, and the long-vowel mark beside the digits of a Japanese keyboard.
_DASHES = frozenset("\u2212\u2043\u02d7\u30fc")
# Characters that show nothing: the empty Braille pattern and the Hangul fillers.
_BLANKS = frozenset("\u2800\u115f\u1160")


def plain(text: str) -> str:
    """Return the text with ASCII digits for the decimal digits of any script, one kind of dash and one kind of blank.

    Invisible format characters (Cf), such as a direction mark, and marks (M), such as that of a keycap, are dropped.
    Full-width forms become the usual ones (NFKC).
    """
    return "".join(map(_plain, unicodedata.normalize("NFKC", text)))


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Cf" or category.startswith("M"):
        return ""
    if category == "Cc" or category.startswith("Z") or character in _BLANKS:
        return " "
    if category == "Pd" or character in _DASHES:
        return "-"
    return character
