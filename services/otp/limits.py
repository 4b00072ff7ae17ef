"""How often a code may be tried and sent: the one table. A store that is down refuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.otp.domain.conversion import ConversionRule
from services.otp.domain.purpose import Purpose
from shared.budgets import DAY, HOUR, MINUTE, Charge, Rate, Window

# RFC 4226 §7.3: throttling per account that holds across login sessions. With a window of three steps, 50 tries a day
# guess a TOTP with a chance of 0.015 % a day.
GUESSES = (Window(5, 5 * MINUTE), Window(20, HOUR), Window(50, DAY))
SENDS = (Window(5, 10 * MINUTE), Window(20, DAY))  # Twilio Verify's own: 5 in 10 minutes

VERIFY_LOGIN = Rate("otp.verify.login", by="account", windows=GUESSES)
# A stranger who has the password spends the row above; a browser that the owner trusted has its own, so the owner is
# not locked out (privacyidea#3741).
VERIFY_LOGIN_KNOWN_DEVICE = Rate("otp.verify.login.device", by="account and device", windows=GUESSES)
VERIFY_STEP_UP = Rate("otp.verify.step_up", by="account", windows=GUESSES)
VERIFY_PHONE = Rate("otp.verify.phone", by="account", windows=GUESSES)
CONFIRM_ENROLLMENT = Rate("otp.confirm", by="account", windows=GUESSES)

SMS_ACCOUNT = Rate("otp.sms.account", by="account", windows=SENDS)
SMS_PHONE = Rate("otp.sms.phone", by="phone (keyed digest)", windows=SENDS)
SMS_RESEND = Rate("otp.sms.resend", by="purpose, account and binding", windows=(Window(1, 30),))


@dataclass(frozen=True, slots=True)
class LaneRow:
    """Sends of a lane (a purpose of a prefix) in one window: how many at most, and how many must come back."""

    rate: Rate
    rule: ConversionRule


# SMS pumping (README.md has what the numbers cost). People enter 60 to 90 % of the codes that they ask for, pumps none:
# a quarter tells them apart. A code comes back some 40 s after its send, so what a lane is sent within 40 s must fit
# into the unjudged ones, or honest users trip their own breaker: raise the first number if yours ask faster than that.
# The hour finds the flood, the day finds who stays below it.
SMS_LANE = (
    LaneRow(Rate("otp.sms.prefix.hour", by="lane", windows=(Window(600, HOUR),)), ConversionRule(30, 4)),
    LaneRow(Rate("otp.sms.prefix.day", by="lane", windows=(Window(3_000, DAY),)), ConversionRule(90, 4)),
)
# While a lane is paused, a few go out all the same. Two codes of one round that come back end the pause; so
# does a day.
SMS_PROBE = Rate("otp.sms.probe", by="lane", windows=(Window(3, 15 * MINUTE),))
SMS_PROBES_NEEDED = 2
SMS_PAUSE_LASTS = timedelta(days=1)

# All sends of a day, and which share of it each purpose may fill: whoever pumps proves phones, for that takes no phone
# that was proven before. What that leaves belongs to logins.
SMS_DAILY_CAP = 5_000
SMS_DAILY_PERCENT: Mapping[Purpose, int] = {Purpose.LOGIN: 100, Purpose.PHONE_VERIFICATION: 80}

# NIST SP 800-63B-4 §3.2.2: no more than 100 consecutive failures on one account. The count lives in SQL; this Redis
# row makes it exact when many attempts run at once. Its window only bounds how long an idle key stays.
HARD_STOP = 100
CONSECUTIVE_FAILURES = Rate("otp.verify.consecutive", by="account", windows=(Window(HARD_STOP, 365 * DAY),))

# An accepted code is accepted again so long, for the same account, purpose and binding: its answer may have been lost,
# or what the caller did next may have failed, and 503 said "try again" (in 2 s). A minute is time for many tries, and
# less than a time step can be used anyway. It is no second pass, for each binding opens one thing at most: a login
# challenge one session (auth claims the challenge in the script that opens it), a phone's binding one proof (auth
# claims it in one UPDATE), a session its own step-up window, which a repeat moves by this minute at most.
ACCEPTED_AGAIN_FOR = timedelta(seconds=60)

VERIFY: Mapping[Purpose, Rate] = {
    Purpose.LOGIN: VERIFY_LOGIN,
    Purpose.STEP_UP: VERIFY_STEP_UP,
    Purpose.PHONE_VERIFICATION: VERIFY_PHONE,
}
VERIFY_KNOWN_DEVICE: Mapping[Purpose, Rate] = {Purpose.LOGIN: VERIFY_LOGIN_KNOWN_DEVICE}

# What support's unlock clears. Sends stay spent (they cost money); a device's own row ends by itself.
UNLOCKED = (VERIFY_LOGIN, VERIFY_STEP_UP, VERIFY_PHONE, CONFIRM_ENROLLMENT, CONSECUTIVE_FAILURES)


def verify_charge(purpose: Purpose, account_id: str, device_id: str | None) -> Charge:
    """The row that pays for a try: the known device's own where there is one, else the account's."""
    known_device_rate = VERIFY_KNOWN_DEVICE.get(purpose)
    if device_id is not None and known_device_rate is not None:
        return Charge(known_device_rate, f"{account_id}:{device_id}")
    return Charge(VERIFY[purpose], account_id)


def sms_day_charge(purpose: Purpose, cap: int) -> Charge:
    """The row that all sends of a day share, up to where this purpose may fill it."""
    most = cap * SMS_DAILY_PERCENT[purpose] // 100
    return Charge(Rate("otp.sms.day", by="all sends", windows=(Window(most, DAY),)), "all")
