"""`python -m deploy.local.install VENV REQUIREMENTS`: make VENV, install pinned packages, and show the progress.

The Python that makes VENV runs this, so nothing but the standard library is imported here.
"""

import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

FAILED = 2
INTERRUPTED = 128 + signal.SIGINT
LINE_SECONDS = 5.0  # between two lines where the output is no terminal
_LOOK_SECONDS = 0.2
_LAST_LINES = 20
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
# --no-compile: pip would compile 95 MB of bytecode in 13 s of CPU, of which a stack loads a fifth. Python compiles the
# modules that it imports: 2 s (user and system time of `pip install` and of the imports, requirements/run.txt).
_INSTALL = ("install", "--no-compile", "--progress-bar", "off", "--require-hashes", "-r")
_FOUND = re.compile(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)")
_TO_INSTALL = "Installing collected packages: "


@dataclass(slots=True)
class Progress:
    """What pip's output and the folder of installed packages say about how far an installation is."""

    pinned: int
    packages: Path
    before: int
    found: int = 0
    last: str = ""
    to_install: int = 0
    output: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        """Learn from one line of pip's output."""
        self.output.append(line)
        if line.startswith("Ignoring "):  # a package of another platform
            self.pinned -= 1
        elif match := _FOUND.match(line):
            self.found, self.last = self.found + 1, match[1]
        elif line.startswith(_TO_INSTALL):
            self.to_install = line.count(",") + 1

    def text(self) -> str:
        """How far it is, in one line."""
        if not self.to_install:
            return f"downloaded {self.found} of {self.pinned}" + (f": {self.last}" if self.last else "")
        # pip writes a package's folder .dist-info when the package is there.
        return f"installed {min(installed(self.packages) - self.before, self.to_install)} of {self.to_install}"


def installed(packages: Path) -> int:
    """How many packages are in the folder."""
    return len(list(packages.glob("*.dist-info")))


def pinned(requirements: str) -> int:
    """How many packages the text of a requirements file pins, those of other platforms included."""
    return len(re.findall(r"^[A-Za-z0-9][^\s=]*==", requirements, re.MULTILINE))


def main(arguments: Sequence[str]) -> int:
    """Install; 0 when all is there, 2 when pip failed, 130 when it was interrupted."""
    venv, requirements = Path(arguments[0]), Path(arguments[1])
    # SIGINT too: in a shell's background job it is ignored, and Python leaves it so.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    count = pinned(requirements.read_text(encoding="utf-8"))
    print(
        f"latchkey: installing up to {count} packages of {requirements} into {venv}, once. "
        "Ctrl-C stops it; the next `make` continues.",
        flush=True,
    )
    started = time.monotonic()
    try:
        _make(venv)
        status = _install(venv, requirements, count)
    except KeyboardInterrupt:
        print("\nlatchkey: stopped while installing. Nothing was started; the next `make` continues.", flush=True)
        return INTERRUPTED
    except subprocess.CalledProcessError as error:
        print(error.output, end="", flush=True)
        print(f"latchkey: `{' '.join(map(str, error.cmd))}` failed; its output is above.", file=sys.stderr)
        return FAILED
    if status == 0:
        print(f"latchkey: the packages are installed ({time.monotonic() - started:.0f} s).", flush=True)
    return status


def _make(venv: Path) -> None:
    """Make the environment, or complete one whose making was interrupted. The one that we run in is complete."""
    if venv.exists() and venv.samefile(sys.prefix):
        return
    command = [sys.executable, "-m", "venv", str(venv)]
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _install(venv: Path, requirements: Path, count: int) -> int:
    packages = next((venv / "lib").glob("python3*/site-packages"))
    progress = Progress(count, packages, installed(packages))
    # -u: a line is there as soon as pip has written it.
    command = [str(venv / "bin" / "python"), "-u", *_PIP, *_INSTALL, str(requirements)]
    pip = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    reader = threading.Thread(target=_read, args=(pip, progress))
    try:
        reader.start()
        _show_until(reader, progress)
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):  # pressed again: pip ends all the same
            pip.terminate()
            pip.wait()
        raise
    reader.join()
    if pip.wait():
        print("\n".join(progress.output[-_LAST_LINES:]), flush=True)
        print("latchkey: pip could not install the packages; the end of its output is above.", file=sys.stderr)
        return FAILED
    return 0


def _read(pip: "subprocess.Popen[str]", progress: Progress) -> None:
    for line in pip.stdout or ():
        progress.read(line.rstrip())


def _show_until(reader: threading.Thread, progress: Progress) -> None:
    """Rewrite one line of a terminal, or write a line now and then to anything else, until the reader has ended."""
    terminal, shown, shown_at = sys.stdout.isatty(), "", time.monotonic()
    while reader.is_alive():
        reader.join(_LOOK_SECONDS)
        text = progress.text()
        if text == shown or not (terminal or time.monotonic() - shown_at >= LINE_SECONDS):
            continue
        # \x1b[K clears what a longer text has left of the line.
        print(
            f"\rlatchkey: {text}\x1b[K" if terminal else f"latchkey: {text}", end="" if terminal else "\n", flush=True
        )
        shown, shown_at = text, time.monotonic()
    if terminal and shown:
        print(flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
