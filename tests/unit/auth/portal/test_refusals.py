"""What stands in a page's place: an unknown address, a refusal, an outage, a fault of ours."""

from dataclasses import replace
from urllib.parse import unquote

import pytest

from services.auth.app import create_app
from tests.support import auth

A_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/nothing", "/team/", "/support/accounts/a.b", "/login/a/b", "/portal/x"])
def test_an_unknown_address_is_a_calm_page_for_a_browser_and_a_problem_for_a_program(browser, path):
    page = browser.get(path, Accept=A_BROWSER)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "Page not found" in page.get_data(as_text=True)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert "Accept" in page.headers["Vary"]
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5", ""):
        problem = browser.get(path, Accept=accept)
        assert (problem.status_code, problem.mimetype) == (404, "application/problem+json"), accept
        assert problem.json["code"] == "not_found"


HOSTILE = [
    "/%5Cevil.example",
    "/%5C%5Cevil.example",
    "/%5c/evil.example",
    "/\\evil.example",
    "//evil.example",
    "///evil.example/login",
    "//evil.example/..",
    "/%2F%2Fevil.example",
    "/%09/evil.example",
    "/.//evil.example",
    "/https://evil.example",
    "/https:evil.example",
    "/javascript:evil.example",
    "/x%22%3E%3Ca%20href=//evil.example%3E",
    "/support/accounts/%5Cevil.example",
    "/portal/x/%5Cevil.example",
    "/login//evil.example",
]


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_answer_has_a_link_made_of_the_path_that_was_asked_for(app, path, method):
    """As it stands on the wire: the test client would take //evil.example for a host."""
    environ = {"PATH_INFO": unquote(path), "HTTP_ACCEPT": A_BROWSER, "HTTP_HOST": "localhost"}
    for query in ("", "lang=de&next=//evil.example", "next=/%5Cevil.example"):
        page = app.test_client().open(
            "/", method=method, environ_overrides={**environ, "QUERY_STRING": query, "REQUEST_URI": path}
        )
        assert page.status_code in {404, 405, 403, 303}
        assert "evil" not in page.get_data(as_text=True)
        assert "evil" not in page.headers.get("Location", "")


@pytest.mark.parametrize("path", ["/v1/nothing", "/.well-known/nothing"])
def test_an_address_of_programs_answers_a_browser_as_a_program(browser, path):
    assert browser.get(path, Accept=A_BROWSER).mimetype == "application/problem+json"


def test_a_page_that_takes_no_get_says_so_calmly(browser):
    page = browser.get("/logout", Accept=A_BROWSER)
    assert (page.status_code, page.mimetype) == (405, "text/html")
    assert "POST" in page.headers["Allow"]
    assert browser.get("/logout").mimetype == "application/problem+json"


def test_a_missing_file_is_no_page(browser):
    assert browser.get("/portal/x/nothing.js", Accept="*/*").mimetype == "application/problem+json"


def test_without_the_portal_there_are_no_pages(deps):
    bare = create_app(replace(deps, settings=auth.settings(PORTAL="off"))).test_client()
    assert bare.get("/nothing", headers={"Accept": A_BROWSER}).mimetype == "application/problem+json"


def test_what_a_role_may_not_see_is_said_on_a_page(browser, deps, tom):
    page = browser.signed_in(deps, tom).get("/support", Accept=A_BROWSER)
    assert (page.status_code, page.mimetype) == (403, "text/html")
    assert "Your role does not allow this." in page.get_data(as_text=True)


def test_a_store_that_is_down_is_said_on_a_page_with_when_to_come_back(browser, deps, tom, redis_server):
    browser.signed_in(deps, tom)
    redis_server.connected = False
    page = browser.get("/team", Accept=A_BROWSER)
    assert (page.status_code, page.mimetype, page.headers["Retry-After"]) == (503, "text/html", "2")
    assert '<a href="">Try again</a>' in page.get_data(as_text=True)


def test_a_fault_of_ours_is_said_on_a_page_without_its_cause(browser, otp, mia):
    otp.refusal = ZeroDivisionError("a secret of ours")
    page = browser.log_in(mia.email)
    assert (page.status_code, page.mimetype) == (500, "text/html")
    assert "Something went wrong" in page.get_data(as_text=True)
    assert "a secret of ours" not in page.get_data(as_text=True)
