"""From what a person types to a number that we may text or call."""

import contextlib
import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from services.auth.domain.reach import Reach
from services.auth.domain.typed import plain
from shared.channel import Channel
from shared.phone import PhoneNumber
from shared.problems import Refusal

# In North America a number does not tell whether it is mobile. Premium, shared-cost, personal and company numbers
# (UAN) are what SMS pumping and toll fraud earn from, pagers and voicemail read no code, so nothing else passes.
# UNKNOWN is what no numbering plan has handed out, and is not valid. A landline takes calls only.
_TEXTABLE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_CALLABLE = _TEXTABLE | {PhoneNumberType.FIXED_LINE}
# The start of a number whose calling code was typed without its plus. Most countries dial 00 before the code.
_CALLING_CODE = re.compile(r"\A([^0-9+]*)(?:00)?(?=[1-9])")
_OF_ANOTHER_COUNTRY = {
    "invalid_phone": "This number belongs to another country. Choose that country.",
    "country_not_allowed": "This number belongs to another country, and we do not send codes there.",
}
_NOT_ANY_MORE = {
    Channel.SMS: "We do not send SMS to this number any more.",
    Channel.CALL: "We do not call this number.",
}


def calling_codes() -> dict[str, int]:
    """Every country that has numbers of its own (ISO 3166-1 alpha-2), with its E.164 country code."""
    return {region: phonenumbers.country_code_for_region(region) for region in sorted(phonenumbers.SUPPORTED_REGIONS)}


def parse(country: str, number: str, reach: Reach) -> PhoneNumber:
    """The E.164 number of ``number`` as dialled in ``country`` (ISO 3166-1 alpha-2).

    A ``+1`` number of Jamaica is not one of the USA: what counts is the country that the digits belong to. Where the
    digits are no phone of ``country`` that takes codes, they are read once more with a plus in front, in place of a 00.
    Raises Refusal country_not_allowed, invalid_phone. When the number belongs to another country, the refusal names it
    as ``country``.
    """
    if country not in reach.countries:
        raise Refusal("country_not_allowed")
    readings = _readings(country, plain(number))
    for reading in readings:
        if phonenumbers.region_code_for_number(reading) == country and _takes_codes(reading, reach):
            return PhoneNumber(phonenumbers.format_number(reading, PhoneNumberFormat.E164))
    raise _refusal(readings, reach)


def _readings(country: str, number: str) -> list[phonenumbers.PhoneNumber]:
    """The number as dialled in the country, then as one that begins with a calling code without its plus."""
    readings = []
    for text in dict.fromkeys((number, _CALLING_CODE.sub(r"\1+", number))):
        with contextlib.suppress(NumberParseException):
            readings.append(phonenumbers.parse(text, country))
    return readings


def _takes_codes(number: phonenumbers.PhoneNumber, reach: Reach) -> bool:
    """Whether its kind of number takes codes, in whichever country, or a landline where we call."""
    kind = phonenumbers.number_type(number)
    is_valid = phonenumbers.is_valid_number(number) and not number.extension
    return is_valid and (kind in _TEXTABLE or bool(_channels_of(number, reach)))


def _channels_of(number: phonenumbers.PhoneNumber, reach: Reach) -> frozenset[Channel]:
    region, kind = phonenumbers.region_code_for_number(number), phonenumbers.number_type(number)
    ways = {
        Channel.SMS: region in reach.sms and kind in _TEXTABLE,
        Channel.CALL: region in reach.call and kind in _CALLABLE,
    }
    return frozenset(channel for channel, is_open in ways.items() if is_open)


def _refusal(readings: list[phonenumbers.PhoneNumber], reach: Reach) -> Refusal:
    """What is wrong with a number that is no phone of the chosen country that takes codes."""
    for reading in readings:
        if not _takes_codes(reading, reach):
            continue
        region = phonenumbers.region_code_for_number(reading)
        code = "invalid_phone" if region in reach.countries else "country_not_allowed"
        return Refusal(code, detail=_OF_ANOTHER_COUNTRY[code], extra={"cause": "other_country", "country": region})
    for reading in readings[:1]:
        if phonenumbers.is_valid_number(reading):
            if phonenumbers.region_code_for_number(reading) not in reach.countries:
                return Refusal("country_not_allowed")
            return Refusal("invalid_phone", detail="Codes can be sent to cell phones only.")
    return Refusal("invalid_phone")


def channels(phone: PhoneNumber | None, reach: Reach) -> frozenset[Channel]:
    """How codes reach a phone at this moment: lists and numbering plan change. None for no phone."""
    with contextlib.suppress(NumberParseException):
        return frozenset() if phone is None else _channels_of(phonenumbers.parse(phone.e164), reach)
    return frozenset()


def is_landline(phone: PhoneNumber) -> bool:
    """Whether the numbering plan says that no text arrives there."""
    with contextlib.suppress(NumberParseException):
        return bool(phonenumbers.number_type(phonenumbers.parse(phone.e164)) == PhoneNumberType.FIXED_LINE)
    return False


def require_reachable(phone: PhoneNumber, channel: Channel, reach: Reach) -> None:
    """What held when the number was proven must hold when a code is sent. Raises Refusal sms_unavailable."""
    if channel not in channels(phone, reach):
        raise Refusal("sms_unavailable", detail=_NOT_ANY_MORE[channel], extra={"cause": "country"})
