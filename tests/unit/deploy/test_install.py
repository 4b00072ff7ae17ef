"""The installation before anything else is there: progress, Ctrl-C, and which packages each target of make needs."""

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

from deploy.local import install
from deploy.local.install import FAILED, INTERRUPTED, Progress, pinned
from deploy.local.settings import ROOT
from deploy.portal import wait_for
from tests.unit.deploy.test_lean import distribution
from tests.unit.deploy.test_lean import pinned as pins

# In place of pip: it finds two packages, writes the first one's folder, and waits until it is told to end.
PIP = """
import sys, time
from pathlib import Path
print("Collecting one==1 (from -r x)", "Collecting two==2 (from -r x)", sep="\\n")
print("Ignoring three: markers 'os_name == \\"nt\\"' don't match your environment")
{then}
"""
INSTALLS = """
print("Installing collected packages: one, two")
packages = Path(__file__).parents[1]
for name in ("one", "two"):
    (packages / f"{name}-1.dist-info").mkdir()
"""
FAILS = "print('ERROR: THESE PACKAGES DO NOT MATCH THE HASHES'); sys.exit(1)"
WAITS = "Path('waits').touch(); time.sleep(60)"
REQUIREMENTS = (
    "one==1 \\\n    --hash=sha256:0\n    # via x\ntwo==2 \\\n    --hash=sha256:0\nthree==3 ; os_name == 'nt' \\\n"
)


@pytest.fixture
def started(tmp_path):
    """Starts an installation into an environment whose pip does as told."""
    processes = []

    def start(then):
        venv, requirements = tmp_path / "venv", tmp_path / "requirements.txt"
        requirements.write_text(REQUIREMENTS)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        package = next((venv / "lib").glob("python3*/site-packages")) / "pip"
        package.mkdir()
        (package / "__main__.py").write_text(PIP.format(then=then))
        # Not the venv module: it would put the real pip in.
        code = "import sys; from deploy.local import install; install._make = id; sys.exit(install.main(sys.argv[1:]))"
        process = subprocess.Popen(
            [sys.executable, "-c", code, venv, requirements],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_it_says_what_it_does_and_that_it_is_done(started):
    process = started(INSTALLS)
    printed, _ = process.communicate(timeout=60)
    first, last = printed.splitlines()[0], printed.splitlines()[-1]
    assert process.returncode == 0
    assert re.match(r"latchkey: installing up to 3 packages .* Ctrl-C stops it; the next `make` continues\.", first)
    assert last.startswith("latchkey: the packages are installed (")


def test_what_pip_refuses_is_shown_and_fails(started):
    process = started(FAILS)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == FAILED
    assert "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\nlatchkey: pip could not install" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_says_what_it_did_and_ends_pip(started, tmp_path, number):
    process = started(WAITS)
    assert "installing" in process.stdout.readline()
    wait_for((tmp_path / "waits").exists)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=30)  # pip has the same output: it ends, or this waits for it
    assert process.returncode == INTERRUPTED
    assert printed == "\nlatchkey: stopped while installing. Nothing was started; the next `make` continues.\n"


def test_progress_counts_what_is_found_and_then_what_is_there(tmp_path):
    (tmp_path / "pip-1.dist-info").mkdir()
    progress = Progress(pinned(REQUIREMENTS), tmp_path, install.installed(tmp_path))
    assert progress.text() == "downloaded 0 of 3"
    for line in ("Collecting one==1 (from x)", "Ignoring three: markers 'x'", "  Downloading one.whl (1 kB)"):
        progress.read(line)
    assert progress.text() == "downloaded 1 of 2: one"
    progress.read("Requirement already satisfied: two==2 in .venv")
    progress.read("Installing collected packages: one")
    assert progress.text() == "installed 0 of 1"
    (tmp_path / "one-1.dist-info").mkdir()
    assert progress.text() == "installed 1 of 1"


def test_it_imports_nothing_that_has_to_be_installed():
    tree = ast.parse(Path(install.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)


MAKEFILE = (ROOT / "Makefile").read_text()
RULE = re.compile(r"^([a-z][a-z-]*):(?: export.*)?([^#\n]*)(?:##.*)?\n((?:\t.*\n)+)", re.MULTILINE)
RUNNING = "$(STAMP)"
# How the build is tested, reviewed and resolved: never needed to run.
TOOLS = re.compile(r"-m (?:pytest|tests\.)|\$\(BIN\)/(?!python)")


def test_only_targets_that_run_something_are_content_with_what_running_needs():
    rules = {name: (needs, recipe) for name, needs, recipe in RULE.findall(MAKEFILE)}
    content = {name for name, (needs, _) in rules.items() if RUNNING in needs.split()}
    assert {"run", "demo", "up", "keys"} <= content
    assert [name for name in content if TOOLS.search(rules[name][1])] == []
    assert {name for name, (_, recipe) in rules.items() if TOOLS.search(recipe)} >= {"test-unit", "lint", "types"}


def test_what_running_imports_is_installed_for_it():
    graph = grimp.build_graph("deploy", "services", "shared", include_external_packages=True, cache_dir=None)
    rules = [(needs, recipe) for _, needs, recipe in RULE.findall(MAKEFILE) if RUNNING in needs.split()]
    roots = {module for _, recipe in rules for module in re.findall(r"-m (deploy[\w.]*)", recipe)}
    roots |= {f"{root}.__main__" for root in roots if f"{root}.__main__" in graph.modules}
    # Started by name: services and their programs.
    roots |= {module for module in graph.modules if module.startswith(("services.", "shared.", "deploy.local."))}
    imported = set().union(*(graph.find_upstream_modules(root) for root in roots if root in graph.modules)) | roots
    providers = packages_distributions()
    used = {distribution(each) for module in imported for each in providers.get(module.partition(".")[0], ())}
    assert len(used) > 25
    assert used - pins("run") == set()
    assert pins("run") < pins("dev")


def test_both_sets_pin_the_same_versions():
    def versions(name):
        return set(
            re.findall(r"^([A-Za-z0-9._-]+==\S+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE)
        )

    assert versions("run") <= versions("dev")
