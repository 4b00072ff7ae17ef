"""Why an account's owner can't get in: the facts, read within bounds. domain/diagnosis.py has the causes.

What is read costs the same however much was tried: a page of otp's attempts, and the newest entries of each kind.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.auth import holds
from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.domain.diagnosis import Finding, diagnose
from services.auth.domain.diagnosis_facts import Code, Facts, Password, RefusedText, Text
from services.auth.domain.hold import Hold
from services.auth.otp_client import TwoFactorState
from services.auth.store import timeline
from services.auth.store.timeline import Entry, TimelineRow
from shared.clock import parse_rfc3339
from shared.database import reading

EVIDENCE_LASTS = timedelta(days=7)  # what was tried before says little of today
# A day has room for 50 wrong codes from new browsers and for as many wrong passwords, and for 20 texts.
CODES_READ, PASSWORDS_READ, TEXTS_READ = 100, 200, 100  # otp gives 100 at once

_PASSWORDS = (Entry.PASSWORD_ACCEPTED, Entry.PASSWORD_REFUSED)
_TEXTS = (Entry.SMS_REQUESTED, Entry.SMS_REFUSED, Entry.SMS_DELIVERY)
_LOGINS = ("login", "step_up")  # the purposes of a second factor


def of_account(
    deps: Deps, account: Account, two_factor: TwoFactorState, held_out: tuple[Hold, ...]
) -> tuple[Finding, ...]:
    """What keeps the owner of this account out, by its state and holds. Raises Unavailable."""
    since = deps.clock() - EVIDENCE_LASTS
    with reading(deps.database) as connection:
        logins = timeline.newest_of_types(connection, account.id, [Entry.SIGNED_IN], limit=1)
        passwords = timeline.newest_of_types(connection, account.id, _PASSWORDS, limit=PASSWORDS_READ)
        texts = timeline.newest_of_types(connection, account.id, _TEXTS, limit=TEXTS_READ)
    tried = deps.otp.attempts(account.id, limit=CODES_READ)["items"]
    hint = None if account.phone is None else account.phone.masked()
    return diagnose(
        Facts(
            is_on=two_factor.enabled,
            is_suspended=two_factor.suspended,
            must_enroll=account.enrollment_prompted,
            backup_codes=two_factor.recovery_codes_remaining,
            phone_hint=hint,
            factor_since=_factor_since(two_factor),
            failures_of_strangers=two_factor.strangers_failures,
            failures_in_all=two_factor.consecutive_failures,
            holds=held_out,
            last_login_at=logins[0].at if logins else None,
            passwords=tuple(_password(row) for row in passwords if row.at > since),
            codes=tuple(code for one in tried if (code := _code(one)).at > since),
            texts=_texts([row for row in texts if row.at > since], hint),
            refused_texts=tuple(
                RefusedText(row.at, row.details.get("cause"))
                for row in texts
                if row.type == Entry.SMS_REFUSED and row.at > since and _is_to(row, hint)
            ),
        )
    )


def own(deps: Deps, account: Account) -> tuple[Finding, ...]:
    """The same for the owner. Raises Unavailable."""
    two_factor = deps.otp.state(account.id)
    return of_account(
        deps, account, two_factor, holds.of_account(deps, account, two_factor, deps.otp.throttles(account.id))
    )


def _factor_since(two_factor: TwoFactorState) -> datetime | None:
    confirmed = [parse_rfc3339(one["confirmed_at"]) for one in two_factor.authenticators if one.get("confirmed_at")]
    return max(confirmed, default=None)


def _password(row: TimelineRow) -> Password:
    return Password(row.at, row.type == Entry.PASSWORD_ACCEPTED, row.ip, row.details.get("challenge_id"))


def _code(attempt: dict[str, Any]) -> Code:
    return Code(
        at=parse_rfc3339(attempt["at"]),
        purpose=attempt.get("purpose") or "",
        outcome=attempt["outcome"],
        factor=attempt.get("factor"),
        reason=attempt.get("reason"),
        clock_skew_seconds=attempt.get("clock_skew_seconds"),
        challenge_id=attempt.get("challenge_id"),  # otp of the previous release does not send it
    )


def _texts(rows: Sequence[TimelineRow], hint: str | None) -> tuple[Text, ...]:
    """The texts of a second factor to the phone that the account has, each with its newest report."""
    reports: dict[str, TimelineRow] = {}
    for row in rows:
        if row.type == Entry.SMS_DELIVERY:
            reports.setdefault(row.details["message_id"], row)
    return tuple(
        _text(row, reports.get(row.details["message_id"]))
        for row in rows
        if row.type == Entry.SMS_REQUESTED and _is_to(row, hint)
    )


def _is_to(row: TimelineRow, hint: str | None) -> bool:
    """Whether it is of a login or step-up by this phone; an erased entry names none."""
    return row.details.get("purpose") in _LOGINS and hint is not None and row.details.get("phone_hint") == hint


def _text(row: TimelineRow, report: TimelineRow | None) -> Text:
    expires_at = parse_rfc3339(row.details["expires_at"])
    if report is None:
        return Text(row.at, expires_at)
    return Text(row.at, expires_at, report.details["status"], report.at, report.details.get("reason"))
