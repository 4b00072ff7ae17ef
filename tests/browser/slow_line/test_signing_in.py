"""Signing in on a slow and failing line: nothing is sent twice, nothing typed is lost, each wait is said."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import code_field, log_out, prove_phone, sms_code
from tests.browser.slow_line.line import says_that_it_waits, says_that_no_answer_came

pytestmark = pytest.mark.browser


def test_the_password_is_sent_once_and_kept_when_no_answer_comes(visitor, ann, slow_line):
    page = visitor.open("/login")
    line, step = slow_line(visitor), page.locator("#password-step")
    page.get_by_label("Email").fill(ann.email)
    page.get_by_label("Password").fill(ann.password)
    for tries, lost in ((1, True), (2, False)):
        with line.held("POST /v1/login", lost=lost):
            page.get_by_label("Password").press("Enter")
            page.get_by_label("Password").press("Enter")
            says_that_it_waits(step)
            step.get_by_role("button", name="Log In").click(force=True)
            expect(page.get_by_label("Email")).to_have_value(ann.email)
            expect(page.get_by_label("Password")).to_have_value(ann.password)
        if lost:
            says_that_no_answer_came(step)
            expect(page.get_by_label("Password")).to_have_value(ann.password)
        assert line.count("POST /v1/login") == tries
    page.wait_for_url("**/two-factor")
    assert line.count("POST /v1/login") == 2


def test_one_sms_is_sent_and_its_code_is_given_once(visitor, mia, inbox, slow_line):
    page = visitor.log_in(mia)
    prove_phone(page, inbox)
    log_out(page)
    visitor.give_password(mia.email, mia.password)
    line, form, send = slow_line(visitor), page.locator("#sms-form"), page.locator("#sms-form button")
    code_field(page).fill("12")
    for lost in (True, False):
        with line.held("POST */sms", lost=lost):
            send.dblclick()
            says_that_it_waits(form)
            send.click(force=True)
            expect(code_field(page)).to_have_value("12")
        if lost:
            says_that_no_answer_came(form)
            assert line.count("POST */sms") == 1
    expect(page.locator("#sms-to")).to_contain_text("reference")
    expect(page.locator("#sms-wait")).to_be_visible()
    expect(send).to_have_attribute("aria-disabled", "true")
    send.click(force=True)
    expect(code_field(page)).to_have_value("12")

    code = sms_code(inbox, page.locator("#sms-to").inner_text())
    page.get_by_label("Remember this device for 30 days").check()
    for tries, lost in ((1, True), (2, False)):
        with line.held("POST */verify", lost=lost):
            code_field(page).fill(code)
            code_field(page).press("Enter")
            says_that_it_waits(page.locator("#code-form"))
            code_field(page).press("Enter")
            page.locator("#code-form").get_by_role("button", name="Log In").click(force=True)
        if lost:
            says_that_no_answer_came(page.locator("#code-form"))
            expect(code_field(page)).to_have_value(code)
            expect(page.get_by_label("Remember this device for 30 days")).to_be_checked()
        assert line.count("POST */verify") == tries
    page.wait_for_url("**/two-factor")
    assert (line.count("POST */sms"), line.count("POST */verify")) == (2, 2)
