"""The account's pages on a slow and failing line: nothing is done twice, nothing typed is lost, each wait is said.

A change that the API tells again is sent once more by the page itself, with the same key, when its answer is lost.
"""

import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import STEP_SECONDS, code_of, confirm_self, key_on, sms_code, update
from tests.browser.slow_line.line import lose_the_first_answers, says_that_it_waits, says_that_no_answer_came

pytestmark = pytest.mark.browser


def test_a_phone_is_saved_once_and_proven_once(visitor, ann, inbox, slow_line):
    page = visitor.log_in(ann)
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    edit = page.locator("#members li", has_text="You").get_by_role("button", name="Edit")
    expect(edit).to_be_visible()
    line, form = slow_line(visitor), page.locator("#edit-form")
    country, number = page.get_by_label("Country Code"), page.get_by_label("Cell Phone", exact=True)
    with line.held("GET /v1/phone/countries"):
        edit.click()
        expect(country.locator("option")).to_have_text(["Loading …"])
        page.keyboard.press("Escape")
        edit.click()
        number.fill("01512 7654321")
    expect(country.locator("option[value=DE]")).to_have_count(1)
    expect(number).to_have_value("01512 7654321")
    expect(number).to_be_focused()
    country.select_option("DE")
    save = page.get_by_role("button", name="Save")
    for lost in (True, False):
        with line.held("PUT /v1/phone", lost=lost):
            save.dblclick()
            says_that_it_waits(form)
            save.click(force=True)
            page.locator("#edit-remove").dispatch_event("click")  # what is greyed out does nothing
            expect(country).to_have_value("DE")
            expect(number).to_have_value("01512 7654321")
        if lost:
            says_that_no_answer_came(form)
            expect(country).to_have_value("DE")
            expect(number).to_have_value("01512 7654321")
            assert line.count("PUT /v1/phone") == 1
    expect(page.locator("#prove-sent")).to_contain_text("4321")
    assert (line.count("PUT /v1/phone"), line.count("DELETE /v1/phone")) == (2, 0)
    assert line.count("GET /v1/phone/countries") == 1

    code, field = sms_code(inbox, page.locator("#prove-sent").inner_text()), page.get_by_label("Code", exact=True)
    with line.held("POST /v1/phone/verify", lost=True):
        field.fill(code)
        field.press("Enter")
        says_that_it_waits(page.locator("#prove-form"))
        field.press("Enter")
        page.get_by_role("button", name="Verify", exact=True).click(force=True)
        expect(field).to_have_value(code)
    expect(page.locator("#members li", has_text="You")).to_contain_text("4321, verified")
    assert line.count("POST /v1/phone/verify") == 2


def test_a_password_is_changed_once_and_an_old_rating_is_not_shown(visitor, ann, slow_line):
    page = visitor.log_in(ann)
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    expect(page.locator("[data-loading]")).to_have_count(0)
    line, form = slow_line(visitor), page.locator("#password-form")
    field, save = page.get_by_label("New password"), page.get_by_role("button", name="Change Password")
    for lost in (True, False):
        with line.held("POST /v1/password", lost=lost):
            if lost:
                page.get_by_label("Current password").fill(ann.password)
                field.fill("nine dry walruses whistle")
                expect(page.locator("#strength-said")).to_have_text("Strong")
            save.dblclick()
            says_that_it_waits(form)
            save.click(force=True)
            expect(field).to_have_value("nine dry walruses whistle")
        if lost:
            says_that_no_answer_came(form)
            expect(field).to_have_value("nine dry walruses whistle")
            assert line.count("POST /v1/password") == 1
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    expect(field).to_have_value("")
    assert line.count("POST /v1/password") == 2

    with page.expect_response("**/v1/password/strength"), line.held("POST /v1/password/strength"):
        with page.expect_request("**/v1/password/strength"):
            field.fill("ten wet walruses whistle")
        ann.password = "nine dry walruses whistle"
        page.get_by_label("Current password").fill(ann.password)
        save.click()
        confirm_self(page, ann)  # the change before has ended the step-up window
        expect(field).to_have_value("")
    page.wait_for_timeout(100)  # nothing can be waited for that must not come
    assert page.locator("#strength-said").inner_text() == ""


def test_2fa_is_turned_on_once_and_off_once_and_every_state_is_said(visitor, ann, slow_line):
    page = visitor.log_in(ann)
    switch, state, form = page.get_by_role("switch"), page.locator("#state"), page.locator("#confirm-form")
    expect(switch).to_be_enabled()
    line = slow_line(visitor)
    with line.held("GET /v1/two-factor"):
        page.reload()
        expect(page.locator("#state-said [data-loading]")).to_be_attached()
        expect(switch).to_be_disabled()
    expect(switch).to_be_enabled()
    with line.held("POST /v1/two-factor/enrollment"):
        switch.check()
        says_that_it_waits(state)
    key, field = key_on(page), page.locator("#setup").get_by_label("Authentication Code")
    button = page.get_by_role("button", name="Update")
    code = code_of(key)
    with line.held("POST */confirm", lost=True):
        field.fill(code)
        button.dblclick()
        says_that_it_waits(form)
        button.click(force=True)
        expect(field).to_have_value(code)
        assert line.count("POST */confirm") == 1
    expect(form).not_to_have_attribute("aria-busy", "true")
    if form.is_visible():  # the machine is busy, and the page has asked to try again
        update(page, lambda: code_of(key))
    expect(page.locator("#codes-list li")).to_have_count(10)
    assert page.locator("#state-pill").inner_text() == "On", "before the API has said so again"
    page.get_by_role("button", name="I have saved them").click()
    expect(switch).to_be_checked()

    switch.click()
    ann.key, ann.last_step = key, int(time.time()) // STEP_SECONDS
    with line.held("DELETE /v1/two-factor", lost=True):
        page.get_by_role("button", name="Turn off").dblclick()
        says_that_it_waits(page.locator("#off"))
    confirm_self(page, ann)  # turning it on has ended the step-up window
    with line.held("GET /v1/two-factor"):
        expect(page.locator("#state-pill")).to_have_text("Off")
        expect(switch).not_to_be_checked()
    assert line.count("DELETE /v1/two-factor") == 3, "one was lost, one was before the proof"


@pytest.mark.parametrize("lost", [1, 2])
def test_the_backup_codes_of_a_confirmation_whose_answer_was_lost_are_shown(visitor, ann, lost):
    page = visitor.log_in(ann)
    page.get_by_role("switch").check()
    key = key_on(page)

    lose_the_first_answers(page, "**/confirm", lost)
    update(page, lambda: code_of(key))
    if lost == 2:  # the page's own repeat, too
        says_that_no_answer_came(page.locator("#setup"))
        page.get_by_role("button", name="Update").click()
    expect(page.locator("#codes-list li")).to_have_count(10)
    visitor.complaints[:] = [one for one in visitor.complaints if "ERR_FAILED" not in one]
