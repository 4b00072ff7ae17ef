import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.otp.domain.attempt import parse_code
from services.otp.domain.passcode import Passcode
from services.otp.domain.recovery_code import ALPHABET, CODES_A_SHEET, SELECTORS, RecoveryCode, new_sheet
from services.otp.domain.sms_text import new_passcode, new_reference, render

OTHER_SPELLINGS = [
    "755 224", " 755224", "755224 ", "755224\n", "755_224", "+755224", "-755224", "0755224", "75522", "7552244", "",
    "755224\x00", "７５５２２４", "٧٥٥٢٢٤", "७५५२२४", "75522⁴", "0x7552", "7.5e+5", "755224\u200b", "755\u00ad224",
]  # fmt: skip

recovery = st.builds(RecoveryCode, st.sampled_from(SELECTORS), st.text(alphabet=ALPHABET, min_size=15, max_size=15))


@pytest.mark.parametrize("spelling", OTHER_SPELLINGS)
def test_a_passcode_has_one_spelling(spelling):
    assert Passcode.parse(spelling) is None
    assert parse_code(spelling) is None


@given(st.text(max_size=12))
def test_only_six_ascii_digits_are_a_passcode(text):
    is_one = len(text) == 6 and all(character in "0123456789" for character in text)
    assert (Passcode.parse(text) is not None) == is_one


@given(st.text(alphabet=[c for c in map(chr, range(0x3000)) if unicodedata.category(c) == "Nd" and not c.isascii()],
               min_size=6, max_size=6))  # fmt: skip
def test_digits_of_other_scripts_are_no_passcode(text):
    assert parse_code(text) is None


@given(recovery)
def test_a_recovery_code_is_read_as_it_was_written(code):
    assert RecoveryCode.parse(code.format()) == code
    assert re.fullmatch(r"([0-9A-Z]{4}-){3}[0-9A-Z]{4}", code.format())


@given(recovery, st.data())
def test_a_recovery_code_may_be_typed_as_people_type(code, data):
    typed = code.format().replace("-", data.draw(st.sampled_from(["", " ", "-", " - "])))
    typed = typed.lower() if data.draw(st.booleans()) else typed
    typed = "".join(
        data.draw(st.sampled_from({"0": "0Oo", "1": "1IiLl"}.get(character, character))) for character in typed
    )
    assert RecoveryCode.parse(typed) == code


NO_RECOVERY_CODES = [
    "AAAA-BBBB-CCCC-DDDD", "0AAA-BBBB-CCCC-DDD", "0AAA-BBBB-CCCC-DDDDD", "0UAA-BBBB-CCCC-DDDD", "0AAA_BBBB_CCCC_DDDD",
    "0AAA–BBBB–CCCC–DDDD", "0ıAA-BBBB-CCCC-DDDD", "0ſAA-BBBB-CCCC-DDDD", "0AAA-BBBB-CCCC-DDDD" + "-" * 30,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_RECOVERY_CODES)
def test_what_no_sheet_holds_is_no_recovery_code(text):
    assert RecoveryCode.parse(text) is None


def test_a_sheet_has_ten_codes_with_their_numbers_and_75_bits_each():
    sheet = new_sheet()
    assert [code.selector for code in sheet] == list("0123456789")
    assert len(sheet) == CODES_A_SHEET
    assert len({code.secret for code in sheet}) == CODES_A_SHEET
    assert all(len(code.secret) * 5 >= 64 for code in sheet)


def test_codes_never_print():
    assert "755224" not in repr(Passcode("755224"))
    assert "BBBB" not in repr(RecoveryCode.parse("0AAA-BBBB-CCCC-DDDD"))


def test_the_text_ends_with_the_origin_bound_line_and_nothing_else():
    text = render("Latchkey", "portal.example", Passcode("012345"), "BCDF")
    assert text.startswith("Your Latchkey code is 012345 (ref BCDF). It expires in 5 minutes. Don't share it.\n\n")
    assert text.splitlines()[-1] == "@portal.example #012345"
    assert len(text) <= 160  # one segment


def test_sms_passcodes_keep_their_leading_zeros(monkeypatch):
    monkeypatch.setattr("secrets.randbelow", lambda _: 42)
    assert new_passcode().digits == "000042"


def test_references_have_no_look_alikes():
    assert not set("".join(new_reference() for _ in range(200))) & set("AEIOU0158SLZ")
