"""The ledger of a run: every call, every code, every SMS, and what the databases hold; figures() counts the invariants.

Nothing here touches a process: what is counted can be tested by handing in what must be found.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

CUT = 0  # the status of a call that was never answered
CODE_TEXT = "(ref "  # stands in the text of a code, and in no notice
NOBODY = -1  # the status of a call that found no one to take it


class Fate(StrEnum):
    """What became of a good code in the end."""

    PASSED = "passed"
    # Refused, though it was good and no earlier try of it was left unanswered: 503 promised that it was not used.
    REFUSED = "refused"
    # Refused after a try that was never answered (its process was killed): it was used, and nobody heard of it.
    SPENT = "spent"
    # Its SMS never came while the code lived.
    NEVER_CAME = "never came"
    # Neither passed nor refused before the run was over.
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call; times are monotonic seconds."""

    what: str
    account: str
    at: float
    seconds: float
    status: int
    code: str | None = None
    retry_after: str | None = None
    part: str | None = None  # which part a 503 says is away


@dataclass(slots=True)
class Code:
    """A code that somebody entered. ``good``: it had to be let in."""

    account: str
    factor: str
    digits: str
    good: bool
    statuses: list[int] = field(default_factory=list)
    fate: Fate = Fate.OPEN


@dataclass(slots=True)
class Asked:
    """An SMS that the gateway promised with 202. ``wanted``: the provider will take it in the end."""

    account: str
    phone: str
    message_id: str
    reference: str
    at: float


@dataclass(frozen=True, slots=True)
class Text:
    """An SMS that the provider has taken."""

    to: str
    body: str
    at: float


@dataclass(frozen=True, slots=True)
class Row:
    """A line of an account's timeline, with the one detail that tells its occasion apart."""

    account: str
    type: str
    detail: str = ""
    factors: tuple[str, ...] = ()


class Ledger:
    """What the users saw."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.codes: list[Code] = []
        self.asked: list[Asked] = []
        self.without_factor: list[str] = []
        self._lock = threading.Lock()

    def call(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)

    def code(self, code: Code) -> Code:
        with self._lock:
            self.codes.append(code)
        return code

    def ask(self, asked: Asked) -> None:
        with self._lock:
            self.asked.append(asked)

    def let_in_without(self, account: str) -> None:
        """The password alone let an account in that has 2FA on."""
        with self._lock:
            self.without_factor.append(account)


@dataclass(frozen=True, slots=True)
class Stores:
    """What the databases hold of the run's accounts when it is over. Each ``expected`` must be one row of ``rows``."""

    rows: list[Row]
    expected: set[Row]
    unpublished: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """When it began and ended, and when a worker that sends was killed (monotonic seconds)."""

    began: float
    ended: float
    kills: tuple[float, ...] = ()
    send_seconds: float = 0.0


@dataclass(slots=True)
class Figures:
    """One line of the table."""

    name: str
    calls: int
    passes: int
    unavailable: int
    cut: int
    refused: int
    without_factor: int
    lost: int
    spent_unanswered: int
    sms: int
    sms_twice: int
    sms_twice_by_death: int
    events_lost: int
    events_twice: int
    errors: int
    slowest_seconds: float
    recovery_seconds: float
    notes: list[str] = field(default_factory=list)

    def violations(self) -> dict[str, int]:
        """What must never be, each with its count; only those that were."""
        counted = {
            "good codes refused": self.refused,
            "passes without a factor": self.without_factor,
            "codes lost": self.lost,
            "SMS twice": self.sms_twice,
            "events lost": self.events_lost,
            "events twice": self.events_twice,
            "500s": self.errors,
        }
        return {words: count for words, count in counted.items() if count}


def figures(name: str, ledger: Ledger, texts: list[Text], stores: Stores, fault: Fault) -> Figures:
    """Count the whole run."""
    calls, codes = ledger.calls, ledger.codes
    fates = Counter(code.fate for code in codes if code.good)
    twice, by_death = _twice(texts, fault)
    seen = Counter(row for row in stores.rows if row in stores.expected)
    return Figures(
        name=name,
        calls=len(calls),
        passes=fates[Fate.PASSED],
        unavailable=sum(call.status == 503 for call in calls),
        cut=sum(call.status in {CUT, NOBODY} for call in calls),
        refused=fates[Fate.REFUSED],
        without_factor=_without_factor(ledger, stores.rows),
        lost=fates[Fate.NEVER_CAME] + fates[Fate.OPEN],
        spent_unanswered=fates[Fate.SPENT],
        sms=len(texts),
        sms_twice=twice,
        sms_twice_by_death=by_death,
        events_lost=len(stores.expected - seen.keys()) + stores.unpublished,
        events_twice=sum(count - 1 for count in seen.values()),
        errors=sum(_is_error(call) for call in calls),
        slowest_seconds=max((call.seconds for call in calls), default=0.0),
        recovery_seconds=_recovery(calls, texts, fault),
    )


def _is_error(call: Call) -> bool:
    """500 and its kin; a 503 that does not say when to come back is one of them."""
    return call.status >= 500 and (call.status != 503 or not call.retry_after)


def _twice(texts: list[Text], fault: Fault) -> tuple[int, int]:
    """Second copies: those that nothing excuses, and those of a worker that died before it could record the first."""
    first: dict[tuple[str, str], float] = {}
    unexcused = excused = 0
    for text in sorted(texts, key=lambda text: text.at):
        known = first.setdefault((text.to, text.body), text.at)
        if known == text.at:
            continue
        # In the hands of the dead: taken before the kill, and its answer not recorded by then.
        if any(known <= kill <= known + fault.send_seconds + 1.0 for kill in fault.kills):
            excused += 1
        else:
            unexcused += 1
    return unexcused, excused


def _without_factor(ledger: Ledger, rows: list[Row]) -> int:
    wrong = sum(200 in code.statuses for code in ledger.codes if not code.good)
    passes = Counter((code.account, code.factor, code.digits) for code in ledger.codes if 200 in code.statuses)
    replayed = sum(count - 1 for count in passes.values())
    sessions = Counter(row.account for row in rows if row.type == "session.started")
    good = Counter(account for account, _, _ in {(c.account, c.factor, c.digits) for c in ledger.codes if c.good})
    unexplained = sum(max(0, count - good[account]) for account, count in sessions.items())
    one_factor = sum(row.type == "session.started" and len(row.factors) < 2 for row in rows)
    return wrong + replayed + max(unexplained, one_factor) + len(ledger.without_factor)


def _recovery(calls: list[Call], texts: list[Text], fault: Fault) -> float:
    """Seconds from the end of the fault until somebody was let in and a code, not a notice, went out."""
    passes = [call.at + call.seconds for call in calls if call.what == "code" and call.status == 200]
    sent = [text.at for text in texts if CODE_TEXT in text.body]
    firsts = [min((at for at in moments if at >= fault.ended), default=None) for moments in (passes, sent) if moments]
    return max((at - fault.ended for at in firsts if at is not None), default=0.0)


COLUMNS: tuple[tuple[str, int], ...] = (
    ("fault", 58), ("calls", 6), ("in", 5), ("503s", 5), ("cut", 4), ("good codes refused", 8), ("no factor", 7),
    ("codes lost", 6), ("spent unanswered", 11), ("SMS", 6), ("SMS twice (a death)", 9), ("events lost/twice", 8),
    ("500s", 5), ("slowest s", 8), ("recovery s", 9),
)  # fmt: skip


def table(lines: list[Figures]) -> str:
    """The lines under their heads."""
    heads = ["fault", "calls", "in", "503s", "cut", "refused", "nofact", "lost", "unanswered", "SMS", "twice", "events"]
    heads += ["500s", "slowest", "recovery"]
    widths = [width for _, width in COLUMNS]
    return "\n".join(_line(cells, widths) for cells in [heads, *(_cells(line) for line in lines)])


def _cells(line: Figures) -> list[str]:
    return [
        line.name,
        str(line.calls),
        str(line.passes),
        str(line.unavailable),
        str(line.cut),
        str(line.refused),
        str(line.without_factor),
        str(line.lost),
        str(line.spent_unanswered),
        str(line.sms),
        f"{line.sms_twice} ({line.sms_twice_by_death})",
        f"{line.events_lost}/{line.events_twice}",
        str(line.errors),
        f"{line.slowest_seconds:.1f}",
        f"{line.recovery_seconds:.1f}",
    ]


def _line(cells: list[str], widths: list[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return f"{first[0]:<{first[1]}} " + " ".join(f"{cell:>{width}}" for cell, width in rest)
