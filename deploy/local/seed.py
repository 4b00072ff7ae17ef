"""The accounts of a fresh stack: a team with an owner and a member, and two support operators with 2FA on.

They are made through the services' own command lines, as an operator would make them.
"""

import base64
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.demo_data import DemoAccount, DemoData, read_demo, write_demo
from deploy.local.environment import environment_of
from deploy.local.files import write_private
from deploy.local.settings import LocalSettings

_STEP_SECONDS = 60


class SeedError(Exception):
    """An account could not be made; the message holds what the command said."""


@dataclass(frozen=True, slots=True)
class _Plan:
    email: str
    name: str
    role: str
    team: str
    second_factor: bool


# Two operators, because a reset that the policy table doesn't allow at once needs a second pair of eyes.
PLANS = (
    _Plan("owner@example.com", "Olivia Grant", "owner", "Example Ltd", second_factor=False),
    _Plan("member@example.com", "Max Berger", "member", "Example Ltd", second_factor=False),
    _Plan("support@latchkey.example", "Sam Okafor", "support", "Latchkey Support", second_factor=True),
    _Plan("support2@latchkey.example", "Olga Lindqvist", "support", "Latchkey Support", second_factor=True),
)


def seed(settings: LocalSettings, keys: Mapping[str, str]) -> DemoData:
    """Make the accounts and write `demo.json`; if that is there, only correct the address in it.

    An interrupted run is taken up where it ended. Raises SeedError when a command fails.
    """
    if settings.demo_file.exists():
        demo = DemoData(settings.base_url, read_demo(settings.demo_file).accounts)
        write_demo(settings.demo_file, demo)
        return demo
    draft = _Draft(settings.var_dir / "demo.draft.json")
    accounts = [_account(settings, keys, plan, draft) for plan in PLANS]
    demo = DemoData(settings.base_url, tuple(accounts))
    write_demo(settings.demo_file, demo)
    draft.remove()
    return demo


def new_password() -> str:
    """Eighty random bits in a shape that a person can type: xxxx-xxxx-xxxx-xxxx."""
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def new_totp_secret() -> str:
    """A shared secret of 160 bits, base32 without padding (RFC 4226 §4)."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


class _Draft:
    """What was made so far, so that an interrupted seeding neither loses a password nor makes an account twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def get(self, email: str) -> dict[str, str]:
        return self._steps.setdefault(email, {})

    def save(self) -> None:
        write_private(self._path, json.dumps(self._steps))

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def _account(settings: LocalSettings, keys: Mapping[str, str], plan: _Plan, draft: _Draft) -> DemoAccount:
    made = draft.get(plan.email)
    if "password" not in made:
        made["password"] = new_password()
        made["totp_secret"] = new_totp_secret()
        draft.save()
    if "id" not in made:
        with _Uninterrupted():
            answer = _run(
                environment_of("auth", settings, keys),
                settings.root,
                [
                    *("services.auth", "accounts", "create", "--email", plan.email, "--role", plan.role),
                    *("--team", plan.team, "--name", plan.name),
                ],
                made["password"],
            )
            made["id"] = str(json.loads(answer.strip().splitlines()[-1])["id"])
            draft.save()
    if plan.second_factor and "imported" not in made:
        with _Uninterrupted():
            _run(
                environment_of("otp", settings, keys),
                settings.root,
                ["services.otp", "authenticators", "import", "--account-id", made["id"], "--label", plan.email],
                made["totp_secret"],
            )
            made["imported"] = "yes"
            draft.save()
    secret = made["totp_secret"] if plan.second_factor else None
    return DemoAccount(made["id"], plan.email, made["password"], plan.role, secret)


class _Uninterrupted:
    """Hold SIGINT and SIGTERM back until a step is done and written down; the command inherits that."""

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _run(environment: Mapping[str, str], root: Path, arguments: list[str], secret: str) -> str:
    """Run a service's command with the secret on its standard input, never in its arguments."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            input=secret + "\n",
            env=environment,
            cwd=root,
            capture_output=True,
            text=True,
            timeout=_STEP_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        message = f"`{' '.join(arguments)}` failed:\n{error.stdout}{error.stderr}"
        raise SeedError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"`{' '.join(arguments)}` did not end within {_STEP_SECONDS} seconds."
        raise SeedError(message) from error
    return done.stdout
