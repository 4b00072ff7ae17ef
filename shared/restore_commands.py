"""What the ``after-restore`` commands of auth and otp have in common: options, the journal, the reports between them.

The stack is stopped meanwhile, so the services don't ask each other: each prints a report, one JSON object a line, and
the other reads it. A report names accounts and holds no secret.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, Any, TypeVar

import click

from shared.clock import Clock, parse_rfc3339, rfc3339
from shared.journal import Entry, Journal
from shared.problems import Unavailable
from shared.restores import OTHER, Restore, databases_of

# A line from just before the backup may belong to a transaction that committed just after it. Applying a line that the
# backup already holds changes nothing.
OVERLAP = timedelta(minutes=5)

F = TypeVar("F", bound=Callable[..., Any])


def _moment(_context: click.Context, _parameter: click.Parameter, value: str) -> datetime:
    try:
        return parse_rfc3339(value)
    except ValueError:
        raise click.BadParameter("not a time with a zone (RFC 3339), as in 2026-11-24T05:00:00Z") from None


def options(command: F) -> F:
    """Add the options that both commands have."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing."),
        click.option(
            "--despite-journal-faults", "despite", is_flag=True, help="Use the lines of the journal that can be read."
        ),
        click.option("--without-journal", "without", is_flag=True, help="There is no journal of the gap."),
        click.option(
            "--restored",
            required=True,
            multiple=True,
            type=click.Choice(["auth", "otp", "redis"]),
            help="What was set back: a database, or Redis. Name each.",
        ),
        click.option(
            "--backup-taken-at",
            "taken_at",
            required=True,
            callback=_moment,
            help="When the backup was begun (RFC 3339). Of several, the oldest.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Gap:
    """The time that a restore has lost, and how much of it the journal is to make up for."""

    taken_at: datetime
    without: bool
    despite: bool

    def changes(self, journal: Journal | None, name: str) -> list[Entry]:
        """The journal's entries of the gap. Raises click.ClickException when the journal does not cover it."""
        if self.without:
            return []
        if journal is None:
            raise click.UsageError(f"{name}_JOURNAL names no file; --without-journal, if there is none")
        try:
            reading = journal.read()
        except OSError as error:
            raise click.ClickException(f"the journal can't be read ({error.strerror}); --without-journal?") from error
        for fault in reading.faults:
            click.echo(f"journal: {fault}", err=True)
        if reading.faults and not self.despite:
            raise click.ClickException("the journal is not whole; --despite-journal-faults uses what can be read")
        if reading.begins_at is None or reading.begins_at > self.taken_at:
            begins = "is empty" if reading.begins_at is None else f"begins at {rfc3339(reading.begins_at)}"
            raise click.ClickException(f"the journal {begins}, so it lacks changes since the backup; --without-journal")
        if reading.skipped:
            click.echo(f"journal: {reading.skipped} lines were left half written, and are skipped", err=True)
        click.echo(f"journal: its last line is {reading.end}; compare with the log's newest `journal` line", err=True)
        return [entry for entry in reading.entries if entry.at > self.taken_at - OVERLAP]


def require_past(taken_at: datetime, clock: Clock) -> None:
    """Raises click.UsageError for a backup of the future."""
    if taken_at > clock():
        raise click.UsageError(f"--backup-taken-at {rfc3339(taken_at)} is in the future")


def require_all_named(ours: Restore | None, restored: Iterable[str]) -> None:
    """Check that the call names every database of an unfinished restore: else steps of that one would be left out.

    A call for Redis alone may come in between, because it finishes no restore of a database.
    Raises click.ClickException.
    """
    named = databases_of(restored)
    if ours is None or not named or ours.unfinished_databases <= named:
        return
    every = " ".join(f"--restored {name}" for name in sorted({*restored, *ours.unfinished_databases}))
    raise click.ClickException(
        f"an earlier call for this backup named more, and is unfinished: use {every}; nothing was changed"
    )


@dataclass(frozen=True, slots=True)
class Report:
    """The other service's report. ``other_restore``: the id of this service's restore, if the other one knows it."""

    restore: str
    other_restore: str | None
    lines: list[dict[str, Any]]

    def require_same_restores(self, ours: Restore | None, us: str, them: str) -> None:
        """Check that neither database was put back once more after the other service finished its restore.

        A restore is known by the time of its backup, so the finished service would not compare the databases again.
        Raises click.ClickException.
        """
        our_id, known = (None, None) if ours is None else (ours.id, ours.options.get(OTHER))
        if self.other_restore not in {None, our_id}:
            once_more = us
        elif known not in {None, self.restore}:
            once_more = them
        else:
            return
        raise click.ClickException(
            f"{once_more}'s database was put back once more since this restore was finished: call all commands again"
            " with an earlier --backup-taken-at (a second is enough)"
        )


def write_report(service: str, restore: Restore, lines: Iterable[Mapping[str, Any]]) -> None:
    """Print a report: a first line with the service and the restore, then the lines, then an end line."""
    count = 0
    about = {"report": service, "backup_taken_at": rfc3339(restore.backup_taken_at)}
    click.echo(json.dumps({**about, "restore": restore.id, OTHER: restore.options.get(OTHER)}))
    for line in lines:
        click.echo(json.dumps(line, default=rfc3339))
        count += 1
    click.echo(json.dumps({"end": count}))


def read_report(file: IO[str], service: str, taken_at: datetime) -> Report:
    """A whole report about this backup. Raises click.ClickException."""
    about = {"report": service, "backup_taken_at": rfc3339(taken_at)}
    try:
        first, *lines, last = [json.loads(line) for line in file if line.strip()]
        report = Report(first.pop("restore"), first.pop(OTHER), lines)
        fits = first == about and last == {"end": len(lines)}
    except (ValueError, TypeError, LookupError, AttributeError):
        fits = False
    if not fits:
        raise click.ClickException(f"that is no whole report of {service} about the backup of {rfc3339(taken_at)}")
    return report


@contextmanager
def progress(label: str) -> Iterator[Callable[[int], None]]:
    """A count of what was done, on stderr, where that is a terminal."""
    done = 0

    def update(rows: int) -> None:
        nonlocal done
        done += rows
        if sys.stderr.isatty():
            click.echo(f"\r{label}: {done}", nl=False, err=True)

    try:
        yield update
    except Unavailable as error:
        raise click.ClickException(f"{error.reason} takes too long; call it again, it goes on") from error
    finally:
        if sys.stderr.isatty() and done:
            click.echo(err=True)
