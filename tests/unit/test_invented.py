"""People of the tests look like people."""

import re

from deploy.local.seed import PLANS
from tests.support.invented import invented

A_NAME = re.compile(r"[A-Z][a-z]+ [A-Z][a-z]+")


def test_invented_people_have_names_and_addresses_of_their_own():
    people = [invented() for _ in range(200)]
    assert [one.name for one in people if not A_NAME.fullmatch(one.name)] == []
    assert len({one.email for one in people}) == len(people)
    for one in people:
        given, surname = one.name.lower().split()
        assert one.email.startswith(f"{given}.{surname}.")


def test_nobody_who_is_seeded_is_called_after_a_role():
    assert [plan.name for plan in PLANS if plan.role in plan.name.lower()] == []
