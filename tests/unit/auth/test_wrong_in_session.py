"""A wrong code or password on a live session is 422: 401 would tell the client that its session has ended."""

import pytest

from services.auth.routes.guard import signed_in, stepped_up, stepped_up_small, support_operator
from shared.problems import IN_SESSION, PROBLEMS, Refusal

METHODS = {"get", "post", "put", "delete", "patch"}
SECRETS = {"code", "password", "current_password"}  # members that a call compares with something
WRONG_PASSWORD = "seven dry badgers hum"


@pytest.fixture
def document(api):
    return api().get("/openapi.json").json


@pytest.fixture
def of_sessions(document):
    """Every operation that needs a live session."""
    return {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in METHODS and "security" in operation
    }


def reauthenticate_by_password(caller, _account):
    return caller.post("/v1/reauthenticate", {"password": WRONG_PASSWORD, "code": "424242"})


def reauthenticate_by_code(caller, account):
    return caller.post("/v1/reauthenticate", {"password": "seven wet otters juggle", "code": "000000"})


def change_password(caller, _account):
    body = {"current_password": WRONG_PASSWORD, "new_password": "nine calm lynxes whistle"}
    return caller.post("/v1/password", body)


def prove_phone(caller, _account):
    assert caller.put("/v1/phone", {"country": "DE", "number": "0151 23456780"}).status_code == 202
    return caller.post("/v1/phone/verify", {"code": "000000"})


def confirm_enrolment(caller, account):
    return caller.post(f"/v1/two-factor/enrollment/enr_{account.id}/confirm", {"code": "000000"})


# Words that the caller of support reads out have a code of their own, which is 422 anywhere.
WRONG_WORDS = ("POST", "/v1/support/accounts/{account_id}/identity-checks/{check_id}/verify")
CALLS = {
    ("POST", "/v1/reauthenticate"): (reauthenticate_by_password, reauthenticate_by_code),
    ("POST", "/v1/password"): (change_password,),
    ("POST", "/v1/phone/verify"): (prove_phone,),
    ("POST", "/v1/two-factor/enrollment/{enrollment_id}/confirm"): (confirm_enrolment,),
}


def test_every_route_of_a_session_that_takes_a_secret_is_tried_here(document, of_sessions):
    schemas, taking = document["components"]["schemas"], set()
    for route, operation in of_sessions.items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        members = schemas[body["$ref"].rpartition("/")[2]].get("properties", {}) if body else {}
        if SECRETS & members.keys():
            taking.add(route)
    assert taking == {*CALLS, WRONG_WORDS}


@pytest.mark.parametrize("call", [call for calls in CALLS.values() for call in calls])
def test_a_wrong_secret_is_422_and_the_session_goes_on(api, mia, call):
    caller = api(mia)
    answer = call(caller, mia)
    assert answer.status_code == answer.json["status"] == 422
    assert answer.json["code"] in IN_SESSION
    assert "WWW-Authenticate" not in answer.headers
    assert caller.get("/v1/session").status_code == 200


def test_the_document_says_so_for_every_route_of_a_session(of_sessions):
    assert len(of_sessions) >= 43
    for route, operation in of_sessions.items():
        assert operation["responses"]["401"]["description"] == "not_authenticated", route
        told = operation["responses"].get("422", {}).get("description", "")
        if route in CALLS:
            assert set(IN_SESSION) & set(told.split(", ")), route


def test_the_login_keeps_401(document):
    for path, code in (("/v1/login", "invalid_credentials"), ("/v1/login/{challenge_id}/verify", "invalid_passcode")):
        assert document["paths"][path]["post"]["responses"]["401"]["description"] == code


@pytest.mark.parametrize("guarded_by", [signed_in, stepped_up, stepped_up_small, support_operator])
@pytest.mark.parametrize("code", PROBLEMS)
def test_each_guard_gives_a_refusal_of_its_view_the_status_of_a_session(app, api, sam, guarded_by, code):
    def view():
        raise Refusal(code)

    caller = api(sam)
    headers = {"Authorization": f"Bearer {caller.token}"}
    with app.test_request_context("/v1/session", headers=headers), pytest.raises(Refusal) as refused:
        guarded_by(view)()
    assert refused.value.document()["status"] == IN_SESSION.get(code, PROBLEMS[code].status)
    statuses = {name for name, problem in PROBLEMS.items() if problem.status == 401}
    assert statuses == {*IN_SESSION, "not_authenticated"}
