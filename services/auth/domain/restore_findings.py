"""What a restore from a backup may find of an account, and what its owner reads of it. docs/restore.md lists them."""

from collections.abc import Mapping

TRUST_ENDED, PHONE_VOID = "trust_ended", "pending_phone_void"
RESET_VOID, STOLEN_RESET_VOID, UNLOCK_VOID = "reset_void", "stolen_reset_void", "unlock_void"
CHANGED_AGAIN, NOT_CHANGED_AGAIN, TOLD = "changed_from_journal", "not_changed_from_journal", "told"
PASSWORD_VOID, PASSWORD_OLD = "password_void", "password_of_the_backup"
# otp's words for what it found.
LOST, REVOKED, CODES_KEPT, CODES_VOID = (
    "two_factor_lost",
    "two_factor_revoked",
    "recovery_codes_kept",
    "recovery_codes_void",
)

# What the owner reads of each finding. The other findings are for operators only.
SENTENCES: Mapping[str, str] = {
    TRUST_ENDED: "No browser of yours is remembered any more.",
    LOST: "Two-factor authentication could not be restored: set it up again; support gives you one-time words for it.",
    REVOKED: "Two-factor authentication was removed: set it up again; support gives you one-time words for it.",
    CODES_KEPT: "Your backup codes are those of that time; used ones may count as unused: make new ones.",
    CODES_VOID: "Your backup codes no longer work: make new ones.",
    PASSWORD_OLD: "Your password is that of that time: if you changed it since, change it again.",
    PASSWORD_VOID: "Your password no longer works: contact support for a new one.",
    RESET_VOID: "A removal of two-factor authentication that was under way was cancelled.",
    STOLEN_RESET_VOID: "The removal of your stolen app was cancelled. Its codes may be refused. Contact support again.",
}
