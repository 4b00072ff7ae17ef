"""Docker Compose, called for the stack of this checkout."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.settings import ROOT, LocalSettings

PROJECT = "latchkey"
PRODUCTION = ROOT / "docker-compose.yml"
DEVELOPMENT = ROOT / "deploy" / "compose" / "development.yml"


_SECRETS = Path("/run/secrets")  # in a container


class ComposeError(Exception):
    """Compose refused, or can't be run; the message says what it said, unless it has said so itself."""


@dataclass(frozen=True, slots=True)
class Containers:
    """The stack's containers, as these Compose files describe them."""

    settings: LocalSettings
    files: tuple[Path, ...]
    broker: str | None = None  # None: what the caller's environment says

    @property
    def folder(self) -> Path:
        """Secrets, and what was seeded."""
        return self.settings.var_dir / "compose"

    @property
    def secrets_folder(self) -> Path:
        """One file for each secret."""
        return self.folder / "secrets"

    @property
    def demo_file(self) -> Path:
        """The seeded accounts."""
        return self.folder / "demo.json"

    @property
    def base_url(self) -> str:
        """The gateway, as a client on this machine reaches it."""
        return f"http://127.0.0.1:{self.settings.port}"

    def call(self, *arguments: str) -> None:
        """Run Compose, which speaks to the person at the console. Raises ComposeError."""
        self._run(arguments, None, capture=False)

    def ask(self, *arguments: str, text: str = "") -> str:
        """What Compose prints, with `text` on its standard input. Raises ComposeError."""
        return self._run(arguments, text, capture=True)

    def execute(self, service: str, arguments: Sequence[str], text: str) -> str:
        """What a Python module prints that runs in a container of the service. Raises ComposeError."""
        return self.ask("exec", "-T", service, "python", "-m", *arguments, text=text)

    def require_v2(self) -> None:
        """Raise ComposeError where Docker Compose v2 is not installed, or is an older one."""
        command = " ".join(self._command)
        try:
            version = self._run(("version", "--short"), None, capture=True).strip()
        except ComposeError:
            version = ""
        if not version or version.removeprefix("v").startswith("1."):
            found = f"`{command}` is version {version}" if version else f"`{command}` does not work here"
            message = (
                f"Docker Compose v2 is needed, and {found}. Install Docker with the package docker-compose-plugin "
                "(docker-compose-v2 on Ubuntu), or say how it is called: COMPOSE=docker-compose make up"
            )
            raise ComposeError(message)

    def environments(self) -> dict[str, dict[str, str]]:
        """The environment of each service, with the secret files as they are on this machine. Raises ComposeError."""
        model = json.loads(self.ask("config", "--format", "json"))
        files = {name: secret["file"] for name, secret in model["secrets"].items()}
        found = {}
        for name, service in model["services"].items():
            mounted = {
                str(_SECRETS / secret["target"]): files[secret["source"]] for secret in service.get("secrets", ())
            }
            environment = service.get("environment") or {}
            found[name] = {key: mounted.get(value, value) for key, value in environment.items() if value is not None}
        return found

    def running_files(self) -> tuple[Path, ...]:
        """The Compose files that the running stack was started with; none when no stack runs."""
        name = self.settings.environ.get("COMPOSE_PROJECT_NAME") or PROJECT
        for project in json.loads(self.ask("ls", "--format", "json")):
            if project["Name"] == name:
                return tuple(Path(file) for file in project["ConfigFiles"].split(","))
        return ()

    @property
    def _command(self) -> list[str]:
        return (self.settings.environ.get("COMPOSE") or "docker compose").split()

    def _run(self, arguments: Sequence[str], text: str | None, *, capture: bool) -> str:
        command = self._command
        chosen = [part for file in self.files for part in ("--file", str(file))]
        # Said here, so that Compose and we mean the same ones, whatever the caller's folder or .env.
        own = {"VAR_DIR": str(self.settings.var_dir), "PORT": str(self.settings.port)}
        if self.broker:
            own["BROKER"] = self.broker
        try:
            done = subprocess.run(
                [*command, "--project-directory", str(ROOT), *chosen, *arguments],
                env={**os.environ, **own},
                input=text,
                stdin=None if capture else subprocess.DEVNULL,
                capture_output=capture,
                text=True,
                check=True,
            )
        except FileNotFoundError as error:
            message = f"{command[0]} was not found: install Docker with Compose v2, or say in COMPOSE how it is called."
            raise ComposeError(message) from error
        except subprocess.CalledProcessError as error:
            said = f":\n{error.stdout}{error.stderr}" if capture else "; see above"
            message = f"`{' '.join((*command, *arguments))}` failed{said}"
            raise ComposeError(message) from error
        return str(done.stdout)
