"""A slow and failing line: three seconds on each call. Nothing is sent twice, nothing typed is lost, each wait is said.

A call that a test looks at is held until the test has looked, so that nothing here depends on who is faster.
"""

import fnmatch
import re
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import (
    code_field,
    code_of,
    key_on,
    log_out,
    prove_phone,
    sms_code,
    until_taken,
    update,
)
from tests.browser.test_support import ask_for_reset, find

pytestmark = pytest.mark.browser

SECONDS = 3


class SlowLine:
    """Every call of a page to the API takes three seconds; one that is held takes until the test is done with it."""

    def __init__(self, visitor):
        self.page, self.calls = visitor.page, []
        self._visitor, self._pattern, self._held = visitor, None, []
        self.page.route("**/v1/**", self._take)

    def _take(self, route):
        asked = urlsplit(route.request.url)
        call = f"{route.request.method} {asked.path}{'?' if asked.query else ''}{asked.query}"
        self.calls.append(call)
        if self._pattern and fnmatch.fnmatchcase(call, self._pattern):
            self._held.append(route)
            return
        self.page.wait_for_timeout(SECONDS * 1000)
        route.continue_()

    @contextmanager
    def held(self, pattern, *, lost=False):
        """Hold calls such as "POST */sms" for this block; at its end they go on, or are lost."""
        self._pattern, began = pattern, time.monotonic()
        yield
        self.page.wait_for_timeout(max(0.0, SECONDS - (time.monotonic() - began)) * 1000)
        self._pattern = None
        for route in self._held:
            if lost:
                route.abort()
            else:
                route.continue_()
        self._held.clear()

    def count(self, pattern):
        return len(fnmatch.filter(self.calls, pattern))

    def end(self):
        self.page.unroute_all(behavior="ignoreErrors")
        # What Chromium says of a call that was lost on purpose.
        self._visitor.complaints[:] = [one for one in self._visitor.complaints if "ERR_FAILED" not in one]


@pytest.fixture
def slow_line(visit):
    lines = []

    def make(visitor):
        lines.append(SlowLine(visitor))
        return lines[-1]

    yield make
    for line in lines:
        line.end()


def says_that_it_waits(place):
    expect(place.locator(".slow")).to_contain_text("longer than usual")


def says_that_no_answer_came(place):
    expect(place.locator(".form-error").filter(visible=True)).to_contain_text("No answer.")
    expect(place.locator(".slow")).to_have_count(0)


def lose_the_first_answer(page, path):
    """Have the first call that succeeds done, and its answer lost."""
    lost = []

    def take(route):
        answer = route.fetch()
        if answer.ok and not lost:
            lost.append(answer)
            route.abort()
        else:
            route.fulfill(response=answer)

    page.route(path, take)


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
            code_field(page).fill(code) if lost else code_field(page).press("Enter")
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

    code, field = sms_code(inbox, page.locator("#prove-sent").inner_text()), page.get_by_label("SMS code")
    for lost in (True, False):
        with line.held("POST /v1/phone/verify", lost=lost):
            field.fill(code) if lost else field.press("Enter")
            says_that_it_waits(page.locator("#prove-form"))
            field.press("Enter")
            page.get_by_role("button", name="Prove", exact=True).click(force=True)
            expect(field).to_have_value(code)
        if lost:
            says_that_no_answer_came(page.locator("#prove-form"))
            expect(field).to_have_value(code)
    expect(page.locator("#members li", has_text="You")).to_contain_text("4321, proven")
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
        save.click()
        expect(field).to_have_value("")
    page.wait_for_timeout(100)  # nothing can be waited for that must not come
    assert page.locator("#strength-said").inner_text() == ""


def test_a_reset_is_asked_for_once_and_approved_once(visit, mia, operator, second_operator, slow_line):
    visitor = visit()
    page = visitor.log_in(operator)
    find(page, mia)
    line, form = slow_line(visitor), page.locator("#reset-form")
    check = page.get_by_label("Video call with photo ID")
    ask_for_reset_by = page.get_by_role("button", name="Start the reset")
    page.get_by_label("Ticket").fill("SUP-1042")
    page.get_by_label("Reason").fill("Phone lost")
    check.check()

    def nothing_is_lost():
        expect(page.get_by_label("Ticket")).to_have_value("SUP-1042")
        expect(page.get_by_label("Reason")).to_have_value("Phone lost")
        expect(check).to_be_checked()

    for lost in (True, False):
        with line.held("POST */two-factor-resets", lost=lost):
            ask_for_reset_by.dblclick()
            says_that_it_waits(form)
            ask_for_reset_by.click(force=True)
            nothing_is_lost()
        if lost:
            says_that_no_answer_came(form)
            nothing_is_lost()
            assert line.count("POST */two-factor-resets") == 1
    expect(page.locator("#reset-status")).to_have_text("Waits for a second operator")
    assert line.count("POST */two-factor-resets") == 2

    other = visit()
    theirs = other.log_in(second_operator)
    find(theirs, mia)
    approve = theirs.get_by_role("button", name="Approve")
    expect(approve).to_be_visible()
    line = slow_line(other)
    for tries, lost in ((1, True), (2, False)):
        with line.held("POST */approve", lost=lost):
            approve.dblclick()
            says_that_it_waits(theirs.locator("#open-reset"))
            approve.click(force=True)
        if lost:
            says_that_no_answer_came(theirs.locator("#open-reset"))
        assert line.count("POST */approve") == tries
    expect(theirs.locator("#reset-status")).to_have_text("Applied", timeout=40_000)
    assert line.count("POST */approve") == 2


def test_an_older_look_at_a_reset_never_overtakes_a_newer_one(visit, mia, operator):
    page = visit().log_in(operator)
    find(page, mia)
    ask_for_reset(page, "Video call with photo ID")
    expect(page.locator("#reset-status")).to_have_text("Waits for a second operator")
    old = []

    def keep_the_first(route):
        if old:
            route.continue_()
        else:
            old.append(route)
            old.append(route.fetch())

    page.route(re.compile(r"/v1/support/two-factor-resets/"), keep_the_first)
    while len(old) < 2:
        page.wait_for_timeout(50)
    page.get_by_role("button", name="Cancel the reset").click()
    expect(page.locator("#reset-status")).to_have_text("Cancelled")
    with page.expect_response(re.compile(r"/v1/support/two-factor-resets/")):
        old[0].fulfill(response=old[1])
    page.wait_for_timeout(100)  # nothing can be waited for that must not come
    assert page.locator("#reset-status").inner_text() == "Cancelled"
    assert page.get_by_role("button", name="Cancel the reset").is_hidden()


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
    for tries, lost in ((1, True), (2, False)):
        with line.held("POST */confirm", lost=lost):
            if lost:
                field.fill(code)
            button.dblclick()
            says_that_it_waits(form)
            button.click(force=True)
            expect(field).to_have_value(code)
        if lost:
            says_that_no_answer_came(form)
            expect(field).to_have_value(code)
        assert line.count("POST */confirm") == tries
    expect(form).not_to_have_attribute("aria-busy", "true")
    if form.is_visible():  # the machine is busy, and the page has asked to try again
        update(page, lambda: code_of(key))
    expect(page.locator("#codes-list li")).to_have_count(10)
    assert page.locator("#state-pill").inner_text() == "On", "before the API has said so again"
    page.get_by_role("button", name="I have saved them").click()
    expect(switch).to_be_checked()

    switch.click()
    for lost in (True, False):
        with line.held("DELETE /v1/two-factor", lost=lost):
            page.get_by_role("button", name="Turn off").dblclick()
            says_that_it_waits(page.locator("#off"))
        if lost:
            says_that_no_answer_came(page.locator("#off"))
    with line.held("GET /v1/two-factor"):
        expect(page.locator("#state-pill")).to_have_text("Off")
        expect(switch).not_to_be_checked()
    assert line.count("DELETE /v1/two-factor") == 2


def test_a_2fa_that_was_turned_on_by_a_call_whose_answer_was_lost_is_shown_as_on(visitor, ann):
    page = visitor.log_in(ann)
    page.get_by_role("switch").check()
    key = key_on(page)

    lose_the_first_answer(page, "**/confirm")
    update(page, lambda: code_of(key))
    says_that_no_answer_came(page.locator("#setup"))
    page.get_by_role("button", name="Update").click()
    expect(page.locator("#state .form-error")).to_contain_text("Make new ones below.")
    expect(page.locator("#state-pill")).to_have_text("On")
    until_taken(page, "#codes", page.get_by_role("button", name="Make new backup codes").click)
    expect(page.locator("#codes-list li")).to_have_count(10)
    visitor.complaints[:] = [one for one in visitor.complaints if "ERR_FAILED" not in one]


def test_a_reset_whose_answer_was_lost_is_shown_as_under_way(visit, mia, operator):
    visitor = visit()
    page = visitor.log_in(operator)
    find(page, mia)

    lose_the_first_answer(page, "**/two-factor-resets")
    ask_for_reset(page, "Video call with photo ID")
    says_that_no_answer_came(page.locator("#reset-form"))
    page.get_by_role("button", name="Start the reset").click()
    expect(page.locator("#reset-status")).to_have_text("Waits for a second operator")
    expect(page.locator("#new-reset")).to_be_hidden()
    visitor.complaints[:] = [one for one in visitor.complaints if "ERR_FAILED" not in one]


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
        shown = trail.locator("[data-list] li").all_inner_texts()
        assert shown
        assert all(mia.email in text for text in shown)
    page.wait_for_timeout(100)  # nothing can be waited for that must not come
    assert trail.locator("[data-list] li").all_inner_texts() == shown
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
