"""A sealed text is opened by the key that it was sealed to, and by no other of the same name."""

import base64
import os

import pytest
from nacl.public import PrivateKey

from shared.keys import KeyList
from shared.sealing import CannotOpen, seal, unseal


def make_keys(key_id="k1"):
    private = PrivateKey(os.urandom(32))
    pair = (bytes(private), bytes(private.public_key))
    return tuple(KeyList.parse(f"{key_id}:{base64.urlsafe_b64encode(raw).decode()}") for raw in pair)


def test_a_text_is_opened_again_and_again():
    private, public = make_keys()
    for text in ("one", "two"):
        assert unseal(private, seal(public.newest, text)) == text


def test_two_keys_of_one_id_are_two_keys():
    """As in a test process, and in one that reads a list anew."""
    pairs = [make_keys(), make_keys()]
    for _ in range(2):
        for private, public in pairs:
            assert unseal(private, seal(public.newest, "text")) == "text"
    with pytest.raises(CannotOpen):
        unseal(pairs[0][0], seal(pairs[1][1].newest, "text"))


def test_what_is_no_private_key_opens_nothing():
    _, public = make_keys()
    too_short = KeyList.parse(f"k1:{base64.urlsafe_b64encode(bytes(16)).decode()}", size_bytes=16)
    with pytest.raises(CannotOpen):
        unseal(too_short, seal(public.newest, "text"))
