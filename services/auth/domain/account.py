"""Accounts, roles and who may do what."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.phone import PhoneNumber


class Role(StrEnum):
    """``owner`` manages the team's phones, ``support`` works for us and reaches every account."""

    OWNER = "owner"
    MEMBER = "member"
    SUPPORT = "support"


@dataclass(frozen=True, slots=True)
class Account:
    """An account as stored, without its password hash. ``language``: None until one is chosen or 2FA is enrolled."""

    id: str
    team_id: str
    email: str
    name: str
    role: Role
    phone: PhoneNumber | None
    phone_verified_at: datetime | None
    pending_phone: PhoneNumber | None
    pending_phone_binding: str | None
    enrollment_prompted: bool
    created_at: datetime
    language: str | None = None

    @property
    def must_enroll(self) -> bool:
        """Whether its sessions may only enrol while 2FA is off: true for operators, and for owners after a reset.

        ``enrollment_prompted`` is set by a reset, by a restore that lost 2FA and by a promotion to operator.
        """
        return self.enrollment_prompted or self.role is Role.SUPPORT

    def is_promoted_by(self, role: Role) -> bool:
        """Whether this role makes the account an operator's."""
        return role is Role.SUPPORT and self.role is not Role.SUPPORT

    def needs_enrollment_word(self, *, after_reset: bool) -> bool:
        """Whether enrolling takes a one-time word: for operators always, for owners where ``after_reset`` says so."""
        return self.role is Role.SUPPORT or (after_reset and self.enrollment_prompted)


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """A stored hash, and which form of the password it was made of.

    ``is_prepared``: it was made of the prepared form (``password_form.py``), else of what was typed.
    """

    encoded: str
    is_prepared: bool
