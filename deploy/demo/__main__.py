"""Plays the story against the stack that runs, or against one of its own."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.compose.accounts import running_demo
from deploy.demo.stage import DeviationError
from deploy.demo.story import Story
from deploy.local.demo_data import DemoData
from deploy.local.ports import free_port
from deploy.local.settings import LocalSettings
from deploy.local.stack import StackError, find_running, running_stack


@contextmanager
def _stack(folder: Path) -> Iterator[DemoData]:
    """The stack of `make run`, else the one of `make up`, else one of its own."""
    running = find_running()
    demo = running.demo if running else running_demo(LocalSettings.from_env())
    if demo is not None:
        print(f"Playing against the running stack at {demo.base_url}")
        yield demo
        return
    print("No stack is running; starting one for this play ...")
    with running_stack(folder, free_port(5)) as stack:
        yield stack.demo


def main() -> int:
    """0 when everything went as the help page says, 1 at the first deviation."""
    with tempfile.TemporaryDirectory(prefix="latchkey-demo-") as folder:
        try:
            with _stack(Path(folder)) as demo:
                Story.on(demo).play()
        except (DeviationError, StackError, TimeoutError, OSError) as error:
            print(f"\nDEVIATION: {error}", file=sys.stderr)
            return 1
    print("\nEverything went as the help page says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
