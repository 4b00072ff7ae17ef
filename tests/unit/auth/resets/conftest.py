from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth.domain.account import Role
from services.auth.domain.reset import ReasonKind
from tests.support import ceremony
from tests.support.auth import events_in, notices_in
from tests.support.resets import asked, pass_checks


@pytest.fixture
def request_reset(deps, api, ann, sam):
    def request(checks, operator=sam, account=ann, **changes):
        pass_checks(deps, operator, account, checks)
        answer = api(operator).post(f"/v1/support/accounts/{account.id}/two-factor-resets", asked(**changes))
        assert answer.status_code == 202, answer.text
        return answer.json

    return request


@pytest.fixture
def cancel_link(deps):
    """The token that the owner finds in the last notice."""
    return lambda: notices_in(deps)[-1].body.partition("/reset/cancel#")[2].split()[0]


@pytest.fixture
def opened(deps, sam, ann):
    return lambda checks, kind=ReasonKind.LOST: ceremony.request_reset(deps, sam, ann, checks, kind)


@pytest.fixture
def of_type(deps):
    return lambda kind: [message for message in events_in(deps) if isinstance(message, kind)]


@pytest.fixture
def otto(make_account):
    """A third owner, without a second factor."""
    return make_account("otto@example.com", role=Role.OWNER)


@pytest.fixture
def approve(api):
    def approve(operator, reset):
        return api(operator).post(f"/v1/support/accounts/{reset.account_id}/two-factor-resets/{reset.id}/approve")

    return approve


@pytest.fixture
def offered(api):
    """What the console offers to an operator."""

    def offered(operator, reset):
        shown = api(operator).get(f"/v1/support/two-factor-resets/{reset.id}").json
        listed = api(operator).get("/v1/support/two-factor-resets").json["items"]
        (row,) = [row for row in listed if row["id"] == reset.id]
        assert row["may_approve"] == shown["may_approve"]
        assert row["may_not_approve_because"] == shown["may_not_approve_because"]
        return shown["may_approve"], shown["may_not_approve_because"]

    return offered


@pytest.fixture
def logins_count(app, deps):
    """A login with a code makes the account unsettled for a day, as in production."""
    times = replace(deps.settings.reset_times, code_login=timedelta(days=1))
    real = replace(deps, settings=replace(deps.settings, reset_times=times))
    app.extensions["latchkey"] = real
    return real
