"""The form in which a password is hashed and compared: OpaqueString (RFC 8265 §4.2), by precis_i18n.

Keyboards and systems write é as one code point or as two, Hangul as syllables or as letters, and a space as the ASCII
space or another one. OpaqueString maps spaces to the ASCII space and composes characters (NFC), so all of these are one
password.

A hash of an earlier release was made of the password as it was typed, and matches that form alone. The stored password
says which form its hash has (``StoredPassword``), so each try costs one hash. A try that compared both forms would take
twice as long, and its time would tell the form.

precis_i18n takes its tables from Python. A newer Python allows more characters and composes the older ones in the same
way (Unicode's stability policy). An older Python refuses passwords with characters that it does not know.
"""

import unicodedata
from typing import Protocol

from precis_i18n import get_profile

from services.auth.domain.account import StoredPassword
from services.auth.limits import PASSWORD_MAX_CHARACTERS

_PROFILE = get_profile("OpaqueString")


class _Verifies(Protocol):
    """The pool of hashes, or a place in it."""

    def verify(self, encoded: str, password: str, /) -> bool: ...


def is_too_long(password: str) -> bool:
    """Whether the prepared form has too many characters. NFC alone tells that, at a small part of the cost."""
    return len(unicodedata.normalize("NFC", password)) > PASSWORD_MAX_CHARACTERS


def prepare(password: str) -> str | None:
    """Return the form that is hashed; None for a password that is too long, empty, or has a refused character.

    The profile refuses control characters, invisible characters and those that Python's Unicode tables do not have. It
    never gets a text that is too long, because its time grows with the square of the length (43 ms for 512 Arabic-Indic
    digits, 3 ms for 128).
    """
    if is_too_long(password):
        return None
    try:
        return str(_PROFILE.enforce(password))
    except UnicodeEncodeError:
        return None


def must_prepare(password: str) -> str:
    """Return the prepared form of a password that ``password_strength.assess`` accepts.

    Raises ValueError for one that cannot be prepared.
    """
    prepared = prepare(password)
    if prepared is None:
        raise ValueError("the password cannot be prepared")
    return prepared


def to_hash(password: str, *, prepares: bool) -> tuple[str, bool]:
    """Return what to hash of this password, and whether that is the prepared form.

    A password that cannot be prepared is hashed as typed. Without ``prepares``, so is one whose prepared form differs
    from what was typed.
    """
    prepared = prepare(password)
    if prepared is None or (prepared != password and not prepares):
        return password, False
    return prepared, True


def verify(hashing: _Verifies, stored: StoredPassword | None, password: str, decoy: str) -> bool:
    """Whether this is the password. Each call costs one hash: where nothing can match, ``decoy`` is compared.

    Raises Unavailable.
    """
    prepared = prepare(password)  # for a hash of a typed password, too, so that both take the same time
    compared = prepared if stored is not None and stored.is_prepared else password
    if stored is None or compared is None:
        hashing.verify(decoy, password)
        return False
    return hashing.verify(stored.encoded, compared)
