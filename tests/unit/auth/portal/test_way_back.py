"""The page that was asked for, and no other place, comes after the login."""

from dataclasses import replace

import pytest

from services.auth.store import accounts
from shared.database import writing
from tests.support.auth import PASSWORD, settings
from tests.support.portal import Page

NOT_OURS = [
    "//evil.example",
    "///evil.example/team",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "https:",
    "https://evil.example/team",
    "https:evil.example",
    "http://portal.example:8080/team",
    "//portal.example:8080/team",
    "javascript:alert(1)",
    "/%2fevil.example",
    "/%2Fevil.example",
    "/%5cevil.example",
    "%2f%2fevil.example",
    "/team/../../evil.example",
    "/team//evil.example",
    "/team@evil.example",
    "/team?next=//evil.example",
    "/team#//evil.example",
    "/team/",
    "//team",
    "team",
    "/support/accounts/..%2f..%2fevil",
    "/logout",
    "/login",
    "/login/chl_1",
    "/v1/session",
    "/docs/",
    "/portal/x/api.js",
    "/dev/inbox",
    "/",
    "/team\x00",
    "/team\r\nSet-Cookie: a=b",
    "x" * 2000,
]


def way_back_input(response):
    """The values of the hidden inputs that carry the page that was asked for."""
    return sorted({attrs["value"] for tag, attrs in Page(response).tags if attrs.get("name") == "next"})


@pytest.mark.parametrize("asked", ["/two-factor", "/team", "/security", "/support", "/support/accounts/acc_1"])
def test_a_login_leads_to_the_page_that_was_asked_for(browser, otp, mia, asked):
    assert way_back_input(browser.get("/login", asked=asked)) == [asked]
    challenge = browser.post("/login", email=mia.email, password=PASSWORD, next=asked).headers["Location"]
    assert challenge.endswith(f"?next={asked}")
    again = browser.post(challenge.replace("?", "/sms?"), next=asked).headers["Location"]
    assert again == challenge
    page = browser.client.get(challenge)
    assert set(way_back_input(page)) == {asked}
    where, _, _ = challenge.partition("?")
    code = otp.expect(mia.id, "login", where.removeprefix("/login/"))
    response = browser.post(where, code=code, next=asked)
    assert response.headers["Location"] == f"/?next={asked}"
    assert browser.client.get(response.headers["Location"]).headers["Location"] == asked


@pytest.mark.parametrize("asked", NOT_OURS)
def test_nobody_is_sent_anywhere_else(browser, deps, tom, asked):
    assert way_back_input(browser.get("/login", asked=asked)) == []
    page = browser.post("/login", email=tom.email, password="wrong wet otters juggle", next=asked)
    assert way_back_input(page) == []
    assert "evil" not in page.get_data(as_text=True)
    assert browser.post("/login", email=tom.email, password=PASSWORD, next=asked).headers["Location"] == "/"
    assert browser.get("/", asked=asked).headers["Location"] == "/two-factor"


SERVICE = "/billing/invoices?year=2026"


@pytest.fixture
def services_here(app, deps):
    app.extensions["latchkey"] = replace(deps, settings=settings(SIGN_IN_TARGETS="/billing"))


@pytest.mark.usefixtures("services_here")
def test_a_login_leads_back_to_a_service_that_the_settings_list(browser, tom):
    assert way_back_input(browser.get("/login", asked=SERVICE)) == [SERVICE]
    welcome = browser.post("/login", email=tom.email, password=PASSWORD, next=SERVICE).headers["Location"]
    assert browser.client.get(welcome).headers["Location"] == SERVICE


@pytest.mark.usefixtures("services_here")
@pytest.mark.parametrize("asked", [*NOT_OURS, "/billing/../team", "/billing//x", "/billing/%2e%2e/x", "/billing#x"])
def test_a_listed_service_opens_no_way_to_elsewhere(browser, tom, asked):
    assert way_back_input(browser.get("/login", asked=asked)) == []
    assert browser.post("/login", email=tom.email, password=PASSWORD, next=asked).headers["Location"] == "/"
    assert browser.get("/", asked=asked).headers["Location"] == "/two-factor"


@pytest.mark.parametrize("path", ["/%5Cevil.example", "/%5C%5Cevil.example/x", "/%2Fevil.example", "/evil.example%0a"])
@pytest.mark.parametrize("signed_in", [False, True])
def test_no_link_is_made_of_the_path_that_was_requested(browser, deps, tom, path, signed_in):
    if signed_in:
        browser.signed_in(deps, tom)
    page = browser.client.get(f"http://portal.example:8080{path}", headers={"Accept": "text/html"})
    assert (page.status_code, page.mimetype) == (404, "text/html")
    links = [
        value for _, attrs in Page(page).tags for name, value in attrs.items() if name in {"href", "action", "src"}
    ]
    assert links
    assert not [link for link in links if "evil" in link]


def test_whoever_must_set_2fa_up_again_begins_there(browser, deps, tom):
    browser.signed_in(deps, tom)
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, tom.id, prompted=True)
    assert browser.get("/", asked="/team").headers["Location"] == "/two-factor"
