"""Logging in without scripts."""

import pytest

from services.auth import guessing_brake
from services.auth.branding import read_catalogue
from services.auth.otp_client import CodeRefused
from services.auth.portal.answers import answer
from services.auth.portal.texts import by_language
from shared.problems import Refusal
from tests.support.auth import PASSWORD
from tests.support.portal import Page, challenge_of


def test_a_password_alone_signs_in_where_2fa_is_off(browser, tom):
    response = browser.log_in(tom.email)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert browser.get("/").headers["Location"] == "/two-factor"


def test_a_wrong_password_is_said_beside_its_field_and_the_address_stays(browser, tom):
    response = browser.log_in(tom.email, "wrong wet otters juggle")
    page = Page(response)
    assert response.status_code == 401
    assert page.shown("password-error")
    assert any(tag == "input" and attrs.get("value") == tom.email for tag, attrs in page.tags)
    assert "wrong wet otters" not in page.text


def test_an_empty_form_is_answered_beside_its_fields(browser):
    page = Page(browser.post("/login"))
    assert page.shown("email-error")
    assert page.shown("password-error")


def test_with_2fa_on_the_code_is_asked_for_and_opens_the_session(browser, otp, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    assert Page(browser.get(f"/login/{challenge}")).shown("code-step")
    response = browser.post(f"/login/{challenge}", code=otp.expect(mia.id, "login", challenge, factor="totp"))
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert browser.get("/two-factor").status_code == 200


def test_only_a_ticked_box_remembers_the_device(browser, otp, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    browser.post(f"/login/{challenge}", code=otp.expect(mia.id, "login", challenge))
    browser.post("/logout")
    challenge = challenge_of(browser.log_in(mia.email))  # the device is known, not trusted
    browser.post(f"/login/{challenge}", code=otp.expect(mia.id, "login", challenge), remember_device="on")
    browser.post("/logout")
    assert browser.log_in(mia.email).headers["Location"] == "/"


def test_a_wrong_code_is_said_beside_the_field_and_not_shown_again(browser, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    response = browser.post(f"/login/{challenge}", code="111111")
    page = Page(response)
    assert response.status_code == 401
    assert page.shown("code-error")
    assert "111111" not in page.text


def test_the_last_tries_are_said_with_a_wrong_clock_too():
    texts = by_language(read_catalogue())["en"]
    for extra in ({}, {"clock_skew_seconds": 90}, {"cause": "backup_code"}):
        said = answer(texts, Refusal("invalid_passcode", extra={**extra, "tries_left": 1})).fields["code"]
        assert said.endswith(" You have one try left. Then you must wait.")
        assert "left" not in answer(texts, Refusal("invalid_passcode", extra=extra)).fields["code"]


def test_a_wrong_password_of_somebody_logged_in_says_nothing_of_an_address():
    for language, says in (("en", "The password is wrong."), ("de", "Das Passwort ist falsch.")):
        refusal = Refusal("invalid_credentials", extra={"cause": "password"})
        assert answer(by_language(read_catalogue())[language], refusal).fields == {"password": says}


def test_the_form_of_a_backup_code_keeps_to_it(browser, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    for response in (
        browser.get(f"/login/{challenge}?backup=1"),
        browser.post(f"/login/{challenge}", code="424242", backup="1"),
        browser.post(f"/login/{challenge}", code="0AAA-BBBB-CCCC-DDDD", backup="1"),
    ):
        page = Page(response)
        assert "One of the backup codes that you saved" in page.text
        assert page.shown("use-app")
        assert not page.shown("use-backup")
        assert ("input", {"type": "hidden", "name": "backup", "value": "1"}) in page.tags
    page = Page(browser.get(f"/login/{challenge}"))
    assert page.shown("use-backup")
    assert not page.shown("use-app")


def test_a_password_is_shown_by_a_button_that_waits_for_the_script(browser, deps, mia):
    pages = [browser.get("/login"), browser.signed_in(deps, mia).get("/security")]
    for page, fields in zip(map(Page, pages), (1, 3), strict=True):  # the step-up dialog has one, too
        passwords = [attrs["id"] for _, attrs in page.tags if attrs.get("type") == "password"]
        buttons = [attrs for _, attrs in page.tags if "data-shows" in attrs]
        assert len(passwords) == fields
        assert [button["data-shows"] for button in buttons] == passwords
        assert all("hidden" in button for button in buttons)


def test_a_wrong_clock_is_told_with_its_amount(browser, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    texts = by_language(read_catalogue())["en"]
    said = answer(texts, Refusal("invalid_passcode", extra={"clock_skew_seconds": 150}))
    assert said.clock == "Your phone's clock is about 2 min 30 s fast."
    said = answer(texts, Refusal("invalid_passcode", extra={"clock_skew_seconds": -90}))
    assert said.clock == "Your phone's clock is about 1 min 30 s slow."
    assert not Page(browser.get(f"/login/{challenge}")).shown("clock-coach")


def test_the_sms_button_is_there_only_for_a_proven_phone(browser, otp, mia, make_account, password_hash):
    assert Page(browser.get(f"/login/{challenge_of(browser.log_in(mia.email))}")).shown("sms-form")
    without = make_account("nophone@example.com", password_hash=password_hash)
    otp.enabled.add(without.id)
    assert not Page(browser.get(f"/login/{challenge_of(browser.log_in(without.email))}")).shown("sms-form")


def test_after_a_send_the_page_shows_masked_number_and_reference(browser, publisher, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    assert browser.post(f"/login/{challenge}/sms").headers["Location"] == f"/login/{challenge}"
    page = Page(browser.get(f"/login/{challenge}"))
    assert page.shown("sms-status")
    assert mia.phone.masked() in page.text
    assert mia.phone.e164 not in page.text
    assert "BCDF" in page.text
    assert len(publisher.messages) == 1


def test_an_expired_login_begins_anew_and_says_so(browser, clock, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    clock.turn(minutes=11)
    response = browser.get(f"/login/{challenge}")
    assert response.status_code == 410
    assert Page(response).shown("password-step")
    assert "took too long" in response.get_data(as_text=True)


def test_an_outage_is_no_wrong_code(browser, otp, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    otp.go_down()
    response = browser.post(f"/login/{challenge}", code="123456")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert not Page(response).shown("code-error")


def test_another_site_cannot_log_a_browser_in(browser, tom):
    response = browser.post("/login", origin="https://evil.example", email=tom.email, password=PASSWORD)
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


def test_log_out_ends_the_session_and_repeats_without_harm(browser, deps, tom):
    browser.signed_in(deps, tom)
    assert browser.post("/logout").headers["Location"] == "/login"
    assert browser.get("/two-factor").headers["Location"] == "/login?next=/two-factor"
    assert browser.post("/logout").status_code == 303


def test_the_sign_in_page_says_why_there_is_one_try(deps, browser, mia, otp):
    assert not Page(browser.get(f"/login/{challenge_of(browser.log_in(mia.email))}")).shown("one-try")
    deps.redis.set(guessing_brake.KEY, 1)
    challenge = challenge_of(browser.log_in(mia.email))
    assert Page(browser.get(f"/login/{challenge}")).shown("one-try")
    otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
    browser.post(f"/login/{challenge}", code="111111")
    response = browser.post(f"/login/{challenge}", code="111112")
    assert response.status_code == 429
    assert Page(response).shown("code-error")
    assert "one try a day with six digits. Use a backup code" in response.get_data(as_text=True)


def test_a_known_browser_reads_nothing_of_it(deps, browser, mia, otp):
    challenge = challenge_of(browser.log_in(mia.email))
    browser.post(f"/login/{challenge}", code=otp.expect(mia.id, "login", challenge))
    browser.post("/logout")
    deps.redis.set(guessing_brake.KEY, 1)
    assert not Page(browser.get(f"/login/{challenge_of(browser.log_in(mia.email))}")).shown("one-try")


def test_the_offer_of_a_link_by_mail_sleeps_until_the_script_has_seen_a_refusal(deps, browser, mia):
    deps.redis.set(guessing_brake.KEY, 1)
    page = Page(browser.get(f"/login/{challenge_of(browser.log_in(mia.email))}"))
    assert not page.shown("mail-form")
    assert not page.shown("mail-sent")
    assert next(attrs for _, attrs in page.tags if attrs.get("id") == "mail-form").keys() >= {"inert", "aria-disabled"}


@pytest.mark.parametrize(("language", "says"), [("en", "Is it you who logs in?"), ("de", "Melden Sie sich gerade an?")])
def test_the_page_of_the_link_asks_first_and_has_a_button(browser, language, says):
    response = browser.get(f"/browser/confirm?lang={language}")
    page = Page(response)
    assert response.status_code == 200
    assert says in page.text
    assert ("button", {"class": "primary wide", "type": "submit"}) in page.tags
    assert not page.shown("confirm-done")
    assert not page.shown("enter-code")
