"""The stack in containers, built and started as a person would, once for the session."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.local.demo_data import DemoData, read_demo
from deploy.local.ports import free_port
from deploy.local.settings import ROOT
from deploy.portal import Portal, wait_for
from tests.support.twilio_stub import AUTH_TOKEN

PROJECT = "latchkey-test"
PRODUCTION, DEVELOPMENT = "docker-compose.yml", "deploy/compose/development.yml"
CODES = Path(__file__).with_name("codes.py")
PIP_MARK = "known-to-the-build-alone"


def service_of(container):
    return container["Config"]["Labels"]["com.docker.compose.service"]


@dataclass(frozen=True)
class Stack:
    """Commands against the stack of the test's own project, ports, secrets and image tag."""

    var_dir: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        own = {"COMPOSE_PROJECT_NAME": PROJECT, "LATCHKEY_TAG": "test", "VAR_DIR": str(self.var_dir)}
        own |= {"PORT": str(self.port), "PIP_CONFIG_FILE": str(self.pip_config)}
        return {**os.environ, **own, **self.settings}

    @property
    def pip_config(self) -> Path:
        return self.var_dir / "pip.conf"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def operator_url(self) -> str:
        """The state Redis, inside its own container, as the user who may do everything."""
        password = (self.var_dir / "compose" / "secrets" / "operator_redis_password").read_text().strip()
        return f"redis://operator:{password}@127.0.0.1:6379/0"

    @property
    def demo(self) -> DemoData:
        return read_demo(self.var_dir / "compose" / "demo.json")

    def make(self, *arguments: str) -> str:
        return self.run("make", "--no-print-directory", *arguments).stdout

    def run(self, *command: str, check: bool = True, text: str = "") -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done

    def containers(self, service: str | None = None, *, running: bool = True) -> list[dict]:
        """What Docker knows of the stack's containers."""
        labels = [f"label=com.docker.compose.project={PROJECT}"]
        if service:
            labels.append(f"label=com.docker.compose.service={service}")
        filters = [part for label in labels for part in ("--filter", label)]
        ids = self.run("docker", "ps", "--quiet", *([] if running else ["--all"]), *filters).stdout.split()
        return json.loads(self.run("docker", "inspect", *ids).stdout) if ids else []

    def python(
        self, service: str, code: str, *arguments: str, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run Python code in the service's container."""
        return self.run(*self.python_command(service, *arguments), text=code, check=check)

    def python_command(self, service: str, *arguments: str) -> list[str]:
        return ["docker", "exec", "-i", self.containers(service)[0]["Id"], "python", "-", *arguments]

    def compose(
        self, *arguments: str, files: Sequence[str], check: bool = True, text: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        chosen = [part for file in files for part in ("--file", file)]
        return self.run("docker", "compose", *chosen, *arguments, check=check, text=text)

    def codes_while(self, action, *, count: int, pause_seconds: float) -> list[str]:
        """Publish codes and act in the midst of it; their message ids, once all are sent."""
        codes = json.loads(self.python("otp", CODES.read_text(), "leave", str(count)).stdout)
        with CODES.open() as code:
            publishing = subprocess.Popen(
                self.python_command("auth", "ring", str(pause_seconds), *codes),
                stdin=code,
                stdout=subprocess.PIPE,
                env=self.environment,
                text=True,
            )
        time.sleep(2)
        action()
        output, _ = publishing.communicate(timeout=60)
        ids = json.loads(output)
        assert len(ids) == count

        def all_sent():
            """Every code has the status sent."""
            statuses = json.loads(self.python("auth", CODES.read_text(), "status", *ids).stdout)
            return set(statuses) == {"sent"}

        wait_for(all_sent, seconds=40, every=1)
        return ids

    def inbox(self, ids: list[str]) -> list[int]:
        """How often each of these messages came to the development inbox."""
        came = Counter(message["message_id"] for message in Portal(self.base_url).get("/dev/inbox.json").body)
        return [came[message_id] for message_id in ids]


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    if not os.environ.get("COMPOSE_TESTS"):
        pytest.skip("needs a Docker engine: `make test-compose` runs it")
    stack = Stack(tmp_path_factory.mktemp("compose"), free_port())
    try:
        stack.run(sys.executable, "-m", "deploy.compose", "secrets")
        token = stack.var_dir / "compose" / "secrets" / "twilio_auth_token"
        token.chmod(0o600)
        token.write_text(AUTH_TOKEN)
        given = Path(os.environ.get("PIP_CONFIG_FILE", os.devnull)).read_text()
        stack.pip_config.write_text(f"{given}\n# {PIP_MARK}\n")
        stack.make("up")
        yield stack
    finally:
        stack.make("down", "FORGET=1")
    assert stack.containers(running=False) == []
