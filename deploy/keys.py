"""`python -m deploy.keys [--compose] status | rotate NAME [--use | --drop] | rewrap`; `make keys` calls it.

A list rotates in three calls of `rotate`, each rolled out before the next: docs/keys.md.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.compose import secret_files
from deploy.compose.containers import DEVELOPMENT, PRODUCTION, ComposeError, Containers
from deploy.key_lists import KEY_LISTS, SECRETS_AT_REST, KeyListRow
from deploy.local.environment import environment_of
from deploy.local.files import exclusive
from deploy.local.keys import DERIVED, MADE, new_list, new_material, read_keys, write_keys
from deploy.local.settings import LocalSettings, SettingsError
from shared.keys import KeyList, RotationError

_ROWS = {row.name: row for row in KEY_LISTS}


class KeysError(Exception):
    """What was asked for can't be done; the message shows no key."""


class KeyPlace(Protocol):
    """Where a stack keeps its key lists, and how its otp is asked."""

    @property
    def folder(self) -> Path:
        """What holds the files."""

    def read(self) -> dict[str, str]:
        """The lists that there are, by name."""

    def write(self, changed: Mapping[str, str]) -> None:
        """Put these in the place of the old ones, each in one step."""

    def otp(self, *arguments: str, capture: bool) -> str:
        """What otp's command prints, when it is captured. Raises KeysError."""


@dataclass(frozen=True, slots=True)
class LocalKeys:
    """`make run`: one file."""

    settings: LocalSettings

    @property
    def folder(self) -> Path:
        """What holds the file."""
        return self.settings.var_dir

    def read(self) -> dict[str, str]:
        """The lists of the file."""
        try:
            return read_keys(self.settings.keys_file)
        except FileNotFoundError:
            raise KeysError(f"{self.settings.keys_file} is not there; `make run` makes it") from None

    def write(self, changed: Mapping[str, str]) -> None:
        """All in one step."""
        write_keys(self.settings.keys_file, {**self.read(), **changed})

    def otp(self, *arguments: str, capture: bool) -> str:
        """Run it here, in otp's environment."""
        done = subprocess.run(
            [sys.executable, "-m", "services.otp", *arguments],
            cwd=self.settings.root,
            env=environment_of("otp", self.settings, self.read()),
            stdin=subprocess.DEVNULL,
            capture_output=capture,
            text=True,
            check=False,
        )
        if done.returncode:
            said = f":\n{done.stdout}{done.stderr}" if capture else "; see above"
            raise KeysError(f"`services.otp {' '.join(arguments)}` failed{said}")
        return done.stdout or ""


@dataclass(frozen=True, slots=True)
class ComposeKeys:
    """`docker compose`: a file for each secret."""

    containers: Containers

    @property
    def folder(self) -> Path:
        """What holds the files."""
        return self.containers.secrets_folder

    def read(self) -> dict[str, str]:
        """The lists of the files; one that its owner left empty is none."""
        if not self.folder.is_dir():
            raise KeysError(f"{self.folder} is not there; `python -m deploy.compose secrets` makes it")
        values = {name: secret_files.read(self.folder, name.lower()) for name in _ROWS}
        return {name: value for name, value in values.items() if value}

    def write(self, changed: Mapping[str, str]) -> None:
        """One after the other."""
        for name, value in changed.items():
            secret_files.put(self.folder, name.lower(), value)

    def otp(self, *arguments: str, capture: bool) -> str:
        """Run it in otp's container."""
        command = ("exec", "-T", "otp", "python", "-m", "services.otp", *arguments)
        try:
            if capture:
                return self.containers.ask(*command)
            self.containers.call(*command)
        except ComposeError as error:
            raise KeysError(str(error)) from error
        return ""


def rotate(place: KeyPlace, name: str, step: str) -> str:
    """Do the step (`add`, `use` or `drop`) and say what comes next. Raises KeysError, RotationError."""
    row = _ROWS.get(name)
    if row is None:
        hint = f" (it follows {DERIVED[name][0]})" if name in DERIVED else ""
        raise KeysError(f"{name} is none of the lists{hint}: {', '.join(_ROWS)}")
    with exclusive(place.folder), _readable(name):
        text = place.read().get(name)
        if text is None:
            return _first_key(place, name)
        keys = KeyList.parse(text)
        if step == "add":
            changed = keys.added(new_material())
        elif step == "use":
            changed = keys.used()
        else:
            changed = keys.dropped()
            _require_unused(place, name, {key.id for key in keys} - {changed.newest.id})
        place.write(_lists(name, changed.dump()))
    return _next(row, step, changed)


def _lists(name: str, text: str) -> dict[str, str]:
    return {name: text} | {public: derive(text) for public, (source, derive) in DERIVED.items() if source == name}


def _first_key(place: KeyPlace, name: str) -> str:
    """A list that is made on demand: that of an SMS gateway."""
    if isinstance(place, LocalKeys) or name in MADE:
        raise KeysError(f"{name} is not kept in {place.folder}")
    place.write({name: new_list(secret_files.KEY_STEM)})
    return f"{name} was empty and has its first key now."


def _require_unused(place: KeyPlace, name: str, key_ids: set[str]) -> None:
    """Raises KeysError while the keys hold secrets. For the other lists nobody but time can tell."""
    if name != SECRETS_AT_REST:
        return
    uses = json.loads(place.otp("keys", "status", "--json", capture=True))
    held = {use["key_id"]: use["secrets"] for use in uses if use["key_id"] in key_ids and use["secrets"]}
    if held:
        counts = ", ".join(f"{count} under {key_id}" for key_id, count in held.items())
        raise KeysError(f"secrets are left ({counts}): `rewrap` first")


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RotationError) as error:
        raise KeysError(f"{name}: {error}") from None


def _next(row: KeyListRow, step: str, keys: KeyList) -> str:
    order = ", ".join(key.id for key in keys)
    if step == "add":
        wait = f" and wait: {row.before_use}" if row.before_use else ""
        return f"{row.name}: {order}. Renew {row.readers}{wait}; then: rotate {row.name} --use"
    if step == "use":
        wait = f" and wait: {row.before_drop}" if row.before_drop else ""
        return f"{row.name}: {order}. Renew {row.writers}{wait}; then: rotate {row.name} --drop"
    return f"{row.name}: {order}. Renew {row.readers}; that is all."


def status(place: KeyPlace) -> None:
    """Print the ids of every list, the one that writes first, and how many secrets each key holds."""
    lists = place.read()
    for name in _ROWS:
        if name in lists:
            with _readable(name):
                print(f"{name:<22}{', '.join(key.id for key in KeyList.parse(lists[name]))}")
    print(flush=True)
    place.otp("keys", "status", capture=False)


def main(arguments: list[str]) -> int:
    """0 when it is done, 1 when it can't be, 2 for wrong usage or settings."""
    parser = argparse.ArgumentParser(prog="python -m deploy.keys")
    parser.add_argument("--compose", action="store_true", help="the keys of the stack in containers")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="which keys there are, and how many secrets they hold")
    commands.add_parser("rewrap", help="move the secrets at rest to the newest key")
    turn = commands.add_parser("rotate", help="add a key behind the first; then put it first; then drop the old ones")
    turn.add_argument("name", metavar="NAME", help=", ".join(_ROWS))
    step = turn.add_mutually_exclusive_group()
    step.add_argument("--use", dest="step", action="store_const", const="use", help="put the key that was added first")
    step.add_argument("--drop", dest="step", action="store_const", const="drop", help="take away all but the first")
    turn.set_defaults(step="add")
    options = parser.parse_args(arguments)
    try:
        settings = LocalSettings.from_env()
        place: KeyPlace = LocalKeys(settings)
        if options.compose:
            place = ComposeKeys(Containers(settings, (PRODUCTION, DEVELOPMENT)))
        match options.command:
            case "status":
                status(place)
            case "rewrap":
                place.otp("keys", "rewrap", capture=False)
            case "rotate":
                print(rotate(place, options.name, options.step))
    except SettingsError as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return 2
    except KeysError as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
