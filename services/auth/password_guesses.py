"""How many guesses a password takes by zxcvbn's rules, at a price that no input can raise.

zxcvbn's own call reads look-alike symbols in every combination, so 66 characters cost it seconds (zxcvbn-python#70).
Its search for the weakest division into pieces, its count of the turns of a keyboard walk and its filter of dates grow
with powers of the length. This module takes zxcvbn's word lists, matchers and estimates, and differs in five points:

1. Look-alikes are read by their skeleton: a symbol and the letters that it stands for have one character in common.
2. Three pieces are searched at most. zxcvbn adds 10^4 guesses to the power of the further pieces, so four pieces take
   10^12 guesses, which is its best score anyway.
3. The base of a repeat is rated by this module, and not by zxcvbn's own call.
4. Of a keyboard walk no more than its beginning is counted.
5. A date may lie inside a longer one.

Each point finds more matches than zxcvbn or counts fewer guesses for one, so no password is rated better here than
there (tests/unit/auth/test_password_guesses.py holds it). zxcvbn keeps a caller's hints in a global; this module does
not, so that calls may run at once.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from zxcvbn import matching, scoring

Match = dict[str, Any]

# zxcvbn's sum for a division into l pieces is l! times the product of their guesses, plus 10^4 to the power of l - 1.
_PIECES = (1.0, 10.0**4, 10.0**8)
FOUR_PIECES = 10.0**12
_WALK_COUNTED = 16
_DATE_LENGTHS = range(4, 11)
_FEWEST_OF_A_DATE = 365.0 * scoring.MIN_YEAR_SPACE
_DIGITS = re.compile(r"^\d{4,8}$")
_DATE = re.compile(r"^(\d{1,4})([\s/\\_.-])(\d{1,2})\2(\d{1,4})$")
_GREEDY, _LAZY, _WHOLE = re.compile(r"(.+)\1+"), re.compile(r"(.+?)\1+"), re.compile(r"^(.+?)\1+$")


def _skeletons() -> dict[int, str]:
    """A character for each group of letters and symbols that may stand for one another."""
    groups: list[set[str]] = []
    for letter, symbols in matching.L33T_TABLE.items():
        group = {letter, *symbols}
        for other in [other for other in groups if other & group]:
            groups.remove(other)
            group |= other
        groups.append(group)
    return {ord(character): max(group) for group in groups for character in group}


_SKELETON = _skeletons()
_SYMBOLS = frozenset(symbol for symbols in matching.L33T_TABLE.values() for symbol in symbols)
_WORD_LISTS: dict[str, dict[str, int]] = {
    name: ranked for name, ranked in matching.RANKED_DICTIONARIES.items() if name != "user_inputs"
}


def _by_skeleton(lists: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The best rank among the words of each skeleton."""
    best: dict[str, int] = {}
    for ranked in lists:
        for word, rank in ranked.items():
            key = word.translate(_SKELETON)
            best[key] = min(rank, best.get(key, rank))
    return best


@dataclass(frozen=True, slots=True)
class _Words:
    """Ranked words: by their list, by their skeleton, and how long they are."""

    lists: Mapping[str, Mapping[str, int]]
    skeletons: Mapping[str, int]
    lengths: Collection[int]

    @classmethod
    def of(cls, lists: Mapping[str, Mapping[str, int]]) -> "_Words":
        """These lists, read once."""
        skeletons = _by_skeleton(lists.values())
        return cls(lists, skeletons, sorted({len(word) for word in skeletons}))

    def rank(self, word: str) -> tuple[int, str] | None:
        """The best rank of exactly this word, and its list."""
        ranks = [(ranked[word], name) for name, ranked in self.lists.items() if word in ranked]
        return min(ranks, default=None)


_COMMON = _Words.of(_WORD_LISTS)


@dataclass(frozen=True, slots=True)
class Guessed:
    """The guesses that a password takes, and the pieces (zxcvbn's matches) that an attacker puts together."""

    guesses: float
    pieces: Sequence[Match]


def guess(password: str, hints: Sequence[str]) -> Guessed:
    """The weakest division into at most three pieces; FOUR_PIECES guesses when each of those takes more.

    ``hints`` are words in small letters, most likely first.
    """
    ranked = {hint: rank for rank, hint in reversed(list(enumerate(hints, 1))) if hint}
    return _guess(password, (_COMMON, _Words.of({"user_inputs": ranked})))


def _guess(password: str, words: Sequence[_Words]) -> Guessed:
    n = len(password)
    matches = [*_dictionary(password, words), *_others(password, words)]
    first = {end: _bruteforce(password, 0, end) for end in range(1, n + 1)}
    last = {start: _bruteforce(password, start, n) for start in range(n)}
    edges = [(0, length) for length in _DATE_LENGTHS] + [(n - length, n) for length in _DATE_LENGTHS]
    for match in (*matches, *_dates(password, edges)):
        start, end = match["i"], match["j"] + 1
        if start == 0 or end == n:
            piece = _piece(password, match)
            if start == 0:
                first[end] = min(first[end], piece, key=_guesses)
            if end == n:
                last[start] = min(last[start], piece, key=_guesses)
    weakest = Guessed(_sum(first[n]), [first[n][1]])
    for cut in range(1, n):
        weakest = _weaker(weakest, first[cut], last[cut])
    if weakest.guesses > _PIECES[2]:
        weakest = _three(password, matches, first, last, weakest)
    return weakest if weakest.guesses < FOUR_PIECES else Guessed(FOUR_PIECES, weakest.pieces)


_Piece = tuple[float, Match]


def _three(
    password: str, matches: Iterable[Match], first: Mapping[int, _Piece], last: Mapping[int, _Piece], weakest: Guessed
) -> Guessed:
    """The weakest division, with those into three pieces.

    A middle piece is estimated only where it may make a weaker one.
    """
    n = len(password)
    weakest = Guessed(min(weakest.guesses, FOUR_PIECES), weakest.pieces)

    def can(start: int, end: int, fewest: float) -> bool:
        inside = 0 < start < end < n
        return inside and 6 * first[start][0] * last[end][0] * fewest < weakest.guesses

    for match in matches:
        start, end = match["i"], match["j"] + 1
        if can(start, end, match.get("rank", 1)):
            weakest = _weaker(weakest, first[start], _piece(password, match), last[end])
    for start in range(1, n):
        for end in range(start + 1, min(n, start + _DATE_LENGTHS[-1] + 1)):
            if can(start, end, 10.0 ** (end - start)):
                weakest = _weaker(weakest, first[start], _bruteforce(password, start, end), last[end])
            if can(start, end, _FEWEST_OF_A_DATE):
                for match in _dates(password, [(start, end)]):
                    weakest = _weaker(weakest, first[start], _piece(password, match), last[end])
    return weakest


def _weaker(weakest: Guessed, *pieces: _Piece) -> Guessed:
    guesses = _sum(*pieces)
    return weakest if weakest.guesses <= guesses else Guessed(guesses, [match for _, match in pieces])


def _sum(*pieces: _Piece) -> float:
    product = math.prod(map(_guesses, pieces))
    return math.factorial(len(pieces)) * product + _PIECES[len(pieces) - 1]


def _guesses(piece: _Piece) -> float:
    return piece[0]


def _piece(password: str, match: Match) -> _Piece:
    return float(scoring.estimate_guesses(match, password)), match


def _bruteforce(password: str, start: int, end: int) -> _Piece:
    match = {"pattern": "bruteforce", "i": start, "j": end - 1, "token": password[start:end]}
    fewest = scoring.MIN_SUBMATCH_GUESSES_SINGLE_CHAR if end - start == 1 else scoring.MIN_SUBMATCH_GUESSES_MULTI_CHAR
    return max(float(scoring.BRUTEFORCE_CARDINALITY) ** (end - start), fewest + 1.0), match


# --- matches ----------------------------------------------------------------------------------------------------------


def _dictionary(password: str, words: Sequence[_Words]) -> Iterator[Match]:
    """Words of the lists and hints: as they stand, from behind, and written with look-alikes."""
    n = len(password)
    for is_reversed, text in ((False, password.lower()), (True, password[::-1].lower())):
        skeleton = text.translate(_SKELETON)
        for known in words:
            for start, end, rank_of_skeleton in _slices(skeleton, n, known):
                word = text[start:end]
                i, j = (n - end, n - start) if is_reversed else (start, end)
                match = {"pattern": "dictionary", "i": i, "j": j - 1, "token": password[i:j], "reversed": is_reversed}
                found = known.rank(word)
                if found is not None:
                    yield match | {"rank": found[0], "dictionary_name": found[1], "l33t": False}
                if not is_reversed and end - start > 1 and not _SYMBOLS.isdisjoint(word):
                    yield _look_alike(match, rank_of_skeleton, len(password))


def _slices(skeleton: str, n: int, known: _Words) -> Iterator[tuple[int, int, int]]:
    """Where words of these skeletons stand: start, end and rank."""
    skeletons = known.skeletons
    for length in known.lengths:
        for start in range(n - length + 1):
            rank = skeletons.get(skeleton[start : start + length])
            if rank is not None:
                yield start, start + length, rank


def _look_alike(match: Match, rank: int, characters: int) -> Match:
    """The match as a word with look-alikes. zxcvbn at least doubles its guesses; how often, takes the word to tell."""
    guesses = 2 * rank * scoring.uppercase_variations(match)
    if len(match["token"]) < characters:
        guesses = max(guesses, scoring.MIN_SUBMATCH_GUESSES_MULTI_CHAR)
    told = {"rank": rank, "dictionary_name": "passwords", "l33t": True}
    return match | told | {"guesses": guesses, "guesses_log10": math.log10(guesses)}


def _others(password: str, words: Sequence[_Words]) -> Iterator[Match]:
    for match in matching.spatial_match(password):
        yield _shortened(match)
    yield from matching.sequence_match(password)
    yield from matching.regex_match(password)
    yield from _repeats(password, words)


def _shortened(walk: Match) -> Match:
    """Of a long walk the first keys alone, as if none was shifted: its guesses grow with keys, turns and shifts."""
    if len(walk["token"]) <= _WALK_COUNTED:
        return walk
    turns = min(walk["turns"], _WALK_COUNTED)
    counted = walk | {"token": walk["token"][:_WALK_COUNTED], "turns": turns, "shifted_count": 0}
    guesses = scoring.spatial_guesses(counted)
    return walk | {"guesses": guesses, "guesses_log10": math.log10(guesses)}


def _repeats(password: str, words: Sequence[_Words]) -> Iterator[Match]:
    """zxcvbn's repeats, with the guesses that this module finds for the part that is repeated."""
    start = 0
    while (greedy := _GREEDY.search(password, start)) is not None:
        lazy = _LAZY.search(password, start) or greedy
        if len(greedy[0]) > len(lazy[0]):
            whole = _WHOLE.search(greedy[0])
            found, base = greedy, whole[1] if whole else greedy[1]
        else:
            found, base = lazy, lazy[1]
        count = len(found[0]) / len(base)
        yield {
            "pattern": "repeat",
            "i": found.start(),
            "j": found.end() - 1,
            "token": found[0],
            "base_token": base,
            "base_guesses": Decimal(_guess(base, words).guesses),
            "repeat_count": count,
        }
        start = found.end()


def _dates(password: str, places: Iterable[tuple[int, int]]) -> Iterator[Match]:
    """The dates that stand exactly at these places, each with the year that takes the fewest guesses."""
    for start, end in places:
        token = password[start:end] if 0 <= start < end <= len(password) else ""
        parts, separator = _parts_of_date(token)
        years = [found["year"] for numbers in parts if (found := matching.map_ints_to_dmy(numbers))]
        if years:
            year = min(years, key=lambda year: abs(year - scoring.REFERENCE_YEAR))
            match = {"pattern": "date", "i": start, "j": end - 1, "token": token, "separator": separator, "year": year}
            yield match


def _parts_of_date(token: str) -> tuple[list[list[int]], str]:
    """The ways to read the token as three numbers, and what stands between them."""
    if _DIGITS.match(token) and len(token) in matching.DATE_SPLITS:
        splits = matching.DATE_SPLITS[len(token)]
        return [[int(token[:one]), int(token[one:two]), int(token[two:])] for one, two in splits], ""
    with_separator = _DATE.match(token)
    if with_separator is None:
        return [], ""
    return [[int(with_separator[group]) for group in (1, 3, 4)]], with_separator[2]
