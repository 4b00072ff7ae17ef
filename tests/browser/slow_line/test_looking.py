"""Lists and pages on a slow line: each says that it waits, and shows what was asked for last."""

import pytest
from playwright.sync_api import expect

from tests.browser.slow_line.line import says_that_it_waits
from tests.browser.test_support import find

pytestmark = pytest.mark.browser


def test_the_audit_trail_shows_what_was_asked_for_last(visit, mia, operator, slow_line):
    visitor = visit()
    page = visitor.log_in(operator)
    find(page, mia)
    page.get_by_role("link", name="All accounts").click()
    trail = page.locator("#audit")
    kind, account = trail.get_by_label("Show"), trail.get_by_label("Account")
    expect(trail.locator("[data-list]")).to_contain_text(mia.email)
    line = slow_line(visitor)
    with line.held("*type=second_factor.unlocked*"):
        kind.select_option("second_factor.unlocked")
        says_that_it_waits(trail)
        kind.select_option("")
        account.fill(mia.email)
        account.press("Enter")
        expect(trail.locator("[data-list]")).not_to_have_attribute("aria-busy", "true")
        shown = trail.locator(".line > li").all_inner_texts()
        assert shown
        assert all(mia.email in text for text in shown)
    page.wait_for_timeout(100)  # nothing can be waited for that must not come
    assert trail.locator(".line > li").all_inner_texts() == shown
    expect(account).to_have_value(mia.email)


def test_every_page_says_that_it_waits_and_then_shows_all(visit, mia, operator, slow_line):
    visitor = visit()
    page = visitor.log_in(operator)
    line = slow_line(visitor)
    for path in (f"/support/accounts/{mia.id}", "/support", "/team", "/security", "/two-factor"):
        visitor.open(path)
        expect(page.locator("[data-loading]").first).to_be_attached()
        expect(page.locator("[data-loading]")).to_have_count(0, timeout=30_000)
        expect(page.locator(".form-error:visible")).to_have_count(0)
    visitor.open("/support")
    with line.held("GET *query=*"):
        page.get_by_label("Email, name or id").fill(mia.email)
        page.get_by_role("button", name="Find").dblclick()
        says_that_it_waits(page.locator("#search-form"))
    expect(page.locator("#found a")).to_have_count(1)
    expect(page.get_by_label("Email, name or id")).to_have_value(mia.email)
    assert line.count("GET *query=*") == 1
