"""Support's resets on a slow and failing line: nothing is sent twice, nothing typed is lost, each wait is said."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.slow_line.line import lose_the_first_answers, says_that_it_waits, says_that_no_answer_came
from tests.browser.test_support import ask_for_reset, attest, begin_reset, find, pass_email_code

pytestmark = pytest.mark.browser


def test_a_reset_is_asked_for_once_and_approved_once(visit, mia, operator, second_operator, slow_line, inbox):
    visitor = visit()
    page = visitor.log_in(operator)
    find(page, mia)
    begin_reset(page)
    line, form = slow_line(visitor), page.locator("#reset-form")
    attest(page, "video_id")
    pass_email_code(page, mia, inbox)
    ask_for_reset_by = page.get_by_role("button", name="Start the reset")
    page.get_by_label("Ticket").last.fill("SUP-1042")
    page.get_by_label("Reason").last.fill("Phone lost")

    def nothing_is_lost():
        expect(page.get_by_label("Ticket").last).to_have_value("SUP-1042")
        expect(page.get_by_label("Reason").last).to_have_value("Phone lost")

    with line.held("POST */two-factor-resets", lost=True):  # the page asks once more by itself
        ask_for_reset_by.dblclick()
        says_that_it_waits(form)
        ask_for_reset_by.click(force=True)
        nothing_is_lost()
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


def test_an_older_look_at_a_reset_never_overtakes_a_newer_one(visit, mia, operator, inbox):
    page = visit().log_in(operator)
    find(page, mia)
    begin_reset(page)
    attest(page, "video_id")
    pass_email_code(page, mia, inbox)
    ask_for_reset(page)
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


@pytest.mark.parametrize("lost", [1, 2])
def test_the_words_of_a_reset_whose_answer_was_lost_are_shown(visit, mia, operator, inbox, lost):
    visitor = visit()
    page = visitor.log_in(operator)
    find(page, mia)
    begin_reset(page)

    attest(page, "video_id")
    pass_email_code(page, mia, inbox)
    lose_the_first_answers(page, "**/two-factor-resets", lost)
    ask_for_reset(page)
    if lost == 2:  # the page's own repeat, too
        says_that_no_answer_came(page.locator("#reset-form"))
        page.get_by_role("button", name="Start the reset").click()
    expect(page.locator("#word")).to_be_visible()
    expect(page.locator("#reset-status")).to_have_text("Waits for a second operator")
    expect(page.locator("#new-reset")).to_be_hidden()
    visitor.complaints[:] = [one for one in visitor.complaints if "ERR_FAILED" not in one]
