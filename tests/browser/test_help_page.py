"""The help page, played in its own order. `make screenshots` keeps the pictures that README shows."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from deploy.portal import Portal
from tests.browser.conftest import (
    Owner,
    code_field,
    code_of,
    enter_phone,
    give_code,
    key_on,
    log_out,
    save_codes,
    save_phone,
    sms_code,
    tool,
    update,
)
from tests.browser.help_page import Record
from tests.browser.test_support import ask_for_reset, attest, begin_reset, find, pass_email_code
from tests.support.invented import Invented
from tests.support.people import make_people, turn_on_two_factor

pytestmark = pytest.mark.browser

WINDOW = {"width": 520, "height": 770}
TEAM = "Northwind Traders"
ANN = Invented("Ann Becker", "ann.becker@northwind.example")
BEN = Invented("Ben Castillo", "ben.castillo@northwind.example")
# The Federal Network Agency keeps 0171 39200xx for films and documents; RFC 5737 keeps 203.0.113.0/24 for the latter.
ANNS_PHONE, BENS_PHONE = "0171 3920023", "0171 3920047"
NETWORK = "203.0.113."


@dataclass
class Walk:
    """One run of the help page's steps: the people, their inbox and browsers, and the record of the pictures."""

    visit: object
    inbox: object
    record: Record
    ann: Owner
    ben: Owner
    operators: tuple
    browsers: list = field(default_factory=list)

    def browser(self):
        """A new browser, at an address of its own."""
        visitor = self.visit(size=WINDOW, ip=f"{NETWORK}{len(self.browsers) + 10}")
        self.browsers.append(visitor)
        return visitor


@pytest.fixture
def walk(visit, inbox, stack, operator, second_operator, tmp_path):
    ann, ben = (Owner(one.id, one.email, one.password) for one in make_people(stack, [ANN, BEN], "member", TEAM))
    portal = Portal(stack.base_url, patient=True)
    portal.log_in(ben.email, ben.password)
    sent = portal.call("PUT", "/v1/phone", {"country": "DE", "number": BENS_PHONE}).body
    code = sms_code(inbox, f"reference {sent['reference']}")
    assert portal.post("/v1/phone/verify", {"code": code}).status == 200
    ben.key = turn_on_two_factor(stack, ben)
    record = Record(Path(os.environ.get("SCREENSHOTS", tmp_path)))
    return Walk(visit, inbox, record, ann, ben, (operator, second_operator))


def asks_for_a_code(page):
    expect(page.get_by_role("heading", name="Authentication Code")).to_be_visible()


def is_in(page):
    page.wait_for_url("**/two-factor")


def toggle(page):
    return page.get_by_role("switch", name="Enable Two-Factor Authentication")


def send_button(page):
    return page.get_by_role("button", name="Send SMS Code")


def scan(page, tmp_path):
    """Read the QR code as a phone does: from what is on the screen."""
    page.locator("#qr").scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "screen.png")
    command = [tool("zbarimg"), "--quiet", "--raw", tmp_path / "screen.png"]
    uri = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return parse_qs(urlsplit(uri).query)["secret"][0]


def log_in_with(visitor, person, code):
    page = visitor.give_password(person.email, person.password)
    asks_for_a_code(page)
    give_code(page, code)
    is_in(page)
    return page


def refused(page, code):
    give_code(page, code)
    expect(page.locator("#code-error")).not_to_be_empty()
    expect(page.locator("#code-form")).not_to_have_attribute("aria-busy", "true")


def sign_in(walk, tmp_path):
    page = walk.browser().open("/login")
    page.get_by_label("Email").fill(walk.ann.email)
    page.get_by_label("Password").fill(walk.ann.password)
    walk.record.show("1-sign-in", page)
    page.get_by_role("button", name="Log In").click()
    is_in(page)  # 2FA is off
    asks_for_a_code(walk.browser().give_password(walk.ben.email, walk.ben.password))


def enable(walk, tmp_path):
    page, ann = walk.browsers[0].page, walk.ann
    toggle(page).check()
    typed = key_on(page)
    ann.key = scan(page, tmp_path)
    assert ann.key == typed
    page.locator("#setup").get_by_label("Authentication Code").fill(code_of(ann.key))
    walk.record.show("2-enable", page, "#setup .setup")
    expect(page.locator("#state-pill")).to_have_text("Not on yet")
    update(page, ann.code_before)
    expect(page.locator("#state-pill")).to_have_text("On")


def backup_codes(walk, tmp_path):
    page, ann = walk.browsers[0].page, walk.ann
    expect(page.locator("#codes-list li")).to_have_count(10)
    walk.record.show("3-backup-codes", page, "#new-codes")
    save_codes(page, ann)
    page.reload()
    expect(page.locator("#codes-left")).to_have_text("10 of 10 are left.")
    assert not [code for code in ann.codes if code in page.content()]
    log_out(page)
    log_in_with(walk.browsers[0], ann, ann.codes[0])
    expect(page.locator("#codes-left")).to_have_text("9 of 10 are left.")
    log_out(page)
    walk.browsers[0].give_password(ann.email, ann.password)
    asks_for_a_code(page)
    refused(page, ann.codes[0])


def one_field(walk, tmp_path):
    visitor, ben = walk.browsers[1], walk.ben
    page = visitor.page
    give_code(page, ben.fresh_code())
    is_in(page)
    log_out(page)
    visitor.give_password(ben.email, ben.password)
    send_button(page).click()
    expect(page.locator("#sms-to")).to_contain_text("reference")
    expect(page.locator("#sms-delivery")).to_contain_text("handed to the carrier")
    code = sms_code(walk.inbox, page.locator("#sms-to").inner_text())
    code_field(page).fill(code)
    walk.record.show("4-one-field", page, "#code-step")
    give_code(page, code)
    is_in(page)
    anns = walk.browsers[0].page
    give_code(anns, walk.ann.codes[1])
    is_in(anns)
    log_out(anns)


def remember(walk, tmp_path):
    visitor, ann = walk.browsers[0], walk.ann
    page = visitor.give_password(ann.email, ann.password)
    asks_for_a_code(page)
    code_field(page).fill(ann.fresh_code())
    page.get_by_label("Remember this device for 30 days").check()
    walk.record.show("5-remember", page, "#code-step")
    page.locator("#code-step").get_by_role("button", name="Log In").click()
    is_in(page)
    log_out(page)
    visitor.give_password(ann.email, ann.password)
    is_in(page)
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    expect(page.locator("#devices")).to_contain_text("Skips the code until ")


def phone(walk, tmp_path):
    visitor, ann = walk.browser(), walk.ann
    page = visitor.give_password(ann.email, ann.password)
    asks_for_a_code(page)
    expect(send_button(page)).to_be_hidden()
    give_code(page, ann.codes[2])
    is_in(page)
    enter_phone(page, ANNS_PHONE)
    walk.record.show("6-phone", page)
    save_phone(page, walk.inbox)
    log_out(page)
    visitor.give_password(ann.email, ann.password)
    asks_for_a_code(page)
    expect(send_button(page)).to_be_visible()


def lost_phone(walk, tmp_path):
    ann, (operator, second_operator) = walk.ann, walk.operators
    elsewhere = walk.browser()
    log_out(log_in_with(elsewhere, ann, ann.codes[3]))
    log_in_with(elsewhere, ann, ann.fresh_code())  # oathtool is the other app, which has the saved key
    console = walk.browser().log_in(operator)
    find(console, ann)
    begin_reset(console)
    attest(console, "video_id")
    pass_email_code(console, ann, walk.inbox)
    ask_for_reset(console)
    expect(console.locator("#word")).to_contain_text("Read these words")
    words = re.search(r"now: ([a-z ]+)\.", console.locator("#word").inner_text())[1]
    other = walk.browser().log_in(second_operator)
    find(other, ann)
    other.get_by_role("button", name="Approve").click()
    expect(other.locator("#reset-status")).to_have_text("Applied")
    walk.record.show("7-lost-phone", other, "#open-reset")
    again = walk.browser().give_password(ann.email, ann.password)
    expect(again.get_by_text("Set it up again now")).to_be_visible()
    toggle(again).check()
    again.get_by_role("textbox", name="One-time words").fill(words)
    again.get_by_role("button", name="Continue").click()
    ann.key = key_on(again)
    update(again, ann.code_before)
    save_codes(again, ann)
    expect(again.locator("#state-pill")).to_have_text("On")
    log_out(again)


def wrong_clock(walk, tmp_path):
    visitor, ann = walk.browsers[-1], walk.ann
    page = visitor.give_password(ann.email, ann.password)
    asks_for_a_code(page)
    for ahead in (120, 150):
        refused(page, code_of(ann.key, ahead_seconds=ahead))
    expect(page.get_by_text(re.compile(r"clock is about [12] min( 30 s)? fast"))).to_be_visible()
    walk.record.show("8-wrong-clock", page, "#code-step")
    give_code(page, ann.fresh_code())
    is_in(page)


def turn_off(walk, tmp_path):
    visitor, ann = walk.browsers[-1], walk.ann
    page = visitor.page
    expect(page.get_by_text("It is free, and you can turn it off.")).to_be_visible()
    toggle(page).click()
    page.get_by_role("button", name="Turn off").click()
    expect(page.locator("#state-pill")).to_have_text("Off")
    expect(page.locator("#state").get_by_text("Two-factor authentication is off.")).to_be_visible()
    expect(page.locator("#why .note")).to_be_visible()
    walk.record.show("9-turn-off", page)
    log_out(page)
    visitor.give_password(ann.email, ann.password)
    is_in(page)


PLAYED = (sign_in, enable, backup_codes, one_field, remember, phone, lost_phone, wrong_clock, turn_off)


def test_the_nine_steps_in_the_help_pages_order(walk, tmp_path):
    for play in PLAYED:
        play(walk, tmp_path)
    assert walk.record.left() == []
