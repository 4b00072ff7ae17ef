"""Each setting of the services' READMEs reaches the containers that read it."""

import re
from collections.abc import Iterator

import pytest
import yaml

from deploy.local.settings import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()

# What runs a service's parts. `web` and `worker` are words of the READMEs; a table without them is about all of these.
CONTAINERS = {
    "auth": {"web": ("auth",), "worker": ("auth-worker",)},
    "otp": {"web": ("otp",), "worker": ("otp-worker",)},
    "notify": {"": ("notify", "notices")},
}
# `REDIS_URL` stands for both stores, which Compose names one by one.
ELSEWHERE = {"REDIS_URL": {"STATE_REDIS_URL", "BROKER_URL"}}
A_NAME = re.compile(r"`([A-Z][A-Z0-9_]+)`")


def rows(service) -> Iterator[tuple[str, str]]:
    """Each setting in the table of a service's README, and the container that reads it."""
    text = (ROOT / "services" / service / "README.md").read_text().partition("\n## Settings\n")[2]
    for line in text.partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 5 or not A_NAME.search(cells[1]):
            continue
        for name in A_NAME.findall(cells[1]):
            for part, containers in CONTAINERS[service].items():
                if part in cells[2] or cells[2].startswith("all"):
                    yield from ((name, container) for container in containers)


ROWS = [(name, container) for service in CONTAINERS for name, container in dict.fromkeys(rows(service))]


@pytest.mark.parametrize(("name", "container"), ROWS, ids=lambda value: value)
def test_a_setting_of_the_readme_reaches_its_container(name, container):
    given = COMPOSE["services"][container]["environment"]
    names = ELSEWHERE.get(name, {name})
    assert all(one in given or f"{one}_FILE" in given or re.search(rf"\b{one}=", DOCKERFILE) for one in names)


@pytest.mark.parametrize(("name", "container"), ROWS, ids=lambda value: value)
def test_what_the_caller_sets_is_not_replaced(name, container):
    """Without a value, or with one that `${NAME…}` replaces, unless Compose itself decides on it."""
    decided = {"LATCHKEY_ENV", "OTP_URL", "EMAIL_PROVIDER", "AUTH_JOURNAL", "OTP_JOURNAL"}
    value = COMPOSE["services"][container]["environment"].get(name)
    assert value is None or name in decided or str(value).startswith(f"${{{name}")


def test_the_tables_are_read():
    assert {
        ("PORTAL", "auth"),
        ("SMS_DAILY_CAP", "otp"),
        ("SMS_DAILY_CAP", "notices"),
        ("OTP_SIGNING_KEYS", "otp-worker"),
    } <= set(ROWS)
    assert len(ROWS) > 80
