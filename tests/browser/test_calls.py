"""A code by call, for those who cannot read a text."""

import re
import secrets

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import code_field, log_out, prove_phone

pytestmark = pytest.mark.browser


def spoken_code(inbox, digits):
    """What the newest call to this phone says after its keys."""
    said = inbox(digits, "Once more, your code is")
    return "".join(re.findall(r"[0-9]", said.splitlines()[0]))


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_call_says_the_code_of_a_login(visit, mia, inbox, scripts):
    digits = prove_phone(visit().log_in(mia), inbox)
    visitor = visit(scripts=scripts)
    page = visitor.give_password(mia.email, mia.password)
    page.get_by_role("button", name="Call me instead").click()
    expect(page.locator("#sms-to")).to_contain_text(
        re.compile(rf"We are calling \+\*+{digits}\. Press the two keys that the voice names")
    )
    if scripts:
        expect(page.locator("#sms-delivery")).to_have_text("Your phone is being called.")
        expect(page.get_by_role("button", name="Send SMS Code")).to_have_attribute("aria-disabled", "true")
    code_field(page).fill(spoken_code(inbox, digits))
    page.keyboard.press("Enter")  # scripts may have sent six digits already
    page.wait_for_url("**/two-factor")


def test_a_landline_is_called_and_listed_as_calls_only_and_the_inbox_plays_the_call(visitor, mia, inbox):
    page = visitor.log_in(mia)
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    page.locator("#members li", has_text="You").get_by_role("button", name="Edit").click()
    page.get_by_label("Country Code").select_option("DE")
    number = f"030 {secrets.randbelow(9_000_000) + 1_000_000}"
    page.get_by_label("Cell Phone", exact=True).fill(number)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#prove-sent")).to_contain_text("We are calling")
    expect(page.get_by_role("button", name="Send another code")).to_be_hidden()
    code = spoken_code(inbox, number[-4:])
    page.locator("#prove-form").get_by_role("textbox").fill(code)
    page.keyboard.press("Enter")
    expect(page.locator("#members li", has_text="You")).to_contain_text("calls only")
    log_out(page)
    visitor.give_password(mia.email, mia.password)
    expect(page.get_by_role("button", name="Call me instead")).to_be_visible()
    expect(page.get_by_role("button", name="Send SMS Code")).to_be_hidden()
    visitor.open("/dev/inbox")
    call = page.locator("#phone article", has_text=number[-4:]).first
    expect(call).to_contain_text("To hear it, press")
    expect(call).not_to_contain_text(", ".join(code), use_inner_text=True)
    call.get_by_role("button", name="Press the keys").click()
    expect(call).to_contain_text(f"Your code is: {', '.join(code)}.", use_inner_text=True)


def test_a_landline_that_an_owner_has_set_for_a_member_is_called(visit, make_owner):
    team = "Team with a landline"
    boss, member = make_owner("owner", team), make_owner("member", team)
    page = visit().log_in(boss)
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    page.locator("#members li", has_text=member.email).get_by_role("button", name="Edit").click()
    page.get_by_label("Country Code").select_option("DE")
    page.get_by_label("Cell Phone", exact=True).fill("030 1234567")
    page.get_by_role("button", name="Save").click()
    theirs = visit().log_in(member)
    theirs.get_by_role("navigation").get_by_role("link", name="Team").click()
    theirs.locator("#members li", has_text="You").get_by_role("button", name="Verify by SMS").click()
    expect(theirs.locator("#prove-sent")).to_contain_text("We are calling")
