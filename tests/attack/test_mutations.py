"""Each probe reports the hole when its guard is off."""

import json
import subprocess
import sys

import pytest

from deploy.local.settings import ROOT
from tests.support.mutations import groups


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutated_stack", groups(), indirect=True)
def test_every_switched_off_guard_is_reported(mutated_stack, tmp_path):
    stack, mutations = mutated_stack
    probes = sorted({mutation.probe for mutation in mutations})
    report = tmp_path / "report.json"
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "deploy.attack", "--var-dir", str(stack.var_dir), "--client-addresses"),
            *("--only", ",".join(probes), "--report", str(report)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), ran.stdout + ran.stderr
    found = {row["name"]: row for row in json.loads(report.read_text())}
    missed = [
        f"{mutation.probe} ({mutation.why}): {found[mutation.probe]['verdict']} {found[mutation.probe]['said']}"
        for mutation in mutations
        if found[mutation.probe]["verdict"] != "HOLE" or mutation.says not in found[mutation.probe]["said"]
    ]
    assert not missed, "\n".join(missed)
    assert ran.returncode == 1
