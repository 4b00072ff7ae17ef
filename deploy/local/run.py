"""`python -m deploy.local.run`: the whole stack on this machine, in the foreground.

Checks ports, makes keys, migrates, seeds, then becomes the supervisor, in the same process: whoever signals the
process that they started signals the supervisor.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from deploy.local.environment import environment_of
from deploy.local.files import make_private_dir, write_private
from deploy.local.keys import LOCAL_REDIS, load_or_make_keys
from deploy.local.ports import is_free, is_ours, listener_on
from deploy.local.programs import ANNOUNCE, programs_of
from deploy.local.redis_server import RedisUnavailableError, local_users, redis_executable, require_answer
from deploy.local.seed import SeedError, seed
from deploy.local.settings import LocalSettings, SettingsError
from deploy.local.supervisor_conf import write_conf
from deploy.settings_check import refuse_faults

CANNOT_START = 2
_MIGRATION_SECONDS = 120


class StartError(Exception):
    """The stack can't be started; the message says what to do, in one paragraph."""


def main(arguments: Sequence[str]) -> int:
    """Become the supervisor of a stack; returns only when that can't be done, with the exit status.

    With `--with-parent` the stack ends when the process that started it does.
    """
    parent = os.getppid() if "--with-parent" in arguments else None
    # Databases, logs and sockets of everything started from here: for this user only.
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        settings = LocalSettings.from_env()
        prepare(settings)
    except (StartError, SettingsError, SeedError, RedisUnavailableError) as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return CANNOT_START
    except KeyboardInterrupt:
        print("\nlatchkey: stopped before anything was started.", flush=True)
        return 128 + signal.SIGINT
    become_supervisor(settings, parent)


def become_supervisor(settings: LocalSettings, parent: int | None) -> NoReturn:
    """Replace this process by the supervisor, which keeps its pid and its lock."""
    _append()
    command = [sys.executable, "-m", "deploy.local.supervise", str(settings.conf_file)]
    if parent:
        command.append(str(parent))
    sys.stdout.flush()
    os.execvpe(command[0], command, dict(settings.environ))


def prepare(settings: LocalSettings) -> None:
    """Everything before the first server starts: lock, ports, keys, databases, accounts, configuration.

    Raises StartError, SettingsError, SeedError or RedisUnavailableError, each with a message for the console.
    """
    if make_private_dir(settings.var_dir):
        print(f"latchkey: {settings.var_dir} was open to others; its mode is 0700 again.")
    lock(settings.lock_file)
    settings.ready_file.unlink(missing_ok=True)
    refuse_taken_ports(settings)
    make_private_dir(settings.log_dir)
    if settings.redis_is_embedded:
        redis_executable()
        make_private_dir(settings.var_dir / "redis")
    else:
        require_answer(settings.redis_url)
    keys, notices = load_or_make_keys(settings.keys_file)
    for notice in notices:
        print(f"latchkey: {notice}")
    refuse_wrong_settings(settings, keys)
    if settings.redis_is_embedded:
        write_private(settings.redis_users_file, local_users(keys[LOCAL_REDIS]))
    print("latchkey: preparing databases and accounts ...", flush=True)
    for service in ("auth", "otp"):
        _migrate(settings, service, environment_of(service, settings, keys))
    seed(settings, keys)
    write_conf(settings, programs_of(settings), ANNOUNCE, _console(settings))
    print("latchkey: starting ...", flush=True)


def lock(path: Path) -> None:
    """Claim the folder for as long as this process lives. Raises StartError when another stack runs on it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        message = (
            f"another `make run` (pid {holder}) is running on {path.parent}. Use that one, stop it, or give this one a "
            f"folder and ports of its own: VAR_DIR=var2 PORT=9080 make run."
        )
        raise StartError(message) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    # Kept open over exec; the supervisor closes it in its children, so it is free as soon as the supervisor is gone.
    os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no keyword


def refuse_wrong_settings(settings: LocalSettings, keys: Mapping[str, str]) -> None:
    """Raise SettingsError with all that the parts would refuse, in one sentence."""
    environments = [(part, environment_of(service, settings, keys)) for part, service in _PARTS]
    refuse_faults(environments)


# Each part, and the row of SERVICE_KEYS of the process that runs it.
_PARTS = (
    *(("auth", "auth"), ("otp", "otp"), ("notify", "notify")),
    *((part, "background") for part in ("auth-worker", "otp-worker", "notify")),
)


def refuse_taken_ports(settings: LocalSettings) -> None:
    """Raise StartError when a port that a part needs is taken, naming the port and its setting."""
    if not is_ours(settings.host):
        message = f"HOST={settings.host!r} is no address of this machine. Set HOST to one that is, or leave it out."
        raise StartError(message)
    needed = [("PORT", settings.host, settings.port), ("OTP_PORT", "127.0.0.1", settings.otp_port)]
    needed += [("METRICS_PORT", "127.0.0.1", settings.metrics_port)]
    needed += [("OTP_METRICS_PORT", "127.0.0.1", settings.otp_metrics_port)]
    if settings.redis_is_embedded:
        needed.append(("REDIS_PORT", "127.0.0.1", settings.redis_port))
    for name, host, port in needed:
        if is_free(host, port):
            continue
        holder = listener_on(port)
        by = f", by {holder}" if holder else ""
        message = (
            f"port {port} on {host} is taken{by}. Set {name} to a free one (best below 32768), for example: "
            f"{name}={port + 1000} make run. If it is a leftover of a stack that was killed with -9, end it first."
        )
        raise StartError(message)


def _migrate(settings: LocalSettings, service: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"services.{service}", "migrate"],
        env=environment,
        cwd=settings.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_MIGRATION_SECONDS,
        check=False,
    )
    if done.returncode:
        message = f"the database of {service} could not be migrated:\n{done.stdout}{done.stderr}"
        raise StartError(message)


def _console(settings: LocalSettings) -> Path:
    """Where the announcement goes: our own output, or a log file where that can't be opened again (a socket)."""
    path = Path("/dev/stdout")
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
        return path
    return settings.log_dir / "console.log"


def _append() -> None:
    """Have all writers of a file that is our output append to it: the announcement opens it a second time."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = sys.stdout.fileno()
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)


def _leave(number: int, _: object) -> None:
    # Raised, so that subprocess.run ends the command that it waits for.
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
