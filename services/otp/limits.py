"""How often a code may be tried and sent: the one table. A store that is down refuses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from services.otp.domain.attempt import Verify
from services.otp.domain.conversion import ConversionRule
from services.otp.domain.failure_row import FailureRow
from services.otp.domain.purpose import PURPOSES, Purpose
from shared import sending_budgets
from shared.budgets import DAY, HOUR, MINUTE, Charge, Rate, Window
from shared.sending_budgets import PREFIX_OF_CODES, Kind

# RFC 4226 §7.3: throttling per account that holds across login sessions. With a window of three steps, 50 tries a day
# guess a TOTP with a chance of 0.015 % a day.
GUESSES = (Window(5, 5 * MINUTE), Window(20, HOUR), Window(50, DAY))

# A refused code says how many tries its row has left, once they are few (``tries_left``). It goes to callers with the
# right password or a session, whom the row refuses after these tries anyway. The rows of failures are not told, because
# a thief of the password would see how many guesses the account takes before it refuses them and its owner is told.

# Strangers, which are browsers that the account does not know, share the first row. Each known device and each open
# session has a row of its own, so that no one of them holds out another (privacyidea#3741).
VERIFY_LOGIN = Rate("otp.verify.login", by="account", windows=GUESSES)
VERIFY_LOGIN_KNOWN_DEVICE = Rate("otp.verify.login.device", by="account and device", windows=GUESSES)
VERIFY_STEP_UP = Rate("otp.verify.step_up.session", by="account and session", windows=GUESSES)
# A backup code has 75 bits, so no row of guesses refuses it (NIST SP 800-63B-4 §3.1.2.2 asks for a limit below 64
# bits). Its hash costs CPU, so it pays by the challenge, and in the gateway by the network.
VERIFY_RECOVERY_CODE = Rate(
    "otp.verify.recovery_code", by="account, purpose and binding", windows=(Window(10, 10 * MINUTE), Window(50, DAY))
)
VERIFY_PHONE = Rate("otp.verify.phone", by="account", windows=GUESSES)
CONFIRM_ENROLLMENT = Rate("otp.confirm", by="account", windows=GUESSES)
# What these make costs CPU: a QR code 20 ms, a sheet of backup codes ten hashes.
BEGIN_ENROLLMENT = Rate("otp.enrollment.begin", by="account", windows=(Window(10, 10 * MINUTE), Window(50, DAY)))
# Showing a pending one again, after a reload, draws its QR code again.
SHOW_ENROLLMENT = Rate("otp.enrollment.show", by="account", windows=(Window(30, 10 * MINUTE), Window(150, DAY)))
REGENERATE_CODES = Rate("otp.recovery_codes", by="account", windows=(Window(5, 10 * MINUTE), Window(20, DAY)))

# Codes by SMS; why there are three of each: shared/sending_budgets.py.
SMS_ACCOUNT, SMS_PHONE = sending_budgets.TABLE[Kind.LOGIN].rates
SMS_ACCOUNT_KNOWN_DEVICE, SMS_PHONE_KNOWN_DEVICE = sending_budgets.TABLE[Kind.LOGIN_KNOWN_DEVICE].rates
SMS_ACCOUNT_PROOF, SMS_PHONE_PROOF = sending_budgets.TABLE[Kind.PHONE_PROOF].rates
CALLS_PHONE = sending_budgets.CALLS_OF_PHONE[Kind.LOGIN]
CALLS_PHONE_KNOWN_DEVICE = sending_budgets.CALLS_OF_PHONE[Kind.LOGIN_KNOWN_DEVICE]
CALLS_PHONE_PROOF = sending_budgets.CALLS_OF_PHONE[Kind.PHONE_PROOF]
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


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many wrong six-digit codes a row takes. ``ended_by_success``: a right code in its place empties it."""

    rate: Rate
    ended_by_success: bool

    @property
    def at_most(self) -> int:
        """The failures after which codes of this row are not compared."""
        return self.rate.windows[0].max


def _in_a_row(name: str, by: str, at_most: int, *, lives: int = 365 * DAY, durable: bool = False) -> Rate:
    """The window only bounds how long an idle key stays."""
    return Rate(f"otp.verify.consecutive{name}", by=by, windows=(Window(at_most, lives),), durable=durable)


# What one stranger, device or session spends is refused to that one alone. The exception is the last row, NIST SP
# 800-63B-4 §3.2.2: no more than 100 consecutive failures on one account. The rows of strangers and of all last in SQL;
# Redis makes them exact when many try at once.
#
# The strangers' row has no end by success: else each everyday login of the owner would give a stranger 60 more. It ends
# by a change of password, by the owner's word, by support's unlock and by a reset. A device that has spent its row is
# no longer known, and a session that has spent its row ends; the gateway sees to both.
FAILURES_IN_A_ROW: Mapping[FailureRow, FailureLimit] = {
    FailureRow.STRANGERS: FailureLimit(_in_a_row(".strangers", "account", 60, durable=True), ended_by_success=False),
    FailureRow.DEVICE: FailureLimit(_in_a_row(".device", "account and device", 10), ended_by_success=True),
    FailureRow.SESSION: FailureLimit(
        _in_a_row(".session", "account and session", 10, lives=DAY), ended_by_success=True
    ),
    FailureRow.ALL: FailureLimit(_in_a_row("", "account", 100, durable=True), ended_by_success=True),
}
HARD_STOP = FAILURES_IN_A_ROW[FailureRow.ALL].at_most
STOP_FOR_STRANGERS = FAILURES_IN_A_ROW[FailureRow.STRANGERS].at_most
STOP_FOR_A_DEVICE = FAILURES_IN_A_ROW[FailureRow.DEVICE].at_most
STOP_FOR_A_SESSION = FAILURES_IN_A_ROW[FailureRow.SESSION].at_most

# An accepted code is accepted again so long, for the same account, purpose and binding: its answer may have been lost,
# or what the caller did next may have failed, and 503 said "try again" (in 2 s). A minute is time for many tries, and
# less than a time step can be used anyway. It is no second pass, for each binding opens one thing at most: a login
# challenge one session (auth claims the challenge in the script that opens it), a phone's binding one proof (auth
# claims it in one UPDATE), a session its own step-up window, which a repeat moves by this minute at most.
ACCEPTED_AGAIN_FOR = timedelta(seconds=60)

# How long the session that made a change may repeat its call and get the same answer (answer_store.py).
REPEATABLE_FOR = ACCEPTED_AGAIN_FOR

# By purpose, and whether it is a login from a known device.
SENDS_OF: Mapping[tuple[Purpose, bool], tuple[Rate, Rate]] = {
    (Purpose.LOGIN, False): (SMS_ACCOUNT, SMS_PHONE),
    (Purpose.LOGIN, True): (SMS_ACCOUNT_KNOWN_DEVICE, SMS_PHONE_KNOWN_DEVICE),
    (Purpose.STEP_UP, False): (SMS_ACCOUNT_KNOWN_DEVICE, SMS_PHONE_KNOWN_DEVICE),  # an open session asks
    (Purpose.PHONE_VERIFICATION, False): (SMS_ACCOUNT_PROOF, SMS_PHONE_PROOF),
}
CALLS_OF: Mapping[tuple[Purpose, bool], Rate] = {
    (Purpose.LOGIN, False): CALLS_PHONE,
    (Purpose.LOGIN, True): CALLS_PHONE_KNOWN_DEVICE,
    (Purpose.STEP_UP, False): CALLS_PHONE_KNOWN_DEVICE,
    (Purpose.PHONE_VERIFICATION, False): CALLS_PHONE_PROOF,
}
# Up to which share of the day's texts a purpose may go is its kind's.
KIND_OF: Mapping[Purpose, Kind] = {
    Purpose.LOGIN: Kind.LOGIN,
    Purpose.STEP_UP: Kind.LOGIN_KNOWN_DEVICE,
    Purpose.PHONE_VERIFICATION: Kind.PHONE_PROOF,
}

# What the end of the strangers' row clears: the row, and the windows of the same browsers.
OF_STRANGERS = (VERIFY_LOGIN, FAILURES_IN_A_ROW[FailureRow.STRANGERS].rate)
# What support's unlock clears. Sends stay spent (they cost money). A device's and a session's rows stay: neither holds
# out anybody else.
UNLOCKED = (*OF_STRANGERS, VERIFY_PHONE, CONFIRM_ENROLLMENT, FAILURES_IN_A_ROW[FailureRow.ALL].rate)


def verify_charge(command: Verify) -> Charge:
    """The row that pays for a try."""
    account_id = command.account_id
    if not command.six_digits:
        return Charge(VERIFY_RECOVERY_CODE, f"{account_id}:{command.occasion}")
    match command.purpose:
        case Purpose.PHONE_VERIFICATION:
            return Charge(VERIFY_PHONE, account_id)
        case Purpose.STEP_UP:
            return Charge(VERIFY_STEP_UP, f"{account_id}:{command.binding}")
        case Purpose.LOGIN if command.device_id is not None:
            return Charge(VERIFY_LOGIN_KNOWN_DEVICE, f"{account_id}:{command.device_id}")
        case _:
            return Charge(VERIFY_LOGIN, account_id)


def failure_rows(purpose: Purpose, account_id: str, binding: str, device_id: str | None) -> Mapping[FailureRow, Charge]:
    """The rows that a wrong six-digit code counts in; each must have room for it. A right one is their success.

    A step-up counts for the device of its session, too. A remembered device opens sessions without a code, so it would
    have ten more guesses with each of them. The binding of a step-up is the session.
    """
    if not PURPOSES[purpose].second_factor:
        return {}
    subjects = {
        FailureRow.STRANGERS: account_id if purpose is Purpose.LOGIN and device_id is None else None,
        FailureRow.DEVICE: f"{account_id}:{device_id}" if device_id is not None else None,
        FailureRow.SESSION: f"{account_id}:{binding}" if purpose is Purpose.STEP_UP else None,
        FailureRow.ALL: account_id,
    }
    return {
        row: Charge(FAILURES_IN_A_ROW[row].rate, subject) for row, subject in subjects.items() if subject is not None
    }


# No such key is ever set.
NEVER_SET = "otp:never-set"


def looked_at(row: Charge) -> Charge:
    """A row of failures that is recalled and read, and neither counts a try nor refuses it. Read NEVER_SET with it."""
    return replace(row, only_while=NEVER_SET)


def spent_row(rows: Iterable[FailureRow], failures: Mapping[FailureRow, int]) -> FailureRow | None:
    """The first of these rows that has no room, by these counts."""
    return next((row for row in rows if failures.get(row, 0) >= FAILURES_IN_A_ROW[row].at_most), None)


def durable_row(row: FailureRow, account_id: str) -> Charge:
    """A row of an account that SQL keeps, as Redis counts it."""
    return Charge(FAILURES_IN_A_ROW[row].rate, account_id)


def sms_day_charge(purpose: Purpose, cap: int) -> Charge:
    """The row that all texts of a day share, up to where this purpose may fill it."""
    return sending_budgets.day_charge(KIND_OF[purpose], cap)


def send_charges(purpose: Purpose, account_id: str, phone: str, *, device_known: bool) -> tuple[Charge, Charge]:
    """The rows that pay for a text, by account and by phone (its keyed digest)."""
    account, to = SENDS_OF[purpose, device_known and purpose is Purpose.LOGIN]
    return Charge(account, account_id), Charge(to, phone)


def call_charges(purpose: Purpose, phone: str, cap: int, *, device_known: bool) -> tuple[Charge, Charge]:
    """The rows that pay for a call besides those of its text, by phone (its keyed digest) and by day."""
    to = CALLS_OF[purpose, device_known and purpose is Purpose.LOGIN]
    return Charge(to, phone), sending_budgets.calls_day_charge(KIND_OF[purpose], cap)
