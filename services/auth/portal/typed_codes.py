"""The code that a person meant, out of the text of a page's form. The API itself reads ASCII only.

`static/codes.js` has the same rule for the pages' scripts. `tests/support/typed_codes.json` holds both to it.
"""

import re

from services.auth.domain.typed import plain
from shared.problems import Refusal

DIGITS = 6
# Digits with nothing but blanks and dashes between them.
_GROUP = re.compile(r"[0-9](?:[ -]*[0-9])*")
_PARTING = re.compile(r"[ -]+")
# Crockford's base32 without U, and with the look-alikes O, I and L, which otp reads. The first character is a digit.
_BACKUP_CODE = re.compile(r"[0-9OILoil][0-9A-TV-Za-tv-z]{15}")
_SIX_ALONE = re.compile(r"(?:\A|[ -])[0-9]{6}(?:\Z|[ -])")
_LATIN = re.compile(r"[A-Za-z]")


def meant(text: str, *, only_backup: bool = False) -> str:
    """Return six ASCII digits, or a backup code as it stands on the sheet.

    Nothing is guessed. Raises Refusal validation_failed for a text without a code. Its cause is ``several`` for a text
    with more than one possible code, ``digits`` for one group of digits that are not six, and ``backup`` for any text
    that is no backup code where ``only_backup`` wants one.
    """
    read = plain(text)
    backup_code = _PARTING.sub("", read)
    is_backup_code = _BACKUP_CODE.fullmatch(backup_code) is not None
    if is_backup_code and _SIX_ALONE.search(read) is None:
        return "-".join(backup_code[start : start + 4] for start in range(0, len(backup_code), 4)).upper()
    if only_backup:
        raise _unclear("backup")
    groups = [found[0] for found in _GROUP.finditer(read) if not _is_glued(read, found)]
    codes = {code for group in groups for code in _codes_in(group)}
    if len(codes) == 1 and not is_backup_code:
        return codes.pop()
    if codes:
        raise _unclear("several")
    raise _unclear("digits" if len(groups) == 1 else None)


def _is_glued(text: str, group: re.Match[str]) -> bool:
    """Whether a Latin letter touches the digits, as in a backup code. Chinese and Japanese write no blank there."""
    around = text[max(group.start() - 1, 0) : group.start()] + text[group.end() : group.end() + 1]
    return _LATIN.search(around) is not None


def _codes_in(group: str) -> set[str]:
    """The passcodes that the group can be: itself, or each of its parts."""
    parts = _PARTING.split(group)
    if all(len(part) == DIGITS for part in parts):
        return set(parts)
    digits = "".join(parts)
    return {digits} if len(digits) == DIGITS else set()


def _unclear(cause: str | None) -> Refusal:
    extra: dict[str, object] = {"errors": {"code": ["Six digits or a backup code."]}}
    return Refusal("validation_failed", extra=extra | ({"cause": cause} if cause else {}))
