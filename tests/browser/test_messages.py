"""What the pages say beside their fields: it is of the present, and it covers nothing."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE

pytestmark = pytest.mark.browser

COVERED = """() => {
    const said = document.getElementById("said"), mine = said.getBoundingClientRect();
    const meets = ({ left, right, top, bottom }) =>
        left < mine.right && right > mine.left && top < mine.bottom && bottom > mine.top;
    return [...document.body.querySelectorAll("*")]
        .filter((one) => !one.contains(said) && !said.contains(one) && [...one.getClientRects()].some(meets))
        .map((one) => one.outerHTML.slice(0, 80));
}"""


def test_the_step_up_waits_in_silence_for_the_person_and_names_no_address(visitor, mia):
    page = visitor.log_in(mia)

    def needs_a_proof(route):
        page.wait_for_timeout(1500)
        document = {"code": "step_up_required", "step_up": "full"}
        route.fulfill(status=403, content_type="application/problem+json", json=document)

    page.route("**/v1/two-factor/recovery-codes", needs_a_proof)
    page.get_by_role("button", name="Make new backup codes").click()
    expect(page.locator("#codes .slow")).to_contain_text("longer than usual")
    dialog = page.get_by_role("dialog", name="Confirm that it's you")
    expect(dialog).to_be_visible()
    page.wait_for_timeout(1200)
    expect(page.locator(".slow")).to_have_count(0)
    dialog.get_by_label("Password").fill("nobody's password")
    dialog.get_by_label("Authentication Code").fill("000000")
    error = dialog.locator("#step-up-password-error")
    wrong = "The password is wrong."
    for says in (wrong, wrong, f"{wrong} You have two tries left. Then you must wait."):
        dialog.get_by_role("button", name="Confirm").click()
        expect(dialog.locator("form")).not_to_have_attribute("aria-busy", "true")
        expect(error).to_have_text(says)
    dialog.get_by_role("button", name="Show").click()
    expect(dialog.get_by_label("Password")).to_have_attribute("type", "text")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator("#step-up-password")).to_have_attribute("type", "password")
    expect(page.locator("#step-up-password")).to_have_value("")


def test_what_is_told_in_passing_covers_nothing(visit, ann):
    page = visit(size=PHONE).log_in(ann)
    page.get_by_role("navigation").get_by_role("link", name="Security").click()
    expect(page.locator("#sessions .rows li")).to_have_count(1)
    page.get_by_role("button", name="Suggest one").click()
    expect(page.locator("#said")).not_to_be_empty()
    expect(page.locator("#said")).to_be_in_viewport()
    assert page.evaluate(COVERED) == []
