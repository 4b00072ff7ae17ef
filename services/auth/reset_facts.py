"""The facts that the reset policy works with, read from accounts and timeline in the caller's transaction."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection

from services.auth import phone_numbers
from services.auth.domain.account import Account, Role
from services.auth.domain.identity_checks import Facts, Times
from services.auth.domain.session import AssuranceLevel, Factor, assurance
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry

_CHANGES = (Entry.PASSWORD_CHANGED, Entry.PHONE_CHANGED, Entry.PHONE_REMOVED)
_PROOFS = (Entry.SIGNED_IN, Entry.STEPPED_UP)
_CANCELS = (Entry.RESET_CANCELLED, Entry.IDENTITY_CHECKS_CANCELLED)


def read(
    connection: Connection,
    account: Account,
    now: datetime,
    times: Times,
    *,
    able: Collection[str] | None = None,
    codes_until: datetime | None = None,
) -> Facts:
    """Read the facts of this moment.

    ``able``: the owners who have a second factor, as otp says; None where otp cannot be asked, and each owner counts.
    ``codes_until``: codes that were accepted after that moment do not count.
    """
    seen = timeline.latest(connection, account.id, (*_CHANGES, *_CANCELS, Entry.RESET_APPLIED), now - times.looks_back)
    proofs = timeline.details_since(connection, account.id, _PROOFS, now - times.code_login)
    owners = frozenset(owner.id for owner in accounts.other_owners(connection, account))
    with_code = [at for at, details in proofs if _took_a_code(details.get("factors", []))]
    if codes_until is not None:
        with_code = [at for at in with_code if at <= codes_until]
    return Facts(
        now=now,
        is_operator=account.role is Role.SUPPORT,
        phone_verified_at=account.phone_verified_at if _takes_words(account) else None,
        address_since=account.created_at,
        changed_at=_last(seen, _CHANGES, account.phone_verified_at),
        # The owner's own change takes the old password. Every other one is the command line's.
        password_set_at=timeline.last_by_others(connection, account.id, Entry.PASSWORD_CHANGED, now - times.settled),
        code_accepted_at=max(with_code, default=None),
        reset_at=seen.get(Entry.RESET_APPLIED),
        cancelled_at=_last(seen, _CANCELS),
        owners=owners if able is None else owners.intersection(able),
    )


def _last(seen: dict[Entry, datetime], entries: tuple[Entry, ...], *more: datetime | None) -> datetime | None:
    moments = [seen[entry] for entry in entries if entry in seen] + [moment for moment in more if moment is not None]
    return max(moments, default=None)


def _takes_words(account: Account) -> bool:
    """Whether the words of a check can be texted to the account's phone."""
    return account.phone is not None and not phone_numbers.is_landline(account.phone)


def _took_a_code(factors: list[str]) -> bool:
    return assurance(tuple(Factor(factor) for factor in factors)) is AssuranceLevel.AAL2
