"""A code's sealed text as otp leaves it for notify, and what of it is signed.

Without a signature, anyone with notify's public key could have any text sent to any number.
"""

from dataclasses import dataclass
from datetime import datetime

from shared.clock import unix_milliseconds
from shared.messages import OTP, compact
from shared.signing import Signer, Verifier

_KIND = "sms_code"  # the kind that is signed, so that a code's text never serves as anything else


@dataclass(frozen=True, slots=True)
class SealedText:
    """A sealed text with its sender's signature over it, its message id and its deadline."""

    sealed: str
    deadline: datetime
    signature: str

    @classmethod
    def sign(cls, signer: Signer, message_id: str, sealed: str, deadline: datetime) -> "SealedText":
        """Sign a sealed text, as otp leaves it for notify."""
        return cls(sealed, deadline, signer.sign(_KIND, _signed(message_id, sealed, deadline)))

    def require_sender(self, verifier: Verifier, message_id: str) -> None:
        """Raise SignatureRefused unless otp signed this text, as a code, under this id and with this deadline."""
        verifier.require(OTP, _KIND, _signed(message_id, self.sealed, self.deadline), self.signature)


def _signed(message_id: str, sealed: str, deadline: datetime) -> str:
    return compact([message_id, unix_milliseconds(deadline), sealed])
