"""Cell phones as people type them, and browsers whose languages are locales of a POSIX system."""

import json
import secrets

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def edit_own_phone(page):
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    page.locator("#members li", has_text="You").get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Country Code").locator("option[value=DE]")).to_have_count(1)


def national():
    """The digits behind +49, of a number that no other test uses."""
    return f"1512{secrets.randbelow(9_000_000) + 1_000_000}"


@pytest.mark.parametrize("spelled", ["0{0}", "49{0}", "\u200e0049\u202f{0}", "+49\u2009{0}\t"])
def test_a_number_of_the_chosen_country_is_taken(visitor, ann, spelled):
    page = visitor.log_in(ann)
    edit_own_phone(page)
    page.get_by_label("Country Code").select_option("DE")
    page.get_by_label("Cell Phone", exact=True).fill(spelled.format(national()))
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#prove-sent")).to_be_visible()


def test_a_number_of_another_country_names_it_and_one_tap_chooses_it(visitor, ann):
    page = visitor.log_in(ann)
    edit_own_phone(page)
    page.get_by_label("Country Code").select_option("US")
    page.get_by_label("Cell Phone", exact=True).fill(f"49 {national()}")
    page.get_by_role("button", name="Save").click()
    refused = "This number belongs to another country: Germany. Choose that country."
    expect(page.locator("#number-error")).to_have_text(refused)
    page.get_by_label("Country Code").select_option("AT")
    expect(page.locator("#number-error")).to_be_hidden()
    expect(page.locator("#edit-country")).to_be_hidden()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Choose Germany").click()
    expect(page.get_by_label("Country Code")).to_have_value("DE")
    expect(page.locator("#number-error")).to_be_hidden()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#prove-sent")).to_be_visible()


def test_a_number_of_a_country_without_sms_is_said_beside_it(visitor, ann):
    page = visitor.log_in(ann)
    edit_own_phone(page)
    page.get_by_label("Country Code").select_option("US")
    page.get_by_label("Cell Phone", exact=True).fill("+1 876 555 1234")
    page.get_by_role("button", name="Save").click()
    refused = "This number belongs to another country: Jamaica. We don't send codes there."
    expect(page.locator("#number-error")).to_have_text(refused)
    expect(page.locator("#edit-country")).to_be_hidden()


def test_the_same_number_twice_is_one_request(visitor, ann):
    page = visitor.log_in(ann)
    number, said = f"0{national()}", []
    for _ in range(2):
        edit_own_phone(page)
        page.get_by_label("Country Code").select_option("DE")
        page.get_by_label("Cell Phone", exact=True).fill(number)
        with page.expect_response("**/v1/phone") as answer:
            page.get_by_role("button", name="Save").click()
        said.append(answer.value.json())
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.locator("#prove-sent")).to_contain_text(said[0]["reference"])
        expect(page.locator("#prove-wait")).to_contain_text("Another code in")
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("languages", "country"),
    [(["C"], ""), (["C", "en_GB"], "GB"), (["en-US@posix"], "US"), (["de_AT.UTF-8", "en"], "AT"), ([], "")],
    ids=str,
)
def test_a_browser_with_posix_locales_can_choose_a_country(visitor, ann, languages, country):
    visitor.page.add_init_script(
        f"Object.defineProperty(navigator, 'languages', {{ get: () => {json.dumps(languages)} }})"
    )
    page = visitor.log_in(ann)
    edit_own_phone(page)
    expect(page.get_by_label("Country Code")).to_have_value(country)
    expect(page.locator("#edit-form .form-error")).to_be_hidden()
