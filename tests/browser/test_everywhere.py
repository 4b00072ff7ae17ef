"""What holds on every page, in each size and each light."""

import secrets
from itertools import count
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from shared.texts.languages import LANGUAGES
from tests.browser.accessibility import keyboard_problems, problems, problems_in_one_look
from tests.browser.conftest import code_field, code_of, enroll, key_on, log_out, prove_phone, sms_code, until_taken
from tests.browser.test_support import begin_reset, check_row, mailed_words

pytestmark = pytest.mark.browser


def test_nothing_is_wrong_on_the_way_in_and_through(visitor, ann, inbox):
    found = {}
    page = visitor.open("/nothing/here")
    found["unknown address"] = problems(page)
    page = visitor.give_password(ann.email, "a wrong password")
    expect(page.locator("#password-error")).to_be_visible()
    found["login, refused"] = problems(page)
    page = visitor.log_in(ann)
    expect(page.get_by_role("switch")).to_be_enabled()
    expect(page.locator("[data-loading]")).to_have_count(0)
    found["2FA off"] = problems(page)
    page.get_by_role("switch").check()
    expect(page.locator("#clock-verdict")).not_to_be_empty()
    found["setup"] = problems(page)
    page.get_by_role("button", name="Cancel").click()
    log_out(page)
    enroll(visitor, ann)
    expect(page.locator("#codes-left")).to_be_visible()
    found["2FA on"] = problems(page)
    page.get_by_role("switch").click()
    found["turn off?"] = problems(page)
    page.keyboard.press("Escape")
    prove_phone(page, inbox, enrolled=ann)
    found["team"] = problems(page)
    page.locator("#members li", has_text="You").get_by_role("button", name="Edit").click()
    expect(page.locator("#country option")).not_to_have_count(0)
    found["phone"] = problems(page)
    page.keyboard.press("Escape")
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    page.get_by_label("New password").fill("password1234")
    expect(page.locator("#strength-advice li").first).to_be_visible()
    found["security, advice"] = problems(page)
    page.get_by_label("New password").fill("nine dry walruses whistle")
    expect(page.locator("#strength-said")).to_have_text("Strong")
    found["security"] = problems(page)
    page.get_by_role("button", name="Log Out", exact=True).click()
    visitor.give_password(ann.email, ann.password)
    page.get_by_role("button", name="Send SMS Code").click()
    expect(page.locator("#sms-wait")).to_be_visible()
    found["code"] = problems(page)
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_nothing_is_wrong_in_the_console(visitor, mia, operator):
    found = {}
    page = visitor.log_in(operator)
    page.get_by_label("Email, name or id").fill(mia.email)
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#found a")).to_be_visible()
    found["search"] = problems(page)
    page.locator("#found a").click()
    begin_reset(page)
    for closed in page.locator("#timeline summary").all():
        closed.click()
    expect(page.locator("[data-loading]")).to_have_count(0)
    found["account"] = problems(page)
    page.goto(page.url.split("/support")[0] + "/dev/inbox")
    expect(page.locator("[data-loading]")).to_have_count(0)
    found["inbox"] = problems(page)
    page.goto(page.url.replace("/dev/inbox", "/reset/cancel"))
    found["cancel"] = problems(page)
    assert {name: lines for name, lines in found.items() if lines} == {}


OPEN_PAGES = ("/login", "/reset/cancel", "/reset/confirm", "/browser/confirm", "/nothing/here", "/dev/inbox")
OWN_PAGES = ("/two-factor", "/team", "/team/approvals", "/security")


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_wrong_in_any_language(visit, mia, operator, language):
    """WCAG 2.2 AA by axe on every page in every language, and nothing wider than 320 px (400 % zoom).

    Each page is seen once in a language, and the themes take turns over pages and languages. So each language is seen
    in each of the four themes (light, dark, forced colours of both), on a desktop and on a phone. The same holds for
    each page. The two walks above see every state of the pages in all themes, in English.
    """
    found, turns = {}, count(list(LANGUAGES).index(language))
    visitor = visit()
    page = visitor.give_password(mia.email, mia.password)
    page.wait_for_url("**/login/*")
    code_page = urlsplit(page.url).path
    for path in (*OPEN_PAGES, code_page):
        found[path] = seen(visitor, path, language, next(turns))
    desk = visit()
    desk.log_in(operator)
    for path in (*OWN_PAGES, "/support", f"/support/accounts/{mia.id}"):
        found[path] = seen(desk, path, language, next(turns))
    assert {path: lines for path, lines in found.items() if lines} == {}


def seen(visitor, path, language, turn):
    page = visitor.open(f"{path}?lang={language}")
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("[data-loading]")).to_have_count(0)
    return problems_in_one_look(page, turn)


def test_the_first_render_takes_one_round_trip_after_the_document(visitor):
    page, requests = visitor.page, []
    page.on("request", lambda request: requests.append(request.url))
    visitor.open("/login")
    blocking = page.evaluate(
        "performance.getEntriesByType('resource')"
        ".filter(one => one.renderBlockingStatus === 'blocking').map(one => one.name)"
    )
    assert [name.rsplit("/", 1)[1] for name in blocking] == ["portal.css"]
    weight = page.evaluate(
        "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".reduce((sum, one) => sum + one.transferSize, 0)"
    )
    assert 5_000 < weight <= 60_000
    # Everything is named in the document: no script waits for another one to name it.
    named = page.evaluate(
        "[...document.querySelectorAll('link, script[src], img')].map(one => one.src || one.href).concat(location.href)"
    )
    assert set(requests) <= set(named)


def test_a_page_whose_calls_fail_says_so_with_a_way_on(visitor, ann):
    page = visitor.log_in(ann)
    page.route("**/v1/**", lambda route: route.fulfill(status=503, json={"code": "service_unavailable"}))
    for path in ("/two-factor", "/team", "/security"):
        visitor.open(path)
        expect(page.get_by_text("is not responding right now").first).to_be_visible()
        expect(page.locator("[data-loading]")).to_have_count(0)
    page.unroute_all(behavior="ignoreErrors")
    again = page.locator("#sessions").get_by_role("button", name="Try again")
    again.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#sessions .rows li")).to_have_count(1)


def tab_to(target):
    """Press Tab until it has the focus, as somebody without a mouse does."""
    for _ in range(60):
        if target.evaluate("one => one === document.activeElement"):
            return
        target.page.keyboard.press("Tab")
    raise AssertionError(f"Tab never came to {target}")


def test_the_keyboard_alone_turns_2fa_on_and_focus_goes_where_the_work_is(visitor, ann):
    page = visitor.log_in(ann)
    switch = page.get_by_role("switch")
    expect(switch).to_be_enabled()
    tab_to(switch)
    page.keyboard.press("Space")
    key = key_on(page)
    expect(page.locator("#setup-title")).to_be_focused()
    tab_to(page.locator("#setup").get_by_label("Authentication Code"))

    def give():
        page.keyboard.press("Control+A")
        page.keyboard.type(code_of(key))
        page.keyboard.press("Enter")

    until_taken(page, "#setup", give)
    expect(page.locator("#codes-list li")).to_have_count(10)
    expect(page.get_by_role("heading", name="Backup Codes")).to_be_focused()
    tab_to(page.get_by_role("button", name="I have saved them"))
    page.keyboard.press("Enter")
    expect(switch).to_be_focused()
    page.keyboard.press("Space")
    tab_to(page.get_by_role("button", name="Turn off"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(switch).to_be_checked()


def test_the_keyboard_alone_proves_a_phone_and_logs_in_by_sms(visit, mia, inbox):
    visitor = visit(language="de-DE")  # from which the list of countries takes Germany
    visitor.open("/login?lang=en")
    page = visitor.log_in(mia)
    visitor.open("/team")
    tab_to(page.locator("#members li", has_text="You").get_by_role("button", name="Edit"))
    page.keyboard.press("Enter")
    expect(page.locator("#country option")).not_to_have_count(1)
    tab_to(page.get_by_label("Cell Phone", exact=True))
    page.keyboard.type(f"01512 {secrets.randbelow(9_000_000) + 1_000_000}")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code", exact=True)).to_be_focused()
    page.keyboard.type(sms_code(inbox, page.locator("#prove-sent").inner_text()))
    page.keyboard.press("Enter")
    expect(page.locator("#prove")).to_be_hidden()
    tab_to(page.get_by_role("button", name="Log Out", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Email")).to_be_focused()
    page.keyboard.type(mia.email)
    page.keyboard.press("Tab")
    page.keyboard.type(mia.password)
    page.keyboard.press("Enter")
    expect(code_field(page)).to_be_focused()
    tab_to(page.get_by_role("button", name="Send SMS Code"))
    page.keyboard.press("Enter")
    expect(code_field(page)).to_be_focused()
    page.keyboard.type(sms_code(inbox, page.locator("#sms-to").inner_text()))
    page.keyboard.press("Enter")
    page.wait_for_url("**/two-factor")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(visit, mia, operator):
    found = {}
    visitor = visit()
    page = visitor.open("/login")
    found["login"] = keyboard_problems(page)
    visitor.give_password(mia.email, mia.password)
    expect(code_field(page)).to_be_focused()
    found["code"] = keyboard_problems(page)
    code_field(page).fill(mia.fresh_code())
    page.keyboard.press("Enter")
    page.wait_for_url("**/two-factor")
    visitors = {"/two-factor": visitor, "/team": visitor, "/security": visitor}
    visitors |= dict.fromkeys(("/support", f"/support/accounts/{mia.id}"), desk := visit())
    desk.log_in(operator)
    for path, one in visitors.items():
        one.open(path)
        expect(one.page.locator("[data-loading]")).to_have_count(0)
        found[path] = keyboard_problems(one.page)
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_keyboard_alone_finds_an_account_and_starts_a_reset(visit, mia, operator, inbox):
    page = visit().log_in(operator)
    tab_to(page.get_by_label("Email, name or id"))
    page.keyboard.type(mia.email)
    page.keyboard.press("Enter")
    expect(page.locator("#found a")).to_be_visible()
    tab_to(page.locator("#found a"))
    page.keyboard.press("Enter")
    tab_to(page.get_by_role("button", name="Reset 2FA"))
    page.keyboard.press("Enter")
    video, mail = check_row(page, "video_id"), check_row(page, "email_code")
    expect(video).to_be_visible()
    tab_to(video.get_by_role("textbox"))
    page.keyboard.type("ID card, seen live")
    tab_to(mail.get_by_role("button", name="Mail the words"))
    page.keyboard.press("Enter")
    expect(mail.get_by_role("textbox")).to_be_focused()
    page.keyboard.type(mailed_words(mia, inbox))
    page.keyboard.press("Enter")
    expect(mail.locator(".pill")).to_have_text("Passed")
    expect(mail.get_by_role("heading")).to_be_focused()
    expect(video.get_by_role("textbox")).to_have_value("ID card, seen live")  # what was typed elsewhere stays
    tab_to(video.get_by_role("button"))
    page.keyboard.press("Enter")
    expect(page.locator("#allows")).to_contain_text("a reset at once, when another operator has approved")
    tab_to(page.locator("#ticket"))
    page.keyboard.type("SUP-7")
    page.keyboard.press("Tab")
    page.keyboard.type("Phone lost")
    tab_to(page.get_by_role("button", name="Start the reset"))
    page.keyboard.press("Enter")
    expect(page.locator("#open-reset-title")).to_be_focused()
    tab_to(page.get_by_role("button", name="Cancel the reset"))
    page.keyboard.press("Enter")
    expect(page.locator("#reset-status")).to_have_text("Cancelled")
    expect(page.locator("#open-reset-title")).to_be_focused()


def paste(page, field, text):
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    field.press("Control+V")
    expect(field).to_have_value(text)


def test_nobody_has_to_type_a_secret_out(visitor, mia):
    """SC 3.3.8: what a password manager holds, or the clipboard, goes into every field for a secret."""
    page = visitor.open("/login")
    paste(page, page.get_by_label("Email"), mia.email)
    paste(page, page.get_by_label("Password"), mia.password)
    page.keyboard.press("Enter")
    expect(code_field(page)).to_be_focused()
    page.evaluate("text => navigator.clipboard.writeText(text)", mia.fresh_code())
    code_field(page).press("Control+V")
    page.keyboard.press("Enter")
    page.wait_for_url("**/two-factor")
    visitor.open("/security")
    for name in ("Current password", "New password"):
        paste(page, page.get_by_label(name), "nine dry walruses whistle")
    page.evaluate("document.querySelector('#step-up form').inert = false")
    page.evaluate("document.getElementById('step-up').showModal()")
    for name in ("Password", "Authentication Code"):
        paste(page, page.get_by_role("dialog").get_by_label(name), "3K7Q-9FXM-0000-0000")


def test_whoever_wants_no_motion_gets_none(visitor, ann):
    page, held = visitor.page, []

    def hold(route):
        held.append(route)

    page.emulate_media(reduced_motion="reduce")
    visitor.open("/login")
    page.route("**/v1/login", hold)
    page.get_by_label("Email").fill(ann.email)
    page.get_by_label("Password").fill(ann.password)
    page.get_by_role("button", name="Log In").click()
    expect(page.locator("#password-step form")).to_have_attribute("aria-busy", "true")
    assert page.evaluate("document.getAnimations().length") == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate("document.getAnimations().length") > 0
    page.emulate_media(reduced_motion="reduce")
    held[0].continue_()
    page.wait_for_url("**/two-factor")
    moving = (
        "[...document.querySelectorAll('*')].filter(one => parseFloat(getComputedStyle(one).transitionDuration) > 0)"
    )
    assert page.evaluate(f"{moving}.length") == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(f"{moving}.length") > 0


def test_forced_colours_show_the_switch_its_state_and_the_page_that_one_is_on(visitor, ann):
    page = visitor.log_in(ann)
    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    switch = page.get_by_role("switch")
    expect(switch).to_be_enabled()
    place = switch.bounding_box()
    pictures = {page.screenshot(clip=place)}
    for change in ("one.checked = true", "one.style.visibility = 'hidden'"):
        switch.evaluate(f"one => {{ {change} }}")
        pictures.add(page.screenshot(clip=place))
    assert len(pictures) == 3  # off, on, and nothing at all
    lines = "[...document.querySelectorAll('nav a')].map(one => getComputedStyle(one).textDecorationLine)"
    assert page.evaluate(lines) == ["underline", "none", "none"]


def test_no_cell_of_a_csv_begins_a_formula(visitor):
    page = visitor.open("/login")
    cells = ["=1+1", "+1", "-1", "@A1", "\t=1", "\r1", "\n1", "  =1", "\uff1d1", 'say "=1"', "1 + 1", 7]
    line = page.evaluate(
        "async (cells) => (await import(document.querySelector('link[href$=\"page.js\"]').href)).csv([cells])", cells
    )
    assert line == ",".join(
        [*(f'"\'{cell}"' for cell in cells[:9]), '"say ""=1"""', '"1 + 1"', '"7"'],
    )


def test_the_reference_draws_itself_under_its_policy(visitor):
    page = visitor.open("/docs/")
    expect(page.locator("#swagger-ui .opblock").first).to_be_visible()
    page.locator("#swagger-ui .opblock", has_text="/v1/time").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator("#swagger-ui .live-responses-table")).to_contain_text("unix_seconds")
