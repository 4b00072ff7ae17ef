"""schemathesis over the documents of both services: no 500, every status declared, every answer in its schema."""

import json
import os
import subprocess
import sys

import pytest

from deploy.local.keys import read_keys
from deploy.local.settings import ROOT
from deploy.portal import Portal

# With FUZZ_EXAMPLES each run tries others, so many for each operation; without, all runs try the same ones.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "")
SECONDS = 300

pytestmark = pytest.mark.timeout(SECONDS + 60)

CONFIGURATION = """
hooks = "tests.fuzz.hooks"
continue-on-failure = true

[generation]
max-examples = {examples}
database = "none"
allow-x00 = false  # which texts may hold none no schema tells; tests/e2e/test_bad_input.py has them

[checks.positive_data_acceptance]
expected-statuses = [200, 201, 202, 204, 401, 403, 404, 409, 410, 422, 429]  # see filter_failure

[phases.stateful]
max-steps = 4
"""


# Everybody asks for what is there for them; that nobody else gets it is for unit tests, and for schemathesis' own check
# of a call without credentials.
TAGS = {
    "stranger": ("login", "callbacks"),
    "member": ("session", "two-factor", "phone", "language", "team", "activity", "resets"),
    "owner": ("team", "approvals"),
    "support": ("support", "support-resets"),
}


def configuration(folder, values):
    text = CONFIGURATION.format(examples=EXAMPLES or 6)
    for number, some in enumerate(values.values()):
        text += f"\n[dictionaries.d{number}]\nvalues = {json.dumps(some)}\n"
    text += "\n[parameters]\n"
    for number, name in enumerate(values):
        text += f'"{name}" = {{ dictionary = "d{number}", probability = 0.7 }}\n'
    path = folder / "schemathesis.toml"
    path.write_text(text, encoding="utf-8")
    return path


def run(url, role, population, folder, *options):
    path, values = population
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration(folder, values))),
            *("run", url, "--checks", "all", "--no-color", "--output-sanitize", "true"),
            *([] if EXAMPLES else ["--generation-deterministic"]),
            *options,
        ],
        env={**os.environ, "FUZZ_ROLE": role, "FUZZ_POPULATION": str(path), "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr
    return done.stdout


def test_the_roles_cover_the_document(stack):
    document = Portal(stack.base_url).get("/openapi.json").body
    assert {tag["name"] for tag in document["tags"]} == {tag for tags in TAGS.values() for tag in tags}


@pytest.mark.parametrize("role", TAGS)
def test_the_gateway_keeps_to_its_document(stack, population, tmp_path, role):
    tags = [part for tag in TAGS[role] for part in ("--include-tag", tag)]
    run(f"{stack.base_url}/openapi.json", role, population, tmp_path, *tags)


def test_otp_keeps_to_its_document(stack, population, tmp_path):
    key = read_keys(stack.settings.keys_file)["OTP_API_KEYS"].split(",")[0].partition(":")[2]
    run(
        f"{stack.settings.otp_url}/openapi.json",
        "otp",
        population,
        tmp_path,
        "--header",
        f"Authorization: Bearer {key}",
    )
