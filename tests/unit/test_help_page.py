"""The record of the help page's steps: which runs fail, and that README shows the steps."""

import re

import pytest

from deploy.local.settings import ROOT
from tests.browser.help_page import STEPS, Record

SHOWN = re.compile(r"!\[Step \d\]\(docs/screenshots/([\w-]+)\.png\)<br>(.*?) \|")
NAMES = [name for _, name in STEPS]


class Page:
    def emulate_media(self, **_):
        pass

    def evaluate(self, *_):
        pass

    def screenshot(self, *, path):
        path.write_bytes(b"")


def recorded(folder, names):
    record = Record(folder)
    for name in names:
        record.show(name, Page())
    return record


def test_a_run_of_all_steps_leaves_none_out(tmp_path):
    assert recorded(tmp_path, NAMES).left() == []
    assert sorted(path.stem for path in tmp_path.iterdir()) == NAMES


@pytest.mark.parametrize("names", [NAMES[1:], [*NAMES[:3], *NAMES[4:]], [NAMES[1], NAMES[0]]])
def test_a_step_that_is_out_of_order_fails_the_run(tmp_path, names):
    with pytest.raises(AssertionError, match="the help page says"):
        recorded(tmp_path, names)


def test_last_steps_that_are_missing_are_named(tmp_path):
    assert recorded(tmp_path, NAMES[:-1]).left() == [STEPS[-1][0]]


def test_the_readme_shows_the_steps_in_the_help_pages_order_and_words():
    shown = SHOWN.findall((ROOT / "README.md").read_text())
    assert [(words, name) for name, words in shown] == list(STEPS)


def test_each_step_has_its_picture_and_no_picture_is_left_over():
    assert sorted(path.stem for path in (ROOT / "docs" / "screenshots").iterdir()) == NAMES
