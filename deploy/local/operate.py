"""`python -m deploy.local.operate [--as PART] MODULE [ARGUMENT ...]`: a command for operations on the local stack.

Without `--as` it gets no keys. With it, it gets the environment of that part, as a command in its container would.
"""

import os
import sys
from collections.abc import Sequence

from deploy.local.environment import SERVICE_KEYS, environment_of
from deploy.local.keys import read_keys
from deploy.local.settings import LocalSettings, SettingsError

WRONG_SETTINGS = 2


def main(command: Sequence[str]) -> int:
    """Replace this process by the command, in a part's environment; returns only when the settings are wrong."""
    part = "launcher"
    if command[:1] == ["--as"] and len(command) > 2:
        part, command = command[1], command[2:]
    try:
        settings = LocalSettings.from_env()
    except SettingsError as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return WRONG_SETTINGS
    if part not in SERVICE_KEYS:
        print(f"latchkey: --as takes one of {', '.join(SERVICE_KEYS)}", file=sys.stderr)
        return WRONG_SETTINGS
    keys = read_keys(settings.keys_file) if SERVICE_KEYS[part] else {}
    os.execvpe(sys.executable, [sys.executable, "-m", *command], environment_of(part, settings, keys))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
