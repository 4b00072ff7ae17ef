"""A throwaway RabbitMQ of one's own: files, ports and port mapper (epmd) apart from any other on the machine."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import amqp

from tests.support.certificates import Certificates
from tests.support.free_port import free_port
from tests.support.server import Server, no_server

MISSING = "no RabbitMQ server: install one (Debian: apt-get install rabbitmq-server; macOS: brew install rabbitmq)"
# Debian's command on PATH changes to a user and folders of its own; this one runs where it is told.
SERVER_SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def server_script() -> str | None:
    """The script that starts a server, or None."""
    return SERVER_SCRIPT if Path(SERVER_SCRIPT).exists() else shutil.which("rabbitmq-server")


@contextlib.contextmanager
def rabbitmq_server(
    certificates: Certificates | None = None, definitions: str | None = None, user: str = "guest"
) -> Iterator[tuple[Server, str]]:
    """A running server and its URL, with TLS if it is given certificates, with users and queues if it is given those.

    Skips when there is none on this machine.
    """
    script = server_script()
    if script is None:
        no_server(MISSING)
    with tempfile.TemporaryDirectory(prefix="latchkey-mq-", ignore_cleanup_errors=True) as folder:
        port, epmd_port = free_port(), free_port()
        plugins = Path(folder) / "enabled_plugins"
        plugins.write_text("[].\n")
        configuration = Path(folder) / "rabbitmq.conf"
        configuration.write_text(_configuration(port, certificates))
        if definitions:
            (Path(folder) / "definitions.json").write_text(definitions)
            with configuration.open("a") as file:
                file.write(f"load_definitions = {folder}/definitions.json\n")
        environment = {
            **os.environ,
            "HOME": folder,  # where Erlang keeps its cookie
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"latchkey-{port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            # One scheduler that does not spin while it waits: the machine is shared with the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        server = Server(
            name="RabbitMQ",
            argv=[script],
            answers=lambda: answers(port, certificates, user),
            log=Path(folder) / "server.log",
            environment=environment,
            start_seconds=60.0,
        )
        try:
            server.start()
            yield server, f"{'amqps' if certificates else 'amqp'}://{user}:{user}@127.0.0.1:{port}//"
        finally:
            server.stop()
            # The port mapper outlives the server that started it.
            if epmd := shutil.which("epmd"):
                subprocess.run([epmd, "-port", str(epmd_port), "-kill"], check=False, capture_output=True)


def _configuration(port: int, certificates: Certificates | None) -> str:
    if certificates is None:
        return f"listeners.tcp.local = 127.0.0.1:{port}\n"
    return (
        f"listeners.tcp = none\nlisteners.ssl.local = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {certificates.authority}\nssl_options.certfile = {certificates.certificate}\n"
        f"ssl_options.keyfile = {certificates.key}\nssl_options.verify = verify_none\n"
    )


def answers(port: int, certificates: Certificates | None = None, user: str = "guest") -> bool:
    """Whether a client can open a connection and a channel."""
    tls = {"ca_certs": str(certificates.authority)} if certificates else False
    try:
        with amqp.Connection(f"127.0.0.1:{port}", userid=user, password=user, connect_timeout=2, ssl=tls) as connection:
            connection.channel()
            return True
    except (OSError, amqp.AMQPError):
        return False
