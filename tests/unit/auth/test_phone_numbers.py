import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.reach import Reach
from services.auth.phone_numbers import channels, parse, require_reachable
from shared.channel import Channel
from shared.phone import PhoneNumber
from shared.problems import Refusal

ALLOWED = Reach(frozenset({"DE", "US", "CA", "GB"}))
CALLED = Reach(ALLOWED.sms, call=frozenset({"DE", "FR"}))


@pytest.mark.parametrize(
    ("country", "number", "e164"),
    [
        ("DE", "01512 3456789", "+4915123456789"),
        ("DE", "+49 1512 3456789", "+4915123456789"),
        ("US", "(415) 555-0100", "+14155550100"),
        ("CA", "416 555 0123", "+14165550123"),
        ("DE", "0151\u200923456789", "+4915123456789"),
        ("DE", "0151\u202f2345\u202f6789", "+4915123456789"),
        ("DE", "0151\t23456789\n", "+4915123456789"),
        ("DE", "\u200e+49\u00a0151\u205f23456789", "+4915123456789"),
        ("DE", "\u202a+49 151 23456789\u202c", "+4915123456789"),
        ("DE", "٠١٥١ ٢٣٤٥٦٧٨٩", "+4915123456789"),
        ("DE", "0151\u221223456789", "+4915123456789"),
        ("DE", "4915123456789", "+4915123456789"),
        ("DE", "49 (0)151 23456789", "+4915123456789"),
        ("DE", "(49)\u202f151 23456789", "+4915123456789"),
        ("DE", "0049 151 23456789", "+4915123456789"),
        ("GB", "447400123456", "+447400123456"),
        ("US", "14155550100", "+14155550100"),
    ],
)
def test_a_number_in_any_spelling(country, number, e164):
    assert parse(country, number, ALLOWED).e164 == e164


@pytest.mark.parametrize(
    ("country", "number", "code"),
    [
        ("JM", "876 555 1234", "country_not_allowed"),
        ("US", "+1 876 555 1234", "country_not_allowed"),  # Jamaica behind +1
        ("GB", "07797 712345", "country_not_allowed"),  # Jersey behind +44
        ("US", "+1 416 555 0123", "invalid_phone"),  # Canada is allowed, but is not the USA
        ("DE", "+1 415 555 0100", "invalid_phone"),
        ("DE", "030 123456", "invalid_phone"),  # a landline
        ("US", "900 555 1234", "invalid_phone"),  # premium
        ("US", "800 356 9377", "invalid_phone"),  # free for the caller
        ("GB", "0909 8790 123", "invalid_phone"),  # premium
        ("GB", "0843 987 6543", "invalid_phone"),  # shared cost
        ("GB", "070 1234 5678", "invalid_phone"),  # personal: dear, and forwarded to anywhere
        ("GB", "076 2012 3456", "invalid_phone"),  # a pager
        ("GB", "055 1234 5678", "invalid_phone"),  # a company's (UAN), and VoIP
        ("DE", "0177 99 1234567", "invalid_phone"),  # voicemail
        ("DE", "0180 1234567", "invalid_phone"),  # shared cost
        ("US", "415 555 0100 ext. 5", "invalid_phone"),
        ("DE", "1", "invalid_phone"),
        ("DE", "my phone", "invalid_phone"),
        ("ZZ", "123", "country_not_allowed"),
    ],
)
def test_what_we_do_not_text(country, number, code):
    with pytest.raises(Refusal) as refusal:
        parse(country, number, ALLOWED)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("country", "number", "code", "belongs_to"),
    [
        ("US", "+49 151 23456789", "invalid_phone", "DE"),
        ("US", "4915123456789", "invalid_phone", "DE"),
        ("US", "0049\u2009151\u200923456789", "invalid_phone", "DE"),
        ("DE", "+1 415 555 0100", "invalid_phone", "US"),
        ("DE", "44 7400 123456", "invalid_phone", "GB"),
        ("US", "(416) 555-0123", "invalid_phone", "CA"),
        ("GB", "07797 712345", "country_not_allowed", "JE"),
        ("US", "876 555 1234", "country_not_allowed", "JM"),
        ("DE", "+33 6 12 34 56 78", "country_not_allowed", "FR"),
    ],
)
def test_a_number_of_another_country_names_it(country, number, code, belongs_to):
    with pytest.raises(Refusal) as refusal:
        parse(country, number, ALLOWED)
    assert (refusal.value.code, refusal.value.extra) == (code, {"cause": "other_country", "country": belongs_to})


@pytest.mark.parametrize(("country", "number"), [("DE", "030 123456"), ("US", "900 555 1234"), ("DE", "110")])
def test_a_number_of_no_cell_phone_names_no_other_country(country, number):
    with pytest.raises(Refusal) as refusal:
        parse(country, number, ALLOWED)
    assert (refusal.value.code, refusal.value.extra) == ("invalid_phone", {})


@given(st.text(max_size=40))
def test_hostile_text_is_refused_or_a_number_of_the_country(text):
    try:
        e164 = parse("DE", text, ALLOWED).e164
    except Refusal:
        return
    assert e164.startswith("+49")


@pytest.mark.parametrize("e164", ["+4915123456789", "+14155550100", "+447400123456"])
def test_what_was_allowed_is_texted_while_it_is(e164):
    require_reachable(PhoneNumber(e164), Channel.SMS, ALLOWED)


@pytest.mark.parametrize(
    "e164",
    [
        "+8613912345678",  # a country that is no longer on the list
        "+18765551234",
        "+449098790123",  # premium
        "+9991234567",  # nobody's
        "+4930123456",
    ],
)
def test_what_is_not_allowed_any_more_is_not_texted(e164):
    with pytest.raises(Refusal) as refusal:
        require_reachable(PhoneNumber(e164), Channel.SMS, ALLOWED)
    assert (refusal.value.code, refusal.value.extra) == ("sms_unavailable", {"cause": "country"})


@pytest.mark.parametrize(
    ("country", "number", "reached_by"),
    [
        ("DE", "030 123456", {Channel.CALL}),
        ("DE", "01512 3456789", {Channel.SMS, Channel.CALL}),
        ("FR", "06 12 34 56 78", {Channel.CALL}),  # called, and not texted
        ("US", "415 555 0100", {Channel.SMS}),
    ],
)
def test_a_landline_takes_calls_alone(country, number, reached_by):
    phone = parse(country, number, CALLED)
    assert channels(phone, CALLED) == reached_by
    for channel in set(Channel) - reached_by:
        with pytest.raises(Refusal) as refusal:
            require_reachable(phone, channel, CALLED)
        assert (refusal.value.code, refusal.value.extra) == ("sms_unavailable", {"cause": "country"})


@pytest.mark.parametrize(
    ("country", "number"),
    [
        ("DE", "0900 1234567"),  # premium
        ("DE", "0180 1234567"),  # shared cost
        ("DE", "032 12345678"),  # VoIP
        ("DE", "0700 12345678"),  # personal
        ("DE", "0800 1234567"),
        ("US", "900 555 1234"),
        ("GB", "020 7946 0018"),  # a landline where nobody is called
    ],
)
def test_what_toll_fraud_earns_from_is_not_called(country, number):
    with pytest.raises(Refusal) as refusal:
        parse(country, number, CALLED)
    assert refusal.value.code == "invalid_phone"
