"""Which characters a typed name may have: the name of a person, a team or an authenticator."""

import unicodedata

# Invisible characters that spelling needs: the joiners of Persian and Sinhala and of emoji, and the vowel separator of
# Mongolian.
_OF_SPELLING = frozenset("\u200c\u200d\u180e")
# The tags at the end of an emoji flag, such as that of Scotland.
_EMOJI_TAGS = frozenset(map(chr, range(0xE0020, 0xE0080)))
_SEEN = frozenset("LNPS")  # letters, numbers, punctuation, symbols


def is_name(text: str, longest: int) -> bool:
    """Whether the text has 1 to ``longest`` characters, all of them allowed in names and at least one visible.

    A name may have blanks of any width. Line breaks, control characters and overrides of the direction are refused,
    because they move or hide the text beside the name.
    """
    return (
        len(text) <= longest
        and all(map(_is_of_names, text))
        and any(unicodedata.category(character)[0] in _SEEN for character in text)
    )


def _is_of_names(character: str) -> bool:
    if character in _OF_SPELLING or character in _EMOJI_TAGS:
        return True
    category = unicodedata.category(character)
    return category == "Zs" or category[0] in _SEEN or category[0] == "M"
