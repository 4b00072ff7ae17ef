"""Every parser against anything: it reads, or it raises what it declares, and never anything else."""

import base64
import contextlib
import json
import urllib.parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.public import PrivateKey

from services.auth import history, pages, phone_numbers
from services.auth.domain.browsers import describe
from services.auth.domain.network import client_address, networks_of
from services.auth.domain.reach import Reach
from services.auth.password_strength import assess
from services.auth.settings import AuthSettings
from services.otp import qr
from services.otp.domain.attempt import parse_code
from services.otp.domain.passcode import Passcode
from services.otp.domain.recovery_code import RecoveryCode
from services.otp.key_uri import decode_secret, key_uri, new_secret
from shared.brokers import broker_of
from shared.clock import parse_rfc3339
from shared.envelope import Envelope, open_envelope
from shared.keys import Key, KeyList
from shared.messages import UnreadableMessage, batch_of, decode
from shared.phone import PhoneNumber
from shared.problems import Refusal
from shared.redis_client import connect
from shared.sealing import CannotOpen, seal, unseal
from shared.secret import Secret
from shared.settings import Environment, SettingsError, StoreSettings
from shared.store_urls import Sentinels
from tests.support import auth

NOTIFY = auth.NOTIFY_PRIVATE_KEYS
PUBLIC = Key("n1", Secret(bytes(PrivateKey(auth.NOTIFY_PRIVATE_KEY).public_key)))

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
)
TEXT = st.text(max_size=120)
ASCII = st.text(st.characters(max_codepoint=126), max_size=60)


def written(*pieces: str) -> st.SearchStrategy[str]:
    """Text of these pieces and others, as what comes near to being right is."""
    return st.lists(st.sampled_from(pieces) | ASCII | TEXT, max_size=8).map("".join)


def base64_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()


def a_url(url: str) -> None:
    """A URL that StoreSettings takes is one that its clients take."""
    env = Environment({"LATCHKEY_ENV": "development", "REDIS_URL": url, "BROKER_URL": url})
    stores = StoreSettings.read(env)
    env.done()
    connect(stores.state_url)
    broker_of(stores.broker_url.reveal(), 1.0)


MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["send_sms_code", "record_receipt", "two_factor.reset_approved"]) | JSON},
    optional={
        name: JSON | st.sampled_from(["2026-11-24T05:00:00Z", "0001-01-01T00:00:00+14:00"])
        for name in ("version", "id", "occurred_at", "message_id", "deadline", "account_id", "reset_id")
    },
)
ENVELOPES = st.fixed_dictionaries(
    dict.fromkeys(("account_id", "recipient", "subject", "body"), TEXT | JSON)
    | {"expires_at": st.just("2026-11-24T05:00:00Z") | JSON},
    optional={"more": JSON},
)

PARSERS = {  # the parser, what it may raise, and what it is given
    "passcode": (Passcode.parse, (), TEXT | written("0", "123456", "\n")),
    "recovery code": (RecoveryCode.parse, (), TEXT | written("0", "A1B2", "-", " ", "ı")),
    "any code": (parse_code, (), TEXT | written("0", "A1B2", "-", " ")),
    "base32 secret": (lambda text: decode_secret(Secret(text)), (ValueError,), TEXT | written("A", "7", "=", " ")),
    "E.164 number": (PhoneNumber, (ValueError,), TEXT | written("+", "49", "1512")),
    "dialled number": (
        lambda text: phone_numbers.parse("DE", text, Reach(frozenset({"DE", "US"}))),
        (Refusal,),
        TEXT | written("+49", "0", "1512", ";ext=", "tel:", ";phone-context=", "//"),
    ),
    "key list": (KeyList.parse, (ValueError,), TEXT | written("k1:", ",", "A" * 43, "=")),
    "user agent": (describe, (), TEXT | written("Firefox/", "Chrome/", "Windows", "Mac OS", " on ", "(", ")")),
    "client's address": (client_address, (), TEXT | written("10.", "1.2", "::", "ffff:", "%", "[", "]", ":80", '"')),
    "network": (networks_of, (), TEXT | written("10.", ".0", "::", "ffff:", "%", "/64")),
    "cursor": (pages.decode_cursor, (Refusal,), TEXT | TEXT.map(base64_of)),
    "timeline cursor": (history.read_cursor, (Refusal,), TEXT | written("9", "/", "att_1").map(base64_of)),
    "time": (parse_rfc3339, (ValueError,), TEXT | written("2026-11-24", "T05:00:00", "Z", "+23:59", "0001", "-")),
    "message": (decode, (UnreadableMessage,), JSON | MESSAGES),
    "batch": (batch_of, (), JSON),
    "sealed text": (lambda text: unseal(NOTIFY, text), (CannotOpen,), TEXT | written("n1.", "n2.", ".", "AAAA", "=")),
    "envelope": (
        lambda text: open_envelope(NOTIFY, seal(PUBLIC, text)),
        (CannotOpen,),
        st.text(st.characters(codec="utf-8"), max_size=60)
        | (JSON | ENVELOPES).map(json.dumps)
        | st.just("[" * 9000)
        | st.just("9" * 5000),
    ),
    "sentinels": (Sentinels.parse, (ValueError,), TEXT | written("sentinel://", "@", ":", "/main", "[", "]", ",", "1")),
    "store URL": (
        a_url,
        (SettingsError,),
        TEXT | written("redis://", "rediss://", "amqp://", "sentinel://", "@", ":", "/", "[", "]", "?db=", "1", "h"),
    ),
    "whole number": (
        lambda text: (env := Environment({"N": text})).integer("N") or env.done(),
        (SettingsError,),
        TEXT | written("0", "9" * 5000, "-", "_", "١"),
    ),
    "public origin": (
        lambda text: AuthSettings.from_env(Environment({**auth.ENVIRONMENT, "PUBLIC_ORIGIN": text})),
        (SettingsError,),
        st.just("http://[") | TEXT | written("http://", "https://", "[", "]", ":", "a.example", "/", "@"),
    ),
    "password": (lambda text: assess(text, [text[:9], "ann@example.com"]), (), st.text(max_size=140)),
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_raises_what_it_declares_and_nothing_else(name):
    parse, declared, given_text = PARSERS[name]

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(given_text)
    def holds(text):
        with contextlib.suppress(*declared):
            parse(text)

    holds()


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=128) | st.just("0" * 123))
def test_any_label_makes_a_qr_code(label):
    assert qr.svg(key_uri(new_secret(), issuer="Latchkey", label=label)).startswith("<svg")


@given(ENVELOPES)
@settings(max_examples=100, deadline=None)
def test_an_envelope_that_opens_has_the_types_it_says(members):
    try:
        opened = open_envelope(NOTIFY, seal(PUBLIC, json.dumps(members)))
    except CannotOpen:
        return
    assert isinstance(opened, Envelope)
    assert all(isinstance(value, str) for value in (opened.account_id, opened.recipient, opened.body))
    assert opened.subject is None or isinstance(opened.subject, str)


@given(st.text(alphabet="pw/?#@:[] %é", min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_a_fault_in_a_store_url_shows_no_piece_of_its_password(password):
    said = ""
    try:
        a_url(f"redis://user:s3cret{password}tail@host:6379/0")
    except SettingsError as error:
        said = str(error)
    assert "s3cret" not in said
    assert "tail" not in said
    a_url(f"redis://user:{urllib.parse.quote('s3cret' + password, safe='')}@host:6379/0")
