"""Every call of support leaves an entry in the operators' trail, also when it is refused."""

import pytest

from tests.support.desk import ASKED, READ, RESET, ROUTES, SEARCH, Desk, trail
from tests.support.sign_in import problem

EXEMPT = {"support-resets.reset_policy"}  # a table of the settings, and nobody's data


def test_every_route_of_support_is_in_the_table_or_exempt(app):
    served = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1/support/")}
    assert served == ROUTES.keys() | EXEMPT


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_of_support_leaves_an_entry(deps, desk, sam, route):
    act = ROUTES[route](desk)
    before = len(trail(deps, sam))
    assert act().status_code in {200, 201, 202, 204}
    assert len(trail(deps, sam)) == before + 1


# The refused calls of each route that reach its use case. A call about an id that is nobody's shows nothing, concerns
# no account and leaves no entry.
REFUSED = {
    "support.search": [("too_many_requests", Desk.spent(SEARCH))],
    "support.account": [],
    "support.account_timeline": [],
    "support.audit": [("too_many_requests", Desk.spent("/v1/support/audit"))],
    "support.unlock": [
        ("own_account", lambda desk: desk.post(f"{desk.own_path}/unlock", ASKED)),
        ("reset_needed", Desk.unlock_beyond_lifting),
    ],
    "support.approve_unlock": [
        ("not_found", lambda desk: desk.post(f"{desk.path}/unlocks/unl_none/approve")),
        ("same_operator", Desk.approve_own_unlock),
    ],
    "support-resets.list_checks": [],
    "support-resets.begin_check": [
        ("own_account", lambda desk: desk.post(f"{desk.own_path}/identity-checks", {"check": "email_code"})),
        ("check_not_possible", lambda desk: desk.post(f"{desk.path}/identity-checks", {"check": "owner_approval"})),
        ("validation_failed", lambda desk: desk.post(f"{desk.path}/identity-checks", {"check": "video_id"})),
        ("two_factor_off", Desk.check_with_2fa_off),
        ("too_many_requests", Desk.one_check_too_many),
    ],
    "support-resets.verify_check": [
        ("not_found", lambda desk: desk.post(f"{desk.path}/identity-checks/idc_none/verify", {"code": "a b"})),
        ("wrong_words", Desk.verify_wrongly),
        ("check_not_open", Desk.verify_again),
    ],
    "support-resets.request_reset": [
        ("own_account", lambda desk: desk.post(f"{desk.own_path}/two-factor-resets", RESET)),
        ("identity_checks_insufficient", lambda desk: desk.post(f"{desk.path}/two-factor-resets", RESET)),
    ],
    "support-resets.approve_reset": [
        ("not_found", lambda desk: desk.post(f"{desk.path}/two-factor-resets/rst_none/approve")),
        ("same_operator", Desk.approve_own_reset),
    ],
    "support-resets.cancel_reset": [
        ("not_found", lambda desk: desk.post(f"{desk.path}/two-factor-resets/rst_none/cancel")),
        ("reset_not_open", Desk.cancel_again),
    ],
    "support-resets.list_resets": [("too_many_requests", Desk.spent(READ))],
    "support-resets.reset": [],
}


CASES = [(route, code, call) for route, cases in REFUSED.items() for code, call in cases]


def test_every_route_of_support_is_in_the_table_of_refused_calls():
    assert REFUSED.keys() == ROUTES.keys()


@pytest.mark.parametrize(("route", "code", "call"), CASES, ids=[f"{route}-{code}" for route, code, _ in CASES])
def test_every_refused_call_of_support_leaves_an_entry(deps, desk, sam, route, code, call):
    act = call(desk)
    before = len(trail(deps, sam))
    assert problem(act())[1] == code
    left = trail(deps, sam)[before:]
    if code == "wrong_words":
        assert [entry for entry, _, _ in left] == ["identity_check.failed"]
    else:
        assert [details["code"] for _, _, details in left] == [code]
