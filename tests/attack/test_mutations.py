"""Each probe reports the hole when its guard is off."""

import json
import subprocess
import sys

import pytest

from deploy.local.settings import ROOT
from tests.support.mutations import groups

# A race, or a flood, is lost by chance now and then. Where the guard is on, no number of runs finds a hole.
RUNS = 3


def attack(stack, probes, report):
    """Run these probes; what each found, and the exit status."""
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "deploy.attack", "--var-dir", str(stack.var_dir), "--client-addresses"),
            *("--only", ",".join(sorted(probes)), "--report", str(report)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), ran.stdout + ran.stderr
    return {row["name"]: row for row in json.loads(report.read_text())}, ran.returncode


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutated_stack", groups(), indirect=True)
def test_every_switched_off_guard_is_reported(mutated_stack, tmp_path):
    stack, missed = mutated_stack
    for run in range(RUNS):
        found, status = attack(stack, {mutation.probe for mutation in missed}, tmp_path / f"report-{run}.json")
        reported = [m for m in missed if found[m.probe]["verdict"] == "HOLE" and m.says in found[m.probe]["said"]]
        assert status == 1 or not reported
        missed = [mutation for mutation in missed if mutation not in reported]
        if not missed:
            return
    told = [f"{m.probe} ({m.why}): {found[m.probe]['verdict']} {found[m.probe]['said']}" for m in missed]
    pytest.fail("\n".join(told))
