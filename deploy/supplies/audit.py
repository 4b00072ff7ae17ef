"""make audit-packages: ask whether a vulnerability is known of a pinned package.

Where no list of vulnerabilities can be reached it says so and passes: a build must not depend on another one's server.
pip-audit itself would say "No known vulnerabilities found" there, for it counts a package that the list does not know
as one that it could not look up, and goes on.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.supplies.requirements import FOLDER

FILES = ("dev", "image", "browser", "compose", "audit", "bench")  # dev holds what the three services need
SERVICES = ("pypi", "osv")
SECONDS = 300


@dataclass(frozen=True, slots=True)
class Report:
    """What one list of vulnerabilities knows. ``skipped``: the reason for each package that it could not look up."""

    audited: frozenset[str]
    skipped: dict[str, str]
    found: tuple[str, ...]


def read(document: dict[str, Any]) -> Report:
    """pip-audit's JSON."""
    audited, skipped, found = set(), {}, []
    for package in document["dependencies"]:
        name = package["name"]
        if "skip_reason" in package:
            skipped[name] = package["skip_reason"]
            continue
        audited.add(name)
        found += [
            f"{name} {package['version']}: {entry['id']}, fixed in {', '.join(entry['fix_versions']) or 'no version'}"
            for entry in package["vulns"]
        ]
    return Report(frozenset(audited), skipped, tuple(dict.fromkeys(found)))


def ask(service: str) -> Report | str:
    """What this list says, or why it could not be asked."""
    files = [option for name in FILES for option in ("-r", str(FOLDER / f"{name}.txt"))]
    tool = Path(sys.executable).with_name("pip-audit")
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "10", "-f", "json"]
    try:
        done = subprocess.run(
            [tool, "-s", service, *options, *files], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return read(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return f"no answer in {SECONDS} s"
    except ValueError:
        return (done.stderr.strip().splitlines() or ["it printed nothing"])[-1][:300]


def verdict(reports: Iterable[tuple[str, Report | str]]) -> tuple[int, list[str]]:
    """The exit status and what to print: the first list that knows any package decides."""
    said = []
    for service, report in reports:
        if isinstance(report, str):
            said.append(f"{service}: {report}")
        elif not report.audited:
            said.append(f"{service}: {next(iter(report.skipped.values()), 'it was asked for nothing')}")
        else:
            lines = [f"{service}: {len(report.audited)} packages looked up, {len(report.found)} known vulnerabilities"]
            lines += [f"  {line}" for line in report.found]
            lines += [f"  not looked up: {reason}" for reason in report.skipped.values()]
            return (1 if report.found else 0), lines
    return 0, ["SKIPPED: no list of vulnerabilities can be reached from here", *(f"  {line}" for line in said)]


def main() -> int:
    """Ask one list after the other."""
    status, lines = verdict((service, ask(service)) for service in SERVICES)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
