"""What is typed or pasted into a form of the pages is the code that was meant, or the page says that it is none."""

import pytest

from services.auth.portal.typed_codes import meant
from shared.problems import Refusal
from tests.support.portal import PAGES, Page, challenge_of
from tests.support.typed_codes import CLEAR, UNCLEAR


@pytest.mark.parametrize(("typed", "code"), CLEAR, ids=ascii)
def test_the_code_that_was_meant_is_read(typed, code):
    assert meant(typed) == code


@pytest.mark.parametrize(("typed", "cause"), UNCLEAR, ids=ascii)
def test_a_text_without_one_code_is_not_guessed(typed, cause):
    with pytest.raises(Refusal) as refusal:
        meant(typed)
    assert refusal.value.code == "validation_failed"
    assert refusal.value.extra.get("cause") == cause


@pytest.mark.parametrize(
    "typed", ["424 242", "G-424242", "\u200eCode: ٤٢٤-٢٤٢", "\uff14\uff12\uff14 \uff12\uff14\uff12\n"]
)
def test_the_form_without_scripts_sends_the_six_digits(browser, otp, mia, typed):
    challenge = challenge_of(browser.log_in(mia.email))
    assert otp.expect(mia.id, "login", challenge) == "424242"
    assert browser.post(f"/login/{challenge}", code=typed).status_code == 303
    assert browser.get("/two-factor").status_code == 200


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("111111 or 222222", "more than one code"),
        ("1111111", "six digits, and a backup code"),
        ("hello", "Enter six digits, or a backup code."),
    ],
)
def test_the_form_without_scripts_says_why_there_is_no_code_and_costs_no_try(browser, otp, mia, typed, says):
    challenge = challenge_of(browser.log_in(mia.email))
    otp.go_down()  # a code that was sent on would be answered with 503
    response = browser.post(f"/login/{challenge}", code=typed)
    assert response.status_code == 422
    assert Page(response).shown("code-error")
    assert says in response.get_data(as_text=True)


def test_no_field_cuts_what_is_pasted_as_a_code(browser, deps, mia):
    pages = [browser.get("/login")]
    browser.signed_in(deps, mia)
    pages += [browser.get(path) for path in PAGES]
    fields = [attrs for page in pages for _, attrs in Page(page).tags if attrs.get("name") == "code"]
    assert len(fields) == 6  # one for each step-up dialog, and those of Log In, enrolment and the phone's proof
    assert not [attrs for attrs in fields if "maxlength" in attrs]


@pytest.mark.parametrize(
    "code", ["424 242", "424-242", "\u200e424242", "G-424242", "٤٢٤٢٤٢", "\uff14\uff12\uff14\uff12\uff14\uff12"]
)
def test_the_api_takes_one_spelling(api, ann, code):
    caller = api(ann)
    for path in ("/v1/phone/verify", "/v1/two-factor/enrollment/enr_1/confirm"):
        answer = caller.post(path, {"code": code})
        assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
