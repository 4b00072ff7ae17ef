"""``python -m services.otp after-restore`` and ``… journal prune``. Runbook: docs/restore.md."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import IO

import click
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.otp import after_restore
from services.otp.after_restore import Order
from services.otp.domain.reconciliation import Told
from services.otp.models import RESTORES
from services.otp.settings import RestoreSettings, WorkerSettings
from services.otp.worker_deps import WorkerDeps
from shared import restores
from shared.clock import parse_rfc3339, system_clock
from shared.clock_check import ServerClock
from shared.database import opened, reading
from shared.messages import OTP
from shared.redis_client import connect
from shared.restore_commands import Gap, options, progress, read_report, require_all_named, require_past, write_report
from shared.restores import Restore
from shared.signing import Signer


@click.command("after-restore")
@options
@click.option(
    "--recovery-codes",
    "codes",
    type=click.Choice(["keep", "void"]),
    help="Backup codes issued before the backup. Required where otp's database was restored; the owners are told.",
)
@click.option(
    "--auth-report",
    type=click.File(encoding="utf-8"),
    help="What auth's after-restore has printed. Required where a database was restored.",
)
@click.option(
    "--lost-key",
    "lost_keys",
    multiple=True,
    metavar="ID",
    help="A key of OTP_SECRET_KEYS that nobody has any more. What is sealed under it is revoked. Name each.",
)
def after_restore_command(
    taken_at: datetime,
    restored: tuple[str, ...],
    codes: str | None,
    auth_report: IO[str] | None,
    lost_keys: tuple[str, ...],
    *,
    without: bool,
    despite: bool,
    dry_run: bool,
) -> None:
    """After a restore: end what was open, apply the journal, refuse used codes, compare with auth. Prints a report."""
    require_past(taken_at, system_clock)
    if "otp" in restored and codes is None:
        raise click.UsageError("--recovery-codes keep or void: decide")
    if set(restored) & {"auth", "otp"} and auth_report is None:
        raise click.UsageError("--auth-report: call auth's after-restore first")
    settings = RestoreSettings.from_env()
    key_ids = frozenset(key.id for key in settings.secret_keys)
    for key_id in key_ids.intersection(lost_keys):
        raise click.UsageError(f"--lost-key: {key_id} is in OTP_SECRET_KEYS")
    report = None if auth_report is None else read_report(auth_report, "auth", taken_at)
    told, auth_restore = ({}, None) if report is None else (_told(report.lines), report.restore)
    entries = Gap(taken_at, without, despite).changes(settings.journal, "OTP") if "otp" in restored else []
    order = Order(
        taken_at, frozenset(restored), codes == "keep", entries, told, auth_restore, lost_keys=frozenset(lost_keys)
    )
    try:
        with opened(settings.database_url.reveal()) as database:
            redis = connect(settings.stores.state_url)
            # The services' clock: messages of before the restore are told by their time.
            deps = WorkerDeps(database, redis, ServerClock(redis), Signer(OTP, settings.signing_keys))
            earlier = _ours(database, taken_at)
            require_all_named(earlier, restored)
            if report is not None:
                report.require_same_restores(earlier, "otp", "auth")
            lacking = after_restore.lacking_keys(deps, order, key_ids)
            if dry_run:
                for line in (*_without_key(lacking), *after_restore.survey(deps, order)):
                    click.echo(line)
                return
            _require_keys(lacking, order.lost_keys)
            with progress("accounts and changes") as done:
                findings = after_restore.carry_out(deps, order, done)
            ours = _ours(database, taken_at)
    except (DBAPIError, PoolTimeoutError, RedisError) as error:
        raise click.ClickException(f"a store failed ({type(error).__name__}); call it again, it goes on") from None
    for kind, count in sorted(Counter(one.kind for one in findings).items()):
        click.echo(f"{kind}: {count} accounts", err=True)
    if ours is not None:
        write_report("otp", ours, ({"account_id": one.account_id, "finding": one.kind} for one in findings))


def _require_keys(lacking: Mapping[str, int], lost: Collection[str]) -> None:
    """Raises click.ClickException for a key that is lacking and not given up."""
    missing = {key_id: count for key_id, count in lacking.items() if key_id not in lost}
    if missing:
        raise click.ClickException(
            f"{'; '.join(_without_key(missing))}: put it back behind the first key, or, if nobody has it, use"
            " --lost-key; nothing was changed"
        )


def _without_key(lacking: Mapping[str, int]) -> list[str]:
    return [
        f"OTP_SECRET_KEYS lacks key {key_id}, which holds the secrets of {count} account{'s' * (count > 1)}"
        for key_id, count in sorted(lacking.items())
    ]


def _ours(database: Engine, taken_at: datetime) -> Restore | None:
    with reading(database) as connection:
        return restores.of_backup(connection, RESTORES, taken_at)


def _told(lines: list[dict[str, str]]) -> dict[str, Told]:
    return {line["account_id"]: Told(line["two_factor"] == "on", parse_rfc3339(line["at"])) for line in lines}


@click.group("journal")
def journal_group() -> None:
    """The security journal (OTP_JOURNAL)."""


@journal_group.command("prune")
@click.option("--older-than", "days", required=True, type=click.IntRange(min=1), metavar="DAYS")
def prune(days: int) -> None:
    """Drop lines that are older than your oldest backup."""
    journal = WorkerSettings.from_env().journal
    if journal is None:
        raise click.UsageError("OTP_JOURNAL names no file")
    click.echo(f"{journal.prune(datetime.now(UTC) - timedelta(days=days))} lines dropped")
