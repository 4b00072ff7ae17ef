"""What the schemas' tests show of one route, for all of them: no route ignores what it does not know."""

import pytest

from services.auth.portal.blueprint import FORM_ENDPOINTS
from tests.support.auth import types_of
from tests.support.sign_in import sessions

# Forms of the pages are left out, too: a browser may send its own members with them, such as a submit button's.
# Forms to which Twilio may add members.
SIGNED_BY_TWILIO = {"/v1/callbacks/twilio/status", "/v1/callbacks/twilio/call"}
WRITES = {"POST", "PUT", "DELETE", "PATCH"}


@pytest.fixture
def writes(app):
    return [
        (method, "/".join("x" if part.startswith("<") else part for part in rule.rule.split("/")))
        for rule in app.url_map.iter_rules()
        for method in rule.methods & WRITES
        if rule.rule not in SIGNED_BY_TWILIO and rule.endpoint not in FORM_ENDPOINTS
    ]


def test_every_write_refuses_a_member_that_it_does_not_know_and_does_nothing(deps, api, sam, writes):
    caller = api(sam)
    surprised = {
        (method, path)
        for method, path in writes
        if "surprise" in (caller.call(method, path, {"surprise": True}).json or {}).get("errors", {})
    }
    assert set(writes) - surprised == set()
    assert {method for method, _ in surprised} == {"POST", "PUT", "DELETE"}
    assert [session.id for session in sessions(deps, sam)] == [caller.session.id]
    assert types_of(deps, sam) == []
