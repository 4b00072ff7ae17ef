import pytest

OURS = ("/v1/phone", "/v1/language", "/v1/team", "/v1/activity", "/v1/two-factor/resets", "/v1/support")
PUBLIC = {("/v1/two-factor/resets/cancel", "post"), ("/v1/two-factor/resets/confirm", "post")}


@pytest.fixture
def operations(api):
    document = api().get("/openapi.json").json
    return {
        (path, method): operation
        for path, methods in document["paths"].items()
        if path.startswith(OURS)
        for method, operation in methods.items()
        if method != "parameters"
    }


def test_every_operation_has_a_summary(operations):
    assert len(operations) == 32
    assert all(operation["summary"] for operation in operations.values())


def test_every_operation_but_the_public_one_names_its_credentials_and_what_they_must_prove(operations):
    for key, operation in operations.items():
        assert (key in PUBLIC) != ("security" in operation), key
        assert (key in PUBLIC) != ("Needs" in operation.get("description", "")), key


def test_bodies_and_queries_are_described(operations):
    body = operations["/v1/phone", "put"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/PhoneArgs"}
    parameters = operations["/v1/support/accounts", "get"]["parameters"]
    names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    assert names == {"query", "limit", "cursor"}


def test_refusals_are_described(operations):
    responses = operations["/v1/support/accounts/{account_id}/two-factor-resets", "post"]["responses"]
    assert responses["409"]["description"] == "two_factor_off, reset_already_open, answer_replaced"
    assert "application/problem+json" in responses["409"]["content"]
