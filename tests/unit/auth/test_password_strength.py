import time

import pytest

from services.auth.password_strength import assess


@pytest.mark.parametrize("password", ["seven wet otters juggle", "correcthorsebatterystaple"])
def test_unguessable_is_acceptable(password):
    strength = assess(password, ["ann@example.com", "Ann"])
    assert strength.acceptable
    assert strength.score >= 3


@pytest.mark.parametrize("password", ["Xk9#vQ2$pLm", "password1234", "aaaaaaaaaaaaaaaa", "qwertyuiopasdf", "x" * 200])
def test_short_common_or_endless_is_not(password):
    strength = assess(password, [])
    assert not strength.acceptable
    assert strength.advice


def test_what_everybody_knows_of_the_owner_does_not_help():
    password = "zorblatquimbyflux"
    assert assess(password, []).score > assess(password, ["zorblat.quimbyflux@example.com"]).score


def test_a_long_hostile_password_is_rated_fast():
    begin = time.perf_counter()
    assess("aA1!" * 32, ["ann@example.com"])
    assert time.perf_counter() - begin < 1


def test_the_answer_does_not_hold_the_password():
    assert "juggle" not in repr(assess("seven wet otters juggle", []).document())


def test_the_longest_password_that_is_taken_has_128_characters():
    strong = "seven wet otters juggle " * 6
    assert assess(strong[:128], []).acceptable
    assert not assess(strong[:129], []).acceptable
