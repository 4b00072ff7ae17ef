"""Logging in, as the help page tells it."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import (
    PHONE,
    choose_language,
    code_field,
    code_of,
    enroll,
    give_code,
    log_out,
    prove_phone,
    sms_code,
)

pytestmark = pytest.mark.browser


def verifications(page):
    """The calls that give a code, as they are made from here on."""
    calls = []
    page.on("request", lambda request: calls.append(request.url) if request.url.endswith("/verify") else None)
    return calls


def test_a_wrong_password_is_said_until_it_is_edited_and_can_be_shown(visitor, ann):
    page = visitor.give_password(ann.email, "not the password at all")
    error, password = page.locator("#password-error"), page.get_by_label("Password")
    expect(error).to_have_text("The email address or the password is wrong.")
    expect(page.get_by_label("Email")).to_have_value(ann.email)
    expect(password).to_be_focused()
    page.get_by_label("Email").press("End")
    page.keyboard.type("x")
    expect(error).to_be_hidden()
    page.keyboard.press("Backspace")
    page.get_by_role("button", name="Show").click()
    expect(password).to_have_attribute("type", "text")
    expect(password).to_have_value("not the password at all")
    password.press("Enter")
    expect(error).to_be_visible()
    expect(password).to_have_attribute("type", "password")
    expect(page.get_by_role("button", name="Show")).to_be_visible()


def test_a_code_waits_for_log_in_so_the_box_can_be_ticked_after_it(visitor, mia):
    page = visitor.give_password(mia.email, mia.password)
    calls = verifications(page)
    expect(code_field(page)).to_be_focused()
    expect(code_field(page)).to_have_attribute("autocomplete", "one-time-code")
    expect(code_field(page)).to_have_attribute("inputmode", "numeric")
    code = mia.fresh_code()
    page.keyboard.type(code)
    page.evaluate("text => navigator.clipboard.writeText(text)", f" {code[:3]} {code[3:]}\n")
    code_field(page).fill("")
    code_field(page).press("Control+V")
    page.get_by_label("Remember this device for 30 days").check()
    page.wait_for_timeout(300)
    assert calls == []
    page.locator("#code-step").get_by_role("button", name="Log In").click()
    page.wait_for_url("**/two-factor")
    assert len(calls) == 1
    log_out(page)
    visitor.give_password(mia.email, mia.password)
    page.wait_for_url("**/two-factor")


def test_the_last_tries_are_said_and_a_wait_goes_when_it_is_over(visitor, mia):
    page = visitor.open("/login")
    page.clock.install()
    visitor.give_password(mia.email, mia.password)
    error, refusal = page.locator("#code-error"), page.locator("#code-form .form-error")
    for says in ("Wait for the next code, then", "", "two tries left", "one try left", "the last try for now"):
        give_code(page, "000000")
        expect(error).to_contain_text(says)
        expect(page.locator("#code-form")).not_to_have_attribute("aria-busy", "true")
        code_field(page).press("End")
        page.keyboard.type("1")
        expect(error).to_be_hidden()
    give_code(page, "000000")
    expect(refusal).to_contain_text(re.compile(r"Too many tries. Try again in 4 min \d+ s"))
    code_field(page).fill("1")
    page.clock.fast_forward(60_000)
    expect(refusal).to_contain_text("Try again in 3 min")
    page.clock.fast_forward(241_000)
    expect(refusal).to_be_hidden()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_backup_code_is_asked_for_in_words_of_its_own_with_a_way_back(visit, mia, scripts):
    page = visit(scripts=scripts).give_password(mia.email, mia.password)
    hint, error = page.locator("#code-hint"), page.locator("#code-error")
    page.get_by_role("link", name="Use a backup code").click()
    expect(hint).to_contain_text("One of the backup codes that you saved")
    expect(code_field(page)).to_have_attribute("autocomplete", "off")
    expect(code_field(page)).to_have_attribute("inputmode", "text")
    give_code(page, "1234-56")
    expect(error).to_contain_text("A backup code has 16 letters and digits")
    give_code(page, "0AAA-BBBB-CCCC-DDDD")
    expect(error).to_contain_text("Invalid backup code")
    expect(page.get_by_text("Wait for the next code")).to_have_count(0)
    expect(hint).to_contain_text("One of the backup codes that you saved")
    if scripts:
        page.reload()
        expect(hint).to_contain_text("One of the backup codes that you saved")
    page.get_by_role("link", name="Use a code from your app or an SMS").click()
    expect(hint).to_contain_text("Six digits from your authenticator app")
    expect(error).to_be_hidden()
    expect(code_field(page)).to_have_attribute("autocomplete", "one-time-code")
    give_code(page, mia.fresh_code())
    page.wait_for_url("**/two-factor")


def test_a_remembered_device_skips_the_code_until_it_is_forgotten_and_is_signed_out_then(visitor, mia):
    page = visitor.give_password(mia.email, mia.password)
    page.get_by_label("Remember this device for 30 days").check()
    give_code(page, mia.fresh_code())
    page.wait_for_url("**/two-factor")
    log_out(page)
    visitor.give_password(mia.email, mia.password)
    page.wait_for_url("**/two-factor")
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    expect(page.locator("#devices li", has_text="Remembered")).to_have_count(1)
    page.get_by_role("button", name=re.compile("^Forget")).click()
    expect(page.get_by_text("Please log in")).to_be_visible()
    visitor.give_password(mia.email, mia.password)
    expect(code_field(page)).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_two_people_share_a_browser_and_each_is_remembered_apart(visit, mia, ben, scripts):
    visitor = visit(scripts=scripts)
    for person, ticked in ((mia, True), (ben, False), (ben, True)):
        page = visitor.give_password(person.email, person.password)
        page.get_by_label("Remember this device for 30 days").set_checked(ticked)
        code_field(page).fill(person.fresh_code())
        page.keyboard.press("Enter")
        page.wait_for_url("**/two-factor")
        log_out(page)
        visitor.give_password(mia.email, mia.password)  # without a code, whatever the other person ticked
        page.wait_for_url("**/two-factor")
        log_out(page)
    visitor.give_password(ben.email, ben.password)
    page.wait_for_url("**/two-factor")


def test_a_browser_is_listed_and_a_ticked_box_at_logout_forgets_it(visitor, mia):
    page = visitor.give_password(mia.email, mia.password)
    page.get_by_label("Remember this device for 30 days").check()
    give_code(page, mia.fresh_code())
    page.wait_for_url("**/two-factor")
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    expect(page.locator("#devices li", has_text="This browser")).to_have_count(1)
    page.get_by_label("Forget this browser").check()
    log_out(page)
    visitor.give_password(mia.email, mia.password)
    expect(code_field(page)).to_be_visible()


def test_an_sms_code_is_offered_followed_and_taken(visit, mia, inbox):
    visitor = visit(size=PHONE)
    page = visitor.log_in(mia)
    digits = prove_phone(page, inbox)
    log_out(page)
    visitor.give_password(mia.email, mia.password)
    page.get_by_role("button", name="Send SMS Code").click()
    expect(page.locator("#sms-to")).to_contain_text(re.compile(rf"SMS to \+\*+{digits}, reference [A-Z0-9]{{4}}"))
    expect(page.locator("#sms-delivery")).to_have_text(re.compile("handed to the carrier|has arrived"))
    expect(page.locator("#sms-wait")).to_contain_text(re.compile(r"another code in \d+ s"))
    give_code(page, sms_code(inbox, page.locator("#sms-to").inner_text()))
    page.wait_for_url("**/two-factor")


def test_another_sms_can_be_asked_for_when_the_countdown_is_over(visitor, mia, inbox):
    page = visitor.log_in(mia)
    prove_phone(page, inbox)
    log_out(page)
    page.clock.install()
    visitor.give_password(mia.email, mia.password)
    send = page.locator("#sms-form button")
    send.click()
    expect(page.locator("#sms-wait")).to_contain_text(re.compile(r"another code in \d+ s"))
    expect(send).to_have_attribute("aria-disabled", "true")
    page.clock.fast_forward(31_000)
    expect(page.locator("#sms-wait")).to_be_hidden()
    expect(send).to_have_text("Send another SMS code")
    expect(send).not_to_have_attribute("aria-disabled", "true")


def test_without_a_proven_phone_no_sms_is_offered(visitor, mia):
    page = visitor.give_password(mia.email, mia.password)
    expect(code_field(page)).to_be_visible()
    expect(page.get_by_role("button", name="Send SMS Code")).to_be_hidden()


def test_a_refusal_of_the_carrier_is_told_in_plain_words(visitor, mia, inbox):
    page = visitor.log_in(mia)
    prove_phone(page, inbox)
    log_out(page)

    def refused(route):
        answer = route.fetch()
        document = answer.json()
        document["delivery"] = {**document["delivery"], "status": "undelivered", "reason": "number_refused"}
        route.fulfill(response=answer, json=document)

    page.route(re.compile(r"/v1/login/[^/]+$"), refused)
    visitor.give_password(mia.email, mia.password)
    page.get_by_role("button", name="Send SMS Code").click()
    expect(page.locator("#sms-delivery")).to_have_text("Your carrier refused it: check the number on the Team page.")


def test_a_backup_code_lets_in_once(visitor, ann):
    log_out(enroll(visitor, ann))
    for taken in (True, False):
        page = visitor.give_password(ann.email, ann.password)
        page.get_by_role("link", name="Use a backup code").click()
        give_code(page, ann.codes[0])
        if taken:
            page.wait_for_url("**/two-factor")
            expect(page.locator("#codes-left")).to_have_text("9 of 10 are left.")
            expect(page.locator("#activity")).to_contain_text("password + backup code")
            log_out(page)
    expect(page.locator("#code-error")).to_contain_text("Invalid backup code. Each one works once")


def test_a_wrong_clock_is_told_by_how_much_and_what_to_do(visitor, mia):
    page = visitor.give_password(mia.email, mia.password)
    for ahead in (150, 180):
        give_code(page, code_of(mia.key, ahead_seconds=ahead))
        expect(page.locator("#code-error")).not_to_be_empty()
        expect(page.locator("#code-form")).not_to_have_attribute("aria-busy", "true")
    says = page.locator("#clock-coach")
    expect(says).to_contain_text(re.compile(r"Your phone's clock is about [23] min( 30 s)? fast"))
    expect(says).to_contain_text("Google Authenticator")


def test_log_in_works_without_scripts(visit, mia):
    visitor = visit(scripts=False)
    page = visitor.give_password(mia.email, mia.password)
    give_code(page, "000000")
    expect(page.locator("#code-error")).to_contain_text("Invalid code.")
    give_code(page, mia.fresh_code())
    page.wait_for_url("**/two-factor")
    log_out(page)


def test_an_sms_code_works_without_scripts(visit, mia, inbox):
    prove_phone(visit().log_in(mia), inbox)
    page = visit(scripts=False).give_password(mia.email, mia.password)
    page.get_by_role("button", name="Send SMS Code").click()
    give_code(page, sms_code(inbox, page.locator("#sms-to").inner_text()))
    page.wait_for_url("**/two-factor")


def test_the_keyboard_alone_is_enough(visitor, mia):
    page = visitor.open("/login")
    page.keyboard.type(mia.email)
    page.keyboard.press("Tab")
    page.keyboard.type(mia.password)
    page.keyboard.press("Enter")
    expect(code_field(page)).to_be_focused()
    page.keyboard.type(mia.fresh_code())
    page.keyboard.press("Enter")
    page.wait_for_url("**/two-factor")


def test_reloading_at_the_code_keeps_the_place(visitor, mia):
    page = visitor.give_password(mia.email, mia.password)
    expect(code_field(page)).to_be_visible()
    page.reload()
    give_code(page, mia.fresh_code())
    page.wait_for_url("**/two-factor")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_login_leads_to_the_page_that_was_asked_for(visit, mia, scripts):
    visitor = visit(scripts=scripts)
    page = visitor.open("/security")
    expect(page.get_by_text("session")).to_have_count(0)
    choose_language(page, "Deutsch")
    choose_language(page, "English")
    page.get_by_label("Email").fill(mia.email)
    page.get_by_label("Password").fill(mia.password)
    page.get_by_role("button", name="Log In").click()
    expect(code_field(page)).to_be_visible()
    page.reload()
    give_code(page, mia.fresh_code())
    page.wait_for_url("**/security")


@pytest.mark.parametrize("asked", ["//evil.example", "/%5Cevil.example", "https:evil.example", "javascript:alert(1)"])
def test_a_login_leads_to_no_other_site(visitor, ann, asked):
    visitor.open(f"/login?next={asked}")
    visitor.page.get_by_label("Email").fill(ann.email)
    visitor.page.get_by_label("Password").fill(ann.password)
    visitor.page.get_by_role("button", name="Log In").click()
    visitor.page.wait_for_url(f"{visitor.base_url}/two-factor")


def test_whoever_is_signed_out_in_the_middle_comes_back_to_the_page(visitor, ann):
    page = visitor.log_in(ann)
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    page.wait_for_url("**/security")
    expect(page.locator("[data-loading]")).to_have_count(0)
    visitor.context.clear_cookies()
    page.get_by_label("New password").fill("nine dry walruses whistle")
    page.wait_for_url("**/login?ended=1&next=%2Fsecurity")
    visitor.page.get_by_label("Email").fill(ann.email)
    visitor.page.get_by_label("Password").fill(ann.password)
    visitor.page.get_by_role("button", name="Log In").click()
    page.wait_for_url("**/security")


def test_the_phone_offers_the_code_of_an_sms(visitor, mia):
    """WebOTP: Chromium on a desktop has it not, so its part is played here; what our page does with it is ours."""
    visitor.page.add_init_script("""
        window.OTPCredential = class {};
        navigator.credentials.get = (options) => new Promise((resolve) => {
            window.asked = options;
            window.arrive = (code) => resolve({ code });
        });
    """)
    page = visitor.give_password(mia.email, mia.password)
    expect(code_field(page)).to_be_visible()
    calls = verifications(page)
    assert page.evaluate("window.asked.otp.transport") == ["sms"]
    code = mia.fresh_code()
    page.evaluate("code => window.arrive(code)", code)
    expect(code_field(page)).to_have_value(code)
    page.wait_for_timeout(300)
    assert calls == []
    page.locator("#code-step").get_by_role("button", name="Log In").click()
    page.wait_for_url("**/two-factor")
    assert len(calls) == 1
