"""The languages of the pages: the menu, by mouse and by keyboard, and a page that is read from right to left."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from services.auth.branding import read_catalogue
from tests.browser.accessibility import ZOOMED, problems
from tests.browser.conftest import PHONE, choose_language, code_of, key_on, until_taken

pytestmark = pytest.mark.browser

COPIED = "navigator.clipboard.readText()"
ISOLATES = re.compile("[\u2066-\u2069]")
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def links(page):
    return page.locator(".languages a")


def test_the_menu_opens_and_closes_by_keyboard_and_by_mouse_and_leads_on(visitor):
    page = visitor.open("/reset/cancel#a-token")
    page.set_viewport_size(ZOOMED)
    menu = page.locator(".languages summary")
    expect(menu).to_contain_text("Language: English")
    page.locator("body").press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # past the link to the content, and the brand
    expect(menu).to_be_focused()
    expect(links(page).first).to_be_hidden()
    page.keyboard.press("Enter")
    expect(links(page).last).to_be_visible()
    assert problems(page) == []
    page.set_viewport_size(ZOOMED)
    page.keyboard.press("Tab")
    expect(links(page).first).to_be_focused()
    page.keyboard.press("Escape")
    expect(links(page).first).to_be_hidden()
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(links(page).count() + 1):
        page.keyboard.press("Tab")
    expect(page.locator("#cancel-form button")).to_be_focused()  # behind the menu, which gives way
    expect(links(page).first).to_be_hidden()
    menu.click()
    expect(links(page).first).to_be_visible()
    page.mouse.click(4, 200)
    expect(links(page).first).to_be_hidden()
    menu.click()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.locator("#cancel-form button")).to_be_visible()  # the token behind the # came along


@pytest.mark.parametrize("path", ["/login?next=/team", "/nothing/here"])
def test_the_menu_works_without_scripts(visit, path):
    page = visit(scripts=False, size=PHONE, language="pt-BR").open(path)
    expect(page.locator("html")).to_have_attribute("lang", "pt")
    choose_language(page, "العربية")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    assert ("next=/team" in page.url.replace("%2F", "/")) == ("next" in path)
    choose_language(page, "English")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_the_language_of_the_pages_becomes_that_of_the_messages(visitor, ann):
    page, asked = visitor.open("/login"), []
    page.route("**/v1/language", lambda route: (asked.append(route.request), route.fulfill(status=204)))
    choose_language(page, "English")
    page.wait_for_url("**/login?lang=en")
    assert asked == []  # nobody is logged in
    page = visitor.log_in(ann)
    page.locator(".languages summary").click()
    expect(page.get_by_text("Mails, SMS and calls: English")).to_be_visible()
    page.get_by_role("link", name="Português").click()
    expect(page.locator("html")).to_have_attribute("lang", "pt")
    assert [(one.method, one.post_data_json) for one in asked] == [("PUT", {"language": "pt"})]
    page.unroute("**/v1/language")
    page.route("**/v1/language", lambda route: route.fulfill(status=503, json={"code": "service_unavailable"}))
    choose_language(page, "Polski")
    expect(page.locator("html")).to_have_attribute("lang", "pl")


def is_in_order(page, *left_to_right):
    """Assert that the page is read from right to left, except for these places, and fits into 320 px."""
    assert page.locator("html").get_attribute("dir") == "rtl"
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate(SIDEWAYS) == 0
    for selector in left_to_right:
        assert page.locator(selector).evaluate("one => getComputedStyle(one).direction") == "ltr", selector


def codes_leave_the_page_as_they_are(page, person):
    """Assert that a downloaded or copied sheet lacks the marks that isolate the address on the page."""
    assert f"\u2068{person.email}\u2069" in page.locator("#codes-head").inner_text()
    with page.expect_download() as saved:
        page.locator("#codes-download").click()
    text = Path(saved.value.path()).read_text()
    assert person.email in text
    assert not ISOLATES.search(text)
    page.locator("#codes-copy").click()
    assert page.evaluate(COPIED).split("\n") == page.locator("#codes-list li").all_inner_texts()


def test_a_page_in_arabic_is_read_from_right_to_left_and_codes_and_phones_are_not(visitor, ann, inbox):
    page = visitor.open("/login?lang=ar")

    is_in_order(page, "#email", "#password")
    brand, menu = page.locator(".brand").bounding_box(), page.locator(".languages summary").bounding_box()
    assert brand["x"] > menu["x"] + menu["width"]
    page.locator("#email").fill(ann.email)
    page.locator("#password").fill(ann.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/two-factor")
    page.get_by_role("switch").check()
    key = key_on(page)
    expect(page.locator("#clock-ours")).to_contain_text(re.compile("[0-9]:[0-9]{2}:[0-9]{2}"))
    is_in_order(page, "#setup-code", "#key")
    page.locator("#copy-key").click()
    assert page.evaluate(COPIED) == key

    def give():
        page.locator("#setup-code").fill(code_of(key))
        page.keyboard.press("Enter")

    until_taken(page, "#setup", give, again=read_catalogue()["form.retry_after"]["ar"].partition("{")[0])
    expect(page.locator("#codes-list li")).to_have_count(10)
    is_in_order(page, "#codes-list")
    codes_leave_the_page_as_they_are(page, ann)
    page.locator("#codes-saved").click()
    visitor.open("/team")
    page.locator("#members .edit").first.click()
    expect(page.locator("#country option[value=DE]")).to_contain_text("ألمانيا (\u2068+49\u2069)")
    is_in_order(page, "#number")
    page.locator("#country").select_option("DE")
    page.locator("#number").fill("01512 7654321")
    page.keyboard.press("Enter")
    page.locator("#step-up-password").fill(ann.password)
    page.locator("#step-up-code").fill(code_of(key, ahead_seconds=30))
    page.keyboard.press("Enter")
    expect(page.locator("#prove-sent")).to_contain_text(re.compile("\u2068\\+\\**[0-9]{4}\u2069"))
    is_in_order(page, "#prove-code")
    reference = re.search("\u2068([A-Z0-9]{4})\u2069", page.locator("#prove-sent").inner_text())[1]
    page.locator("#prove-code").fill(inbox(f" {reference}").rsplit("#", 1)[1].strip())  # an Arabic text
    page.keyboard.press("Enter")
    expect(page.locator("#members li").first).to_contain_text("4321\u2069")
    is_in_order(page)
