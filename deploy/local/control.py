"""The running supervisor, asked and told over its Unix socket."""

import configparser
import xmlrpc.client  # nosec B411  # to our own supervisor, over a socket that is ours alone
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from deploy.local.supervisor_conf import qualified

GAVE_UP = "FATAL"
RUNNING = "RUNNING"


class Control:
    """Start, stop and look at single programs of the stack whose configuration is `conf_file`.

    Every call raises OSError when no supervisor runs, and xmlrpc.client.Fault when it refuses.
    """

    def __init__(self, conf_file: Path) -> None:
        parser = configparser.ConfigParser()
        parser.read(conf_file, encoding="utf-8")
        self._url = parser.get("supervisorctl", "serverurl")

    def states(self) -> dict[str, str]:
        """The state of each program, by its short name."""
        return {info["name"]: info["statename"] for info in self._call("getAllProcessInfo")}

    def pid_of(self, name: str) -> int:
        """The process id of the program's main process, 0 when it doesn't run."""
        return int(self._call("getProcessInfo", qualified(name))["pid"])

    def stop_program(self, name: str) -> None:
        """Stop it and wait until it has ended."""
        self._call("stopProcess", qualified(name))

    def start_program(self, name: str) -> None:
        """Start it and wait until it has run for a second."""
        self._call("startProcess", qualified(name))

    def _call(self, method: str, *arguments: str) -> Any:  # noqa: ANN401 - whatever XML-RPC brings
        # The host is ignored for a Unix socket. One connection a call: the server behind may restart between two.
        transport = SupervisorTransport(None, None, serverurl=self._url)
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)
