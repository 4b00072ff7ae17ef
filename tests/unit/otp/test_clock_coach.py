import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.otp.domain.clock_coach import Observation, observe
from services.otp.domain.passcode import Passcode
from services.otp.domain.time_step import TimeStep
from services.otp.domain.totp import hotp
from shared.secret import Secret
from tests.support.otp import World

SECRET = Secret(b"12345678901234567890")


@given(st.integers(100, 10**9), st.integers(2, 20), st.sampled_from([-1, 1]))
def test_it_finds_the_offset(at, distance, sign):
    offset = sign * distance
    seen = observe(SECRET, Passcode(hotp(SECRET, at + offset)), TimeStep(at))
    assert seen is not None
    # Another step may have the same six digits; then the nearest is what it says.
    assert abs(seen.offset) <= distance
    assert hotp(SECRET, seen.step) == hotp(SECRET, at + offset)


@pytest.mark.parametrize("offset", [-21, -1, 0, 1, 21])
def test_it_looks_neither_inside_the_window_nor_beyond_ten_minutes(offset):
    assert observe(SECRET, Passcode(hotp(SECRET, 1000 + offset)), TimeStep(1000)) is None


@pytest.mark.parametrize(
    ("earlier", "later", "agree"),
    [
        ((100, 5), (101, 5), True),
        ((100, 5), (106, 5), True),
        ((100, 5), (101, 6), True),
        ((100, -5), (101, -4), True),
        ((100, 5), (100, 5), False),  # the same code again proves nothing
        ((101, 5), (100, 5), False),  # an older one neither
        ((100, 5), (107, 5), False),
        ((100, 5), (101, 7), False),
        ((100, 5), (101, -5), False),
    ],
)
def test_two_different_codes_in_a_row_must_agree(earlier, later, agree):
    earlier, later = Observation(TimeStep(earlier[0]), earlier[1]), Observation(TimeStep(later[0]), later[1])
    assert later.confirms(earlier) is agree


def test_it_speaks_only_after_the_second_code(world: World):
    world.enrol()
    first = world.verify(world.code(10))
    assert (first.status_code, first.json["reason"]) == (401, "clock_skew")
    assert "clock_skew_seconds" not in first.json
    world.clock.turn(seconds=30)
    second = world.verify(world.code(10))
    assert second.status_code == 401
    assert second.json["clock_skew_seconds"] == 300  # positive: the user's clock is fast


def test_a_slow_clock_is_negative(world: World):
    world.enrol()
    world.verify(world.code(-4))
    world.clock.turn(seconds=30)
    assert world.verify(world.code(-4)).json["clock_skew_seconds"] == -120


def test_the_same_code_twice_does_not_make_it_speak(world: World):
    world.enrol()
    code = world.code(10)
    for _ in range(2):
        assert "clock_skew_seconds" not in world.verify(code).json
        world.clock.turn(seconds=30)


def test_a_code_that_is_off_is_a_failure_like_any_other(world: World):
    world.enrol()
    statuses = []
    for _ in range(6):
        statuses.append(world.verify(world.code(10)).status_code)
        world.clock.turn(seconds=30)
    assert statuses == [401] * 5 + [429]
    assert {item["clock_skew_seconds"] for item in world.attempts() if item["outcome"] == "rejected"} == {300}
    assert world.state()["consecutive_failures"] == 5


def test_a_code_that_is_off_is_never_accepted(world: World):
    world.enrol()
    for offset in (-20, -2, 2, 20):
        assert world.verify(world.code(offset)).status_code == 401


def test_a_replayed_code_says_nothing_of_the_clock(world: World):
    world.enrol()
    world.verify(world.code())
    for _ in range(2):
        replayed = world.verify(world.code(), binding="chl_2")
        assert replayed.json["reason"] == "replayed"
        assert "clock_skew_seconds" not in replayed.json
    assert world.redis.keys("otp:clock:*") == []


def test_a_plainly_wrong_code_leaves_no_trace_in_redis(world: World):
    world.enrol()
    assert world.verify(world.wrong_code()).json["reason"] == "wrong"
    assert world.redis.keys("otp:clock:*") == []


def test_what_it_saw_is_forgotten_after_ten_minutes(world: World):
    world.enrol()
    world.verify(world.code(10))
    (key,) = world.redis.keys("otp:clock:*")
    assert 0 < world.redis.ttl(key) <= 600


def test_a_new_authenticator_knows_nothing_of_the_one_before_it(world: World):
    world.enrol()
    world.verify(world.code(10))
    assert world.account("DELETE", "two-factor", {}).status_code == 200
    world.enrol()
    world.clock.turn(seconds=30)
    assert "clock_skew_seconds" not in world.verify(world.code(10)).json


def test_it_knows_each_account_for_itself(world: World):
    world.enrol()
    world.enrol("acc_bob")
    world.verify(world.code(10))
    world.clock.turn(seconds=30)
    assert "clock_skew_seconds" not in world.verify(world.code(10, account="acc_bob"), account="acc_bob").json
