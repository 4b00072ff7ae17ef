"""Throwaway server processes: started, waited for until they answer, stopped, killed, frozen, started again."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

STOP_SECONDS = 20.0
FREEZE_SECONDS = 10.0


class ServerError(Exception):
    """A server did not start; the message holds the end of its log."""


@dataclass
class Server:
    """One server. ``answers`` says whether it serves: an open port is not enough."""

    name: str
    argv: Sequence[str]
    answers: Callable[[], bool]
    log: Path
    environment: dict[str, str] | None = None
    user: str | None = None
    start_seconds: float = 30.0
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> None:
        """Run it and wait for an answer. Raises ServerError."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                env=self.environment,
                user=self.user,
                group=None if self.user is None else _group_of(self.user),
                extra_groups=None if self.user is None else [],
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + self.start_seconds
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end, as an operator would; what does not is killed, and that is a failure."""
        ended = True
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                ended = False
        self.kill()
        assert ended, f"{self.name} was asked to end, and had to be killed after {STOP_SECONDS:.0f} s"

    def kill(self) -> None:
        """End it as a power cut would: -9, with every process below it."""
        if self._process is None:
            return
        for process in self._processes():
            _signal(process, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered.

        A signal stops one thread after the other, and on a busy machine the last one may still answer meanwhile.
        """
        processes = self._processes()
        for process in processes:
            _signal(process, signal.SIGSTOP)
        ends_at = time.monotonic() + FREEZE_SECONDS
        while not all(map(_is_stopped, processes)):
            assert time.monotonic() < ends_at, f"{self.name} does not stop"
            time.sleep(0.01)

    def resume(self) -> None:
        """Go on after ``pause``."""
        for process in self._processes():
            _signal(process, signal.SIGCONT)

    def _processes(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        try:
            main = psutil.Process(self._process.pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def no_server(reason: str) -> NoReturn:
    """Skip, and say why and what to do; a build has installed everything, so there it is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _is_stopped(process: psutil.Process) -> bool:
    """Whether each of its threads has stopped or ended (proc(5), the state in stat)."""
    states = []
    for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            states.append(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0])
    return set(states) <= set("TtZX")
