"""`python -m deploy.local.supervise CONF [PARENT]`: the package `supervisor`, which ends with whoever started it.

Four things are added to it: it says on the console when a program dies, it leaves nothing behind of a program that
died, it stops when its terminal, or the `make` that waits for it, is gone, and it does not start a program again that
refuses its settings. If the stack is not ready yet, such a program stops the whole start.
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

WRONG_SETTINGS = 2
_SETTINGS = "settings: "  # how a service's sentence about them begins (shared/settings.py)


class LocalOptions(ServerOptions):  # type: ignore[misc]  # the package has no types
    """Remembers how the last process ended: the package forgets it of one that ended within its first second."""

    last_ended: tuple[int, int] | None = None

    def waitpid(self) -> tuple[int | None, int | None]:
        """The next process that has ended, and its status."""
        pid, status = super().waitpid()
        self.last_ended = (pid, status) if pid else None
        return pid, status


class LocalSupervisor(Supervisor):  # type: ignore[misc]  # the package has no types
    """A supervisor in the foreground that outlives neither its terminal nor the process `parent`."""

    def __init__(self, options: LocalOptions, parent: int | None, ready_file: Path) -> None:
        super().__init__(options)
        self._parent = parent
        self._ready_file = ready_file
        self._refused: set[str] = set()
        self.exit_status = 0

    def runforever(self) -> None:
        """Supervise until told to stop. Raises ExitNow, the package's way to say that all have ended."""
        # For the package SIGHUP means "read the configuration again"; here it means that the terminal was closed.
        signal.signal(signal.SIGHUP, lambda _, frame: self.options.signal_receiver.receive(signal.SIGTERM, frame))
        # Not earlier: the start clears all subscriptions.
        events.subscribe(events.ProcessStateExitedEvent, self._exited)
        events.subscribe(events.ProcessStateStoppedEvent, self._stopped)
        events.subscribe(events.ProcessStateBackoffEvent, self._ended_at_once)
        events.subscribe(events.ProcessStateFatalEvent, self._gave_up)
        super().runforever()

    def handle_signal(self) -> None:
        """Called at least once a second: obey a signal, or notice that the caller is gone."""
        before = self.options.mood
        super().handle_signal()
        if self._parent is not None and _has_gone(self._parent):
            self._parent = None
            self.options.mood = SupervisorStates.SHUTDOWN
        if self.options.mood != before and self.options.mood == SupervisorStates.SHUTDOWN:
            _say("stopping all programs; each finishes what it is doing, for 10 s at most ...")

    def _exited(self, event: events.ProcessStateExitedEvent) -> None:
        _end_group(event.process.pid)
        if self._refuses_settings(event):
            self._stop_start(event)
        elif not event.expected and event.process.config.autorestart:
            _say(f"{event.process.config.name} ended unexpectedly; starting it again. {_see_log(event)}")

    def _ended_at_once(self, event: events.ProcessStateBackoffEvent) -> None:
        _end_group(event.process.pid)
        if self._refuses_settings(event):
            event.process.backoff = event.process.config.startretries + 1  # no further try
            self._refused.add(event.process.config.name)
            self._stop_start(event)

    def _stopped(self, event: events.ProcessStateEvent) -> None:
        _end_group(event.process.pid)

    def _refuses_settings(self, event: events.ProcessStateEvent) -> bool:
        pid, status = self.options.last_ended or (0, 0)
        return pid == event.process.pid and os.waitstatus_to_exitcode(status) == os.EX_CONFIG

    def _stop_start(self, event: events.ProcessStateEvent) -> None:
        """Say what a program refuses. Before the stack is ready, end it all; later the others go on."""
        fault = _fault_in(Path(event.process.config.stdout_logfile)) or _see_log(event)
        if self._ready_file.exists():
            _say(f"{event.process.config.name} is not started again: {fault}")
            return
        _say(fault)
        self.exit_status = WRONG_SETTINGS
        self.options.mood = SupervisorStates.SHUTDOWN

    def _gave_up(self, event: events.ProcessStateFatalEvent) -> None:
        if event.process.config.name in self._refused:
            self._refused.remove(event.process.config.name)
        else:
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


def _fault_in(log: Path) -> str | None:
    """The last sentence about settings in the log of a program."""
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.removeprefix(_SETTINGS) for line in reversed(lines) if line.startswith(_SETTINGS)), None)
    return None


def _say(text: str) -> None:
    # The terminal may be gone: no reason to stop supervising.
    with contextlib.suppress(OSError):
        print(f"latchkey: {text}", flush=True)


def main(conf: str, parent: int | None) -> int:
    """Supervise what stands in `conf` until a signal, or the end of `parent`, stops it; the exit status.

    It is 2 when a program's settings stopped the start.
    """
    options = LocalOptions()
    options.realize(["-n", "-c", conf], doc=__doc__)
    options.first = True
    options.test = False
    sockets = [Path(config["file"]) for config in options.server_configs if "file" in config]
    ready_file = Path(conf).with_name(READY)
    supervisor = LocalSupervisor(options, parent, ready_file)
    with contextlib.suppress(asyncore.ExitNow):
        supervisor.main()
    # A restart through supervisorctl would lose the lock and the announcement: `shutdown` and `reload` both end here.
    if options.mood == SupervisorStates.RESTARTING:
        _say("a reload is a stop here; start it again with `make run`.")
    options.close_httpservers()
    options.close_logger()
    # What it says is no longer true.
    ready_file.unlink(missing_ok=True)
    for socket in sockets:
        # Only a folder made for a socket whose name was too long is named so.
        if socket.parent.name.startswith("latchkey-") and socket.parent != Path(conf).parent:
            shutil.rmtree(socket.parent, ignore_errors=True)
    if not supervisor.exit_status:
        _say(f"stopped. Accounts, keys and logs stay in {ready_file.parent}; the next `make run` uses them again.")
    return supervisor.exit_status


if __name__ == "__main__":
    status = main(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else None)
    sys.exit(status)
