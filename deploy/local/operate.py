"""`python -m deploy.local.operate MODULE [ARGUMENT ...]`: a command for operations, told where the local stack is."""

import os
import sys
from collections.abc import Sequence

from deploy.local.environment import environment_of
from deploy.local.settings import LocalSettings, SettingsError

WRONG_SETTINGS = 2


def main(command: Sequence[str]) -> int:
    """Become the command, in the environment of a part that has no keys; returns only when the settings are wrong."""
    try:
        settings = LocalSettings.from_env()
    except SettingsError as error:
        print(f"latchkey: {error}", file=sys.stderr)
        return WRONG_SETTINGS
    os.execvpe(sys.executable, [sys.executable, "-m", *command], environment_of("launcher", settings, {}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
