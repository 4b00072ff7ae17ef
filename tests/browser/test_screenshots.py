"""The README's pictures, from the pages as they are: `make screenshots` keeps them, other runs see that it could."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, enroll, give_code, log_out, prove_phone

pytestmark = pytest.mark.browser
WINDOW = {"width": 1100, "height": 760}


@pytest.fixture
def shoot(tmp_path):
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))

    def take(page, name, *, full_page=False):
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(300)
        page.screenshot(path=folder / f"{name}.png", full_page=full_page)
        assert (folder / f"{name}.png").stat().st_size > 10_000

    return take


def test_the_owners_pages(visit, make_owner, inbox, shoot):
    make_owner("member", "Harbour Lane Ltd")
    ann = make_owner("owner", "Harbour Lane Ltd")
    visitor = visit(size=WINDOW)
    shoot(visitor.open("/login"), "login")
    page = visitor.log_in(ann)
    page.get_by_role("switch").check()
    expect(page.locator("#clock-verdict")).not_to_be_empty()
    shoot(page, "two-factor-setup", full_page=True)
    page.get_by_role("button", name="Cancel").click()
    log_out(page)
    page = enroll(visitor, ann)
    page.reload()  # without the word in passing
    expect(page.locator("#codes-left")).to_be_visible()
    shoot(page, "two-factor-on")
    prove_phone(page, inbox, enrolled=ann)
    page.reload()
    expect(page.locator("#members li", has_text="You")).to_contain_text(", verified")
    shoot(page, "team")
    log_out(page)
    small = visit(size=PHONE, dark=True)
    phone = small.give_password(ann.email, ann.password)
    phone.get_by_role("button", name="Send SMS Code").click()
    expect(phone.locator("#sms-delivery")).not_to_be_empty()
    expect(phone.locator("#sms-wait")).to_be_visible()
    expect(phone.locator("#sms-delivery")).to_contain_text("handed to the carrier")
    shoot(phone, "code-phone-dark")
    shoot(visit(size=WINDOW).open("/dev/inbox"), "inbox")


def test_the_console(visit, ann, operator, shoot):
    theirs = visit()
    log_out(enroll(theirs, ann))
    at_code = theirs.give_password(ann.email, ann.password)
    give_code(at_code, "000000")
    expect(at_code.locator("#code-error")).to_be_visible()
    page = visit(size=WINDOW).log_in(operator)
    page.get_by_label("Email, name or id").fill(ann.email)
    page.get_by_role("button", name="Find").click()
    page.locator("#found a").click()
    expect(page.locator("#timeline .line")).to_be_visible()
    shoot(page, "support", full_page=True)
