"""`python -m deploy.local.web APP --host H --port P --threads T`: granian without its own command line.

The command line's modules cost 2 MB in each parent, which does nothing but wait for its one child.
"""

import argparse
import sys

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from deploy.local.lean import load

# On SIGHUP a new process is started, and so long after it the old one ends, whether the new one listens or not. Loading
# takes two seconds on a quiet machine; granian's own 3.5 s were too short for a busy one, and callers were turned away.
RENEWAL_SECONDS = 10.0


def main(arguments: list[str]) -> None:
    """Serve until a signal says stop. Raises SystemExit(1) when the child ends by itself."""
    parser = argparse.ArgumentParser(prog="deploy.local.web")
    parser.add_argument("app")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args(arguments)
    # One process, a few threads: two hops of Python share two cores, and SQLite has one writer anyway. A worker that
    # dies takes its parent with it, so that one supervisor restarts everything in one way. Its backpressure stays as it
    # is: it limits connections, idle ones too, and so many kept-alive clients would shut all others out.
    server = Granian(
        options.app,
        address=options.host,
        port=options.port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=options.threads,
        # A warm thread for as long as possible: a new one opens its own database connection.
        blocking_threads_idle_timeout=600,
        http=HTTPModes.http1,
        websockets=False,
        workers_kill_timeout=5,
        respawn_interval=RENEWAL_SECONDS,
        log_level=LogLevels.warning,
    )
    # Called in the child: the parent loads nothing of the app.
    server.serve(target_loader=load)


if __name__ == "__main__":
    main(sys.argv[1:])
