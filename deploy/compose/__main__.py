"""`python -m deploy.compose secrets | up | down | scale N`; `make up`, `make down` and `make scale-sms` call it."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from deploy.compose import secret_files
from deploy.compose.accounts import seed
from deploy.compose.containers import DEVELOPMENT, PRODUCTION, ComposeError, Containers
from deploy.local.announce import Served, served_at
from deploy.local.demo_data import DemoData
from deploy.local.files import make_private_dir
from deploy.local.settings import LocalSettings, SettingsError
from deploy.settings_check import READERS, refuse_faults

READY_SECONDS = 180
LOG_LINES = 20  # of each container, when one does not get ready


def make_secrets(containers: Containers) -> None:
    """Make the secret files that are missing."""
    make_private_dir(containers.settings.var_dir)
    make_private_dir(containers.folder)
    written = secret_files.make(containers.secrets_folder)
    if written:
        print(f"latchkey: wrote {len(written)} files to {containers.secrets_folder}", flush=True)


def up(containers: Containers) -> None:
    """Build and start everything for a try, wait until it is healthy, seed, and say what to open."""
    containers.require_v2()
    make_secrets(containers)
    refuse_wrong_settings(containers)
    try:
        containers.call("up", "--detach", "--build", "--wait", "--wait-timeout", str(READY_SECONDS))
    except ComposeError:
        containers.call("logs", "--tail", str(LOG_LINES))
        raise
    demo = seed(containers)
    print(ready_text(demo, containers.demo_file, served_at(demo.base_url)), flush=True)


def refuse_wrong_settings(containers: Containers) -> None:
    """Raise SettingsError with all that the services would refuse: Compose would start them again and again."""
    environments = containers.environments()
    refuse_faults((part, environments[service]) for part, service in PARTS)


# Each part, and the Compose service that runs it.
PARTS = (*((part, part) for part in READERS), ("notify", "notices"))


def scale(containers: Containers, workers: int) -> None:
    """Have so many workers send codes; nothing that runs is touched, but workers beyond the number are stopped."""
    containers.require_v2()
    files = containers.running_files()
    if not files:
        raise ComposeError("no stack is running: `make up` starts one")
    running = Containers(containers.settings, files)
    # A worker on another broker than the gateway's would wait for codes that never come.
    running = replace(running, broker=running.ask("exec", "-T", "auth", "printenv", "BROKER").strip())
    running.call("up", "--detach", "--wait", "--no-deps", "--no-recreate", "--scale", f"notify={workers}", "notify")


def down(containers: Containers, *, forget: bool) -> None:
    """Stop and remove the containers; the data stays, unless it shall be forgotten, and the accounts with it."""
    containers.require_v2()
    containers.call("--profile", "*", "down", "--remove-orphans", *(["--volumes"] if forget else []))
    if forget:
        containers.demo_file.unlink(missing_ok=True)


def ready_text(demo: DemoData, demo_file: Path, served: Served) -> str:
    """What a person does next."""
    lines = [
        "",
        "Latchkey is running in containers. `make down` stops it; the next `make up` finds its data again.",
        "",
        *served.lines(demo.base_url),
        f"  Accounts     {demo_file}",
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """0 when it is done, 1 when Compose refuses, 2 for wrong usage or settings."""
    parser = argparse.ArgumentParser(prog="python -m deploy.compose")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secrets", help="make the secret files that are missing")
    commands.add_parser("up", help="start everything, for a try")
    commands.add_parser("down", help="stop everything").add_argument("--forget", action="store_true")
    commands.add_parser("scale", help="change the number of workers for codes").add_argument("workers", type=int)
    options = parser.parse_args(arguments)
    try:
        containers = Containers(LocalSettings.from_env(), (PRODUCTION, DEVELOPMENT))
        match options.command:
            case "secrets":
                make_secrets(containers)
            case "up":
                up(containers)
            case "down":
                down(containers, forget=options.forget)
            case "scale":
                scale(containers, options.workers)
    except SettingsError as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return 2
    except ComposeError as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
