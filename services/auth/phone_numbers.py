"""From what a person types to a number that we may text."""

import contextlib
from collections.abc import Container

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from shared.phone import PhoneNumber
from shared.problems import Refusal

# In North America a number does not tell whether it is mobile. Premium, shared-cost, personal and company numbers
# (UAN) are what SMS pumping earns from, pagers and voicemail read no code, so nothing else passes. UNKNOWN is what no
# numbering plan has handed out, and is not valid.
_TEXTABLE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def calling_codes() -> dict[str, int]:
    """Every country that has numbers of its own (ISO 3166-1 alpha-2), with its E.164 country code."""
    return {region: phonenumbers.country_code_for_region(region) for region in sorted(phonenumbers.SUPPORTED_REGIONS)}


def parse(country: str, number: str, allowed: Container[str]) -> PhoneNumber:
    """The E.164 number of ``number`` as dialled in ``country`` (ISO 3166-1 alpha-2).

    A ``+1`` number of Jamaica is not one of the USA: what counts is the country that the digits belong to.
    Raises Refusal country_not_allowed, invalid_phone.
    """
    if country not in allowed:
        raise Refusal("country_not_allowed")
    try:
        parsed = phonenumbers.parse(number, country)
    except NumberParseException:
        raise Refusal("invalid_phone") from None
    region = phonenumbers.region_code_for_number(parsed)
    if region is not None and region not in allowed:
        raise Refusal("country_not_allowed")
    if region != country or parsed.extension or not phonenumbers.is_valid_number(parsed):
        raise Refusal("invalid_phone")
    if phonenumbers.number_type(parsed) not in _TEXTABLE:
        raise Refusal("invalid_phone", detail="Codes can be sent to cell phones only.")
    return PhoneNumber(phonenumbers.format_number(parsed, PhoneNumberFormat.E164))


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
