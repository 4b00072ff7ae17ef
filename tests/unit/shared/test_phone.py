"""What of a number may stand in a key: its prefix."""

from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from shared.phone import HIDDEN_DIGITS, NATIONAL_DIGITS, PhoneNumber

NUMBERS = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True).map(PhoneNumber)


def test_a_prefix_is_the_country_code_and_four_digits():
    examples = {
        "+447400123456": "447400", "+14155550100": "14155", "+393123456789": "393123", "+4915123456789": "491512",
        "+35799123456": "3579912", "+4520123456": "452012",
        "+3546111234": "354611",  # Iceland has seven digits, Saint Helena five: fewer are shown
        "+29051234": "2905",
        "+9991234567": "999123",  # nobody's country code
    }  # fmt: skip
    assert {number: PhoneNumber(number).prefix() for number in examples} == examples


def test_the_country_codes_are_those_of_the_library():
    for code in map(str, COUNTRY_CODE_TO_REGION_CODE):
        assert PhoneNumber(f"+{code}123456789").prefix() == f"{code}1234"


@given(NUMBERS)
def test_a_prefix_is_no_personal_data(phone):
    """Seven digits at most, and ten thousand numbers at least share it."""
    prefix = phone.prefix()
    assert phone.e164.startswith(f"+{prefix}")
    assert 1 <= len(prefix) <= 3 + NATIONAL_DIGITS == 7
    assert len(phone.e164) - 1 - len(prefix) >= HIDDEN_DIGITS == 4
