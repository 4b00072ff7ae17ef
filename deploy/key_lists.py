"""Each key list: who must have a new key before anybody uses it, who uses it, and what has to pass in between."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyListRow:
    """``readers`` and ``writers`` are services to be renewed: after a key was added, and after it was put to use.

    ``before_use`` and ``before_drop`` are what must pass first, besides the roll-out, or empty.
    """

    name: str
    readers: str
    writers: str
    before_use: str = ""
    before_drop: str = ""


SECRETS_AT_REST = "OTP_SECRET_KEYS"
WAITING = "72 hours, the longest that an event waits in an outbox"
# docs/keys.md tells what each protects and what its rotation costs.
KEY_LISTS = (
    KeyListRow("OTP_API_KEYS", "otp", "auth"),
    KeyListRow(
        SECRETS_AT_REST,
        "otp",
        "otp",
        before_drop="`rewrap`, until no secret is left under the old key; then the retention of backups and of the"
        " journal, whose secrets need it after a restore",
    ),
    KeyListRow("OTP_DIGEST_KEYS", "otp", "otp", before_drop="6 minutes, the life of an SMS code and its repeats"),
    KeyListRow("AUTH_DIGEST_KEYS", "auth", "auth"),
    KeyListRow(
        "AUTH_AUDIT_KEYS",
        "auth-worker",
        "auth-worker",
        before_drop="the timeline's retention: `audit verify` needs a key for as long as rows under it are kept",
    ),
    KeyListRow(
        "AUTH_JOURNAL_KEYS",
        "auth, auth-worker",
        "auth, auth-worker",
        before_drop="`journal prune` has dropped the lines under the old key: until then a restore needs it",
    ),
    KeyListRow(
        "OTP_JOURNAL_KEYS",
        "otp, otp-worker",
        "otp, otp-worker",
        before_drop="`journal prune` has dropped the lines under the old key: until then a restore needs it",
    ),
    KeyListRow(
        "JWT_SIGNING_KEYS",
        "auth",
        "auth",
        before_use="5 minutes, so that no cache lacks it",
        before_drop="5 minutes, the life of a token",
    ),
    KeyListRow(
        "NOTIFY_PRIVATE_KEYS",
        "notify, notices",
        "otp, auth, auth-worker",
        before_drop="24 hours, the life of a notice",
    ),
    KeyListRow(
        "AUTH_SIGNING_KEYS", "auth-worker, otp-worker, notify, notices", "auth, auth-worker", before_drop=WAITING
    ),
    KeyListRow("OTP_SIGNING_KEYS", "auth-worker, notify, notices", "otp, otp-worker", before_drop=WAITING),
    KeyListRow("NOTIFY_SIGNING_KEYS", "auth-worker", "notify, notices", before_drop=WAITING),
    KeyListRow("SMS_HTTP_KEYS", "notify, notices", "notify, notices", before_use="until the SMS gateway has it, too"),
)
