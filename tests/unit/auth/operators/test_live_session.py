"""A write of support belongs to a live session."""

import pytest
from sqlalchemy import select

from services.auth.models import identity_checks as check_table
from services.auth.models import resets as reset_table
from services.auth.models import unlocks as unlock_table
from services.auth.routes.guard import SAFE_METHODS
from shared.database import reading
from tests.support.auth import end_all, notices_in
from tests.support.desk import ROUTES, trail
from tests.support.sign_in import problem

WRITES = (
    "support.unlock",
    "support.approve_unlock",
    "support-resets.begin_check",
    "support-resets.verify_check",
    "support-resets.request_reset",
    "support-resets.approve_reset",
    "support-resets.cancel_reset",
)


def stand(deps):
    """What support's writes change."""
    with reading(deps.database) as connection:
        checks = connection.execute(select(check_table.c.id, check_table.c.status)).all()
        return checks, connection.execute(select(reset_table)).all(), connection.execute(select(unlock_table)).all()


def test_every_write_of_support_is_in_the_list(app):
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1/support/")]
    assert {rule.endpoint for rule in rules if not rule.methods <= SAFE_METHODS} == set(WRITES)


@pytest.mark.parametrize("route", WRITES)
def test_a_write_under_way_when_the_operators_session_ends_changes_nothing(deps, desk, otp, sam, route):
    act = ROUTES[route](desk)
    before, told, entries = stand(deps), len(notices_in(deps)), len(trail(deps, sam))
    otp.after_state = lambda: end_all(deps, sam)
    otp.before_unlock = lambda: pytest.fail("nothing may be lifted")
    assert problem(act()) == (401, "not_authenticated")
    assert (stand(deps), len(notices_in(deps))) == (before, told)
    assert [details.get("code") for _, _, details in trail(deps, sam)[entries:]] == ["not_authenticated"]
