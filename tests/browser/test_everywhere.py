"""What holds on every page, in each size and each light."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, code_of, enroll, key_on, prove_phone, until_taken
from tests.browser.test_support import begin_reset, check_row, mailed_words

pytestmark = pytest.mark.browser

NARROW = {"width": 320, "height": 700}
LOOKS = [
    pytest.param({"size": size, "dark": dark}, id=f"{name}, {'dark' if dark else 'light'}")
    for name, size in (("desktop", DESKTOP), ("phone", PHONE))
    for dark in (False, True)
]


def problems(page):
    """What axe-core finds, as lines that say where."""
    # A transition caught half way has colours of its own.
    page.wait_for_timeout(250)
    return [
        f"{violation['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for violation in Axe().run(page).response["violations"]
        for node in violation["nodes"]
    ]


def sideways(page):
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_on_the_way_in_and_through(visit, ann, inbox, look):
    found = {}
    visitor = visit(**look)
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
    page.reload()
    visitor.open("/two-factor")
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


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_in_the_console(visit, mia, operator, look):
    found = {}
    page = visit(**look).log_in(operator)
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


def test_nothing_runs_out_of_a_narrow_screen_in_either_language(visit, operator):
    for language in ("en", "de"):
        visitor = visit(size=NARROW)
        page = visitor.open(f"/login?lang={language}")
        assert not sideways(page)
        visitor.log_in(operator)
        for path in ("/support", f"/support/accounts/{operator.id}", "/two-factor", "/team", "/security", "/dev/inbox"):
            visitor.open(path)
            expect(page.locator("[data-loading]")).to_have_count(0)
            assert not sideways(page), (path, language)


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
        expect(page.get_by_text("does not answer just now").first).to_be_visible()
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


def test_the_keyboard_alone_finds_an_account_and_starts_a_reset(visit, mia, operator, inbox):
    page = visit().log_in(operator)
    tab_to(page.get_by_label("Email, name or id"))
    page.keyboard.type(mia.email)
    page.keyboard.press("Enter")
    expect(page.locator("#found a")).to_be_visible()
    tab_to(page.locator("#found a"))
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


def test_whoever_wants_no_motion_gets_none(visitor, ann):
    page = visitor.page
    page.emulate_media(reduced_motion="reduce")
    visitor.log_in(ann)
    moving = (
        "[...document.querySelectorAll('*')].filter(one => parseFloat(getComputedStyle(one).transitionDuration) > 0)"
    )
    assert page.evaluate(f"{moving}.length") == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(f"{moving}.length") > 0


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
