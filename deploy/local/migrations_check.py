"""`python -m deploy.local.migrations_check`: the migrations of each service lead, in one line, to its models."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from shared import migrations

SERVICES = ("auth", "otp")


def problems_of(service: str, url: str) -> list[str]:
    """What is wrong with the service's migrations, after running them on the empty database at `url`."""
    problems = []
    heads = migrations.heads(service)
    if len(heads) != 1:
        problems.append(f"{service}: {len(heads)} heads, there must be one: {', '.join(heads) or 'none'}")
    migrations.upgrade(service, url)
    problems += [
        f"{service}: models and migrations differ: {difference}" for difference in migrations.differences(service, url)
    ]
    return problems


def main(services: Sequence[str] = SERVICES) -> int:
    """Check every service on a throwaway SQLite database; 1 when something is wrong."""
    with tempfile.TemporaryDirectory(prefix="latchkey-") as folder:
        problems = [
            problem
            for service in services
            for problem in problems_of(service, f"sqlite:///{Path(folder) / service}.sqlite3")
        ]
    for problem in problems:
        print(problem)
    if not problems:
        print(f"migrations match the models: {', '.join(services)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
