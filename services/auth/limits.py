"""How often: the gateway's table. Codes and SMS sends are budgeted by otp, which owns them; see services/otp/limits.py.

Every row refuses when Redis is down. Subjects that are personal (IP, email) are keyed digests.
"""

from datetime import timedelta

from services.auth.domain import guessing
from services.auth.domain.guessing import Guess
from shared.budgets import DAY, HOUR, MINUTE, Rate, Window

# Rows by IP are for browsers that the account doesn't know: a known one is never refused for what its network does.
# They count an IPv4 address, or the /48 of an IPv6 address and its /64 besides (``for_a_link``).
LOGIN_IP = Rate("auth.login.ip", "ip", (Window(60, 5 * MINUTE), Window(600, DAY)))
LOGIN_EMAIL = Rate("auth.login.email", "email", (Window(10, 15 * MINUTE), Window(50, DAY)))
LOGIN_KNOWN_DEVICE = Rate("auth.login.device", "device", (Window(10, 15 * MINUTE), Window(50, DAY)))
VERIFY_IP = Rate("auth.verify.ip", "ip", (Window(60, 5 * MINUTE), Window(600, DAY)))
SMS_IP = Rate("auth.sms.ip", "ip", (Window(20, 10 * MINUTE), Window(100, DAY)))
REAUTHENTICATE = Rate("auth.reauthenticate", "session", (Window(5, 5 * MINUTE), Window(20, HOUR), Window(50, DAY)))
# By session, because a thief with one of them could else use up what the owner's other sessions live on.
SESSION_TOKEN = Rate("auth.session_token", "session", (Window(60, MINUTE), Window(5000, DAY)))
PASSWORD_STRENGTH = Rate("auth.password_strength", "account", (Window(120, MINUTE), Window(2000, DAY)))
# Entries of right passwords that stop at the code. Beyond these the sign-in goes on, and leaves no further entry: the
# owner has been told of its place, and nobody fills the timeline.
ACCEPTED_NETWORK = Rate("auth.password_accepted.network", "account and network", (Window(10, HOUR), Window(50, DAY)))
ACCEPTED = Rate("auth.password_accepted", "account", (Window(100, HOUR), Window(500, DAY)))
# Every call counts, refused passwords too, because each may cost a strength rating, a hash, a text and a mail.
PASSWORD_CHANGE = Rate("auth.password_change", "account", (Window(10, HOUR), Window(20, DAY)))
PHONE_CHANGE = Rate("auth.phone_change", "account", (Window(20, HOUR), Window(40, DAY)))
# By session, so that the thief of one cannot keep the owner from putting the language back. Each causes a mail.
LANGUAGE_CHANGE = Rate("auth.language_change", "session", (Window(5, HOUR), Window(10, DAY)))
# By known browser, so that one of them cannot use up the owner's words in another. As many as unlocks by support.
STRANGERS_LET_TRY = Rate("auth.strangers_let_try", "device", (Window(3, DAY),))
# Counted to the owner and not to the member, so that an owner cannot use up what a member may do.
MEMBER_PHONE_CHANGE = Rate("auth.member_phone_change", "owner", (Window(60, HOUR), Window(200, DAY)))
# Five wrong tries void a word; this row also bounds the tries of a caller for whom no word was issued.
ENROLLMENT_WORD = Rate("auth.enrollment_word", "account", (Window(10, HOUR), Window(30, DAY)))
RESET_CANCEL_IP = Rate("auth.reset_cancel.ip", "ip", (Window(20, 10 * MINUTE),))
IDENTITY_CHECKS = Rate("auth.identity_checks", "account", (Window(6, 10 * MINUTE), Window(20, DAY)))
IDENTITY_CHECKS_OPERATOR = Rate("auth.identity_checks.operator", "operator", (Window(60, HOUR), Window(300, DAY)))
IDENTITY_LINK_IP = Rate("auth.identity_link.ip", "ip", (Window(20, 10 * MINUTE),))
SUPPORT_SEARCH = Rate("auth.support.search", "operator", (Window(120, MINUTE), Window(2000, DAY)))
UNLOCK = Rate("auth.support.unlock", "account", (Window(3, DAY),))  # beyond that a second operator approves
# Searches and lists pay by the account, so that an operator cannot list all customers page by page.
SUPPORT_FOUND = Rate("auth.support.found", "operator", (Window(200, HOUR), Window(1000, DAY)))

IDENTITY_CHECK_TRIES = 5  # two words hold 18 bits; after this many wrong tries the check must be begun anew

# The sums over all accounts (domain/guessing.py), and what a stranger has left while they are too high.
GUESSES = {
    guess: Rate(f"auth.guessing.{guess}", "hour", (Window(10**9, guessing.HOURS_READ * HOUR),)) for guess in Guess
}
# So many of the right passwords of one account count in the sum. Else the owner of one could put the brake on.
PASSWORDS_COUNTED = Rate("auth.guessing.right_password.account", "account", (Window(5, DAY),))
GUESSING_FLOOR = 1000  # unless set: a hundred an hour for good, or a thousand at once
GUESSING_MULTIPLE = 4  # the busiest hours of a day have two to three times the mean
BRAKED_CODE = Rate("auth.guessing.code", "account", (Window(1, DAY),))
# The link that exempts a login from that one try. Few mails, because a stranger with the password can request it, too.
# Each account has a row for each network, so strangers in one network cannot use up the mails of an owner in another
# one. The row by network alone counts requests for links and uses of links.
CONFIRMATION_MAIL = Rate("auth.confirmation.mail", "account and network", (Window(3, HOUR), Window(10, DAY)))
CONFIRMATION_MAILS = Rate("auth.confirmation.mails", "account", (Window(12, HOUR), Window(40, DAY)))
CONFIRMATION_IP = Rate("auth.confirmation.ip", "ip", (Window(20, 10 * MINUTE), Window(100, DAY)))

CHALLENGE_LIFE = timedelta(minutes=10)
LONGEST_SESSION = timedelta(hours=24)  # NIST SP 800-63B-4 §2.2.3, of AAL2; the settings say how long ours live
SESSIONS_AT_MOST = 50  # of an account; the oldest ends when one more opens
# That an account knows, and those of logins under way. A program that keeps no token is a new client at each login.
DEVICES_AT_MOST = 50
# Accounts of which a browser keeps the device cookie, because the size of a request's headers is limited. An earlier
# release kept twenty, so as many are read.
DEVICES_OF_A_BROWSER, DEVICE_COOKIES_READ = 8, 20
ENDED_SESSIONS_KNOWN = 100  # an account, for as long as a session lives: to end one of them again is no error
STEP_UP_LIFE = timedelta(minutes=10)
TRUSTED_DEVICE_LIFE = timedelta(days=30)
KNOWN_DEVICE_LIFE = timedelta(days=90)  # after its last login
TOKEN_LIFE = timedelta(minutes=5)
NOTICE_LIFE = timedelta(hours=24)
# Equal notices of so long become one: the first goes at once, and one more stands for all of them. It waits a moment
# longer, because a transaction that has counted one may commit a little later.
NOTICES_MERGED_FOR = timedelta(minutes=5)
MERGED_NOTICE_WAITS = timedelta(seconds=30)
REPEATABLE_FOR = timedelta(seconds=60)  # a change whose answer was lost; otp keeps its answers as long
UNLOCK_APPROVAL_LIFE = timedelta(hours=24)
LOOK_LASTS = timedelta(minutes=10)  # within it, a console that refreshes a list leaves one entry

# A network or a browser in which the account was not used for so long is a new place, of which the owner is told.
PLACE_KNOWN_FOR = timedelta(days=30)
PLACES_READ = 1000  # the newest sign-ins of those days; one of before them is a new place again
# The owner is told of every fifth wrong code that follows a right password (OWASP MFA sheet), over days and sign-ins,
# because a few mistyped codes are no news. A guess meets at most five codes of a million. So of 10,000 accounts whose
# passwords leaked, 0.25 are opened before all owners are told.
WRONG_CODES_A_NOTICE = 5
WRONG_CODES = Rate("auth.wrong_codes", "account", (Window(10**9, 3650 * DAY),))  # untold ones; it never refuses

# OWASP; zxcvbn's scale is 0–4. The characters of the prepared form count (password_form.py).
PASSWORD_MIN_CHARACTERS, PASSWORD_MAX_CHARACTERS, PASSWORD_MIN_SCORE = 12, 128, 3
# One character may be typed as up to four code points, the longest canonical decomposition of Unicode.
PASSWORD_MAX_TYPED = 4 * PASSWORD_MAX_CHARACTERS


def for_a_link(rate: Rate) -> Rate:
    """The row of one /64. It has half of what its /48 has, so one household cannot spend what its neighbours share."""
    return Rate(f"{rate.name}.64", "/64", tuple(Window(window.max // 2, window.seconds) for window in rate.windows))
