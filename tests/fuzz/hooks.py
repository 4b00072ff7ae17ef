"""What schemathesis loads before it runs: who calls, from where, and what is no defect. FUZZ_ROLE says as whom."""

import json
import os
import secrets
from pathlib import Path

import schemathesis

from shared.clock import system_clock
from tests.fuzz.population import BINDING, connect_to, new_session

ROLE = os.environ["FUZZ_ROLE"]
POPULATION = json.loads(Path(os.environ["FUZZ_POPULATION"]).read_text(encoding="utf-8"))
REDIS = connect_to(POPULATION["redis_url"])

# A document that fits the schema may still ask for what is not to be had.
FITS_AND_IS_REFUSED = {
    "invalid_phone",
    "country_not_allowed",
    "password_too_weak",
    "identity_checks_insufficient",
    "check_not_possible",
    "check_not_open",
    "wrong_words",
    "own_account",
    "challenge_expired",
    "link_expired",
    "enrollment_expired",
}
# Step-up asks for a code where 2FA is on; which members a body needs then no schema can tell.
CODE_IS_MISSING = {"code": ["Two-factor authentication is on: send a code."]}
# A cursor is opaque: the document can't tell which ones are ours.
NOT_OUR_CURSOR = {"cursor": ["Not a cursor of ours."]}

# DELETE goes by the path with the id there: of resets "cancel" and "confirm", which are never there.
IDS_TOO = ("/v1/two-factor/resets/cancel", "/v1/two-factor/resets/confirm")

# Hashing has few places, and says so when they are taken.
HASHES = ("/login", "/verify", "/reauthenticate", "/password", "/confirm", "/recovery-codes")

# These headers take any text. The server refuses control characters in each header: test_headers.py.
ANY_TEXT = ("X-Device-Token", "X-Unattended", "X-Forwarded-Uri", "X-Twilio-Signature")

OF_SOME_PROBLEMS = {"retry_after", "cause", "country", "errors", "part", "clock_skew_seconds", "strength"}
OF_SOME_PROBLEMS |= {"tries_left", "begun_at"}
# Members of answers that are not always there. All others are, and there are no more.
SOMETIMES = {
    "Problem": OF_SOME_PROBLEMS,
    "InvalidPasscode": OF_SOME_PROBLEMS | {"reason", "recent_failures", "spent_rows"},
    "Challenge": {"binding"},
    "LoginAnswer": {"session", "token", "device_token", "challenge"},
    "VerifyAnswer": {"token", "device_token"},
    "Verified": {"recovery_codes_remaining"},
}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Hold answers against the schema to the letter: every member is there (no other may be, as it stands)."""
    asked = _schemas_of_requests(raw_schema)
    for name, schema in raw_schema["components"]["schemas"].items():
        if name not in asked and "properties" in schema:
            assert schema["additionalProperties"] is False
            schema["required"] = sorted(schema["properties"].keys() - SOMETIMES.get(name, set()))


def _schemas_of_requests(document) -> set[str]:
    bodies = [
        operation.get("requestBody", {})
        for path in document["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict)
    ]
    schemas = [content["schema"] for body in bodies for content in body.get("content", {}).values()]
    return {schema["$ref"].rpartition("/")[2] for schema in schemas if "$ref" in schema}


if ROLE in POPULATION["roles"]:

    @schemathesis.auth(refresh_interval=None)
    class NewSession:
        """A session of its own for each call, of any account of the role: no budget is spent, none was ended."""

        def get(self, case, context):
            return new_session(REDIS, secrets.choice(POPULATION["roles"][ROLE]), system_clock())

        def set(self, case, data, context):
            case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context, case, kwargs):
    """From an address of its own, so that no budget by address is tested; as the client that began each login."""
    case.headers["X-Forwarded-For"] = ".".join(str(1 + secrets.randbelow(254)) for _ in range(4))
    case.headers["X-Challenge-Binding"] = BINDING
    for name in ANY_TEXT:
        if not str(case.headers.get(name, "")).isprintable():
            del case.headers[name]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Only what is a defect."""
    if response.status_code == 503 and case.path.endswith(HASHES):
        return False
    if type(failure).__name__ == "AllowHeaderMismatch" and case.path in IDS_TOO:
        return False
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    problem = response.json()
    return not (problem["code"] in FITS_AND_IS_REFUSED or problem.get("errors") in (CODE_IS_MISSING, NOT_OUR_CURSOR))
