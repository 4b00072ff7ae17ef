"""What tests of identity checks look at."""

from datetime import timedelta

from services.auth.store import identity_checks as store
from shared.database import reading

LIFE = timedelta(minutes=30)


def rows(answer):
    return {row["check"]: row for row in answer.json["items"]}


def standing(deps, operator, account):
    with reading(deps.database) as connection:
        found = store.standing(connection, account.id, operator.id, deps.clock() - LIFE)
    return [check.check for check in found]
