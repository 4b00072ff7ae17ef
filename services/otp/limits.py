"""How often a code may be tried and sent: the one table. A store that is down refuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.otp.domain.conversion import ConversionRule
from services.otp.domain.purpose import Purpose
from shared import sending_budgets
from shared.budgets import DAY, HOUR, MINUTE, Charge, Rate, Window
from shared.sending_budgets import PREFIX_OF_CODES, Kind

# RFC 4226 §7.3: throttling per account that holds across login sessions. With a window of three steps, 50 tries a day
# guess a TOTP with a chance of 0.015 % a day.
GUESSES = (Window(5, 5 * MINUTE), Window(20, HOUR), Window(50, DAY))

VERIFY_LOGIN = Rate("otp.verify.login", by="account", windows=GUESSES)
# A stranger who has the password spends the row above; a browser that the owner trusted has its own, so the owner is
# not locked out (privacyidea#3741).
VERIFY_LOGIN_KNOWN_DEVICE = Rate("otp.verify.login.device", by="account and device", windows=GUESSES)
VERIFY_STEP_UP = Rate("otp.verify.step_up", by="account", windows=GUESSES)
VERIFY_PHONE = Rate("otp.verify.phone", by="account", windows=GUESSES)
CONFIRM_ENROLLMENT = Rate("otp.confirm", by="account", windows=GUESSES)
# What these make costs CPU: a QR code 20 ms, a sheet of backup codes ten hashes.
BEGIN_ENROLLMENT = Rate("otp.enrollment.begin", by="account", windows=(Window(10, 10 * MINUTE), Window(50, DAY)))
REGENERATE_CODES = Rate("otp.recovery_codes", by="account", windows=(Window(5, 10 * MINUTE), Window(20, DAY)))

# Codes by SMS; why there are three of each: shared/sending_budgets.py.
SMS_ACCOUNT, SMS_PHONE = sending_budgets.TABLE[Kind.LOGIN].rates
SMS_ACCOUNT_KNOWN_DEVICE, SMS_PHONE_KNOWN_DEVICE = sending_budgets.TABLE[Kind.LOGIN_KNOWN_DEVICE].rates
SMS_ACCOUNT_PROOF, SMS_PHONE_PROOF = sending_budgets.TABLE[Kind.PHONE_PROOF].rates
SMS_RESEND = Rate("otp.sms.resend", by="purpose, account and binding", windows=(Window(1, 30),))


@dataclass(frozen=True, slots=True)
class LaneRow:
    """Sends of a lane (a purpose of a prefix) in one window: how many at most, and how many must come back."""

    rate: Rate
    rule: ConversionRule


# SMS pumping (README.md has what the numbers cost). People enter 60 to 90 % of the codes that they ask for, pumps none:
# a quarter tells them apart. A code comes back some 40 s after its send, so what a lane is sent within 40 s must fit
# into the unjudged ones, or honest users trip their own breaker: raise the first number if yours ask faster than that.
# The hour finds the flood, the day finds who stays below it. The rule counts senders rather than sends: an account, and
# a phone, adds at most so many unanswered sends to a window. So fifteen senders can pause a prefix, and two cannot.
SMS_UNANSWERED_OF_A_SENDER = 2
SMS_LANE = (
    LaneRow(PREFIX_OF_CODES[0], ConversionRule(30, 4)),
    LaneRow(PREFIX_OF_CODES[1], ConversionRule(90, 4)),
)
# While a lane is paused, a few go out all the same. Two codes of one round that come back end the pause; so
# does a day.
SMS_PROBE = Rate("otp.sms.probe", by="lane", windows=(Window(3, 15 * MINUTE),))
SMS_PROBES_NEEDED = 2
SMS_PAUSE_LASTS = timedelta(days=1)

# NIST SP 800-63B-4 §3.2.2: no more than 100 consecutive failures on one account. All of them are one count, and it ends
# where the least that must be refused is refused: each row below it keeps something back that whoever spends it can't
# reach. Guessing is done with six digits, in a browser that nobody has been through a second factor with, so that ends
# first. A backup code (75 bits) is still taken there, for that is the way back of an owner who has lost the browser
# too. The last 20 failures are for known browsers and step-ups alone: whatever a stranger does, the owner's own browser
# goes on. The count lives in SQL; Redis makes it exact when many try at once. Its window only bounds how long an idle
# key stays.
HARD_STOP = 100
STOP_FOR_STRANGERS = 80
STOP_FOR_STRANGERS_DIGITS = 60


def _consecutive_failures(at_most: int) -> Rate:
    return Rate("otp.verify.consecutive", by="account", windows=(Window(at_most, 365 * DAY),), durable=True)


_CONSECUTIVE_FAILURES: Mapping[int, Rate] = {
    stop: _consecutive_failures(stop) for stop in (STOP_FOR_STRANGERS_DIGITS, STOP_FOR_STRANGERS, HARD_STOP)
}

# An accepted code is accepted again so long, for the same account, purpose and binding: its answer may have been lost,
# or what the caller did next may have failed, and 503 said "try again" (in 2 s). A minute is time for many tries, and
# less than a time step can be used anyway. It is no second pass, for each binding opens one thing at most: a login
# challenge one session (auth claims the challenge in the script that opens it), a phone's binding one proof (auth
# claims it in one UPDATE), a session its own step-up window, which a repeat moves by this minute at most.
ACCEPTED_AGAIN_FOR = timedelta(seconds=60)

# How long the session that made a change may repeat its call and get the same answer (answer_store.py).
REPEATABLE_FOR = ACCEPTED_AGAIN_FOR

VERIFY: Mapping[Purpose, Rate] = {
    Purpose.LOGIN: VERIFY_LOGIN,
    Purpose.STEP_UP: VERIFY_STEP_UP,
    Purpose.PHONE_VERIFICATION: VERIFY_PHONE,
}
VERIFY_KNOWN_DEVICE: Mapping[Purpose, Rate] = {Purpose.LOGIN: VERIFY_LOGIN_KNOWN_DEVICE}

# By purpose, and whether it is a login from a known device.
SENDS_OF: Mapping[tuple[Purpose, bool], tuple[Rate, Rate]] = {
    (Purpose.LOGIN, False): (SMS_ACCOUNT, SMS_PHONE),
    (Purpose.LOGIN, True): (SMS_ACCOUNT_KNOWN_DEVICE, SMS_PHONE_KNOWN_DEVICE),
    (Purpose.STEP_UP, False): (SMS_ACCOUNT_KNOWN_DEVICE, SMS_PHONE_KNOWN_DEVICE),  # an open session asks
    (Purpose.PHONE_VERIFICATION, False): (SMS_ACCOUNT_PROOF, SMS_PHONE_PROOF),
}
# Up to which share of the day's texts a purpose may go is its kind's.
KIND_OF: Mapping[Purpose, Kind] = {
    Purpose.LOGIN: Kind.LOGIN,
    Purpose.STEP_UP: Kind.LOGIN_KNOWN_DEVICE,
    Purpose.PHONE_VERIFICATION: Kind.PHONE_PROOF,
}

# What support's unlock clears. Sends stay spent (they cost money); a device's own row ends by itself.
UNLOCKED = (VERIFY_LOGIN, VERIFY_STEP_UP, VERIFY_PHONE, CONFIRM_ENROLLMENT, *_CONSECUTIVE_FAILURES.values())


def verify_charge(purpose: Purpose, account_id: str, device_id: str | None) -> Charge:
    """The row that pays for a try: the known device's own where there is one, else the account's."""
    known_device_rate = VERIFY_KNOWN_DEVICE.get(purpose)
    if device_id is not None and known_device_rate is not None:
        return Charge(known_device_rate, f"{account_id}:{device_id}")
    return Charge(VERIFY[purpose], account_id)


def sms_day_charge(purpose: Purpose, cap: int) -> Charge:
    """The row that all texts of a day share, up to where this purpose may fill it."""
    return sending_budgets.day_charge(KIND_OF[purpose], cap)


def stop_at(purpose: Purpose, *, six_digits: bool, device_known: bool) -> int:
    """After how many failures in a row a code is not even compared. Only a login can come from a stranger."""
    if device_known or purpose is not Purpose.LOGIN:
        return HARD_STOP
    return STOP_FOR_STRANGERS_DIGITS if six_digits else STOP_FOR_STRANGERS


def consecutive_failures(account_id: str, stop: int = HARD_STOP) -> Charge:
    """The row of failures, which takes a try as long as it is below ``stop``."""
    return Charge(_CONSECUTIVE_FAILURES[stop], account_id)


def send_charges(purpose: Purpose, account_id: str, phone: str, *, device_known: bool) -> tuple[Charge, Charge]:
    """The rows that pay for a text, by account and by phone (its keyed digest)."""
    account, to = SENDS_OF[purpose, device_known and purpose is Purpose.LOGIN]
    return Charge(account, account_id), Charge(to, phone)
