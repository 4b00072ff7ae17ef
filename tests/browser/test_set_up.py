"""Turning 2FA on, interrupted as people are: a reload, a second tab, two entries in the app, a phone, Back."""

import json
import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, STEP_SECONDS, code_of, key_on, log_out, update

pytestmark = pytest.mark.browser

SET_UP = "**/v1/two-factor/enrollment"
RESET = {"id": "rst_1", "status": "cooling_off", "reason_kind": "lost", "requested_at": "2026-11-24T09:31:00.000000Z"}


def switch(page):
    return page.get_by_role("switch", name="Enable Two-Factor Authentication")


def stands_alone(page):
    """Nothing but the set-up is on the page."""
    for section in ("#activity", "#why", "#later", "#held", "#prompt"):
        expect(page.locator(section)).to_be_hidden()


def box(page, selector):
    return page.locator(selector).bounding_box()


def with_a_reset(route):
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), "pending_reset": RESET})


def wants_the_password(route):
    document = {"code": "step_up_required", "step_up": "full", "status": 403}
    route.fulfill(status=403, content_type="application/problem+json", body=json.dumps(document))


def test_set_up_goes_on_after_an_interruption_and_knows_an_older_entry(visit, ann):
    visitor = visit()
    page = visitor.log_in(ann)
    page.route("**/v1/two-factor", with_a_reset)
    page.reload()
    expect(page.locator("#reset-note")).to_be_visible()
    page.unroute("**/v1/two-factor")
    expect(page.locator("#activity")).to_be_visible()
    switch(page).check()
    first = key_on(page)
    stands_alone(page)
    assert box(page, "#qr")["x"] < box(page, "#open-app")["x"], "on a desktop the QR code comes first"

    # A reload and a second tab go on with the same key.
    page.reload()
    assert key_on(page) == first
    expect(switch(page)).to_be_checked()
    stands_alone(page)
    tab = visitor.context.new_page()
    tab.goto(page.url)
    assert key_on(tab) == first
    tab.route(SET_UP, wants_the_password)
    tab.reload()
    expect(tab.locator("#state-said")).to_contain_text("Turn the switch on before ")
    tab.unroute(SET_UP)
    switch(tab).check()
    assert key_on(tab) == first

    # Cancel ends it in every tab.
    tab.get_by_role("button", name="Cancel").click()
    expect(tab.locator("#activity")).to_be_visible()
    tab.reload()
    expect(tab.locator("#state-pill")).to_have_text("Off")
    switch(tab).check()
    second = key_on(tab)
    assert second != first
    update(page, lambda: code_of(first))
    expect(page.get_by_text("The set-up was started again in another tab.")).to_be_visible()
    assert key_on(page) == second

    # Two entries in the app: a code of the older one.
    update(page, lambda: code_of(first))
    expect(page.locator("#setup-code-error")).to_contain_text(
        re.compile(r"Delete the entry you scanned at \d{1,2}:\d\d\s[AP]M from your app")
    )
    expect(page.locator("#state-pill")).to_have_text("Not on yet")
    update(page, lambda: code_of(second))
    expect(page.locator("#codes-list li")).to_have_count(10)
    stands_alone(page)
    for warning in ("#reset-note", "#state .form-error"):
        expect(page.locator(warning)).to_be_hidden()
    page.get_by_role("button", name="I have saved them").click()
    expect(page.locator("#activity")).to_be_visible()

    # The other tab still shows the set-up.
    update(tab, lambda: code_of(second))
    expect(tab.locator("#state-pill")).to_have_text("On")
    expect(tab.locator("#setup")).to_be_hidden()


def test_on_a_phone_the_app_on_it_comes_first_and_back_leads_nowhere_odd(visit, ann):
    visitor = visit(size=PHONE, touch=True)
    page = visitor.log_in(ann)
    switch(page).check()
    ann.key = key_on(page)
    link = page.get_by_role("link", name="Open in an app on this device")
    assert re.fullmatch(rf"otpauth://totp/.*secret={ann.key}.*", link.get_attribute("href"))
    assert box(page, "#open-app")["y"] < box(page, "#key")["y"] < box(page, "#qr")["y"]
    update(page, lambda: code_of(ann.key))
    ann.last_step = int(time.time()) // STEP_SECONDS
    expect(page.locator("#codes-list li")).to_have_count(10)
    page.get_by_role("button", name="I have saved them").click()
    log_out(page)

    visitor.log_in(ann)
    page.wait_for_url("**/two-factor")
    for _ in range(2):
        page.go_back()
        page.wait_for_url("**/two-factor")
        expect(page.locator("#state-pill")).to_have_text("On")
    visitor.open("/login?next=/team")
    page.wait_for_url("**/team")
    visitor.open("/nothing")
    expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
    expect(page.get_by_role("button", name="Log Out", exact=True)).to_be_visible()
    page.get_by_role("link", name="Go to the start page").click()
    page.wait_for_url("**/two-factor")
