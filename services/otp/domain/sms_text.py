"""The SMS passcode, its reference and the text around them."""

import secrets
from datetime import timedelta

from services.otp.domain.passcode import DIGITS, Passcode
from shared.messages import CODE_LIVES_FOR
from shared.texts import catalogue
from shared.texts.languages import ours
from shared.texts.sms_alphabet import plainest

LIVES_FOR = CODE_LIVES_FOR
# No text is handed to a carrier in the last half minute: it would reach a person who hasn't the time left to type it.
LAST_USEFUL_SEND = timedelta(seconds=30)
# Consonants that look like no digit and like no other letter; without vowels they spell no word either.
REFERENCE_ALPHABET = "BCDFGHJKMNPQRTVWXY"
REFERENCE_LENGTH = 4
TEXTS = catalogue.read("codes.toml")["sms.code"]


def new_passcode() -> Passcode:
    """Six digits from the CSPRNG (ASVS 6.5.4: at least 20 bits; NIST §3.1.3.2: six digits)."""
    return Passcode(f"{secrets.randbelow(10**DIGITS):0{DIGITS}}")


def new_reference() -> str:
    """Four letters that stand on the page and in the text, so that a user knows which text answers which request."""
    return "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(REFERENCE_LENGTH))


def render(issuer: str, host: str, passcode: Passcode, reference: str, language: str | None = None) -> str:
    """The text in this language, or in English if it is not one of ours.

    Its last line binds the code to our site (WICG sms-one-time-codes): ``@host #code``, nothing else.
    """
    minutes = int(LIVES_FOR.total_seconds()) // 60
    values = {"sender": issuer, "code": passcode.digits, "reference": reference, "minutes": minutes}
    said = plainest(catalogue.fill(TEXTS[ours(language)], values, ours(language)))
    return f"{said}\n\n@{host} #{passcode.digits}"
