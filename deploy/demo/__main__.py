"""Plays the story against the stack that runs, or against one of its own."""

import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from deploy.demo.stage import DeviationError
from deploy.demo.story import Story
from deploy.local.ports import free_port
from deploy.local.stack import Stack, StackError, find_running, running_stack


def _stack(folder: Path) -> AbstractContextManager[Stack]:
    running = find_running()
    if running is not None:
        print(f"Playing against the running stack at {running.base_url}")
        return nullcontext(running)
    print("No stack is running; starting one for this play ...")
    return running_stack(folder, free_port(3))


def main() -> int:
    """0 when everything went as the help page says, 1 at the first deviation."""
    with tempfile.TemporaryDirectory(prefix="latchkey-demo-") as folder:
        try:
            with _stack(Path(folder)) as stack:
                Story.on(stack.demo).play()
        except (DeviationError, StackError, TimeoutError, OSError) as error:
            print(f"\nDEVIATION: {error}", file=sys.stderr)
            return 1
    print("\nEverything went as the help page says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
