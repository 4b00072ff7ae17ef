"""What the documents name is there, and what must be named is named."""

import re

import pytest

from deploy.attack.probes import PROBES
from deploy.local.settings import ROOT

MODEL, COMPLIANCE = ((ROOT / "docs" / name).read_text() for name in ("threat-model.md", "compliance.md"))
A_FILE = re.compile(r"`((?:services|shared|tests|deploy|docs)/[\w./-]+)`")


@pytest.mark.parametrize("document", [MODEL, COMPLIANCE], ids=["threat-model", "compliance"])
def test_every_file_that_is_named_is_there(document):
    named = set(A_FILE.findall(document))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_threat_model_names_every_probe_in_its_row():
    rows = {}
    for line in MODEL.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 2 and cells[1].isdigit():
            rows[int(cells[1])] = set(re.findall(r"`([a-z0-9-]+)`", cells[4]))
    assert rows == {row: {probe.name for probe in PROBES if probe.row == row} for row in range(1, 37)}
