"""How often: the gateway's table. Codes and SMS sends are budgeted by otp, which owns them; see services/otp/limits.py.

Every row refuses when Redis is down. Subjects that are personal (IP, email) are keyed digests.
"""

from datetime import timedelta

from shared.budgets import DAY, HOUR, MINUTE, Rate, Window

# Rows by IP are for browsers that the account doesn't know: a known one is never refused for what its network does.
LOGIN_IP = Rate("auth.login.ip", "ip", (Window(60, 5 * MINUTE), Window(600, DAY)))
LOGIN_EMAIL = Rate("auth.login.email", "email", (Window(10, 15 * MINUTE), Window(50, DAY)))
LOGIN_KNOWN_DEVICE = Rate("auth.login.device", "device", (Window(10, 15 * MINUTE), Window(50, DAY)))
VERIFY_IP = Rate("auth.verify.ip", "ip", (Window(60, 5 * MINUTE), Window(600, DAY)))
SMS_IP = Rate("auth.sms.ip", "ip", (Window(20, 10 * MINUTE), Window(100, DAY)))
REAUTHENTICATE = Rate("auth.reauthenticate", "account", (Window(5, 5 * MINUTE), Window(20, HOUR), Window(50, DAY)))
PASSWORD_STRENGTH = Rate("auth.password_strength", "account", (Window(120, MINUTE), Window(2000, DAY)))
RESET_CANCEL_IP = Rate("auth.reset_cancel.ip", "ip", (Window(20, 10 * MINUTE),))
SUPPORT_SEARCH = Rate("auth.support.search", "operator", (Window(120, MINUTE), Window(2000, DAY)))

CHALLENGE_LIFE = timedelta(minutes=10)
SESSION_LIFE = timedelta(hours=12)  # NIST SP 800-63B-4 §2.2.3: AAL2 sessions end within 24 h
STEP_UP_LIFE = timedelta(minutes=10)
TRUSTED_DEVICE_LIFE = timedelta(days=30)
TOKEN_LIFE = timedelta(minutes=5)
NOTICE_LIFE = timedelta(hours=24)

# The owner is told when a right password meets this many wrong codes in a row of tries (OWASP MFA sheet). One mistyped
# code is no news; equality, not "at least", makes it one notice a window.
FAILURES_WORTH_A_NOTICE = frozenset({3, 10, 25})

PASSWORD_MIN_CHARACTERS, PASSWORD_MAX_CHARACTERS, PASSWORD_MIN_SCORE = 12, 128, 3  # OWASP; zxcvbn's scale is 0–4
