"""Secrets at rest, and that none of them leaks."""

import logging
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode

from services.otp import qr
from services.otp.authenticators import import_active
from services.otp.domain.sealed import Sealed
from services.otp.key_uri import decode_secret, new_secret
from services.otp.secrets_box import SecretBox
from shared.keys import KeyList, encode_key
from shared.problems import Refusal, Unavailable
from shared.secret import Secret
from tests.support.otp import ACCOUNT, World

BOTH = KeyList.parse(f"k2:{encode_key(b'2' * 32)},k1:{encode_key(b'1' * 32)}")


@given(st.binary(min_size=14, max_size=64), st.text(max_size=20), st.text(max_size=20))
def test_what_was_sealed_opens(material, account, authenticator):
    box = SecretBox(BOTH)
    assert box.open(box.seal(Secret(material), account, authenticator), account, authenticator).reveal() == material


@pytest.mark.parametrize(("account", "authenticator"), [("b", "1"), ("a", "2")])
def test_it_opens_for_its_own_row_only(account, authenticator):
    box = SecretBox(BOTH)
    with pytest.raises(Unavailable):
        box.open(box.seal(Secret(b"x" * 20), "a", "1"), account, authenticator)


def test_no_two_seals_are_alike():
    box = SecretBox(BOTH)
    assert box.seal(Secret(b"x" * 20), "a", "1") != box.seal(Secret(b"x" * 20), "a", "1")


def test_an_altered_text_does_not_open():
    box = SecretBox(BOTH)
    sealed = box.seal(Secret(b"x" * 20), "a", "1")
    altered = Sealed(sealed.key_id, sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1]))
    with pytest.raises(Unavailable):
        box.open(altered, "a", "1")


@pytest.mark.parametrize("text", ["", "A", "0189", "GEZDGNBVGY3TQOJQ", "GEZDGNBVGY3TQOJQGEZDG!", "é" * 32])
def test_no_secret_that_is_short_or_not_base32(text):
    with pytest.raises(ValueError, match="the secret is") as caught:
        decode_secret(Secret(text))
    assert not text or text not in str(caught.value)


def test_a_new_secret_has_160_bits_and_is_random():
    secrets = [new_secret() for _ in range(50)]
    assert all(len(decode_secret(secret).reveal()) == 20 for secret in secrets)
    assert len({secret.reveal() for secret in secrets}) == 50


def test_import_refuses_a_second_active_one(world: World):
    world.enrol()
    with pytest.raises(Refusal, match="two_factor_already_on"):
        import_active(
            world.database, world.deps.secret_box, world.clock, account_id=ACCOUNT, label="x", base32=new_secret()
        )


def test_the_svg_shows_the_code_dark_on_white_with_a_quiet_zone():
    uri = "otpauth://totp/Latchkey:ann?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Latchkey"
    root = ET.fromstring(qr.svg(uri))  # noqa: S314 - our own
    size = int(root.attrib["viewBox"].split()[2])
    white, dark = root.findall("{http://www.w3.org/2000/svg}path")
    assert (white.attrib["fill"], dark.attrib["fill"]) == ("#fff", "#000")
    assert white.attrib["d"] == f"M0 0h{size}v{size}h-{size}z"
    drawn = {
        (int(x) + step, int(y))
        for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", dark.attrib["d"])
        for step in range(int(width))
    }
    code = QRCode(error_correction=ERROR_CORRECT_M, border=4)
    code.add_data(uri, optimize=0)
    matrix = code.get_matrix()
    assert drawn == {(x, y) for y, row in enumerate(matrix) for x, is_dark in enumerate(row) if is_dark}
    assert all(4 <= x < size - 4 and 4 <= y < size - 4 for x, y in drawn)


def test_nothing_secret_is_logged_or_returned_in_an_error(world: World, caplog, capsys, notify_keys):
    from shared.envelope import open_envelope

    caplog.set_level(logging.DEBUG)
    world.enrol()
    recovery = world.give_recovery_codes()[0]
    message_id = world.send_sms().json["message_id"]
    sms = open_envelope(notify_keys, world.redis.get(f"notify:sealed:{message_id}")).body[-6:]
    totp = world.code(5)
    planted = {recovery, recovery.replace("-", ""), sms, totp, "79123456", world.secrets[ACCOUNT].reveal().hex()}
    bodies = [
        world.verify(totp).text,
        world.verify(f"{totp}0").text,
        world.verify(sms, binding="chl_2").text,
        world.verify(recovery, purpose="phone_verification").text,
        world.account("POST", "enrollments/enr_x/confirm", {"code": totp}).text,
        world.account("POST", "sms-challenges", {"phone": "+4179123456x", "purpose": "login", "binding": "b"}).text,
    ]
    world.sql("ALTER TABLE authenticators RENAME TO gone")
    bodies += [world.verify(totp).text, world.account("POST", "enrollments", {"label": "x"}).text]
    printed = capsys.readouterr()
    everything = "\n".join([*bodies, caplog.text, printed.out, printed.err])
    assert [text for text in planted if text in everything] == []


def test_deps_and_settings_do_not_print_keys(world: World):
    printed = repr(world.settings) + repr(world.deps)
    assert "***" in printed
    assert encode_key(b"2" * 32) not in printed
    assert "2" * 32 not in printed
