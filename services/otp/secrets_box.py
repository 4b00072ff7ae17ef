"""Shared secrets at rest: AES-256-GCM, bound to account and authenticator, under a key list that rotates online."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.otp.domain.sealed import Sealed
from services.otp.domain.totp import SharedSecret
from shared.keys import KeyList
from shared.problems import Unavailable
from shared.secret import Secret

NONCE_BYTES = 12  # NIST SP 800-38D §8.2.2; random, which is safe for 2^32 secrets a key


class SecretBox:
    """Seals under the newest key, opens under all."""

    def __init__(self, keys: KeyList) -> None:
        self._newest = keys.newest.id
        self._ciphers = {key.id: AESGCM(key.material.reveal()) for key in keys}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys that can be opened with, newest first."""
        return tuple(self._ciphers)

    @property
    def newest_key_id(self) -> str:
        """The key that new secrets are sealed under."""
        return self._newest

    def seal(self, secret: SharedSecret, account_id: str, authenticator_id: str) -> Sealed:
        """Encrypt for exactly this authenticator of this account: moved to another row, it does not open."""
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._ciphers[self._newest]
        sealed = cipher.encrypt(nonce, secret.reveal(), _belongs_to(account_id, authenticator_id))
        return Sealed(self._newest, nonce + sealed)

    def open(self, sealed: Sealed, account_id: str, authenticator_id: str) -> SharedSecret:
        """The secret. Raises Unavailable: a key that is missing here or a damaged row is no wrong code."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise Unavailable("authenticator key")
        nonce, body = sealed.ciphertext[:NONCE_BYTES], sealed.ciphertext[NONCE_BYTES:]
        try:
            return Secret(cipher.decrypt(nonce, body, _belongs_to(account_id, authenticator_id)))
        except InvalidTag as error:
            raise Unavailable("authenticator key") from error

    def renewed(self, sealed: Sealed, secret: SharedSecret, account_id: str, authenticator_id: str) -> Sealed | None:
        """The same secret under the newest key; None when that is what holds it."""
        return None if sealed.key_id == self._newest else self.seal(secret, account_id, authenticator_id)


def _belongs_to(account_id: str, authenticator_id: str) -> bytes:
    return f"{account_id}\n{authenticator_id}".encode()
