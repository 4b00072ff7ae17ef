"""The help page (§1 of the design), followed word for word by somebody who has nothing else in hand."""

import re
import subprocess
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import (
    STEP_SECONDS,
    code_field,
    code_of,
    give_code,
    key_on,
    log_out,
    prove_phone,
    sms_code,
    tool,
    update,
)
from tests.browser.test_support import ask_for_reset, attest, begin_reset, find, pass_email_code

pytestmark = pytest.mark.browser


def asked_for_a_code(page):
    """1. Sign in with email and password; with 2FA on, the page asks for an Authentication Code."""
    expect(page.get_by_role("heading", name="Authentication Code")).to_be_visible()
    return code_field(page)


def scan(page, tmp_path):
    """2. Scan the QR code, as a phone does: from what is on the screen."""
    key_on(page)
    page.locator("#qr").scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "screen.png")
    command = [tool("zbarimg"), "--quiet", "--raw", tmp_path / "screen.png"]
    uri = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return parse_qs(urlsplit(uri).query)["secret"][0]


def turn_on(page, person, key):
    """2. … enter the code it shows, click Update. Only then is 2FA on. 3. Then a list of Backup Codes is offered."""
    person.key = key
    expect(page.locator("#state-pill")).to_have_text("Not on yet")
    update(page, lambda: code_of(key))
    person.last_step = int(time.time()) // STEP_SECONDS
    expect(page.locator("#state-pill")).to_have_text("On")
    expect(page.get_by_role("heading", name="Backup Codes")).to_be_visible()
    expect(page.locator("#codes-list li")).to_have_count(10)
    person.codes = page.locator("#codes-list li").all_inner_texts()
    page.get_by_role("button", name="I have saved them").click()


def toggle(page):
    """2. Enable Two-Factor Authentication is a toggle."""
    return page.get_by_role("switch", name="Enable Two-Factor Authentication")


def log_in_with(visitor, person, code):
    """4. The one Authentication Code field takes it, whatever it is."""
    page = visitor.give_password(person.email, person.password)
    asked_for_a_code(page)
    give_code(page, code)
    page.wait_for_url("**/two-factor")


def test_on_and_in_and_off_again(visitor, ann, inbox, tmp_path):
    page = visitor.give_password(ann.email, ann.password)
    toggle(page).check()
    turn_on(page, ann, scan(page, tmp_path))

    # 3. … offered once, to save.
    page.reload()
    expect(page.locator("#codes-left")).to_have_text("10 of 10 are left.")
    assert not [code for code in ann.codes if code in page.content()]
    log_out(page)

    # 6. Send SMS Code is shown only when the user has a cell phone; country code and phone are set on the Team page.
    visitor.give_password(ann.email, ann.password)
    asked_for_a_code(page)
    expect(page.get_by_role("button", name="Send SMS Code")).to_be_hidden()
    log_in_with(visitor, ann, ann.fresh_code())
    prove_phone(page, inbox)
    log_out(page)
    visitor.give_password(ann.email, ann.password)
    page.get_by_role("button", name="Send SMS Code").click()
    expect(page.locator("#sms-to")).to_contain_text("reference")
    give_code(page, sms_code(inbox, page.locator("#sms-to").inner_text()))
    page.wait_for_url("**/two-factor")
    log_out(page)

    # 3. Each lets the user in once without the phone.
    log_in_with(visitor, ann, ann.codes[0])
    expect(page.locator("#codes-left")).to_have_text("9 of 10 are left.")

    # 9. It can be turned off by its owner.
    toggle(page).click()
    page.get_by_role("button", name="Turn off").click()
    expect(page.locator("#state-pill")).to_have_text("Off")
    log_out(page)
    visitor.give_password(ann.email, ann.password)
    page.wait_for_url("**/two-factor")


def test_a_wrong_clock_a_remembered_device_and_a_lost_phone(visit, ann, operator, second_operator, inbox):
    visitor = visit()
    page = visitor.give_password(ann.email, ann.password)
    toggle(page).check()
    turn_on(page, ann, key_on(page))
    log_out(page)

    # 8. The product must tell the user that the clock is off and by how much, instead of a bare "wrong code".
    visitor.give_password(ann.email, ann.password)
    for ahead in (120, 150):
        asked_for_a_code(page)
        give_code(page, code_of(ann.key, ahead_seconds=ahead))
        expect(page.locator("#code-error")).not_to_be_empty()
        expect(page.locator("#code-form")).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_text(re.compile(r"clock is about [12] min( 30 s)? fast"))).to_be_visible()

    # 5. Remember this device for 30 days: a ticked box skips the code on that browser for 30 days.
    code_field(page).fill(ann.fresh_code())
    page.get_by_label("Remember this device for 30 days").check()
    page.locator("#code-step").get_by_role("button", name="Log In").click()
    page.wait_for_url("**/two-factor")
    log_out(page)
    visitor.give_password(ann.email, ann.password)
    page.wait_for_url("**/two-factor")
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    expect(page.locator("#devices")).to_contain_text("Skips the code until ")

    # 7. Lost phone: a backup code, the saved secret key (in another app, which oathtool is), or Support, who verifies
    # identity and removes 2FA; the user then signs in and enrols again at once.
    elsewhere = visit()
    log_in_with(elsewhere, ann, ann.codes[0])
    log_out(elsewhere.page)
    log_in_with(elsewhere, ann, ann.fresh_code())
    console = visit().log_in(operator)
    find(console, ann)
    begin_reset(console)
    attest(console, "video_id")
    pass_email_code(console, ann, inbox)
    ask_for_reset(console)
    expect(console.locator("#word")).to_contain_text("Read these words")
    words = re.search(r"now: ([a-z ]+)\.", console.locator("#word").inner_text())[1]
    other = visit().log_in(second_operator)
    find(other, ann)
    other.get_by_role("button", name="Approve").click()
    expect(console.locator("#reset-status")).to_have_text("Applied", timeout=20_000)
    again = visit().give_password(ann.email, ann.password)
    expect(again.get_by_text("Set it up again now")).to_be_visible()
    toggle(again).check()
    again.get_by_role("textbox", name="One-time words").fill(words)
    again.get_by_role("button", name="Continue").click()
    turn_on(again, ann, key_on(again))
