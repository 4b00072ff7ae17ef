"""`python -m deploy.local.supervise CONF [PARENT]`: the package `supervisor`, which ends with whoever started it.

Three things are added to it: it says on the console when a program dies, it leaves nothing behind of a program that
died, and it stops when its terminal, or the `make` that waits for it, is gone.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from supervisor import events
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from deploy.local.files import READY


class LocalSupervisor(Supervisor):  # type: ignore[misc]  # the package has no types
    """A supervisor in the foreground that outlives neither its terminal nor the process `parent`."""

    def __init__(self, options: ServerOptions, parent: int | None) -> None:
        super().__init__(options)
        self._parent = parent

    def runforever(self) -> None:
        """Supervise until told to stop. Raises ExitNow, the package's way to say that all have ended."""
        # For the package SIGHUP means "read the configuration again"; here it means that the terminal was closed.
        signal.signal(signal.SIGHUP, lambda _, frame: self.options.signal_receiver.receive(signal.SIGTERM, frame))
        # Not earlier: the start clears all subscriptions.
        events.subscribe(events.ProcessStateExitedEvent, self._exited)
        events.subscribe(events.ProcessStateStoppedEvent, self._stopped)
        events.subscribe(events.ProcessStateBackoffEvent, self._stopped)
        events.subscribe(events.ProcessStateFatalEvent, self._gave_up)
        super().runforever()

    def handle_signal(self) -> None:
        """Called at least once a second: obey a signal, or notice that the caller is gone."""
        super().handle_signal()
        if self._parent is not None and _has_gone(self._parent):
            self._parent = None
            self.options.mood = SupervisorStates.SHUTDOWN

    def _exited(self, event: events.ProcessStateExitedEvent) -> None:
        _end_group(event.process.pid)
        if not event.expected and event.process.config.autorestart:
            _say(f"{event.process.config.name} ended unexpectedly; starting it again. {_see_log(event)}")

    def _stopped(self, event: events.ProcessStateEvent) -> None:
        _end_group(event.process.pid)

    def _gave_up(self, event: events.ProcessStateFatalEvent) -> None:
        _say(f"{event.process.config.name} can't be started; giving up on it. {_see_log(event)}")


def _end_group(leader: int) -> None:
    """Kill what a program's main process, just gone, has left in its process group.

    A server that was killed leaves a worker which holds the port, and the next one couldn't start. The number can't
    mean anybody else: a group keeps its id reserved, and its leader was reaped a moment ago.
    """
    if leader:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def _has_gone(parent: int) -> bool:
    """Whether the process that waits for us has ended, or was told to.

    make passes SIGTERM on to us, and Ctrl-C reaches the whole group; but a SIGINT sent to make alone makes it wait for
    us, silently, for good. Its handler then runs with SIGINT blocked and no longer caught, which Linux lets us see. A
    caller in the background of a script ignores SIGINT, and blocks it for a moment whenever it starts a process.
    """
    if os.getppid() != parent:
        return True
    bit = 1 << (signal.SIGINT - 1)
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = Path(f"/proc/{parent}/status").read_text(encoding="utf-8").splitlines()
        masks = {name: int(value, 16) for name, _, value in (line.partition(":") for line in lines) if name in _MASKS}
        return bool(masks["SigBlk"] & bit) and not (masks["SigCgt"] | masks["SigIgn"]) & bit
    return False


_MASKS = {"SigBlk", "SigCgt", "SigIgn"}


def _see_log(event: events.ProcessStateEvent) -> str:
    return f"See {event.process.config.stdout_logfile}"


def _say(text: str) -> None:
    # The terminal may be gone: no reason to stop supervising.
    with contextlib.suppress(OSError):
        print(f"latchkey: {text}", flush=True)


def main(conf: str, parent: int | None) -> None:
    """Supervise what stands in `conf` until a signal, or the end of `parent`, stops it."""
    options = ServerOptions()
    options.realize(["-n", "-c", conf], doc=__doc__)
    options.first = True
    options.test = False
    sockets = [Path(config["file"]) for config in options.server_configs if "file" in config]
    with contextlib.suppress(asyncore.ExitNow):
        LocalSupervisor(options, parent).main()
    # A restart through supervisorctl would lose the lock and the announcement: `shutdown` and `reload` both end here.
    if options.mood == SupervisorStates.RESTARTING:
        _say("a reload is a stop here; start it again with `make run`.")
    options.close_httpservers()
    options.close_logger()
    # What it says is no longer true.
    Path(conf).with_name(READY).unlink(missing_ok=True)
    for socket in sockets:
        # Only a folder made for a socket whose name was too long is named so.
        if socket.parent.name.startswith("latchkey-") and socket.parent != Path(conf).parent:
            shutil.rmtree(socket.parent, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else None)
