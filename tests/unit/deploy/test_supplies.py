from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.supplies import audit
from deploy.supplies.audit import Report, verdict
from deploy.supplies.requirements import FOLDER, IMAGES, lines_of, of_image

ROOT = Path(__file__).parents[3]
KNOWN = {"name": "flask", "version": "3.1.3", "vulns": []}
BAD = {"name": "redis", "version": "8.1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["8.1.1"]}]}
UNKNOWN = {"name": "vine", "skip_reason": "Dependency not found on PyPI and could not be audited: vine (5.1.0)"}


def report(*packages) -> Report:
    return audit.read({"dependencies": list(packages)})


def test_nothing_known_against_any_package():
    status, lines = verdict([("pypi", report(KNOWN))])
    assert (status, lines) == (0, ["pypi: 1 packages looked up, 0 known vulnerabilities"])


def test_a_vulnerability_fails_the_build_and_says_where_it_is_mended():
    status, lines = verdict([("pypi", report(KNOWN, BAD, BAD))])
    assert status == 1
    assert lines[1:] == ["  redis 8.1.0: PYSEC-1, fixed in 8.1.1"]


def test_a_list_that_knows_no_package_was_not_reached_and_the_next_one_is_asked():
    status, lines = verdict([("pypi", report(UNKNOWN)), ("osv", report(BAD))])
    assert status == 1
    assert lines[0].startswith("osv: 1 packages")


def test_where_none_is_reached_it_is_skipped_with_the_reasons():
    status, lines = verdict([("pypi", report(UNKNOWN)), ("osv", "Name or service not known")])
    assert status == 0
    assert lines[0].startswith("SKIPPED")
    assert lines[1:] == [f"  pypi: {UNKNOWN['skip_reason']}", "  osv: Name or service not known"]


def test_a_package_that_was_not_looked_up_is_named():
    assert verdict([("pypi", report(KNOWN, UNKNOWN))])[1][1:] == [f"  not looked up: {UNKNOWN['skip_reason']}"]


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_holds_what_its_dockerfile_installs_on_linux(service):
    held = {Requirement(line.split(" --hash")[0]).name for line in of_image(service).splitlines()}
    assert {"dumb-init", "celery", "redis"} <= held
    assert not held & {"colorama", "tzdata", "pywin32"}, "of Windows"
    assert all(" --hash=sha256:" in line for line in of_image(service).splitlines())


def test_every_file_of_pinned_requirements_is_audited_or_part_of_one_that_is():
    within_dev = {*IMAGES, "shared", "run"}
    assert {path.stem for path in FOLDER.glob("*.in")} == {*audit.FILES, *within_dev}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_every_package_is_pinned_with_hashes(path):
    for line in lines_of(path.read_text()):
        assert "==" in line.partition(" ")[0], line
        assert " --hash=sha256:" in line, line


def test_the_build_runs_them():
    steps = (ROOT / ".ci/run").read_text()
    assert "section make audit-sources" in steps
    assert "section make audit-packages" in steps
