"""From what a person types to a number that we may text."""

import contextlib
import re
from collections.abc import Container

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from services.auth.domain.typed import plain
from shared.phone import PhoneNumber
from shared.problems import Refusal

# In North America a number does not tell whether it is mobile. Premium, shared-cost, personal and company numbers
# (UAN) are what SMS pumping earns from, pagers and voicemail read no code, so nothing else passes. UNKNOWN is what no
# numbering plan has handed out, and is not valid.
_TEXTABLE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
# The start of a number whose calling code was typed without its plus. Most countries dial 00 before the code.
_CALLING_CODE = re.compile(r"\A([^0-9+]*)(?:00)?(?=[1-9])")
_OF_ANOTHER_COUNTRY = {
    "invalid_phone": "This number belongs to another country. Choose that country.",
    "country_not_allowed": "This number belongs to another country, and we do not send SMS there.",
}


def calling_codes() -> dict[str, int]:
    """Every country that has numbers of its own (ISO 3166-1 alpha-2), with its E.164 country code."""
    return {region: phonenumbers.country_code_for_region(region) for region in sorted(phonenumbers.SUPPORTED_REGIONS)}


def parse(country: str, number: str, allowed: Container[str]) -> PhoneNumber:
    """The E.164 number of ``number`` as dialled in ``country`` (ISO 3166-1 alpha-2).

    A ``+1`` number of Jamaica is not one of the USA: what counts is the country that the digits belong to. Where the
    digits are no cell phone of ``country``, they are read once more with a plus in front, in place of a 00.
    Raises Refusal country_not_allowed, invalid_phone. When the number belongs to another country, the refusal names it
    as ``country``.
    """
    if country not in allowed:
        raise Refusal("country_not_allowed")
    readings = _readings(country, plain(number))
    for reading in readings:
        if phonenumbers.region_code_for_number(reading) == country and _is_textable(reading):
            return PhoneNumber(phonenumbers.format_number(reading, PhoneNumberFormat.E164))
    raise _refusal(readings, allowed)


def _readings(country: str, number: str) -> list[phonenumbers.PhoneNumber]:
    """The number as dialled in the country, then as one that begins with a calling code without its plus."""
    readings = []
    for text in dict.fromkeys((number, _CALLING_CODE.sub(r"\1+", number))):
        with contextlib.suppress(NumberParseException):
            readings.append(phonenumbers.parse(text, country))
    return readings


def _is_textable(number: phonenumbers.PhoneNumber) -> bool:
    return (
        phonenumbers.is_valid_number(number) and not number.extension and phonenumbers.number_type(number) in _TEXTABLE
    )


def _refusal(readings: list[phonenumbers.PhoneNumber], allowed: Container[str]) -> Refusal:
    """What is wrong with a number that is no cell phone of the chosen country."""
    for reading in filter(_is_textable, readings):
        region = phonenumbers.region_code_for_number(reading)
        code = "invalid_phone" if region in allowed else "country_not_allowed"
        return Refusal(code, detail=_OF_ANOTHER_COUNTRY[code], extra={"cause": "other_country", "country": region})
    for reading in readings[:1]:
        if phonenumbers.is_valid_number(reading):
            if phonenumbers.region_code_for_number(reading) not in allowed:
                return Refusal("country_not_allowed")
            return Refusal("invalid_phone", detail="Codes can be sent to cell phones only.")
    return Refusal("invalid_phone")


def require_textable(phone: PhoneNumber, allowed: Container[str]) -> None:
    """What held when the number was proven must hold when it is texted: list and numbering plan change.

    Raises Refusal sms_unavailable.
    """
    with contextlib.suppress(NumberParseException):
        parsed = phonenumbers.parse(phone.e164)
        region = phonenumbers.region_code_for_number(parsed)
        if region in allowed and phonenumbers.number_type(parsed) in _TEXTABLE:
            return
    raise Refusal("sms_unavailable", detail="We do not send SMS to this number any more.", extra={"cause": "country"})
