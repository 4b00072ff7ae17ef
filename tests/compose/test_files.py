"""The files themselves, checked by the tools that read them; no engine is needed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.settings import ROOT
from tests.compose.conftest import DEVELOPMENT, PRODUCTION


@pytest.fixture(scope="session")
def compose():
    """Compose v2 itself: the package's own command always exits with 0."""
    package = pytest.importorskip("compose", reason="`make test-compose` installs and runs it")
    return str(Path(package.__file__).with_name("docker-compose"))


@pytest.mark.parametrize("files", [[PRODUCTION], [PRODUCTION, DEVELOPMENT]])
def test_compose_takes_the_files(compose, files, tmp_path):
    chosen = [part for file in files for part in ("--file", file)]
    done = subprocess.run(
        [compose, *chosen, "--profile", "*", "config", "--quiet"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("`make test-compose` installs and runs it")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_no_image_is_named_but_as_an_argument_with_a_default():
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = {name for _, name in re.findall(r"^FROM (\S+) AS (\S+)$", dockerfile, re.MULTILINE)}
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    assert bases - stages == {"${PYTHON_IMAGE}", "${SERVICE}"}
    images = re.findall(r"^\s+image: (\S+)", (ROOT / PRODUCTION).read_text(), re.MULTILINE)
    assert all(
        re.fullmatch(r"latchkey-\w+:\$\{LATCHKEY_TAG:-latest}|\$\{[A-Z]+_IMAGE:-[\w.:-]+}", image) for image in images
    )
