"""Identity checks: begun by an operator, passed by the caller, and kept for one reset.

The product performs the checks that it can: words to phone and address, and the answer of another owner. An operator
attests the others, with evidence in the operator's words. Words and links are stored as digests.
"""

import hmac
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.auth import cancel_links, notices, operators, reset_facts
from services.auth.deps import Client, Deps, by_network
from services.auth.domain import phrases, reset_policy
from services.auth.domain.account import Account
from services.auth.domain.identity_checks import (
    CHECKS,
    EMAIL_CODE,
    OWNER_APPROVAL,
    PHONE_CODE,
    Check,
    CheckStatus,
    Facts,
    Kind,
    Passed,
    Times,
    WhyNot,
    counts,
    why_not,
)
from services.auth.domain.notice_texts import Kind as Occasion
from services.auth.domain.reset_policy import Rule
from services.auth.limits import IDENTITY_CHECK_TRIES, IDENTITY_CHECKS, IDENTITY_CHECKS_OPERATOR, IDENTITY_LINK_IP
from services.auth.operators import Operator
from services.auth.store import accounts, timeline
from services.auth.store import identity_checks as store
from services.auth.store.identity_checks import IdentityCheck
from services.auth.store.timeline import OWNER, Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import reading, writing
from shared.ids import new_id, new_token, token_digest
from shared.problems import Refusal

WORDS_IN_CODE = 2
_TOLD = {
    PHONE_CODE: Occasion.IDENTITY_PHONE,
    EMAIL_CODE: Occasion.IDENTITY_EMAIL,
    OWNER_APPROVAL: Occasion.IDENTITY_OWNER,
}


@dataclass(frozen=True, slots=True)
class CheckView:
    """One row of the table for this operator and account. ``latest``: the newest check of this kind that still counts.

    ``sent_to``: where the words go, masked.
    """

    name: str
    check: Check
    why_not: WhyNot | None
    sent_to: str | None
    latest: IdentityCheck | None


@dataclass(frozen=True, slots=True)
class CheckTable:
    """Every check, and the rule that the operator's standing checks meet at this moment."""

    rows: list[CheckView]
    rule: Rule | None


def listed(deps: Deps, client: Client, operator: Account, account_id: str) -> CheckTable:
    """Every check: whether it is possible, why not, and how far this operator is. Raises Refusal not_found."""
    account = operators.subject(deps, account_id)
    operators.record_list(deps, client, operator, "identity_checks", account)
    now, times = deps.clock(), deps.settings.reset_times
    facts = _facts(deps, account, now)
    with reading(deps.database) as connection:
        current = store.current(connection, account.id, operator.id, now - times.check_life)
        standing = store.standing(connection, account.id, operator.id, now - times.check_life)
    latest = {
        found.check: found
        for found in reversed(current)
        if found.status is not CheckStatus.ENDED and found.reset_id is None
        if found.status is not CheckStatus.PASSED or counts(_as_passed(found), facts, times)
    }
    rows = [
        CheckView(name, check, why_not(name, facts, times), _sent_to(account, name), latest.get(name))
        for name, check in CHECKS.items()
    ]
    return CheckTable(rows, rule_met_by(standing, facts, times))


def begin(
    deps: Deps, client: Client, operator: Operator, account_id: str, name: str, evidence: str | None
) -> IdentityCheck:
    """Begin a check; an attested check has passed at once.

    Raises Refusal not_found, own_account, two_factor_off, check_not_possible, validation_failed (evidence missing, or
    given where the product performs the check), too_many_requests, not_authenticated; Unavailable.
    """
    account = operators.subject(deps, account_id)
    with _refusals_recorded(deps, client, operator.account, account, "begin", check=name):
        return _begin(deps, client, operator, account, name, evidence)


def _begin(
    deps: Deps, client: Client, operator: Operator, account: Account, name: str, evidence: str | None
) -> IdentityCheck:
    operators.refuse_own(operator.account, account)
    _require_evidence(name, evidence)
    refuse_if_nothing_to_reset(deps, account)
    now = deps.clock()
    obstacle = why_not(name, _facts(deps, account, now), deps.settings.reset_times)
    if obstacle is not None:
        raise Refusal("check_not_possible", extra={"why_not": obstacle})
    performed = CHECKS[name].kind is Kind.PERFORMED
    if performed:
        charges = Charge(IDENTITY_CHECKS, account.id), Charge(IDENTITY_CHECKS_OPERATOR, operator.id)
        budgets.take(deps.redis, *charges).require()
    check_id, words, link = new_id("idc"), phrases.new_phrase(WORDS_IN_CODE), new_token()
    check = IdentityCheck(
        id=check_id,
        account_id=account.id,
        operator_id=operator.id,
        check=name,
        status=CheckStatus.PENDING if performed else CheckStatus.PASSED,
        words_digest=_digest(deps, check_id, words) if name in {PHONE_CODE, EMAIL_CODE} else None,
        link_digest=token_digest(link) if name == EMAIL_CODE else None,
        tries=0,
        evidence=evidence,
        confirmed_by=None,
        begun_at=now,
        passed_at=None if performed else now,
        reset_id=None,
    )
    entry = Entry.IDENTITY_CHECK_BEGUN if performed else Entry.IDENTITY_CHECK_PASSED
    facts: dict[str, Any] = {"check": name, "check_id": check_id} | ({} if evidence is None else {"evidence": evidence})
    with operators.writes(deps, operator, account) as connection:
        store.add(connection, check)
        operators.note(connection, client, operator.account, account, entry, now, **facts)
        if performed:
            _tell(connection, deps, account, check, words, link, now)
    return check


def verify(deps: Deps, client: Client, operator: Operator, account_id: str, check_id: str, words: str) -> IdentityCheck:
    """Pass a check with the words that the caller read out. The try is counted before the words are compared.

    Raises Refusal not_found, check_not_open, wrong_words, not_authenticated.
    """
    account = operators.subject(deps, account_id)
    now = deps.clock()
    since = now - deps.settings.reset_times.check_life
    with _refusals_recorded(deps, client, operator.account, account, "verify", check_id=check_id):
        check = _tried(deps, operator, account, check_id, since)
        right = _matches(deps, check, words)
        facts = {"check": check.check, "check_id": check.id}
        with operators.writes(deps, operator, account) as connection:
            passed = right and store.settle(connection, check.id, CheckStatus.PASSED, since, now)
            entry = Entry.IDENTITY_CHECK_PASSED if passed else Entry.IDENTITY_CHECK_FAILED
            operators.note(connection, client, operator.account, account, entry, now, **facts)
    if not right:
        raise Refusal("wrong_words", extra={"tries_left": max(0, IDENTITY_CHECK_TRIES - check.tries - 1)})
    if not passed:
        raise Refusal("check_not_open")
    return replace(check, status=CheckStatus.PASSED, passed_at=now, tries=check.tries + 1)


def _tried(deps: Deps, operator: Operator, account: Account, check_id: str, since: datetime) -> IdentityCheck:
    """Count a try at the operator's own check, and return the check. Raises Refusal not_found, check_not_open."""
    with reading(deps.database) as connection:
        check = store.by_id(connection, check_id)
    if check is None or (check.account_id, check.operator_id) != (account.id, operator.id):
        raise Refusal("not_found")
    if check.words_digest is None:
        raise Refusal("check_not_open")
    with writing(deps.database) as connection:
        if not store.count_try(connection, check.id, since, IDENTITY_CHECK_TRIES):
            raise Refusal("check_not_open")
    return check


def confirm_by_link(deps: Deps, client: Client, token: str) -> None:
    """Pass a check with the link in the mail. Raises Refusal not_found, check_not_open, too_many_requests."""
    budgets.take(deps.redis, *by_network(deps, IDENTITY_LINK_IP, client.ip)).require()
    now = deps.clock()
    with writing(deps.database) as connection:
        check = store.by_link(connection, token)
        if check is None:
            raise Refusal("not_found")
        since = now - deps.settings.reset_times.check_life
        if not store.settle(connection, check.id, CheckStatus.PASSED, since, now):
            raise Refusal("check_not_open")
        facts = {"check": check.check, "check_id": check.id, "by": "link"}
        timeline.write(
            connection, check.account_id, Entry.IDENTITY_CHECK_PASSED, now, actor=OWNER, ip=client.ip, **facts
        )


def cancel(connection: Connection, client: Client, account: Account, now: datetime, *, actor: str) -> None:
    """End every check of the account, pending or passed; new ones are not possible for a while."""
    store.end_all(connection, account.id)
    timeline.write(connection, account.id, Entry.IDENTITY_CHECKS_CANCELLED, now, actor=actor, ip=client.ip)


def refuse_if_nothing_to_reset(deps: Deps, account: Account) -> list[str]:
    """Return the active authenticators' ids; none where 2FA is off and the account must still enroll after a reset.

    Raises Refusal two_factor_off; Unavailable.
    """
    state = deps.otp.state(account.id)
    if not state.enabled and not account.enrollment_prompted:
        raise Refusal("two_factor_off")
    return [str(authenticator["id"]) for authenticator in state.authenticators]


def _refusals_recorded(
    deps: Deps, client: Client, operator: Account, account: Account, action: str, **details: str
) -> AbstractContextManager[None]:
    entry = Entry.IDENTITY_CHECK_REFUSED
    return operators.refusals_recorded(deps, client, operator, account, action, None, entry, **details)


def rule_met_by(checks: Iterable[IdentityCheck], facts: Facts, times: Times) -> Rule | None:
    """The rule of the policy that these checks meet."""
    return reset_policy.decide([_as_passed(check) for check in checks], facts, times)


def _as_passed(check: IdentityCheck) -> Passed:
    return Passed(check.check, check.confirmed_by)


def able_owners(deps: Deps, account: Account) -> frozenset[str]:
    """The other owners of the team who have a second factor at this moment. Raises Unavailable."""
    with reading(deps.database) as connection:
        owners = accounts.other_owners(connection, account)
    return with_second_factor(deps, [owner.id for owner in owners])


def with_second_factor(deps: Deps, account_ids: Iterable[str]) -> frozenset[str]:
    """Those of these accounts whose second factor is on and not stolen; otp is asked about each. Raises Unavailable."""
    return frozenset(account_id for account_id in account_ids if deps.otp.state(account_id).is_live)


def _facts(deps: Deps, account: Account, now: datetime) -> Facts:
    able = able_owners(deps, account)
    with reading(deps.database) as connection:
        return reset_facts.read(connection, account, now, deps.settings.reset_times, able=able)


def _require_evidence(name: str, evidence: str | None) -> None:
    attested = CHECKS[name].kind is Kind.ATTESTED
    if attested and evidence is None:
        raise Refusal("validation_failed", extra={"errors": {"evidence": ["Write down what you saw."]}})
    if not attested and evidence is not None:
        raise Refusal("validation_failed", extra={"errors": {"evidence": ["The product performs this check."]}})


def _sent_to(account: Account, name: str) -> str | None:
    if name == PHONE_CODE and account.phone is not None:
        return account.phone.masked()
    return account.email if name == EMAIL_CODE else None


def _tell(
    connection: Connection, deps: Deps, account: Account, check: IdentityCheck, words: str, link: str, now: datetime
) -> None:
    """Send the words, and tell the owner on every channel that support was called, and how to cancel."""
    origin = deps.settings.public_origin
    values: dict[str, Any] = {**cancel_links.add(connection, deps, account, now, check_id=check.id)}
    values |= {"words": words, "confirm_url": f"{origin}/reset/confirm#{link}"} if check.words_digest else {}
    notices.tell(connection, deps, account, _TOLD[check.check], now, **values)
    if check.check == OWNER_APPROVAL:
        for owner in accounts.other_owners(connection, account):
            url = f"{origin}/team/approvals#{check.id}"
            notices.tell(connection, deps, owner, Occasion.OWNER_ASKED, now, member=account.email, approval_url=url)


def _digest(deps: Deps, check_id: str, words: str) -> str:
    return deps.settings.digest_keys.newest.mac("identity_check", check_id, phrases.normalise(words))


def _matches(deps: Deps, check: IdentityCheck, words: str) -> bool:
    """Compare in constant time, under every key of the list, because keys rotate while a check is pending."""
    given, expected = phrases.normalise(words), check.words_digest or ""
    return any(
        hmac.compare_digest(key.mac("identity_check", check.id, given), expected) for key in deps.settings.digest_keys
    )
