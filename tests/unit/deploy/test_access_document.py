import re

import pytest

from deploy.access.redis_acl import CONNECTION, ON_KEYS
from deploy.access.users import BACKGROUND, SERVICES
from deploy.local.settings import ROOT
from shared.messages import QUEUES, ROUTES

COMMAND = re.compile(r"redis\.call\('([A-Z]+)'")


def cell(names):
    return ", ".join(f"`{name}`" for name in names) or "–"


def row(user):
    puts = cell([queue for queue in user.puts if queue not in user.takes]) if user.on_broker else "no broker"
    columns = (
        f"`{user.name}`",
        user.what,
        cell(user.owns),
        cell(user.reads),
        cell(user.writes),
        cell(user.takes),
        puts,
    )
    return f"| {' | '.join(columns)} |"


def test_the_document_shows_the_table_of_the_code():
    lines = (ROOT / "docs" / "access.md").read_text().splitlines()
    first = lines.index("|---|---|---|---|---|---|---|") + 1
    assert lines[first : first + len(SERVICES)] == [row(user) for user in SERVICES]


def test_every_queue_that_a_message_goes_to_is_taken_from_by_one_user():
    for queue in {queue for queues in ROUTES.values() for queue in queues} | set(QUEUES):
        assert len([user for user in SERVICES if queue in user.takes]) == 1, queue


def test_the_one_process_of_make_run_has_the_rights_of_its_parts():
    for user in SERVICES:
        if user.name in {"auth-worker", "otp-worker", "relay"}:
            assert set(user.owns) <= set(BACKGROUND.owns)
            assert set(user.takes) <= set(BACKGROUND.takes)


def sources(folder):
    return [path.read_text() for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("service", ["auth", "otp", "notify"])
def test_each_service_names_its_keys_and_budgets_after_itself(service):
    """The rights are on these prefixes; what is named otherwise is refused where the users of the table are."""
    for text in sources(f"services/{service}"):
        # otp leaves sealed texts for notify, and takes them back (shared/delivery.py; at a restore by itself).
        named = set(re.findall(r'"(auth|otp|notify|budget):', text.replace('"notify:sealed:*"', "")))
        assert named <= {service}
        assert set(re.findall(r'\bRate\(\s*"([a-z]+)\.', text)) <= {service}


def test_every_command_of_a_script_is_one_that_a_service_may_give():
    used = {name for folder in ("services", "shared") for text in sources(folder) for name in COMMAND.findall(text)}
    assert used
    assert {name.lower() for name in used} <= {*ON_KEYS, *CONNECTION}
