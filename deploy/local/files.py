"""The files of a stack's folder, which only their owner may read."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# There once every part of a running stack has answered.
READY = "ready"

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700


def make_private_dir(path: Path) -> bool:
    """Make the folder with mode 0700; true when one was there with a wider mode, which is now corrected."""
    path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
    return correct_mode(path, PRIVATE_DIR)


def write_private(path: Path, text: str) -> None:
    """Put `text` into the file in one step, mode 0600: a reader sees the old text or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    # The mode is given at creation: a chmod after writing would leave a moment in which others could open the file.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def correct_mode(path: Path, mode: int) -> bool:
    """Take away what others may do with `path`; true when there was something to take away."""
    if stat.S_IMODE(path.stat().st_mode) & ~mode == 0:
        return False
    path.chmod(mode)
    return True


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Be the only one who reads, changes and writes files in the folder, among those who ask."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
