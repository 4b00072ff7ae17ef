"""Support's removal of two-factor authentication: requested and approved.

Row, checks, timeline, notices and event are one transaction. The policy is evaluated at the request, at each approval
and when the reset is applied. otp does the removal when it gets TwoFactorResetApproved.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from services.auth import cancel_links, enrollment_words, identity_checks, notices, operators, reset_facts, reset_steps
from services.auth.deps import Client, Deps
from services.auth.domain import reset_policy
from services.auth.domain.account import Account
from services.auth.domain.identity_checks import CHECKS
from services.auth.domain.notice_texts import Kind
from services.auth.domain.reset import AFTER_APPROVAL, REFUSED_WITH, Path, ReasonKind, Reset, Status
from services.auth.operators import Operator
from services.auth.store import accounts, timeline
from services.auth.store import identity_checks as check_store
from services.auth.store import resets as store
from services.auth.store.identity_checks import IdentityCheck
from services.auth.store.timeline import Entry
from shared.clock import rfc3339
from shared.database import reading, writing
from shared.ids import new_id
from shared.problems import Refusal
from shared.texts.languages import DEFAULT_LANGUAGE

COMMAND_LINE = "command_line"


@dataclass(frozen=True, slots=True)
class Opened:
    """A reset that was opened, and the one-time word for the caller. The word is shown this once."""

    reset: Reset
    enrollment_word: str


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """What support says: the ticket, why, and what became of the factor."""

    ticket: str
    reason: str
    reason_kind: ReasonKind = ReasonKind.LOST


def request(deps: Deps, client: Client, operator: Operator, account_id: str, asked: ResetRequest) -> Opened:
    """Open a reset on the path that the operator's standing checks and the facts allow.

    Raises Refusal not_found, own_account, identity_checks_insufficient, two_factor_off, reset_already_open,
    not_authenticated; Unavailable.
    """
    account = operators.subject(deps, account_id)
    with operators.refusals_recorded(deps, client, operator.account, account, "request", asked.ticket):
        operators.refuse_own(operator.account, account)
        authenticators = identity_checks.refuse_if_nothing_to_reset(deps, account)
        able = identity_checks.able_owners(deps, account)  # before the transaction: it asks otp
        now, times = deps.clock(), deps.settings.reset_times
        with operators.writes(deps, operator, account) as connection:
            if store.open_of(connection, account.id) is not None:
                raise Refusal("reset_already_open")  # first, because an open reset has used the checks up
            passed = check_store.standing(connection, account.id, operator.id, now - times.check_life)
            facts = reset_facts.read(connection, account, now, times, able=able)
            names = [check.check for check in passed]
            rule = identity_checks.rule_met_by(passed, facts, times)
            if rule is None:
                raise Refusal("identity_checks_insufficient")
            wait = reset_policy.cool_off_of(rule, times)
            reset = _new(
                account, asked, authenticators, operator.id, now, rule=rule.name, approvals=rule.approvals, wait=wait
            )
            word_id, word = _issue_word(connection, deps, account, now)
            reset = replace(
                reset,
                enrollment_word_id=word_id,
                identity_checks=reset_policy.in_order(names),
                evidence=[_evidence(check) for check in passed],
                approval_ends_at=now + times.approval if rule.approvals else None,
            )
            store.add(connection, reset)
            if not check_store.use(connection, [check.id for check in passed], reset.id):
                raise Refusal("identity_checks_insufficient")
            operators.note(
                connection,
                client,
                operator.account,
                account,
                Entry.RESET_REQUESTED,
                now,
                reset_id=reset.id,
                status=reset.status,
                ticket=reset.ticket,
                rule=rule.name,
                reason_kind=reset.reason_kind,
                identity_checks=reset.identity_checks,
            )
            kind = Kind.RESET_STARTED if reset.status is Status.APPROVED else Kind.RESET_REQUESTED
            reset = _set_off(connection, deps, account, reset, kind, now)
    return Opened(reset, word)


def request_from_command_line(deps: Deps, client: Client, account: Account, asked: ResetRequest) -> Opened:
    """Reset at once without checks, for the command line: the way out when two other operators are not available.

    Raises Refusal two_factor_off, reset_already_open; Unavailable.
    """
    authenticators = identity_checks.refuse_if_nothing_to_reset(deps, account)
    now = deps.clock()
    reset = _new(account, asked, authenticators, None, now, rule=COMMAND_LINE, approvals=0, wait=timedelta(0))
    with writing(deps.database) as connection:
        accounts.hold(connection, account.id)
        word_id, word = _issue_word(connection, deps, account, now)
        reset = replace(reset, enrollment_word_id=word_id)
        store.add(connection, reset)
        facts = {"reset_id": reset.id, "status": reset.status, "ticket": reset.ticket, "rule": reset.rule}
        actor = timeline.operator("cli")
        timeline.write(connection, account.id, Entry.RESET_REQUESTED, now, actor=actor, ip=client.ip, **facts)
        reset = _set_off(connection, deps, account, reset, Kind.RESET_STARTED, now)
    return Opened(reset, word)


def approve(deps: Deps, client: Client, operator: Operator, account_id: str, reset_id: str) -> Reset:
    """Record another operator's approval; the last missing one lets the reset go on.

    Raises Refusal not_found, own_account, same_operator, reset_not_open; identity_checks_insufficient or operator_gone
    when the reset may not go on, and it has then ended; not_authenticated; Unavailable.
    """
    account = operators.subject(deps, account_id)
    asked = operators.asked_reset(deps, client, operator.account, account, reset_id, "approve")
    with operators.refusals_recorded(deps, client, operator.account, account, "approve", asked.ticket):
        now = deps.clock()
        refused = asked.why_not_approved_by(operator.id, now)
        if refused is not None:
            raise Refusal(refused)
        able = identity_checks.with_second_factor(deps, asked.confirmed_by)  # before the transaction: it asks otp
        with operators.writes(deps, operator, account) as connection:
            because = reset_steps.reason_to_end(connection, deps, account, asked, now, able=able)
            if because is None:
                reset = _approved(connection, deps, client, operator.account, account, asked, now)
            elif not reset_steps.end(connection, deps, account, asked, because, now):
                raise Refusal("reset_not_open")
        if because is not None:
            english = deps.settings.wordings[DEFAULT_LANGUAGE]
            raise Refusal(REFUSED_WITH[because], detail=english.phrase(reset_steps.why_ended(because)))
    return reset


def _approved(
    connection: Connection,
    deps: Deps,
    client: Client,
    operator: Account,
    account: Account,
    asked: Reset,
    now: datetime,
) -> Reset:
    """Claim the approval, and record what follows from it."""
    target = AFTER_APPROVAL[asked.path]
    ends_at = now + timedelta(seconds=asked.cool_off_seconds) if target is Status.COOLING_OFF else None
    first = store.approve_first_of_two(connection, asked.id, operator.id, now)
    if not first and not store.approve_last(connection, asked.id, operator.id, now, target, ends_at):
        raise Refusal("reset_not_open")
    reset = store.by_id(connection, asked.id)
    if reset is None:
        raise Refusal("not_found")
    facts = {"reset_id": reset.id, "status": reset.status}
    operators.note(connection, client, operator, account, Entry.RESET_APPROVED, now, **facts)
    if first:
        _tell(connection, deps, account, reset, Kind.RESET_APPROVED_ONCE, now)
        return reset
    kind = Kind.RESET_STARTED if reset.status is Status.APPROVED else Kind.RESET_SCHEDULED
    return _set_off(connection, deps, account, reset, kind, now)


def _set_off(connection: Connection, deps: Deps, account: Account, reset: Reset, kind: Kind, now: datetime) -> Reset:
    """Record what carries the reset on, and tell the owner. The reset as it stands then.

    A stolen factor is suspended from the request on. The last approval orders that again, and closes the step-up
    windows that were opened before otp's worker acted.
    """
    reset_steps.suspend_stolen(connection, deps, reset, now)
    reset_steps.record_next(connection, deps, account, reset, now)
    if reset.status is not Status.APPROVED or reset.authenticators:  # else the owner was told of the new word
        _tell(connection, deps, account, reset, kind, now)
    return store.by_id(connection, reset.id) or reset


def _issue_word(connection: Connection, deps: Deps, account: Account, now: datetime) -> tuple[str, str]:
    """Make the word with which the verified caller enrolls; it is usable only after the reset is applied."""
    return enrollment_words.issue(connection, deps.settings.digest_keys, account.id, now, usable_at_once=False)


def open_reset(deps: Deps, account: Account) -> Reset | None:
    """The reset under way, for the owner's own view."""
    with reading(deps.database) as connection:
        return store.open_of(connection, account.id)


def _new(
    account: Account,
    asked: ResetRequest,
    authenticators: list[str],
    operator_id: str | None,
    now: datetime,
    *,
    rule: str,
    approvals: int,
    wait: timedelta,
) -> Reset:
    path = Path.COOL_OFF if wait else Path.IMMEDIATE
    status = Status.AWAITING_APPROVAL if approvals else AFTER_APPROVAL[path]
    return Reset(
        id=new_id("rst"),
        account_id=account.id,
        status=status,
        path=path,
        rule=rule,
        approvals_needed=approvals,
        cool_off_seconds=int(wait.total_seconds()),
        ticket=asked.ticket,
        reason=asked.reason,
        reason_kind=asked.reason_kind,
        identity_checks=[],
        evidence=[],
        authenticators=authenticators,
        requested_by=operator_id,
        requested_at=now,
        approval_ends_at=None,
        cool_off_ends_at=now + wait if status is Status.COOLING_OFF else None,
        approved_by=None,
        second_approved_by=None,
        approved_at=now if status is Status.APPROVED else None,
        applied_at=None,
        cancelled_by=None,
        cancelled_at=None,
        ended_because=None,
        enrollment_word_id=None,
    )


def _evidence(check: IdentityCheck) -> dict[str, str | None]:
    return {
        "check": check.check,
        "kind": CHECKS[check.check].kind,
        "evidence": check.evidence,
        "confirmed_by": check.confirmed_by,
        "passed_at": None if check.passed_at is None else rfc3339(check.passed_at),
    }


def _tell(connection: Connection, deps: Deps, account: Account, reset: Reset, kind: Kind, now: datetime) -> None:
    """Tell the owner, and how to cancel as long as the reset can be cancelled."""
    values: dict[str, Any] = {"schedule": reset_steps.schedule(reset), "meanwhile": reset_steps.meanwhile(reset)}
    if reset.status is not Status.APPROVED:
        values |= cancel_links.add(connection, deps, account, now, reset_id=reset.id)
    notices.tell(connection, deps, account, kind, now, **values)
