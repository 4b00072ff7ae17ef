"""What a restore from a backup left behind: one row a restore, and what was found of each account.

The rows are in the restored database itself. A database that is restored once more from the same backup has lost them,
so all steps are done again. Each service also keeps the id of the other service's restore, so that it notices when the
other database alone was restored once more.

While a restore is unfinished, no service of that database may start.

Messages that were recorded before a restore may be delivered after it. A table says which of them are then void.
"""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import JSON, Column, Connection, Engine, MetaData, String, Table, delete, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.clock import rfc3339
from shared.database import UtcDateTime, reading
from shared.dialects import insert_for
from shared.ids import new_id
from shared.messages import (
    AUTH,
    OTP,
    AuthenticatorEnrolled,
    AuthenticatorsReinstated,
    AuthenticatorsSuspended,
    Message,
    NoticeNotSent,
    OpenThingsEnded,
    RecordReceipt,
    RecoveryCodeSpent,
    RecoveryCodesRegenerated,
    SecondFactorLocked,
    SendEmailNotice,
    SendSmsCode,
    SendSmsNotice,
    SessionEnded,
    SmsDeliveryChanged,
    TwoFactorDisabled,
    TwoFactorResetApplied,
    TwoFactorResetApprovalLapsed,
    TwoFactorResetApproved,
    TwoFactorResetCoolOffEnded,
    TwoFactorResetFoundNothing,
)
from shared.problems import Unavailable

FINISHED = "this restore is finished; a Redis that was put back since is cleared, and nothing else is done"
OTHER = "other_restore"  # of the options: the id of the other service's restore
# Of the options, where a restore was begun again: the databases whose steps were not all done then.
_LEFT = "left"

_NONE: frozenset[str] = frozenset()
# message -> the databases whose restore voids what the message gives, if the message was recorded before the restore.
# To give is to remove a factor, to accept a suspended one again, or to let an account enroll without a word. What a
# message ends, refuses or records is never void.
VOID_AFTER_RESTORE_OF: Mapping[type[Message], frozenset[str]] = {
    # Where auth's database was restored, its reset is void. Where otp's was, the owner's code that ends it may be lost.
    TwoFactorResetApproved: frozenset({AUTH, OTP}),
    AuthenticatorsSuspended: _NONE,
    # What a void reset had suspended is suspended for the restore, and no event of that reset reinstates it.
    AuthenticatorsReinstated: _NONE,
    SessionEnded: _NONE,
    OpenThingsEnded: _NONE,
    # The reset's own row decides, and auth's restore has ended it there.
    TwoFactorResetCoolOffEnded: _NONE,
    TwoFactorResetApprovalLapsed: _NONE,
    # otp may hold what it held before this happened.
    AuthenticatorEnrolled: frozenset({OTP}),
    TwoFactorDisabled: frozenset({OTP}),
    TwoFactorResetApplied: frozenset({OTP}),
    TwoFactorResetFoundNothing: frozenset({OTP}),
    RecoveryCodeSpent: _NONE,
    RecoveryCodesRegenerated: _NONE,
    SecondFactorLocked: _NONE,
    SmsDeliveryChanged: _NONE,
    NoticeNotSent: _NONE,
    # notify has no database. otp's restore deletes the texts of codes, and what notices link to is void by its own row.
    SendSmsCode: _NONE,
    SendSmsNotice: _NONE,
    SendEmailNotice: _NONE,
    RecordReceipt: _NONE,
}

# The option with which a service's last command reads the other service's report.
_REPORTS = {AUTH: "--otp-report", OTP: "--auth-report"}

log = structlog.get_logger("restores")


class RestoreUnfinished(Unavailable):
    """A restore was begun, and its last command has not run."""

    def __init__(self, restore: "Restore") -> None:
        super().__init__("restore")
        self.restore = restore


@dataclass(frozen=True, slots=True)
class RestoreTables:
    """The two tables that each service with a database has."""

    restores: Table
    findings: Table


@dataclass(frozen=True, slots=True)
class Restore:
    """One restore as it is worked through. ``options``: what the operator decided; ``finished_at``: None until then."""

    id: str
    backup_taken_at: datetime
    begun_at: datetime
    finished_at: datetime | None
    options: dict[str, Any]

    @property
    def databases(self) -> frozenset[str]:
        """The databases that it is about. Redis is none: a mark in Redis says what is done there."""
        return databases_of(self.options["restored"])

    @property
    def unfinished_databases(self) -> frozenset[str]:
        """The databases whose steps are not all done."""
        return frozenset(self.options.get(_LEFT, self.databases)) if self.finished_at is None else _NONE

    def covers(self, restored: Collection[str]) -> bool:
        """Whether it is about each of these databases."""
        return databases_of(restored) <= self.databases

    def is_finished_for(self, restored: Collection[str]) -> bool:
        """Whether a call that names these parts leaves the databases as they are."""
        return self.finished_at is not None and self.covers(restored)


@dataclass(frozen=True, slots=True)
class Finding:
    """What concerns one account: a word for the kind, and details without secrets."""

    account_id: str
    kind: str
    details: dict[str, Any]


def databases_of(restored: Iterable[str]) -> frozenset[str]:
    """The databases among the parts that were restored."""
    return frozenset(restored) - {"redis"}


def restore_tables(metadata: MetaData) -> RestoreTables:
    """Declare them on a service's metadata."""
    restores = Table(
        "restores",
        metadata,
        Column("id", String(40), primary_key=True),
        Column("backup_taken_at", UtcDateTime, nullable=False, unique=True),
        Column("begun_at", UtcDateTime, nullable=False),
        Column("finished_at", UtcDateTime, nullable=True),
        Column("options", JSON, nullable=False),
    )
    findings = Table(
        "restore_findings",
        metadata,
        Column("restore_id", String(40), primary_key=True),
        Column("account_id", String(80), primary_key=True),
        Column("kind", String(40), primary_key=True),
        Column("details", JSON, nullable=False),
    )
    return RestoreTables(restores, findings)


def of_backup(connection: Connection, tables: RestoreTables, backup_taken_at: datetime) -> Restore | None:
    """The restore of that backup, begun or finished."""
    table = tables.restores
    row = connection.execute(select(table).where(table.c.backup_taken_at == backup_taken_at)).one_or_none()
    return None if row is None else Restore(*row)


def begin(
    connection: Connection, tables: RestoreTables, backup_taken_at: datetime, options: dict[str, Any], now: datetime
) -> Restore:
    """Begin it, or find it where an earlier run has begun it.

    A restore is begun again when ``options["restored"]`` names a database more than before. The findings of a finished
    restore are deleted, because the owners have been told; what still holds is found again.
    """
    found = of_backup(connection, tables, backup_taken_at)
    if found is None:
        found = Restore(new_id("rto"), backup_taken_at, now, None, options)
        values = {
            "id": found.id,
            "backup_taken_at": backup_taken_at,
            "begun_at": now,
            "finished_at": None,
            "options": options,
        }
        connection.execute(insert(tables.restores).values(values))
    elif not found.covers(options["restored"]):
        left = sorted(found.unfinished_databases | databases_of(options["restored"]))
        options = {**options, "restored": sorted({*options["restored"], *found.options["restored"]}), _LEFT: left}
        if found.finished_at is not None:
            connection.execute(delete(tables.findings).where(tables.findings.c.restore_id == found.id))
        found = replace(found, begun_at=now, finished_at=None, options=options)
        again = update(tables.restores).where(tables.restores.c.id == found.id)
        connection.execute(again.values(begun_at=now, finished_at=None, options=options))
    return found


def all_of(connection: Connection, tables: RestoreTables) -> list[Restore]:
    """Every restore of this database, oldest first."""
    table = tables.restores
    return [Restore(*row) for row in connection.execute(select(table).order_by(table.c.begun_at))]


def is_void(connection: Connection, tables: RestoreTables, message: Message) -> bool:
    """Whether what the message gives is void, because a database of its row was restored after it was recorded."""
    databases = VOID_AFTER_RESTORE_OF[type(message)]
    if not databases:
        return False
    table = tables.restores
    since = select(table.c.options).where(table.c.begun_at >= message.occurred_at)
    return any(databases.intersection(options["restored"]) for options in connection.execute(since).scalars())


def note_other(connection: Connection, tables: RestoreTables, restore: Restore, other_id: str | None) -> None:
    """Keep the id of the other service's restore that this one was compared with."""
    this = update(tables.restores).where(tables.restores.c.id == restore.id)
    connection.execute(this.values(options={**restore.options, OTHER: other_id}))


def require_finished(database: Engine, tables: RestoreTables) -> None:
    """Check that no restore is unfinished. Raises RestoreUnfinished, and store errors."""
    table = tables.restores
    oldest = select(table).where(table.c.finished_at.is_(None)).order_by(table.c.backup_taken_at).limit(1)
    with reading(database) as connection:
        row = connection.execute(oldest).one_or_none()
    if row is not None:
        raise RestoreUnfinished(Restore(*row))


def exit_while_unfinished(database: Engine, tables: RestoreTables, service: str) -> None:
    """End a starting process while a restore is unfinished. Raises SystemExit.

    A database that does not answer does not end the process, because nobody can sign in without it.
    """
    try:
        require_finished(database, tables)
    except RestoreUnfinished as unfinished:
        taken_at = rfc3339(unfinished.restore.backup_taken_at)
        is_of_redis = not unfinished.restore.databases
        rest = f"--backup-taken-at {taken_at} --restored redis" if is_of_redis else f"… {_REPORTS[service]} FILE"
        command = f"python -m services.{service} after-restore {rest}"
        sys.exit(f"the restore of the backup of {taken_at} is unfinished: run `{command}` (docs/restore.md)")
    except (DBAPIError, PoolTimeoutError) as error:
        log.warning("unfinished restores not checked", cause=type(error).__name__)


def finish(connection: Connection, tables: RestoreTables, restore: Restore, now: datetime) -> bool:
    """Note that all is done; False when it was noted already.

    An unfinished restore with a later backup time, of the same parts or some of them, is finished with this one.
    """
    table = tables.restores
    later = select(table).where(table.c.finished_at.is_(None), table.c.backup_taken_at > restore.backup_taken_at)
    unfinished = [Restore(*row) for row in connection.execute(later)]
    parts = set(restore.options["restored"])
    covered = [one.id for one in unfinished if set(one.options["restored"]) <= parts]
    connection.execute(update(table).where(table.c.id.in_(covered)).values(finished_at=now))
    this = update(table).where(table.c.id == restore.id, table.c.finished_at.is_(None))
    return connection.execute(this.values(finished_at=now)).rowcount == 1


def find(connection: Connection, tables: RestoreTables, restore: Restore, findings: Iterable[Finding]) -> None:
    """Keep what was found; the same finding twice is kept once."""
    rows = [
        {"restore_id": restore.id, "account_id": one.account_id, "kind": one.kind, "details": one.details}
        for one in findings
    ]
    if rows:
        connection.execute(insert_for(connection, tables.findings).on_conflict_do_nothing(), rows)


def findings(
    connection: Connection, tables: RestoreTables, restore: Restore, account_ids: Sequence[str] | None = None
) -> list[Finding]:
    """What was found in it, of these accounts or of all."""
    table = tables.findings
    query = select(table.c.account_id, table.c.kind, table.c.details).where(table.c.restore_id == restore.id)
    if account_ids is not None:
        query = query.where(table.c.account_id.in_(account_ids))
    return [Finding(*row) for row in connection.execute(query.order_by(table.c.account_id, table.c.kind))]
