"""The pinned requirements, read back."""

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

FOLDER = Path(__file__).parents[2] / "requirements"
IMAGES = ("auth", "otp", "notify")
# What an image runs on (Dockerfile); a universal file also names what other platforms would need.
IMAGE_ENVIRONMENT = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}


def lines_of(text: str) -> Iterator[str]:
    """A line for each package, with its hashes; without comments and continuations."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield " ".join(line.split())


def of_image(service: str) -> str:
    """The requirements of an image, each package once, and none that Linux does without."""
    lines: dict[str, str] = {}
    for name in ("image", service):
        for line in lines_of((FOLDER / f"{name}.txt").read_text()):
            specifier, *hashes = line.split(" --hash=")
            requirement = Requirement(specifier)
            if requirement.marker is None or requirement.marker.evaluate(dict(IMAGE_ENVIRONMENT)):
                lines[requirement.name] = " --hash=".join([f"{requirement.name}{requirement.specifier}", *hashes])
    return "\n".join(lines.values()) + "\n"
