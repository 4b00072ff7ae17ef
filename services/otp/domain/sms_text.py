"""The SMS passcode, its reference and the text around them."""

import secrets
from datetime import timedelta

from services.otp.domain.passcode import DIGITS, Passcode

LIVES_FOR = timedelta(minutes=5)  # NIST SP 800-63B-4 §3.1.3.2 allows ten
# No text is handed to a carrier in the last half minute: it would reach a person who hasn't the time left to type it.
LAST_USEFUL_SEND = timedelta(seconds=30)
# Consonants that look like no digit and like no other letter; without vowels they spell no word either.
REFERENCE_ALPHABET = "BCDFGHJKMNPQRTVWXY"
REFERENCE_LENGTH = 4


def new_passcode() -> Passcode:
    """Six digits from the CSPRNG (ASVS 6.5.4: at least 20 bits; NIST §3.1.3.2: six digits)."""
    return Passcode(f"{secrets.randbelow(10**DIGITS):0{DIGITS}}")


def new_reference() -> str:
    """Four letters that stand on the page and in the text, so that a user knows which text answers which request."""
    return "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(REFERENCE_LENGTH))


def render(issuer: str, host: str, passcode: Passcode, reference: str) -> str:
    """The text. Its last line binds the code to our site (WICG sms-one-time-codes): ``@host #code``, nothing else."""
    minutes = int(LIVES_FOR.total_seconds()) // 60
    return (
        f"Your {issuer} code is {passcode.digits} (ref {reference}). "
        f"It expires in {minutes} minutes. Don't share it.\n\n"
        f"@{host} #{passcode.digits}"
    )
