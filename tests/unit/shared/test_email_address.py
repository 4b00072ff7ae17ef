"""Which spellings are one address, and which one a mail carries."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.email_address import email_key, why_not_mailable, with_ascii_domain


@pytest.mark.parametrize(
    "spelling",
    [
        "ann@bücher.example",
        "Ann@BÜCHER.Example",
        " ann@xn--bcher-kva.example",
        "ANN@XN--BCHER-KVA.EXAMPLE",
        unicodedata.normalize("NFD", "ann@bücher.example"),
        "ａｎｎ@bücher。example",
    ],
)
def test_these_are_one_address(spelling):
    assert email_key(spelling) == "ann@xn--bcher-kva.example"


def test_a_sharp_s_is_another_domain_than_two():
    assert email_key("a@straße.example") == email_key("a@xn--strae-oqa.example") != email_key("a@strasse.example")


@given(st.text(max_size=60))
def test_any_text_before_an_ascii_domain_is_folded(text):
    assert email_key(f"a{text}@example.com") == unicodedata.normalize("NFKC", f"a{text}@example.com").casefold()


@given(st.from_regex(r"[a-z0-9.!+]{1,20}@([a-zA-Z0-9-]{1,20}\.){1,3}[a-z]{2,6}", fullmatch=True))
def test_an_ascii_address_has_the_key_of_earlier_releases(address):
    assert email_key(address) == unicodedata.normalize("NFKC", address.strip()).casefold()


def test_a_mail_carries_a_labels():
    assert with_ascii_domain("Ann@Bücher.example") == "Ann@xn--bcher-kva.example"
    assert with_ascii_domain("Ann@Example.com") == "Ann@Example.com"
    assert with_ascii_domain("nobody") == "nobody"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("jörg@example.com", "ASCII"),
        ("a@☃.example", "domain"),
        ("a@bücher..example", "domain"),
        (f"a@{'ü' * 64}.example", "domain"),
        (f"{'a' * 243}@example.com", "254"),
        (f"{'a' * 60}@{'.'.join(['ü' * 40] * 4)}.example", "254"),
    ],
)
def test_what_no_mail_reaches_is_told_with_the_reason(address, says):
    assert says in why_not_mailable(address)


@pytest.mark.parametrize("address", ["ann@example.com", "ann@bücher.example", f"{'a' * 242}@example.com"])
def test_what_a_mail_reaches(address):
    assert why_not_mailable(address) is None
