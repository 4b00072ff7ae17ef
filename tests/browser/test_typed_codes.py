"""Codes as people type and paste them: the page sends the six ASCII digits that were meant."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import code_field, confirm_self, enroll, give_code, key_on, log_out, sms_code, update
from tests.support.typed_codes import EXAMPLES

pytestmark = pytest.mark.browser

READ_BY_THE_PAGES_SCRIPT = """async (typed) => {
    const { readCode } = await import(new URL("codes.js", document.querySelector("script[type=module]").src));
    return typed.map((text) => readCode(text));
}"""
ARABIC_INDIC, PERSIAN, DEVANAGARI, FULL_WIDTH = 0x0660, 0x06F0, 0x0966, 0xFF10


def in_digits(zero, code):
    return "".join(chr(zero + int(digit)) for digit in code)


SPELLINGS = {
    "a blank": lambda code: f"{code[:3]} {code[3:]}",
    "a dash": lambda code: f"{code[:3]}-{code[3:]}",
    "a thin blank": lambda code: f"{code[:3]}\u2009{code[3:]}",
    "a direction mark": lambda code: f"\u200e{code}",
    "a prefix": lambda code: f"G-{code}",
    "a sentence": lambda code: f"Your code is {code}. It expires in 5 minutes.",
    "Arabic-Indic": lambda code: in_digits(ARABIC_INDIC, code),
    "Persian": lambda code: in_digits(PERSIAN, code),
    "Devanagari": lambda code: in_digits(DEVANAGARI, code),
    "full width": lambda code: in_digits(FULL_WIDTH, code),
}


def sent_codes(page):
    """The codes that the page sends from here on."""
    codes = []

    def look(request):
        if request.method == "POST" and "code" in (request.post_data or ""):
            codes.append((request.post_data_json or {}).get("code"))

    page.on("request", look)
    return codes


def paste(page, field, text):
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    field.press("Control+V")


def test_the_pages_scripts_read_the_examples_as_the_forms_do(visitor):
    page = visitor.open("/login")
    read = page.evaluate(READ_BY_THE_PAGES_SCRIPT, [example["typed"] for example in EXAMPLES])
    assert read == [{key: value for key, value in one.items() if key != "typed"} for one in EXAMPLES]


@pytest.fixture
def at_the_code(visitor, mia):
    """The page that waits for a code, whose calls are refused here, so that one challenge is enough for all."""
    page = visitor.give_password(mia.email, mia.password)
    expect(code_field(page)).to_be_focused()
    refused = {"status": 401, "content_type": "application/problem+json", "json": {"code": "invalid_passcode"}}
    page.route("**/verify", lambda route: route.fulfill(**refused))
    return page


def is_told(page):
    expect(page.locator("#code-error")).to_contain_text("Invalid code.")
    expect(page.locator("#code-form")).not_to_have_attribute("aria-busy", "true")


def log_in(page):
    with page.expect_response("**/verify"):
        page.locator("#code-step").get_by_role("button", name="Log In").click()
    is_told(page)


def test_a_pasted_code_is_read_and_waits_for_log_in(at_the_code):
    page, codes, given = at_the_code, sent_codes(at_the_code), []
    for number, spell in enumerate(SPELLINGS.values()):
        given.append(f"24{number:02}90")
        code_field(page).fill("")
        paste(page, code_field(page), spell(given[-1]))
        assert codes == given[:-1]
        log_in(page)
        expect(code_field(page)).to_have_value(given[-1])
    assert codes == given


def test_a_typed_code_is_read_and_waits_for_log_in(at_the_code):
    page, codes, given = at_the_code, sent_codes(at_the_code), []
    for number, name in enumerate(SPELLINGS.keys() - {"a sentence"}):
        given.append(f"24{number:02}90")
        code_field(page).fill("")
        page.keyboard.type(SPELLINGS[name](given[-1]))
        assert codes == given[:-1]
        log_in(page)
    assert codes == given


@pytest.mark.parametrize("spell", [SPELLINGS["a sentence"], SPELLINGS["Persian"]], ids=["a sentence", "Persian"])
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_such_a_code_logs_in(visit, mia, scripts, spell):
    page = visit(scripts=scripts).give_password(mia.email, mia.password)
    give_code(page, spell(mia.fresh_code()))
    page.wait_for_url("**/two-factor")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_two_codes_and_seven_digits_are_not_guessed(visit, mia, scripts):
    page = visit(scripts=scripts).give_password(mia.email, mia.password)
    codes = sent_codes(page) if scripts else []
    for typed, says in (("111111 or 222222", "more than one code"), ("1111111", "six digits, and a backup code")):
        give_code(page, typed)
        expect(page.locator("#code-error")).to_contain_text(says)
    assert codes == []


def test_a_backup_code_lets_in_with_any_dash_blank_and_case(visit, ann):
    log_out(enroll(visit(), ann))
    for spelled, scripts in (
        (ann.codes[0].lower().replace("-", "\u2013"), True),
        (ann.codes[1].replace("-", "\u2009"), True),
        (f"\u200e{ann.codes[2].replace('-', '')}", False),
        (ann.codes[3].title().replace("-", "\u00a0\u2212\u00a0"), False),
    ):
        page = visit(scripts=scripts).give_password(ann.email, ann.password)
        page.get_by_role("link", name="Use a backup code").click()
        give_code(page, spelled)
        page.wait_for_url("**/two-factor")


def test_enrolment_step_up_and_the_proof_of_a_phone_read_codes_alike(visitor, ann, inbox):
    page = visitor.log_in(ann)
    page.get_by_role("switch").check()
    ann.key = key_on(page)
    setup = page.locator("#setup").get_by_label("Authentication Code")
    for typed, says in (("111111 222222", "more than one code"), ("11111", "A code has six digits")):
        setup.fill(typed)
        page.get_by_role("button", name="Update").click()
        expect(page.locator("#setup-code-error")).to_contain_text(says)
    codes, code = sent_codes(page), ann.fresh_code()
    update(page, lambda: f"Code: {in_digits(DEVANAGARI, code[:3])} {code[3:]}")
    expect(page.get_by_role("heading", name="Backup Codes")).to_be_visible()
    page.get_by_role("button", name="I have saved them").click()

    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    page.locator("#members li", has_text="You").get_by_role("button", name="Edit").click()
    page.get_by_label("Country Code").select_option("DE")
    page.get_by_label("Cell Phone", exact=True).fill("01512 8273645")
    page.get_by_role("button", name="Save").click()
    step_up = ann.fresh_code()
    ann.fresh_code = lambda: in_digits(PERSIAN, step_up)
    confirm_self(page, ann)
    expect(page.locator("#prove-sent")).to_be_visible()
    proof = sms_code(inbox, page.locator("#prove-sent").inner_text())
    page.get_by_label("Code", exact=True).click()
    paste(page, page.get_by_label("Code", exact=True), f"\u200eG-{in_digits(FULL_WIDTH, proof)}")
    page.locator("#prove-form [type=submit]").click()
    expect(page.locator("#members li", has_text="You")).to_contain_text(", verified")
    assert list(dict.fromkeys(codes)) == [code, step_up, proof]  # a busy gateway may have asked for one again
