"""`python -m deploy.local.worker APP --name N --queues Q,… --threads T`: a Celery worker without Celery's command line.

The command line's own modules cost 8 MB in each worker, for options that a supervised worker has no use for.
"""

import argparse
import socket
import sys
from typing import TYPE_CHECKING

from deploy.local.lean import load

if TYPE_CHECKING:
    from celery import Celery


def main(arguments: list[str]) -> int:
    """Work until a signal says stop; the running tasks end first. The exit code that Celery gives."""
    parser = argparse.ArgumentParser(prog="deploy.local.worker")
    parser.add_argument("app")
    parser.add_argument("--name", required=True)
    parser.add_argument("--queues", required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args(arguments)
    app: Celery = load(options.app)
    worker = app.Worker(
        hostname=f"{options.name}@{socket.gethostname()}",
        pool="threads",
        concurrency=options.threads,
        queues=options.queues,
        loglevel="WARNING",
        quiet=True,
        # Workers of one machine have nothing to tell each other; every such message is a wake-up for all of them.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
