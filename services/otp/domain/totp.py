"""TOTP (RFC 6238) over HOTP (RFC 4226): SHA-1, 6 digits, 30 seconds, which is all that authenticator apps speak.

Our own ten lines: pyotp's verify costs several times as much, and every wrong code is held against the forty time steps
of the clock coach. The tests hold it against pyotp and the RFCs' vectors.
"""

import hmac
from collections.abc import Iterable, Iterator, Sequence

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.hmac import HMAC

from services.otp.domain.passcode import DIGITS, Passcode
from services.otp.domain.time_step import NEVER, TimeStep
from shared.secret import Secret

SharedSecret = Secret[bytes]

# RFC 6238 §5.2 allows at most one step for the time that reading, typing and sending take; ASVS 6.5.5 asks for the
# reason to be written down, and this is it.
VALIDATION_WINDOW = 1
MINIMUM_SECRET_BITS, RECOMMENDED_SECRET_BITS = 112, 160


def hotp(secret: SharedSecret, counter: int) -> str:
    """The passcode of a counter (RFC 4226 §5.3)."""
    return next(hotps(secret, (counter,)))


def hotps(secret: SharedSecret, counters: Iterable[int]) -> Iterator[str]:
    """The passcodes of many counters. The key is set up once, which is most of an HMAC's cost."""
    keyed = HMAC(secret.reveal(), SHA1())  # noqa: S303 - RFC 4226; HMAC-SHA-1 is not what collisions break
    for counter in counters:
        code = keyed.copy()
        code.update(counter.to_bytes(8, "big"))
        digest = code.finalize()
        offset = digest[-1] & 0x0F
        number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
        yield f"{number % 10**DIGITS:0{DIGITS}}"


def first_match(secret: SharedSecret, passcode: Passcode, steps: Sequence[int]) -> TimeStep | None:
    """The first of these time steps whose passcode this is, or None."""
    for step, digits in zip(steps, hotps(secret, steps), strict=True):
        if hmac.compare_digest(digits, passcode.digits):
            return TimeStep(step)
    return None


def match_step(
    secret: SharedSecret,
    passcode: Passcode,
    at: TimeStep,
    window: int = VALIDATION_WINDOW,
    after: TimeStep = NEVER,
) -> TimeStep | None:
    """The time step later than ``after`` whose passcode this is, or None (RFC 6238 §5.2).

    It answers "which step?", not "is it valid?": the caller stores the step, so that it is never accepted again.
    """
    return first_match(secret, passcode, range(max(at - window, after + 1, 0), at + window + 1))
