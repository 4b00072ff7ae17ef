import os
import subprocess
import sys

import pytest

from deploy.local.run import CANNOT_START, StartError, lock
from deploy.local.settings import ROOT


def test_a_folder_belongs_to_one_stack_at_a_time(tmp_path):
    path = tmp_path / "run.lock"
    lock(path)
    with pytest.raises(StartError) as error:
        lock(path)
    assert f"pid {os.getpid()}" in str(error.value)
    assert "VAR_DIR" in str(error.value)


def test_the_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "run.lock"
    code = "import sys; from pathlib import Path; from deploy.local.run import lock; lock(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=True)
    lock(path)


def test_a_bad_setting_is_one_line_and_exit_status_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.run"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PORT": "none", "VAR_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == CANNOT_START
    assert done.stderr.startswith("latchkey: PORT='none' is not a port")
    assert done.stderr.count("\n") == 1
