"""What a restore from a backup may find of an account. docs/restore.md lists it."""

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

# What its owner is told of, in this order: notices.toml has a sentence for each. Others are for operators only.
TOLD_TO_OWNERS = (
    TRUST_ENDED,
    LOST,
    REVOKED,
    CODES_KEPT,
    CODES_VOID,
    PASSWORD_OLD,
    PASSWORD_VOID,
    RESET_VOID,
    STOLEN_RESET_VOID,
)
