"""``python -m services.auth after-restore``, ``… restores`` and ``… journal prune``. Runbook: docs/restore.md."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import IO

import click
from redis.exceptions import RedisError

from services.auth import after_restore
from services.auth.after_restore import Order
from services.auth.console import faults
from services.auth.deps import WorkerDeps
from services.auth.models import RESTORES
from services.auth.sealer import AuditDeps, BrokenChainError
from services.auth.settings import AccountSettings, AuditSettings, WorkerSettings, database_url_from_env
from services.auth.store import timeline
from shared import restores
from shared.clock import rfc3339, system_clock
from shared.clock_check import ServerClock
from shared.database import opened, reading
from shared.hashing import HashingPool
from shared.ids import new_token
from shared.messages import AUTH
from shared.redis_client import connect
from shared.restore_commands import (
    OVERLAP,
    Gap,
    Report,
    options,
    progress,
    read_report,
    require_all_named,
    require_past,
    write_report,
)
from shared.restores import Finding
from shared.signing import Signer

_DATABASES = {"auth", "otp"}


@click.command("after-restore")
@options
@click.option(
    "--passwords",
    type=click.Choice(["keep", "void"]),
    help="Without a journal: let the backup's passwords count, or none. Required then; the owners are told.",
)
@click.option("--although-newer", is_flag=True, help="The restored database was written to before this command ran.")
@click.option("--otp-report", type=click.File(encoding="utf-8"), help="What otp's after-restore has printed: finish.")
def after_restore_command(
    taken_at: datetime,
    restored: tuple[str, ...],
    passwords: str | None,
    otp_report: IO[str] | None,
    *,
    although_newer: bool,
    without: bool,
    despite: bool,
    dry_run: bool,
) -> None:
    """After a restore: end sessions and trust, apply the journal, seal it; then, with otp's report, tell the owners.

    The first call prints a report for otp's command; the second, with --otp-report, prints what was found.
    """
    require_past(taken_at, system_clock)
    is_ours = "auth" in restored
    if is_ours and without and passwords is None:
        raise click.UsageError(
            "--passwords keep or void: decide, for without a journal nobody knows who changed theirs"
        )
    with faults():
        settings, audit_settings = WorkerSettings.from_env(), AuditSettings.from_env()
        entries = Gap(taken_at, without, despite).changes(settings.journal, "AUTH") if is_ours else []
        found = None if otp_report is None else read_report(otp_report, "otp", taken_at)
        void = is_ours and without and passwords == "void"
        nobodys_hash = HashingPool(max_waiting=1, threads=1, patience_seconds=60).hash(new_token()) if void else ""
        order = Order(taken_at, frozenset(restored), entries, passwords if is_ours and without else None, nobodys_hash)
        with opened(settings.database_url) as database:
            redis = connect(settings.stores.state_url)
            # The services' clock: messages of before the restore are told by their time.
            deps = WorkerDeps(settings, database, redis, ServerClock(redis), Signer(AUTH, settings.signing_keys))
            chain = AuditDeps(database, audit_settings.audit_keys, system_clock)
            with reading(database) as connection:
                ours = restores.of_backup(connection, RESTORES, taken_at)
            require_all_named(ours, restored)
            if is_ours and not although_newer and (ours is None or "auth" not in ours.databases):
                _require_restored(deps, taken_at)
            if dry_run:
                for line in after_restore.survey(deps, order):
                    click.echo(line)
                return
            if found is not None:
                found.require_same_restores(ours, "auth", "otp")
            _carry_out(deps, chain, order, found)


def _carry_out(deps: WorkerDeps, chain: AuditDeps, order: Order, found: Report | None) -> None:
    try:
        with progress("accounts and changes") as done:
            restore = after_restore.begin(deps, chain, order, done)
            if found is None:
                if order.restored & _DATABASES:
                    write_report("auth", restore, after_restore.two_factor_by_timeline(deps))
                return
            findings = [Finding(line["account_id"], line["finding"], {}) for line in found.lines]
            everything = after_restore.complete(deps, chain, restore, findings, done, found.restore)
    except BrokenChainError as error:
        raise click.ClickException(f"{error}; run `audit verify`") from error
    except RedisError as error:
        raise click.ClickException(f"Redis does not answer ({type(error).__name__}); call it again") from error
    for kind, count in sorted(Counter(one.kind for one in everything).items()):
        click.echo(f"{kind}: {count} accounts", err=True)
    for one in everything:
        click.echo(json.dumps({"account_id": one.account_id, "finding": one.kind}))


def _require_restored(deps: WorkerDeps, taken_at: datetime) -> None:
    """A database that holds later rows is not the restored one, or somebody writes to it."""
    with reading(deps.database) as connection:
        newest = timeline.newest_at(connection)
    if newest is not None and newest > taken_at + OVERLAP:
        raise click.ClickException(
            f"the timeline has a row of {rfc3339(newest)}, after the backup: is this the restored database, and is the"
            " stack stopped? If it ran since the restore: --although-newer"
        )


@click.command("restores")
def list_restores() -> None:
    """Show the restores that this database has been through, and what was found, one JSON object a line."""
    with faults(), opened(database_url_from_env()) as database, reading(database) as connection:
        for restore in restores.all_of(connection, RESTORES):
            finished = rfc3339(restore.finished_at) if restore.finished_at else None
            facts = {"backup_taken_at": rfc3339(restore.backup_taken_at), "begun_at": rfc3339(restore.begun_at)}
            click.echo(json.dumps({"restore": restore.id, **facts, "finished_at": finished, **restore.options}))
            for one in restores.findings(connection, RESTORES, restore):
                click.echo(json.dumps({"restore": restore.id, "account_id": one.account_id, "finding": one.kind}))


@click.group("journal")
def journal_group() -> None:
    """The security journal (AUTH_JOURNAL)."""


@journal_group.command("prune")
@click.option("--older-than", "days", required=True, type=click.IntRange(min=1), metavar="DAYS")
def prune(days: int) -> None:
    """Drop lines that are older than your oldest backup."""
    with faults():
        journal = AccountSettings.from_env().journal
        if journal is None:
            raise click.UsageError("AUTH_JOURNAL names no file")
        click.echo(f"{journal.prune(datetime.now(UTC) - timedelta(days=days))} lines dropped")
