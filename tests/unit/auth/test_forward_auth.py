"""What a proxy is told of a session: yes, sign in (401), or not with this session (403)."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from services.auth.domain import targets
from services.auth.domain.session import Factor
from services.auth.store import accounts
from shared.database import writing
from tests.support.auth import settings
from tests.support.sign_in import problem

PASSWORD, TOTP, SMS, DEVICE = Factor.PASSWORD, Factor.TOTP, Factor.SMS, Factor.TRUSTED_DEVICE
VERIFY = "/v1/session/verify"
ORIGIN = "http://portal.example:8080"


@pytest.fixture
def services_here(app, deps):
    app.extensions["latchkey"] = replace(deps, settings=settings(SIGN_IN_TARGETS="/billing, /reports/2026/"))


def said(answer):
    return 204 if answer.status_code == 204 else problem(answer)


@pytest.mark.parametrize(
    ("factors", "demand", "expected"),
    [
        ((PASSWORD,), "", 204),
        ((PASSWORD,), "assurance=aal1", 204),
        ((PASSWORD,), "assurance=aal2", (403, "second_factor_required")),
        ((PASSWORD, DEVICE), "assurance=aal2", (403, "second_factor_required")),
        ((PASSWORD, TOTP), "assurance=aal2", 204),
        ((PASSWORD, SMS), "assurance=aal2", 204),
        ((PASSWORD, TOTP), "phishing_resistant=false", 204),
        ((PASSWORD, TOTP), "phishing_resistant=true", (403, "second_factor_required")),
        ((PASSWORD, Factor.RECOVERY_CODE), "phishing_resistant=true&assurance=aal1", (403, "second_factor_required")),
        ((PASSWORD, TOTP), "role=member", 204),
        ((PASSWORD, TOTP), "role=support", (403, "forbidden")),
        ((PASSWORD, TOTP), "role=owner&assurance=aal2", (403, "forbidden")),
        ((PASSWORD,), "role=member&assurance=aal2", (403, "second_factor_required")),
    ],
)
def test_a_proxy_is_told_no_without_what_it_demands(api, ann, factors, demand, expected):
    answer = api(ann, *factors).get(f"{VERIFY}?{demand}")
    assert said(answer) == expected
    assert ("X-Account-Id" in answer.headers) == (expected == 204)
    assert "Location" not in answer.headers


def test_an_operator_passes_for_support_only_with_the_factor_that_is_demanded(api, sam):
    assert said(api(sam, PASSWORD, TOTP).get(f"{VERIFY}?role=support&assurance=aal2")) == 204
    assert said(api(sam, PASSWORD).get(f"{VERIFY}?role=support&assurance=aal2")) == (403, "second_factor_required")


def test_the_role_is_the_one_of_this_moment(deps, api, sam):
    caller = api(sam)
    with writing(deps.database) as connection:
        accounts.set_role(connection, sam.id, "member")
    assert said(caller.get(f"{VERIFY}?role=support")) == (403, "forbidden")


def test_a_proof_that_is_too_old_counts_as_no_session_until_the_next_proof(deps, api, tom, otp, clock):
    caller = api(tom, PASSWORD)
    clock.turn(seconds=600)
    assert said(caller.get(f"{VERIFY}?max_age=600")) == 204
    clock.turn(seconds=1)
    stale = caller.get(f"{VERIFY}?max_age=600")
    assert said(stale) == (401, "not_authenticated")
    assert stale.headers["Location"] == f"{ORIGIN}/login?again=1"
    assert said(caller.get(VERIFY)) == 204
    assert caller.post("/v1/reauthenticate", {"password": "seven wet otters juggle"}).status_code == 200
    assert said(caller.get(f"{VERIFY}?max_age=600")) == 204


@pytest.mark.parametrize(
    "query",
    [
        *("assurance=aal3", "assurance=AAL2", "assurance=", "assurance=aal2%00", "Assurance=aal2", "assurance%20=aal2"),
        *("acr=aal2", "assurance[]=aal2", "assurance=aal1&assurance=aal2", "assurance=aal2&assurance=aal2"),
        *("max_age=0", "max_age=-1", "max_age=1.5", "max_age=1e9", "max_age=1_0", "max_age=%EF%BC%91", "max_age="),
        *("max_age=%205", "max_age=5%0a", "max_age=9999999999", "maxage=5"),
        *("role=admin", "role=", "role=support,member", "role=member&role=support"),
        *("phishing_resistant=1", "phishing_resistant=True", "phishing_resistant", "phishing_resistant="),
        "surprise=1",
    ],
)
def test_a_demand_that_we_do_not_know_is_refused_and_not_ignored(api, ann, query):
    for caller in (api(ann), api()):
        answer = caller.get(f"{VERIFY}?{query}")
        assert problem(answer) == (422, "validation_failed")
        assert "X-Account-Id" not in answer.headers


# --- the way back -----------------------------------------------------------------------------------------------------

TAKEN = [
    "/billing",
    "/billing/",
    "/billing/invoices/7",
    "/billing?year=2026&sort=-date",
    "/billing/a%20b/%C3%BC?q=%2F%2Fevil.example",
    "/billing/?next=https://evil.example",
    "/reports/2026",
    "/reports/2026/q1.html",
]
REFUSED = [
    *("", "/", "billing", "/billin", "/billingx", "/billing2/x", "/Billing", "/reports", "/reports/2027"),
    *("//billing", "///billing", "//evil.example/billing", "/\\evil.example", "\\/billing", "/billing\\..\\x"),
    *(
        "https:evil.example",
        "https://evil.example/billing",
        "https:/billing",
        f"{ORIGIN}/billing",
        "javascript:alert(1)",
    ),
    *("/%2Fevil.example", "/%5Cevil.example", "%2Fbilling", "/billing/%2F%2Fevil.example", "/billing/%5cevil.example"),
    *("/billing/../team", "/billing/..", "/billing/./x", "/billing/%2e%2e/team", "/billing/.%2E/team", "/billing//x"),
    *("/billing/%252e%252e/x", "/billing/%", "/billing/%zz", "/billing?%0d%0aSet-Cookie:a=b", "/billing/%00"),
    *(
        "/billing\r\nSet-Cookie: a=b",
        "/billing\n",
        "/billing\t",
        "/billing\x00",
        " /billing",
        "/billing x",
        "/billing#x",
    ),
    *("/billing?x=\x7f", '/billing?x="><script>', "/billing/<script>", "/billing/ü", "/billing@evil.example"),
    *("/billing;x", "/billing" + "/x" * 1000, "/billing?" + "x" * 2000),
]


@pytest.mark.usefixtures("services_here")
@pytest.mark.parametrize("asked", TAKEN)
def test_the_sign_in_leads_back_to_a_listed_target(api, asked):
    answer = api().get(VERIFY, headers={"X-Forwarded-Uri": asked})
    assert said(answer) == (401, "not_authenticated")
    address = urlsplit(answer.headers["Location"])
    assert (f"{address.scheme}://{address.netloc}", address.path) == (ORIGIN, "/login")
    assert parse_qs(address.query, strict_parsing=True) == {"again": ["1"], "next": [asked]}


@pytest.mark.usefixtures("services_here")
@pytest.mark.parametrize("asked", [asked for asked in REFUSED if asked.isprintable()])
def test_the_sign_in_leads_to_nothing_else(api, asked):
    answer = api().get(VERIFY, headers={"X-Forwarded-Uri": asked.encode().decode("latin-1")})
    assert answer.headers["Location"] == f"{ORIGIN}/login?again=1"


@pytest.mark.parametrize("asked", REFUSED)
def test_what_is_no_plain_path_below_a_prefix_is_no_target(asked):
    assert not targets.parse("/billing, /reports/2026/").take(asked)
    assert not targets.parse("").take(asked)


def test_without_the_setting_there_is_no_target(api):
    answer = api().get(VERIFY, headers={"X-Forwarded-Uri": "/billing"})
    assert answer.headers["Location"] == f"{ORIGIN}/login?again=1"


def test_a_gateway_without_pages_has_no_sign_in_address(app, deps, api):
    app.extensions["latchkey"] = replace(deps, settings=settings(PORTAL="off"))
    assert "Location" not in api().get(VERIFY).headers


@pytest.mark.parametrize(
    "listed", ["billing", "/", "//evil", "/a/../b", "/a?b", "https://evil.example", "/a b", "/a,,b"]
)
def test_a_prefix_is_a_plain_path(listed):
    with pytest.raises(ValueError, match="must list paths"):
        targets.parse(listed)


def test_the_time_since_the_last_proof_counts_each_kind_of_proof(api, ann):
    session = api(ann).session
    later = session.authenticated_at + timedelta(minutes=5)
    assert replace(session, stepped_up_at=None).proven_at == session.authenticated_at
    assert (
        replace(session, stepped_up_at=later).proven_at == replace(session, small_step_up_at=later).proven_at == later
    )
