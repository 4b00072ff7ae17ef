"""docs/reliability.md: the promises are written by hand, the figures beside them by a run."""

from collections.abc import Sequence

from tests.faults.ledger import Figures

FIRST_FIGURE = 2  # after the fault and the promise


def with_figures(text: str, lines: Sequence[Figures]) -> str:
    """The document with these figures in their rows. Raises LookupError when a fault has no row."""
    cells = {line.name: _cells(line) for line in lines}
    rows = []
    for row in text.splitlines():
        fault, *_ = parts = [part.strip() for part in row.strip("|").split("|")]
        figures = cells.pop(fault, None)
        rows.append(row if figures is None else f"| {' | '.join([*parts[:FIRST_FIGURE], *figures])} |")
    if cells:
        raise LookupError(f"no row for {', '.join(map(repr, cells))}")
    return "\n".join(rows) + "\n"


def _cells(line: Figures) -> list[str]:
    return [
        f"{line.calls} / {line.passes}",
        str(line.unavailable),
        f"{line.cut} / {line.spent_unanswered}",
        f"{line.refused} / {line.without_factor}",
        str(line.lost),
        f"{line.sms} / {line.sms_twice} ({line.sms_twice_by_death})",
        f"{line.events_lost} / {line.events_twice}",
        str(line.errors),
        f"{line.slowest_seconds:.1f}",
        f"{line.recovery_seconds:.1f}",
    ]
