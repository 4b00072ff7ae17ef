"""The supervisor's configuration: one row of the table becomes one section. No secret ever stands in it."""

import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.local.files import write_private
from deploy.local.programs import Program
from deploy.local.settings import LocalSettings

GROUP = "latchkey"

# A program is started through this module, which builds its environment: this file and `ps` show a name, no secret.
CHILD = (sys.executable, "-m", "deploy.local.child")

# sockaddr_un holds 104 bytes on macOS, 108 on Linux, and the supervisor binds a longer temporary name first.
_LONGEST_SOCKET = 80


def write_conf(
    settings: LocalSettings,
    programs: Sequence[Program],
    announce: Program | None,
    console: Path,
    child: Sequence[str] = CHILD,
) -> None:
    """Write the configuration of `programs`, and of `announce`, which writes to `console` and runs once."""
    # Redis, its own group, starts first and is stopped last; the rest is one group, because groups are stopped one
    # after the other, and the members of a group all at once.
    members = [program.name for program in programs if program.service != "redis"]
    sections = [_supervisord(settings)]
    sections += [_program(settings, program, child) for program in programs]
    sections.append(_section(f"group:{GROUP}", {"programs": ",".join(members), "priority": "20"}))
    if announce:
        sections.append(_one_shot(settings, announce, console, child))
    write_private(settings.conf_file, "\n".join(sections))


def qualified(name: str) -> str:
    """The program's name as the supervisor's API wants it."""
    return name if name in {"redis", "announce"} else f"{GROUP}:{name}"


def _supervisord(settings: LocalSettings) -> str:
    socket = _socket_path(settings.var_dir)
    return "\n".join(
        [
            _section("unix_http_server", {"file": str(socket), "chmod": "0600"}),
            _section(
                "supervisord",
                {
                    "nodaemon": "true",
                    # The console is for the announcement and for what went wrong; the rest is in the log.
                    "silent": "true",
                    "logfile": str(settings.log_dir / "supervisord.log"),
                    "logfile_maxbytes": "5MB",
                    "logfile_backups": "1",
                    "childlogdir": str(settings.log_dir),
                    "pidfile": str(settings.var_dir / "supervisord.pid"),
                    "directory": str(settings.root),
                },
            ),
            _section(
                "rpcinterface:supervisor",
                {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
            _section("supervisorctl", {"serverurl": f"unix://{socket}"}),
        ]
    )


def _program(settings: LocalSettings, program: Program, child: Sequence[str]) -> str:
    return _section(
        f"program:{program.name}",
        {
            "command": shlex.join([*child, program.name]),
            "priority": "10" if program.service == "redis" else "20",
            # 78 (EX_CONFIG) is a program that refuses its settings: it would refuse them again.
            "autorestart": "unexpected",
            "exitcodes": str(os.EX_CONFIG),
            "startsecs": "1",
            # The wait grows by a second with every try: about three minutes before it gives up and says so.
            "startretries": "20",
            "stopwaitsecs": "10",
            # A server's parent ends its own children in order; told all at once, they'd look crashed to it. Whatever
            # outlives its parent is killed (see supervise.py), and so is the group when the time is over.
            "stopasgroup": "false",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(settings.log_dir / f"{program.name}.log"),
            "stdout_logfile_maxbytes": "5MB",
            "stdout_logfile_backups": "2",
        },
    )


def _one_shot(settings: LocalSettings, program: Program, console: Path, child: Sequence[str]) -> str:
    return _section(
        f"program:{program.name}",
        {
            "command": shlex.join([*child, program.name]),
            "priority": "30",
            "autorestart": "false",
            "startsecs": "0",
            "exitcodes": "0",
            "stopasgroup": "true",
            "killasgroup": "true",
            "stdout_logfile": str(console),
            # No rotation: the console is no file that could be renamed.
            "stdout_logfile_maxbytes": "0",
            "stderr_logfile": str(settings.log_dir / f"{program.name}.log"),
            "stderr_logfile_maxbytes": "1MB",
            "stderr_logfile_backups": "1",
        },
    )


def _section(name: str, values: dict[str, str]) -> str:
    # The reader expands %(name)s in every value, and in the names of a program's logs once more.
    lines = [
        f"{key}={value.replace('%', '%%%%' if key in {'stdout_logfile', 'stderr_logfile'} else '%%')}"
        for key, value in values.items()
    ]
    return "\n".join([f"[{name}]", *lines, ""])


def _socket_path(var_dir: Path) -> Path:
    path = var_dir / "supervisor.sock"
    if len(str(path).encode()) <= _LONGEST_SOCKET:
        return path
    # The name is random and the folder is 0700, so nobody can sit there first; supervise.py removes it at the end.
    return Path(tempfile.mkdtemp(prefix="latchkey-")) / "supervisor.sock"
