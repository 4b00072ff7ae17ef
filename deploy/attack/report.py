"""What the probes found: one table for people, one file for programs."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from deploy.attack.run import Result, Verdict

_STYLES = {Verdict.HELD: "green", Verdict.HOLE: "bold red", Verdict.SKIPPED: "yellow", Verdict.BROKEN: "bold magenta"}


def table_of(results: Sequence[Result], title: str) -> Table:
    """Row, probe, attack, reference, what was tried, tries, verdict."""
    table = Table(title=title, show_lines=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("attack", ratio=4)
    table.add_column("reference", ratio=3)
    table.add_column("what was tried", ratio=6)
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for result in results:
        probe, style = result.probe, _STYLES[result.verdict]
        said = f"\n[{style}]{escape(result.said)}[/]" if result.said else ""
        table.add_row(
            str(probe.row),
            f"{escape(probe.attack)}\n[dim]{escape(probe.name)}[/]",
            escape(probe.reference),
            f"{escape(result.tried)}{said}".strip(),
            str(result.tries) if result.tries else "–",
            f"[{style}]{result.verdict}[/]",
        )
    return table


def summary_of(results: Sequence[Result]) -> str:
    """One sentence."""
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    tries = sum(result.tries for result in results)
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    return f"{len(results)} attacks, {tries} tries: {', '.join(parts)}."


def write_report(path: Path, results: Sequence[Result]) -> None:
    """The same as JSON."""
    rows = [
        {
            "row": result.probe.row,
            "name": result.probe.name,
            "verdict": result.verdict,
            "tries": result.tries,
            "tried": result.tried,
            "said": result.said,
            "seconds": round(result.seconds, 1),
        }
        for result in results
    ]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
