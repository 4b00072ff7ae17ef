import base64

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.otp.domain.passcode import Passcode
from services.otp.domain.time_step import NEVER, TimeStep, step_at
from services.otp.domain.totp import hotp, match_step
from shared.secret import Secret

RFC_SECRET = Secret(b"12345678901234567890")

RFC_4226_APPENDIX_D = [
    (0, "755224"), (1, "287082"), (2, "359152"), (3, "969429"), (4, "338314"),
    (5, "254676"), (6, "287922"), (7, "162583"), (8, "399871"), (9, "520489"),
]  # fmt: skip

# The appendix has eight digits; the last six are the six-digit code.
RFC_6238_APPENDIX_B_SHA1 = [
    (59, "94287082"), (1111111109, "07081804"), (1111111111, "14050471"),
    (1234567890, "89005924"), (2000000000, "69279037"), (20000000000, "65353130"),
]  # fmt: skip

secrets = st.binary(min_size=20, max_size=32).map(Secret)
steps = st.integers(min_value=0, max_value=2**40).map(TimeStep)


@pytest.mark.parametrize(("counter", "code"), RFC_4226_APPENDIX_D)
def test_hotp_is_that_of_rfc_4226(counter, code):
    assert hotp(RFC_SECRET, counter) == code


@pytest.mark.parametrize(("seconds", "code"), RFC_6238_APPENDIX_B_SHA1)
def test_totp_is_that_of_rfc_6238(seconds, code):
    assert hotp(RFC_SECRET, step_at(seconds)) == code[-6:]


@given(secrets, steps)
def test_hotp_is_pyotps(secret, step):
    assert hotp(secret, step) == pyotp.HOTP(base64.b32encode(secret.reveal()).decode()).at(step)


@pytest.mark.parametrize(("offset", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_the_window_is_one_step_to_each_side(offset, taken):
    at = TimeStep(1000)
    assert match_step(RFC_SECRET, Passcode(hotp(RFC_SECRET, at + offset)), at) == (at + offset if taken else None)


@given(secrets, steps, st.integers(-1, 1))
def test_an_accepted_step_is_never_accepted_again(secret, at, offset):
    passcode = Passcode(hotp(secret, max(at + offset, 0)))
    step = match_step(secret, passcode, at)
    assert step is not None
    later = match_step(secret, passcode, at, after=step)
    # Two steps of one window may share their six digits; then only the later one is left.
    assert later is None or later > step


@given(secrets, steps, st.integers(0, 3))
def test_a_later_step_is_always_accepted(secret, last, ahead):
    at = TimeStep(last + 1 + ahead)
    assert match_step(secret, Passcode(hotp(secret, at)), at, after=last) is not None


@given(secrets, steps, st.integers(-1, 1))
def test_nothing_before_an_accepted_step_is_accepted(secret, last, offset):
    at = TimeStep(max(last + offset, 0))
    step = match_step(secret, Passcode(hotp(secret, max(last - 1, 0))), at, after=last)
    assert step is None or step > last


def test_the_first_step_of_all_is_accepted():
    assert match_step(RFC_SECRET, Passcode("755224"), TimeStep(0), after=NEVER) == 0
