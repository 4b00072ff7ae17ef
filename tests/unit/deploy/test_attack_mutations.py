"""That each attack probe can fail is shown by `make attack-mutations`; here: nothing is missing, and the edits fit."""

import ast

import pytest

from deploy.attack.probes import PROBES
from tests.support.mutations import Edit, edited, groups, read_mutations


def test_every_probe_has_a_mutation():
    assert {mutation.probe for mutation in read_mutations()} == {probe.name for probe in PROBES}


def test_every_row_of_the_attacks_has_a_probe():
    rows = {*range(1, 58), 60, *range(62, 72)}
    assert {probe.row for probe in PROBES} >= rows


def test_names_are_unique():
    names = [probe.name for probe in PROBES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("group", groups())
def test_the_edits_fit_the_tree_and_leave_python(group):
    for file, text in edited(groups()[group]).items():
        if file.endswith(".py"):
            ast.parse(text, file)


@pytest.mark.parametrize("text", ["", "guard guard"])
def test_an_edit_that_does_not_fit_once_is_refused(text):
    with pytest.raises(ValueError, match=r"x\.py holds [02] times"):
        Edit("x.py", "guard", "").applied_to(text)
