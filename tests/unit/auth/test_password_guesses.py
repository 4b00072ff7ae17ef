"""No password is rated better here than by zxcvbn's own call, few are rated worse, and none costs more than 20 ms."""

import random
import string
import time

import pytest
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st
from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE
from zxcvbn.time_estimates import guesses_to_score

from services.auth.limits import PASSWORD_MAX_CHARACTERS
from services.auth.password_guesses import FOUR_PIECES, guess

MOST_MS = 20
HINTS = ["tom.baker@example.com", "tom baker", "tom", "baker", "example", "com"]
SYMBOLS = sorted({symbol for symbols in L33T_TABLE.values() for symbol in symbols})
LOOK_ALIKES = "4@8({[<369&#!1|0$5+7%2"

words = st.sampled_from(
    ["password", "monkey", "tom", "baker", "internationalization", "otter", "Walrus", "drowssap", "ABC123", "i'm", "te"]
)
weak_pieces = st.one_of(
    words,
    words.map(lambda word: word.translate(str.maketrans("aeio", "@310"))),
    st.sampled_from(["1987", "19.11.1991", "111991", "1/1/91", "2015_06_04", "qwertyuiop", "!@#$%^&*()", "zxcvfdsa"]),
    st.sampled_from(["abcdefgh", "97531", "ABC", "ñòóôõ", "123456", "147896325", "qqqq", "xyxyxy"]),
    st.text(st.sampled_from("aB3$ qwe.-ßİ"), max_size=4),
)
# zxcvbn itself must come to an end: few look-alikes that stand for one letter, or one look-alike for several.
weak = st.lists(weak_pieces, min_size=1, max_size=4).map("".join)
repeated = st.builds(lambda base, times: base * times, weak, st.integers(2, 3))
anything = st.text(st.sampled_from(string.ascii_letters + "4@31!0. /é"), min_size=1, max_size=30)
passwords = st.one_of(weak, repeated, anything).map(lambda text: text[:40]).filter(bool)


def cpu_ms(password: str) -> float:
    """The least of three: what the machine does besides is not the password's."""
    taken = []
    for _ in range(3):
        begun = time.thread_time()
        guess(password, HINTS)
        taken.append(time.thread_time() - begun)
    return min(taken) * 1000


@given(passwords)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_password_is_rated_better_than_by_zxcvbn(password):
    full = zxcvbn(password, user_inputs=HINTS)
    found = guess(password, HINTS).guesses
    assert found <= float(full["guesses"]) * (1 + 1e-9)
    assert guesses_to_score(found) <= full["score"]


def ordinary() -> list[str]:
    """What people and their password managers choose."""
    chance = random.Random(20)
    printable = string.ascii_letters + string.digits + "!#%&*+-.:;=?_"
    made = ["".join(chance.choices(printable, k=length)) for length in (12, 14, 16, 20) for _ in range(10)]
    said = ["seven wet otters juggle", "correcthorsebatterystaple", "nine dry walruses whistle", "Tr0ub4dor&3 rides"]
    return [*made, *said, "tom@example.com", "password1234", "qwertyuiop1987", "aaaaaaaaaaaaaaaaaa", "Summer2019!!"]


@pytest.mark.parametrize("password", ordinary())
def test_an_ordinary_password_has_zxcvbn_s_score(password):
    assert guesses_to_score(guess(password, HINTS).guesses) == zxcvbn(password, user_inputs=HINTS)["score"]


@pytest.mark.parametrize("word", ["p@55w0rd", "pa$$w0rd", "m0nk3y", "+0m", "b4k3r", "{ircus"])
def test_a_word_with_look_alikes_is_a_word(word):
    (piece,) = guess(word, HINTS).pieces
    assert (piece["pattern"], piece["token"], piece["l33t"] or piece["rank"] < 100) == ("dictionary", word, True)


def test_more_than_three_pieces_take_the_best_score():
    assert guess("otter velvet canyon muffin drizzle", []).guesses == FOUR_PIECES


def test_the_hints_of_one_call_are_no_words_of_the_next():
    assert guess("zorblatquimby", ["zorblatquimby"]).guesses < 100
    assert guess("zorblatquimby", []).guesses > 10**6


KNOWN_BAD = {
    "look-alikes": LOOK_ALIKES * 3,
    "look-alikes to the end": (LOOK_ALIKES * 6)[:PASSWORD_MAX_CHARACTERS],
    "digits": "1" * PASSWORD_MAX_CHARACTERS,
    "dates": "1911199119.11.1991"[:18] * 7,
    "a walk with a turn at each key": "qw" * (PASSWORD_MAX_CHARACTERS // 2),
    "a walk without a repeat": "qazwsxedcrfvtgbyhnujmikolp" * 4,
    "letters": "a" * PASSWORD_MAX_CHARACTERS,
    "pairs": "".join(letter * 2 for letter in string.printable[:64]),
    "nested repeats": ("aab" * 5 + "c") * 8,
    "words": "tomandjerry" * 11,
    "one-letter words": "a i " * 32,
    "wide": "ẞ" * PASSWORD_MAX_CHARACTERS,
    "one of each": string.printable[:94] + string.ascii_letters[:34],
}


@pytest.mark.parametrize("password", KNOWN_BAD.values(), ids=KNOWN_BAD)
def test_what_is_dear_to_zxcvbn_costs_no_more_than_20_ms(password):
    assert cpu_ms(password) <= MOST_MS


pieces = st.one_of(
    st.sampled_from([*KNOWN_BAD.values(), LOOK_ALIKES, "1.1.91", "19911119", "tom", "the", "qwe", "abc", "()(", "aa"]),
    st.text(st.sampled_from(SYMBOLS + list("atoiqwse /.-_AS")), min_size=1, max_size=20),
    st.text(min_size=1, max_size=10),
)
hostile = st.lists(st.tuples(pieces, st.integers(1, 20)), min_size=1, max_size=8).map(
    lambda parts: "".join(part * times for part, times in parts)[:PASSWORD_MAX_CHARACTERS]
)


@given(hostile)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_input_costs_more_than_20_ms(password):
    took = cpu_ms(password)
    target(took, label="ms")
    assert took <= MOST_MS
