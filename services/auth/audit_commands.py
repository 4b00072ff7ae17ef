"""``python -m services.auth audit verify | export | prune | erase``.

They need AUTH_DATABASE_URL and AUTH_AUDIT_KEYS. What is asked for goes to stdout, progress and the rest to stderr.
"""

import csv
import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import click

from services.auth import audit, journaled
from services.auth.console import faults
from services.auth.sealer import AuditDeps, BrokenChainError
from services.auth.settings import AuditSettings
from shared.clock import rfc3339, system_clock
from shared.database import opened

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


@click.group("audit")
def audit_group() -> None:
    """Check, export, shorten and clear the timeline's audit chain."""


@contextmanager
def _deps() -> Iterator[AuditDeps]:
    with faults():
        settings = AuditSettings.from_env()
        with opened(settings.database_url) as database:
            journaled.keep(database, settings.journal, system_clock)
            try:
                yield AuditDeps(database, settings.audit_keys, system_clock)
            except BrokenChainError as error:
                raise click.ClickException(f"{error}; run `audit verify`") from error


@contextmanager
def _progress(deps: AuditDeps, label: str) -> Iterator[audit.Progress]:
    """A bar on stderr, where that is a terminal."""
    rows = audit.length(deps)
    with click.progressbar(length=rows, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield bar.update


def _anchors(file: Path | None) -> dict[int, str]:
    lines = file.read_text(encoding="ascii").split() if file is not None and file.exists() else []
    kept: dict[int, str] = {}
    for line in lines:
        number, _, mac = line.partition(":")
        if not number.isdecimal() or not mac:
            raise click.UsageError(f"{file} has a line that is no anchor")
        if kept.setdefault(int(number), mac) != mac:
            raise click.ClickException(f"{file} has two seals for row {number}")
    return kept


@audit_group.command()
@click.option(
    "--anchors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of ends that the chain has had: each must still be in it. A run without fault adds the present one.",
)
def verify(anchors: Path | None) -> None:
    """Check every row. Faults, the first bad row first, and exit code 1; or one line, and 0."""
    with _deps() as deps:
        kept = _anchors(anchors)
        with _progress(deps, "verifying") as progress:
            verdict = audit.verify(deps, kept, progress)
        if verdict.unsealed:
            click.echo(f"note: {verdict.unsealed} rows wait for their seal; if they stay, no worker runs", err=True)
        for restore in verdict.restores:
            moments = f"{rfc3339(restore.at)}, backup of {rfc3339(restore.backup_taken_at)}"
            click.echo(f"restored at {moments}: the chain went on from {restore.sequence} with {restore.resumes_at}")
        if verdict.explained:
            click.echo(f"{verdict.explained} kept anchors are of rows that were lost in a restore")
        if verdict.faults:
            for fault in verdict.faults:
                click.echo(str(fault))
            raise click.ClickException("the audit chain is broken")
        head, checkpoint = verdict.head, verdict.checkpoint
        pruned = f", pruned up to {checkpoint.sequence} on {rfc3339(checkpoint.at)}" if checkpoint else ""
        end = head.text if head else "nothing yet"
        click.echo(f"ok: {verdict.rows} rows, {verdict.erased} of them erased{pruned}; the chain ends at {end}")
        if anchors is not None and head is not None and head.sequence not in kept:
            with anchors.open("a", encoding="ascii") as file:
                file.write(head.text + "\n")


def _utc(_context: click.Context, _parameter: click.Parameter, value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


@audit_group.command()
@click.option("--since", required=True, type=_MOMENT, callback=_utc, help="UTC, by when it happened.")
@click.option("--until", type=_MOMENT, callback=_utc, help="UTC; what happened then is no longer in it.")
@click.option("--account", "account_id", help="Only this account's rows.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--without-personal-data", "without", is_flag=True, help="No IP addresses, browsers and phone hints.")
def export(since: datetime, until: datetime | None, account_id: str | None, form: str, *, without: bool) -> None:
    """Write sealed rows to stdout, in the order of the chain."""
    with _deps() as deps, _progress(deps, "exporting") as progress:
        rows = (audit.document(row) for row in audit.export(deps, since, until, account_id, progress))
        if without:
            rows = (row | {"ip": None, "personal": None} for row in rows)
        write = _write_jsonl if form == "jsonl" else _write_csv
        write(rows, sys.stdout)


def _write_jsonl(rows: Iterator[dict[str, Any]], out: IO[str]) -> None:
    for row in rows:
        out.write(json.dumps(row, default=rfc3339) + "\n")


def _write_csv(rows: Iterator[dict[str, Any]], out: IO[str]) -> None:
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(out, list(row))
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in row.items()})


# What a spreadsheet takes for a formula, also behind blanks or in full width.
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def _cell(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A value as CSV: documents as JSON, and no text that a spreadsheet would take for a formula."""
    if isinstance(value, dict):
        return json.dumps(value)
    text = rfc3339(value) if isinstance(value, datetime) else value
    return f"'{text}" if isinstance(text, str) and _FORMULA.match(text) else text


@audit_group.command()
@click.option("--older-than", "days", required=True, type=click.IntRange(min=1), metavar="DAYS")
def prune(days: int) -> None:
    """Delete the oldest rows; a signed checkpoint stays, so that the rest still verifies.

    Rows that the reset policy still reads cannot be deleted: those of the last 30 days, unless settings say otherwise.
    """
    with faults():
        needed = AuditSettings.from_env().reset_times.looks_back
    if timedelta(days=days) < needed:
        raise click.UsageError(
            f"the reset policy reads the rows of the last {math.ceil(needed / timedelta(days=1))} days"
        )
    with _deps() as deps, _progress(deps, "pruning") as bar:
        deleted = 0

        def progress(rows: int) -> None:
            nonlocal deleted
            deleted += rows
            bar(rows)

        checkpoint = audit.prune(deps, timedelta(days=days), progress)
    at = f"; the chain begins behind {checkpoint.text}" if checkpoint else ""
    click.echo(f"{deleted} rows deleted{at}")


@audit_group.command()
@click.option("--account", "account_id", required=True, help="Whose personal data to erase.")
def erase(account_id: str) -> None:
    """Erase IP addresses, browsers and phone hints of one person from the timeline; the rows stay, and verify."""
    with _deps() as deps, _progress(deps, "erasing") as progress:
        erased = audit.erase(deps, account_id, progress)
    if erased is None:
        raise click.ClickException(f"there is no account {account_id!r}")
    click.echo(f"personal data of {account_id} erased from {erased} rows")
