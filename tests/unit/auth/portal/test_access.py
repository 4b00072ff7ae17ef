"""Who sees which page, and where the portal is off."""

from dataclasses import replace

import pytest

from services.auth.app import create_app
from services.auth.domain.session import Factor
from tests.support import auth
from tests.support.portal import PAGES, SUPPORT_PAGES, Page


@pytest.mark.parametrize("path", ["/", *PAGES, *SUPPORT_PAGES])
def test_a_stranger_is_sent_to_the_login_which_keeps_what_was_asked_for(browser, path):
    response = browser.get(path)
    asked = "" if path == "/" else f"?next={path}"
    assert (response.status_code, response.headers["Location"]) == (303, f"/login{asked}")
    assert "session" not in Page(browser.get(response.headers["Location"])).text.partition("<main")[2]


def test_only_a_browser_that_had_a_session_is_told_that_it_has_ended(browser, deps, tom, clock):
    browser.signed_in(deps, tom)
    clock.turn(hours=25)
    response = browser.get("/team")
    assert response.headers["Location"] == "/login?ended=1&next=/team"
    assert "Your session has ended. Please log in again." in Page(browser.get(response.headers["Location"])).text


@pytest.mark.parametrize("path", PAGES)
def test_whoever_is_signed_in_sees_the_pages(browser, deps, tom, path):
    assert browser.signed_in(deps, tom).get(path).status_code == 200


@pytest.mark.parametrize("path", SUPPORT_PAGES)
def test_the_console_is_for_support_with_a_second_factor(browser, deps, tom, sam, path):
    assert browser.signed_in(deps, tom).get(path).status_code == 403
    assert browser.signed_in(deps, sam, Factor.PASSWORD).get(path).status_code == 403
    assert browser.signed_in(deps, sam).get(path).status_code == 200


def test_an_operator_begins_at_the_console_once_it_opens(browser, deps, sam):
    assert browser.signed_in(deps, sam, Factor.PASSWORD).get("/").headers["Location"] == "/two-factor"
    assert browser.signed_in(deps, sam).get("/").headers["Location"] == "/support"


def test_an_owner_is_led_to_what_support_asks(browser, deps, api, otp, sam, ann, tom, owner, clock):
    def is_led(account):
        return "/team/approvals" in Page(browser.signed_in(deps, account).get("/two-factor")).text

    otp.enabled |= {owner.id, ann.id}
    assert not is_led(owner)
    api(sam).post(f"/v1/support/accounts/{ann.id}/identity-checks", {"check": "owner_approval"})
    assert is_led(owner)
    assert not is_led(ann)
    assert not is_led(tom)
    clock.turn(minutes=31)
    assert not is_led(owner)


def test_the_portal_and_the_inbox_can_be_off(deps):
    bare = create_app(replace(deps, settings=auth.settings(PORTAL="off"))).test_client()
    assert bare.get("/login").status_code == 404
    assert bare.get("/v1/time").status_code == 200
    redis_url = "redis://auth:pw@127.0.0.1:6379/0"
    production = auth.settings(LATCHKEY_ENV="production", PUBLIC_ORIGIN="https://portal.example", REDIS_URL=redis_url)
    strict = create_app(replace(deps, settings=production)).test_client()
    assert strict.get("/dev/inbox", base_url="https://portal.example").status_code == 404
    assert "/dev/inbox" not in strict.get("/login", base_url="https://portal.example").get_data(as_text=True)
