"""What the programs of a stack load, each in a process of its own: what its image has, and only what it works with."""

import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from deploy.local.environment import environment_of
from deploy.local.keys import load_or_make_keys
from deploy.local.programs import SERVICES
from deploy.local.settings import ROOT, LocalSettings

SHOW = """
import sys
from deploy.local.lean import load
load(sys.argv[1])
print(*(name for name, module in sys.modules.items() if module is not None))
"""
# The hook by which an old pip's setuptools is part of every interpreter; it is small.
EVERYWHERE = {"setuptools"}
# By meaning: what runs migrations, what rates passwords, a provider that wasn't chosen, a database that isn't there.
NEVER = {"alembic", "requests", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm", "twilio.rest", "zxcvbn"}
NOT_ITS_WORK = {
    "auth": {"pyotp", "qrcode"},
    "otp": {"celery", "jwt", "twilio", "urllib3"},
    "notify-codes": {"argon2", "cryptography.hazmat", "flask", "jwt", "phonenumbers", "sqlalchemy"},
    "background": {"argon2", "cryptography.hazmat", "flask", "jwt", "marshmallow", "pyotp", "qrcode", "urllib3"},
}
REQUIREMENTS = {
    "auth": ("auth",),
    "otp": ("otp",),
    "notify-codes": ("notify",),
    "background": ("auth", "otp", "notify"),
}
APPS = {
    program.name: (program.service, next(word for word in program.argv(LocalSettings.from_env({})) if ":" in word))
    for program in SERVICES
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("var")
    keys, _ = load_or_make_keys(folder / "keys.env")
    settings = LocalSettings.from_env({"VAR_DIR": str(folder)})

    @cache
    def modules_of(name: str) -> set[str]:
        service, app = APPS[name]
        done = subprocess.run(
            [sys.executable, "-c", SHOW, app],
            env=environment_of(service, settings, keys),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return set(done.stdout.split())

    for server in ("auth", "otp"):
        modules_of(server)  # whatever starts first begins the journal, and loads a cipher for it
    return modules_of


def distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(requirements: str) -> set[str]:
    lines = (ROOT / "requirements" / f"{requirements}.txt").read_text(encoding="utf-8").splitlines()
    return {distribution(line.split("==")[0].split("[")[0]) for line in lines if re.match(r"[A-Za-z]", line)}


@pytest.mark.parametrize("name", APPS)
def test_a_program_loads_no_package_that_its_service_s_image_lacks(loaded, name):
    providers = packages_distributions()
    roots = {module.partition(".")[0] for module in loaded(name)}
    used = {distribution(each) for root in roots for each in providers.get(root, ())}
    assert len(used) > 15
    assert used - set().union(*map(pinned, REQUIREMENTS[name])) - EVERYWHERE == set()


@pytest.mark.parametrize("name", APPS)
def test_a_program_leaves_out_what_only_others_work_with(loaded, name):
    assert loaded(name) & (NEVER | NOT_ITS_WORK[name]) == set()


def test_a_server_s_parent_loads_nothing_of_an_app_and_no_command_line():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, deploy.local.web; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stdout.split())
    assert {"services", "flask", "structlog", "click", "granian.cli", "psutil"} & loaded == set()
    ours = {"shared.bulkhead", "shared.serving", "shared.whole_requests"}
    assert {name for name in loaded if name.startswith("shared.")} == ours
