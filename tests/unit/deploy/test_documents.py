"""What the documents name is there, and what must be named is named."""

import re

import pytest

from deploy.attack.probes import PROBES
from deploy.local.settings import ROOT

DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("services/*/README.md")), ROOT / "README.md"]
MODEL = (ROOT / "docs" / "threat-model.md").read_text()
A_FILE = re.compile(r"`((?:services|shared|tests|deploy|docs)/[\w./-]+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(document):
    named = set(A_FILE.findall(document.read_text()))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_threat_model_names_every_probe_in_its_row():
    rows = {}
    for line in MODEL.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 2 and cells[1].isdigit():
            rows[int(cells[1])] = set(re.findall(r"`([a-z0-9-]+)`", cells[4]))
    assert rows == {
        row: {probe.name for probe in PROBES if probe.row == row} for row in {probe.row for probe in PROBES}
    }
