"""A stack for tests, the demo and the benchmark: start one, reach into it, stop it, and be sure nothing is left."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local.control import Control
from deploy.local.demo_data import DemoData, read_demo
from deploy.local.files import make_private_dir
from deploy.local.settings import ROOT, LocalSettings

_START_SECONDS = 90.0
_STOP_SECONDS = 40.0


class StackError(Exception):
    """A stack did not start, or did not stop; the message holds what it printed."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack. `pid` is the process that `make run` starts: the supervisor."""

    pid: int
    settings: LocalSettings
    demo: DemoData

    @property
    def base_url(self) -> str:
        """The gateway."""
        return self.demo.base_url

    @property
    def var_dir(self) -> Path:
        """Keys, databases, logs."""
        return self.settings.var_dir

    def stop_program(self, name: str) -> None:
        """Stop one program of the table and wait until it has ended."""
        Control(self.settings.conf_file).stop_program(name)

    def start_program(self, name: str) -> None:
        """Start one program again and wait until it has run for a second."""
        Control(self.settings.conf_file).start_program(name)

    def pid_of(self, name: str) -> int:
        """The main process of a program, 0 when it doesn't run."""
        return Control(self.settings.conf_file).pid_of(name)

    def processes_of(self, name: str) -> list[psutil.Process]:
        """Every process of a program: its main one first, then its children."""
        pid = self.pid_of(name)
        if not pid:
            return []
        main = psutil.Process(pid)
        return [main, *main.children(recursive=True)]

    def log_of(self, name: str) -> str:
        """What the program has written since its log was last rotated."""
        path = self.settings.log_dir / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal the launcher and wait until it and every process below it have ended.

        What survives is killed, and named in the StackError that is raised then.
        """
        _end(self.pid, number)


@contextlib.contextmanager
def running_stack(
    var_dir: Path, port: int, extra_env: Mapping[str, str] | None = None, *, root: Path = ROOT
) -> Iterator[Stack]:
    """Start a stack on `port` and the four ports after it, give it when every part has answered, stop it at the end.

    `root` is the checkout whose code runs.

    Raises StackError when it doesn't start within 90 seconds, or leaves a process when it is stopped.
    """
    names = ("PORT", "OTP_PORT", "REDIS_PORT", "METRICS_PORT", "OTP_METRICS_PORT")
    own = {"VAR_DIR": str(var_dir), **{name: str(port + number) for number, name in enumerate(names)}}
    caller = LocalSettings.from_env().environ
    # A stack of one's own: the caller's Redis and databases must neither be filled nor be relied on, unless asked for.
    foreign = {"REDIS_URL", "BROKER_URL", "AUTH_DATABASE_URL", "OTP_DATABASE_URL", "PUBLIC_ORIGIN"}
    inherited = {name: value for name, value in caller.items() if name not in foreign}
    environment = {**inherited, **own, **(extra_env or {})}
    settings = LocalSettings.from_env(environment)
    make_private_dir(settings.var_dir)
    # Left from an earlier run, it would say ready before the new launcher has come as far as removing it.
    settings.ready_file.unlink(missing_ok=True)
    console = settings.var_dir / "console.log"
    console.write_bytes(b"")
    # Appending: the launcher and the announcement write to it through two descriptors.
    with console.open("ab") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.run", "--with-parent"],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_ready(launcher, settings, console)
        yield Stack(launcher.pid, settings, read_demo(settings.demo_file))
    finally:
        try:
            if launcher.poll() is None:
                _end(launcher.pid, signal.SIGTERM)
        finally:
            launcher.wait()


def find_running(var_dir: Path | None = None) -> Stack | None:
    """The stack that runs on this folder, by default the one of the environment's settings, or None.

    Raises StackError when one runs but isn't ready: it is starting, or a part of it fails.
    """
    environ = LocalSettings.from_env().environ
    settings = LocalSettings.from_env({**environ, "VAR_DIR": str(var_dir)} if var_dir else environ)
    pid = _lock_holder(settings.lock_file)
    if pid is None:
        return None
    deadline = time.monotonic() + _START_SECONDS
    while not settings.ready_file.exists():
        if time.monotonic() > deadline or not psutil.pid_exists(pid):
            message = f"A stack (pid {pid}) runs on {settings.var_dir}, but it does not get ready; see its logs there."
            raise StackError(message)
        time.sleep(0.2)
    return Stack(pid, settings, read_demo(settings.demo_file))


def _lock_holder(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(descriptor, 20) or b"0")
    else:
        return None
    finally:
        os.close(descriptor)


def _wait_until_ready(launcher: "subprocess.Popen[bytes]", settings: LocalSettings, console: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not settings.ready_file.exists():
        if launcher.poll() is not None or time.monotonic() > deadline or _announce_failed(console):
            printed = console.read_text(encoding="utf-8", errors="replace")[-6000:]
            message = f"The stack in {settings.var_dir} did not start:\n{printed}"
            raise StackError(message)
        time.sleep(0.05)


def _announce_failed(console: Path) -> bool:
    return "latchkey: not ready: " in console.read_text(encoding="utf-8", errors="replace")


def _end(pid: int, number: signal.Signals) -> None:
    """Signal the launcher, wait for everything below it, kill what is left. Raises StackError when something was."""
    try:
        launcher = psutil.Process(pid)
        below = launcher.children(recursive=True)
        owns_session = os.getsid(pid) == pid
        launcher.send_signal(number)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
    deadline = time.monotonic() + _STOP_SECONDS
    while (left := [process for process in (launcher, *below) if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    if owns_session:
        # Started after we looked, by a supervisor that was busy restarting something.
        left += [
            process
            for process in psutil.process_iter()
            if _session_of(process.pid) == pid and _lives(process) and process not in left
        ]
    if left:
        names = "; ".join(f"{process.pid} {_command(process)}" for process in left)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        message = f"The stack was stopped but these processes were left: {names}"
        raise StackError(message)


def _lives(process: psutil.Process) -> bool:
    # A zombie has ended; who reaps it is its parent's business, which may be ourselves.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return "(gone)"
