"""Accounts, roles and who may do what."""

import unicodedata
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
    """An account as stored, without its password hash."""

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


def email_key(email: str) -> str:
    """The spelling under which an address is unique: NFKC, case folded (RFC 5321 leaves the local part's case open)."""
    return unicodedata.normalize("NFKC", email.strip()).casefold()
