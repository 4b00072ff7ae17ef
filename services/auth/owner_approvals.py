"""The identity check in which another owner of the team confirms that a member asked support for help."""

from dataclasses import dataclass

from services.auth import consequences
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.identity_checks import OWNER_APPROVAL, CheckStatus
from services.auth.domain.session import AssuranceLevel
from services.auth.store import accounts, timeline
from services.auth.store import identity_checks as store
from services.auth.store.identity_checks import IdentityCheck
from services.auth.store.timeline import Entry
from shared.database import reading
from shared.problems import Refusal


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to an owner: whether this member asked support to remove 2FA."""

    check: IdentityCheck
    member: Account


def pending(deps: Deps, owner: Account) -> list[Approval]:
    """The questions that wait for this owner's answer, newest first. Raises Refusal forbidden."""
    if owner.role is not Role.OWNER:
        raise Refusal("forbidden")
    since = deps.clock() - deps.settings.reset_times.check_life
    with reading(deps.database) as connection:
        members = {
            account.id: account
            for account in accounts.of_team(connection, owner.team_id, after="", limit=10_000)
            if account.id != owner.id
        }
        found = store.pending_of(connection, list(members), OWNER_APPROVAL, since)
    return [Approval(check, members[check.account_id]) for check in found]


def is_asked(deps: Deps, account: Account) -> bool:
    """Whether something waits for this account's answer as an owner."""
    if account.role is not Role.OWNER:
        return False
    since = deps.clock() - deps.settings.reset_times.check_life
    with reading(deps.database) as connection:
        return store.is_pending_in_team(connection, account.team_id, account.id, OWNER_APPROVAL, since)


def one(deps: Deps, owner: Account, check_id: str) -> Approval:
    """One question, answered or not. Raises Refusal forbidden, not_found (also for another team's)."""
    if owner.role is not Role.OWNER:
        raise Refusal("forbidden")
    with reading(deps.database) as connection:
        check = store.by_id(connection, check_id)
        member = accounts.by_id(connection, check.account_id) if check else None
    if check is None or check.check != OWNER_APPROVAL or member is None:
        raise Refusal("not_found")
    if member.team_id != owner.team_id or member.id == owner.id:
        raise Refusal("not_found")
    return Approval(check, member)


def answer(deps: Deps, client: Client, owner: Account, acting: Acting, check_id: str, *, approve: bool) -> Approval:
    """Approve or refuse, with a second factor that is on at this moment and was not stolen.

    Raises Refusal forbidden, not_found, second_factor_required, check_not_open, not_authenticated;
    Unavailable.
    """
    asked = one(deps, owner, check_id)
    if acting.session.assurance is not AssuranceLevel.AAL2 or not deps.otp.state(owner.id).is_live:
        raise Refusal("second_factor_required")
    now = deps.clock()
    since = now - deps.settings.reset_times.check_life
    status = CheckStatus.PASSED if approve else CheckStatus.REFUSED
    entry = Entry.IDENTITY_CHECK_PASSED if approve else Entry.IDENTITY_CHECK_FAILED
    actor = timeline.team_owner(owner.id)
    with consequences.holding(deps, acting) as connection:
        if not store.settle(connection, asked.check.id, status, since, now, confirmed_by=owner.id):
            raise Refusal("check_not_open")
        facts = {"check": OWNER_APPROVAL, "check_id": asked.check.id}
        timeline.write(connection, asked.member.id, entry, now, actor=actor, ip=client.ip, **facts)
    return one(deps, owner, check_id)
