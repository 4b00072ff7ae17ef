"""What somebody who has logged in sees of the login's own addresses, and of one that nothing answers to."""

import pytest

from services.auth.domain.session import Factor
from tests.support.portal import Page, challenge_of

A_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [("/login", "/"), ("/login?ended=1", "/"), ("/login?next=/team", "/?next=/team"), ("/login?next=//evil", "/")],
)
def test_the_login_page_leads_on(browser, deps, tom, asked, leads_to):
    response = browser.signed_in(deps, tom).get(asked)
    assert (response.status_code, response.headers["Location"]) == (303, leads_to)


def test_it_leads_nobody_in_a_circle(browser, deps, tom):
    """The session's end, an account that is gone and a cookie that is none get the page itself."""
    browser.signed_in(deps, tom)
    with deps.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM accounts")
    assert browser.get("/login").status_code == 200
    browser.client.set_cookie(deps.settings.session_cookie, "x")
    assert browser.get("/login").status_code == 200


def test_back_to_the_code_of_a_login_that_is_done_leads_on(browser, otp, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    code = otp.expect(mia.id, "login", challenge)
    browser.post(f"/login/{challenge}", code=code)
    response = browser.get(f"/login/{challenge}")
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    again = browser.post(f"/login/{challenge}", code=code)
    assert again.status_code == 410, "the session may be another person's"


def test_a_session_that_is_too_old_for_another_service_is_led_in_no_circle(browser, deps, tom):
    """Its proxy asks for a new login; to lead on would bring the browser back to that proxy."""
    browser.signed_in(deps, tom)
    for asked in ("/login?again=1", "/login?again=1&next=/team"):
        page = browser.get(asked)
        assert page.status_code == 200
        assert 'name="password"' in page.get_data(as_text=True)


def test_a_login_that_is_open_is_shown_beside_a_session(browser, deps, tom, mia):
    """A second person begins while the first one is still logged in."""
    challenge = challenge_of(browser.signed_in(deps, tom).log_in(mia.email))
    browser.signed_in(deps, tom)
    assert Page(browser.get(f"/login/{challenge}")).shown("code-step")


def test_an_account_that_must_enrol_is_led_on_too(browser, deps, make_operator):
    operator = make_operator("olga@example.com")
    deps.otp.enabled.discard(operator.id)
    browser.signed_in(deps, operator, Factor.PASSWORD)
    assert browser.get("/login").headers["Location"] == "/"
    assert browser.get("/login/chl_1").headers["Location"] == "/"


def test_an_unknown_address_keeps_the_frame_of_somebody_who_has_logged_in(browser, deps, tom):
    stranger = browser.get("/nothing", Accept=A_BROWSER).get_data(as_text=True)
    assert 'action="/logout"' not in stranger
    page = browser.signed_in(deps, tom).get("/nothing", Accept=A_BROWSER)
    assert page.status_code == 404
    text = page.get_data(as_text=True)
    assert "Page not found" in text
    assert 'action="/logout"' in text
    assert 'href="/team"' in text


def test_an_unknown_address_needs_no_store(browser, deps, tom, redis_server):
    browser.signed_in(deps, tom)
    redis_server.connected = False
    page = browser.get("/nothing", Accept=A_BROWSER)
    assert page.status_code == 404
    assert 'action="/logout"' not in page.get_data(as_text=True)
