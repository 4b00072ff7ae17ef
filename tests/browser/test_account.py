"""What somebody does once logged in: 2FA, phone, password."""

import re
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import (
    PHONE,
    choose_language,
    code_of,
    enroll,
    give_code,
    key_on,
    log_out,
    prove_phone,
    sms_code,
    tool,
    until_taken,
    update,
)

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("look", [{}, {"size": PHONE, "dark": True}], ids=["desktop", "phone, dark"])
def test_the_qr_code_on_the_screen_sets_an_app_up(visit, ann, tmp_path, look):
    visitor = visit(**look)
    page = visitor.log_in(ann)
    page.get_by_role("switch", name="Enable Two-Factor Authentication").check()
    expect(page.locator("#clock-verdict")).to_have_text("This device's clock is right.")
    key_on(page)
    qr, text = page.locator("#qr").bounding_box(), page.locator("#key").bounding_box()
    side_by_side = qr["x"] + qr["width"] <= text["x"] and qr["y"] <= text["y"] <= qr["y"] + qr["height"]
    assert side_by_side or look, "only a phone has one below the other"
    assert re.fullmatch(r"([A-Z2-7]{4} )+[A-Z2-7]{1,4}", page.locator("#key").inner_text())
    page.locator("#qr").scroll_into_view_if_needed()
    shot = tmp_path / "screen.png"
    page.screenshot(path=shot)
    read = subprocess.run([tool("zbarimg"), "--quiet", "--raw", shot], capture_output=True, text=True, check=True)
    uri = urlsplit(read.stdout.strip())
    key = parse_qs(uri.query)["secret"][0]
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert key_on(page) == key
    page.get_by_role("button", name="Copy the key").click()
    assert page.evaluate("navigator.clipboard.readText()") == key
    update(page, lambda: code_of(key))
    expect(page.locator("#state-pill")).to_have_text("On")
    expect(page.locator("#codes-list li")).to_have_count(10)


def test_the_setup_warns_of_a_clock_that_is_off_by_more_than_20_seconds(visitor, ann):
    page = visitor.log_in(ann)
    page.clock.install()
    page.reload()

    def late(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "unix_seconds": answer.json()["unix_seconds"] - 45})

    page.route("**/v1/time", late)
    page.get_by_role("switch").check()
    expect(page.locator("#clock-verdict")).to_contain_text(re.compile(r"clock is 4[456] s fast"))


def test_the_backup_codes_can_be_copied_saved_and_printed(visitor, ann):
    page = visitor.log_in(ann)
    page.get_by_role("switch").check()
    key = key_on(page)
    update(page, lambda: code_of(key))
    expect(page.locator("#codes-list li")).to_have_count(10)
    codes = page.locator("#codes-list li").all_inner_texts()
    page.get_by_role("button", name="Copy", exact=True).click()
    assert page.evaluate("navigator.clipboard.readText()").split() == codes
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    assert all(code in saved.value.path().read_text() for code in codes)
    page.emulate_media(media="print")
    assert page.locator("#codes-list").is_visible()
    assert not page.locator("header, .actions:visible, #activity").first.is_visible()
    page.emulate_media(media="screen")
    page.get_by_role("button", name="I have saved them").click()
    expect(page.locator("#codes-left")).to_have_text("10 of 10 are left.")
    assert codes[0] not in page.content()


def test_nobody_leaves_by_mistake_before_the_codes_are_saved(visitor, ann):
    page = visitor.log_in(ann)
    page.get_by_role("switch").check()
    key = key_on(page)
    update(page, lambda: code_of(key))
    expect(page.locator("#codes-list li")).to_have_count(10)
    asked = []

    def stay(dialog):
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    expect(page.locator("#codes-list li")).to_have_count(10)
    assert asked == ["beforeunload"]
    page.get_by_role("button", name="I have saved them").click()
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    page.wait_for_url("**/team")
    assert asked == ["beforeunload"]


def test_new_backup_codes_and_turning_off_ask_for_proof_when_it_is_old(visitor, mia):
    page = visitor.give_password(mia.email, mia.password)
    page.get_by_label("Remember this device for 30 days").check()
    give_code(page, mia.fresh_code())
    page.wait_for_url("**/two-factor")
    log_out(page)
    visitor.give_password(mia.email, mia.password)
    page.wait_for_url("**/two-factor")  # by the remembered device, which proves nothing
    page.get_by_role("button", name="Make new backup codes").click()
    dialog = page.get_by_role("dialog", name="Confirm that it's you")
    dialog.get_by_label("Password").fill("wrong wrong wrong")
    dialog.get_by_label("Authentication Code").fill("000000")
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog.locator("#step-up-password-error")).to_be_visible()
    dialog.get_by_label("Password").fill(mia.password)
    dialog.get_by_label("Authentication Code").fill(mia.fresh_code())
    confirm = dialog.get_by_role("button", name="Confirm")
    again = page.get_by_role("button", name="Make new backup codes")

    def give():
        (confirm if confirm.is_visible() else again).click()

    until_taken(page, "#codes", give)
    expect(page.locator("#codes-list li")).to_have_count(10)
    page.get_by_role("button", name="I have saved them").click()
    expect(page.locator("#codes-left")).to_have_text("10 of 10 are left.")
    page.get_by_role("switch").click()
    page.get_by_role("button", name="Turn off").click()  # within the ten minutes of that proof
    expect(page.locator("#state-pill")).to_have_text("Off")


def test_every_country_is_offered_with_its_dial_code_and_the_list_is_typed_into(visitor, ann):
    page = visitor.log_in(ann)
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    edit = page.locator("#members li", has_text="You").get_by_role("button", name="Edit")
    red, green, blue = map(int, re.findall(r"\d+", edit.evaluate("icon => getComputedStyle(icon).color"))[:3])
    assert red > green > blue, "the icon is orange"
    edit.click()
    countries = page.get_by_label("Country Code")
    expect(countries.locator("option[value=DE]")).to_have_text("Germany (+49)")  # Windows draws no flags of emoji
    names = countries.locator("option").all_inner_texts()
    assert len(names) > 200
    assert all(name[0].isalpha() for name in names)
    countries.focus()
    page.keyboard.type("germ")
    expect(countries).to_have_value("DE")
    page.get_by_label("Cell Phone", exact=True).fill("0900 123")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#number-error")).to_contain_text("This is not a phone number of the chosen country")
    expect(page.get_by_label("Cell Phone", exact=True)).to_have_value("0900 123")


def test_a_phone_is_proven_by_sms_and_an_owner_sets_a_members(visit, make_owner, inbox):
    team = "Team of two"
    boss, member = make_owner("owner", team), make_owner("member", team)
    page = visit().log_in(boss)
    prove_phone(page, inbox)
    page.locator("#members li", has_text=member.email).get_by_role("button", name="Edit").click()
    page.get_by_label("Country Code").select_option("DE")
    page.get_by_label("Cell Phone", exact=True).fill("01512 3456780")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#members li", has_text=member.email)).to_contain_text("6780, not verified yet")
    theirs = visit().log_in(member)
    theirs.get_by_role("navigation").get_by_role("link", name="Team").click()
    theirs.get_by_role("button", name="Verify by SMS").click()
    expect(theirs.locator("#prove-sent")).to_contain_text("6780")
    expect(theirs.locator("#prove")).to_contain_text("An SMS or a call can be intercepted")


def test_a_proven_phone_can_be_removed(visitor, ann, inbox):
    page = visitor.log_in(ann)
    prove_phone(page, inbox)
    mine = page.locator("#members li", has_text="You")
    mine.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Remove the phone").click()
    expect(mine).to_contain_text("No cell phone")


def test_no_flow_loads_its_page_anew(visitor, ann, inbox):
    documents = []
    visitor.page.on(
        "request",
        lambda request: documents.append(urlsplit(request.url).path) if request.is_navigation_request() else None,
    )
    page = enroll(visitor, ann)
    expect(page.locator("#codes-left")).to_have_text("10 of 10 are left.")
    assert documents == ["/login", "/", "/two-factor"]
    prove_phone(page, inbox, enrolled=ann)
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    page.get_by_label("Current password").fill(ann.password)
    page.get_by_label("New password").fill("nine dry walruses whistle")
    page.get_by_role("button", name="Change Password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    assert documents[3:] == ["/team", "/security"]
    log_out(page)
    visitor.give_password(ann.email, "nine dry walruses whistle")
    page.get_by_role("button", name="Send SMS Code").click()
    expect(page.locator("#sms-to")).to_contain_text("reference")
    assert documents[5:] == ["/logout", "/login", "/login"]


def test_a_texted_code_is_offered_only_where_the_small_window_is_enough(visit, mia, inbox):
    page = visit().log_in(mia)
    prove_phone(page, inbox)
    page = visit().give_password(mia.email, mia.password)
    page.get_by_role("button", name="Send SMS Code").click()
    expect(page.locator("#sms-to")).to_contain_text("reference")
    give_code(page, sms_code(inbox, page.locator("#sms-to").inner_text()))
    page.wait_for_url("**/two-factor")
    dialog = page.get_by_role("dialog", name="Confirm that it's you")
    page.get_by_role("button", name="Make new backup codes").click()
    expect(dialog).to_contain_text("A code by SMS is not enough for this change.")
    expect(dialog.get_by_role("button", name="Send SMS Code")).to_be_hidden()
    page.keyboard.press("Escape")
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    page.get_by_label("Current password").fill(mia.password)
    page.get_by_label("New password").fill("nine dry walruses whistle")
    page.get_by_role("button", name="Change Password").click()
    dialog.get_by_role("button", name="Send SMS Code").click()
    expect(dialog).to_contain_text("reference")
    dialog.get_by_label("Password").fill(mia.password)
    dialog.get_by_label("Authentication Code").fill(sms_code(inbox, dialog.locator("#step-up-sms-note").inner_text()))
    dialog.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()


def test_a_password_is_rated_suggested_and_changed(visitor, ann):
    page = visitor.log_in(ann)
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    expect(page.locator("#sessions .rows li")).to_have_count(1)
    expect(page.locator("#devices .rows li")).to_have_count(1)
    expect(page.locator("#devices")).to_contain_text("Known until ")
    expect(page.locator("#devices, #sessions").get_by_text("This browser")).to_have_count(2)
    expect(page.get_by_role("button", name="Forget all")).to_have_count(0)
    field = page.get_by_label("New password")
    field.fill("password1234")
    expect(page.locator("#strength-said")).to_have_text(re.compile("weak|at once"))
    advice = page.locator("#strength-advice li")
    expect(advice).to_have_text([re.compile("common"), re.compile("Add another word or two")])
    page.get_by_role("button", name="Change Password").click()
    expect(page.locator("#current_password-error")).to_have_text("Enter your current password.")
    page.get_by_label("Current password").fill(ann.password)
    page.get_by_role("button", name="Change Password").click()
    expect(page.locator("#new_password-error")).to_contain_text("too easy to guess")
    page.get_by_role("button", name="Suggest one").click()
    expect(page.locator("#strength-said")).to_have_text("Strong")
    expect(advice).to_have_count(0)
    current = page.get_by_label("Current password")
    current.fill("nobody's password")
    page.get_by_role("button", name="Change Password").click()
    expect(page.locator("#current_password-error")).to_have_text("The current password is wrong.")
    current.fill(ann.password)
    ann.password = field.input_value()
    page.get_by_role("button", name="Change Password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    log_out(page)
    visitor.log_in(ann)


def test_a_password_is_rated_that_was_there_before_the_script(visitor, ann):
    """A password manager fills in what no script listens to yet."""
    page, held = visitor.log_in(ann), []
    page.route("**/security*.js*", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    # The form is asleep, so nobody can type yet. A password manager writes into the field all the same.
    page.locator("#new_password").evaluate("field => { field.value = 'password1234'; }")
    assert page.locator("#password-form").evaluate("form => form.inert")
    with page.expect_response("**/v1/password/strength"):
        held[0].continue_()
    expect(page.locator("#strength-advice li").first).to_be_visible()


def test_other_sessions_and_devices_can_be_ended_one_by_one_and_all_at_once(visit, ann):
    others, page = [visit().log_in(ann) for _ in range(3)], visit().log_in(ann)
    expect(page.locator("#sessions, #devices")).to_have_count(0)
    page.get_by_role("link", name="Your sessions and devices").click()
    sessions, devices = page.locator("#sessions .rows li"), page.locator("#devices .rows li")
    for rows in (sessions, devices):
        expect(rows).to_have_count(4)
        expect(rows.first).to_contain_text("This browser")
        expect(rows.filter(has_text="This browser")).to_have_count(1)
    page.get_by_role("button", name=re.compile("^Log out: ")).first.click()
    expect(sessions).to_have_count(3)
    page.get_by_role("button", name="Log out all others").click()
    expect(page.locator("#said")).to_have_text("The other sessions have ended.")
    expect(sessions).to_have_count(1)
    expect(page.get_by_role("button", name="Log out all others")).to_have_count(0)
    expect(devices).to_have_count(4)
    for other in others:
        other.reload()
        other.wait_for_url("**/login?ended=1&next=/two-factor")
    page.get_by_role("button", name="Forget all others").click()
    expect(devices).to_have_count(1)
    expect(devices).to_contain_text("This browser")
    expect(page.get_by_role("button", name="Forget all others")).to_have_count(0)


def test_the_pages_speak_german_to_whoever_wants_it(visit, ann):
    page = visit(language="de-DE").open("/login")
    page.get_by_label("E-Mail").fill(ann.email)
    page.get_by_label("Passwort").fill(ann.password)
    page.get_by_role("button", name="Anmelden").click()
    expect(page.get_by_role("switch", name="Zwei-Faktor-Authentifizierung einschalten")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Sicherheit").click()
    page.get_by_label("Neues Passwort").fill("passwort1234")
    expect(page.locator("#strength-advice li").last).to_contain_text("seltene Wörter", ignore_case=True)
    page.goto(page.url.replace("/security", "/nirgends"))
    expect(page.get_by_role("heading", name="Seite nicht gefunden")).to_be_visible()
    page.get_by_role("link", name="Zur Startseite").click()
    choose_language(page, "English")
    expect(page.get_by_role("switch", name="Enable Two-Factor Authentication")).to_be_visible()


def test_the_proof_of_a_phone_shows_how_far_its_sms_has_come(visitor, ann):
    page = visitor.log_in(ann)
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    page.locator("#members li", has_text="You").get_by_role("button", name="Edit").click()
    page.get_by_label("Country Code").select_option("DE")
    page.get_by_label("Cell Phone", exact=True).fill("01512 0000001")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#prove-delivery")).to_have_text(
        re.compile("handed to the carrier|has arrived"), timeout=20_000
    )


@pytest.mark.parametrize("path", ["/two-factor", "/security"])
def test_the_account_pages_say_what_holds_the_account_out(visit, ann, path):
    owner = visit()
    owner.log_in(ann)
    page = owner.open(path)
    expect(page.locator("#held")).to_be_hidden()
    stranger = visit().open("/login")
    stranger.get_by_label("Email").fill(ann.email)
    for number in range(11):
        stranger.get_by_label("Password").fill(f"not the password {number}")
        stranger.get_by_label("Password").press("Enter")
        expect(stranger.locator("#password-step form")).not_to_have_attribute("aria-busy", "true")
    expect(stranger.locator("#password-step .form-error")).to_contain_text("Too many tries.")
    page.reload()
    held = page.locator("#held")
    expect(held.get_by_role("heading")).to_have_text("Locked for now")
    expect(held).to_contain_text("Too many wrong passwords: browsers and apps that you have not logged in with before")
    expect(held).to_contain_text(
        re.compile("It ends by itself at .* Log in with a browser or an app that you have used")
    )
    expect(held).to_contain_text("Support can lift it.")
