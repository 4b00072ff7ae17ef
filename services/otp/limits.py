"""How often a code may be tried and sent: the one table. A store that is down refuses."""

from collections.abc import Mapping
from datetime import timedelta

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
