"""The alphabet of SMS (GSM 7 bit, 3GPP TS 23.038). A segment holds less than half with one other character in it."""

import unicodedata

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("^{}\\[~]|€\f")  # each takes the room of two
# Letters and signs that Unicode (NFD) does not decompose into a character of the alphabet and a mark.
_ALIKE = str.maketrans({"ł": "l", "Ł": "L", "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
                        "–": "-", "—": "-", "…": "...", "\u00a0": " ", "\u202f": " "})  # fmt: skip


def is_plain(text: str) -> bool:
    """Whether the text has characters of the alphabet only."""
    return all(character in BASIC or character in EXTENDED for character in text)


def plainest(text: str) -> str:
    """The text without the accents that the alphabet lacks, if it is plain then; else the text unchanged.

    "Właściciel" becomes "Wlasciciel". A text in Arabic stays unchanged.
    """
    signs = text.translate(_ALIKE)
    plain = "".join(sign if is_plain(sign) else unicodedata.normalize("NFD", sign)[0] for sign in signs)
    return plain if is_plain(plain) else text
