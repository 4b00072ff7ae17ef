"""`python -m deploy.local.child NAME`: become the program NAME, in the environment that it is entitled to."""

import contextlib
import ctypes
import os
import signal
import sys

from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from deploy.local.programs import ANNOUNCE, programs_of
from deploy.local.redis_server import answers_ping
from deploy.local.settings import LocalSettings

_PR_SET_PDEATHSIG = 1
_REDIS_SECONDS = 10.0


def main(name: str) -> None:
    """Replace this process by the program. Raises KeyError for a name that isn't in the table."""
    settings = LocalSettings.from_env()
    program = {program.name: program for program in (*programs_of(settings), ANNOUNCE)}[name]
    end_with_parent()
    if settings.redis_is_embedded and program.service != "redis":
        # Started in the same moment, it needs some milliseconds; who comes first would log a failed connection.
        answers_ping(settings.redis_port, _REDIS_SECONDS)
    argv = program.argv(settings)
    os.execvpe(argv[0], argv, environment_of(program.service, settings, read_keys(settings.keys_file)))


def end_with_parent() -> None:
    """Have the kernel end this process when the supervisor is killed with -9 (Linux; elsewhere nobody offers it)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1])
