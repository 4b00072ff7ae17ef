"""What the owner is told: what happened, when, and what to do if it wasn't them. Never a secret or a full number.

The texts stand in notices.toml of shared/texts, in each language.

NIST SP 800-63B-4 §4.6 asks for notice on every channel with a way to repudiate; OWASP's MFA sheet for news of a right
password that met a wrong code. An SMS loses the accents that the GSM alphabet lacks (shared/texts/sms_alphabet.py).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

from services.auth.domain.account import Role
from services.auth.domain.browsers import DESCRIPTIONS, UNKNOWN
from shared.texts import catalogue
from shared.texts.catalogue import Catalogue, fill
from shared.texts.cldr import written
from shared.texts.languages import DEFAULT_LANGUAGE, LANGUAGES, direction, isolated
from shared.texts.sms_alphabet import plainest


class Kind(StrEnum):
    """The occasions for a notice."""

    TWO_FACTOR_ON = "two_factor_on"
    TWO_FACTOR_OFF = "two_factor_off"
    RESET_REQUESTED = "reset_requested"
    RESET_APPROVED_ONCE = "reset_approved_once"
    RESET_SCHEDULED = "reset_scheduled"
    RESET_STARTED = "reset_started"
    RESET_APPLIED = "reset_applied"
    RESET_CANCELLED = "reset_cancelled"
    RESET_ENDED = "reset_ended"
    NEW_ENROLLMENT_WORD = "new_enrollment_word"
    IDENTITY_PHONE = "identity_phone"
    IDENTITY_EMAIL = "identity_email"
    IDENTITY_OWNER = "identity_owner"
    OWNER_ASKED = "owner_asked"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_REGENERATED = "recovery_codes_regenerated"
    PHONE_CHANGED = "phone_changed"
    PHONE_REMOVED = "phone_removed"
    PHONE_SET_BY_TEAM_OWNER = "phone_set_by_team_owner"
    TRUSTED_DEVICE_ADDED = "trusted_device_added"
    PASSWORD_ACCEPTED = "password_accepted"  # noqa: S105 - an occasion
    CONFIRM_BROWSER = "confirm_browser"
    SECOND_FACTOR_FAILED = "second_factor_failed"
    SECOND_FACTOR_LOCKED = "second_factor_locked"
    SECOND_FACTOR_LOCKED_EVERYWHERE = "second_factor_locked_everywhere"
    UNLOCKED = "unlocked"
    ROLE_CHANGED = "role_changed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - an occasion
    LANGUAGE_CHANGED = "language_changed"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Notice:
    """A text for each channel."""

    subject: str
    email: str
    sms: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """A value of a notice that is made of phrases of the catalogue: none, one, or a list with a line for each."""

    keys: tuple[str, ...]
    values: Mapping[str, object] = field(default_factory=dict)
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class LanguageName:
    """A value of a notice: what the speakers of this language call it."""

    language: str


NOTHING = Phrase(())

CATALOGUE: Catalogue = catalogue.read("notices.toml")
# The parts of a notice whose text may have several lines.
PARAGRAPHS = frozenset({"happened", "act"})


@dataclass(frozen=True, slots=True)
class Wording:
    """A deployment's notices in one language: their texts, the name that signs mails, and the addresses of support."""

    language: str
    texts: Mapping[str, str]
    name: str
    support: tuple[str, ...] = ()

    def phrase(self, phrase: Phrase) -> str:
        """The sentences of a Phrase, as a mail has them."""
        return self._phrase(phrase, in_mail=True)

    def _phrase(self, phrase: Phrase, *, in_mail: bool) -> str:
        values = self._said(phrase.values, in_mail=in_mail)
        said = [self._fill(self.texts[f"phrase.{key}"], values) for key in phrase.keys]
        return "\n".join(f"- {sentence}" if phrase.is_list else sentence for sentence in said)

    def _said(self, values: Mapping[str, object], *, in_mail: bool) -> dict[str, str]:
        """The values as text. In a mail that is read from right to left, they keep a direction of their own.

        A URL does not, because a mail program would take the mark behind it for a part of it.
        """
        is_apart = in_mail and direction(self.language) == "rtl"
        said = {name: self._value(value, in_mail=in_mail) for name, value in values.items()}
        if is_apart:
            alone = [name for name, value in values.items() if not isinstance(value, Phrase) and name[-3:] != "url"]
            said |= {name: isolated(said[name]) for name in alone}
        return said

    def _value(self, value: object, *, in_mail: bool) -> str:
        match value:
            case Phrase():
                return self._phrase(value, in_mail=in_mail)
            case datetime():
                return written(value, self.language) if in_mail else in_sms(value)
            case Role():
                return self.texts[f"role.{value}"]
            case LanguageName():
                return LANGUAGES[value.language]
            case str() if value in DESCRIPTIONS:
                return self._browser(value)
        return _one_line(value) or self.texts["frame.unknown"]

    def _browser(self, described: str) -> str:
        name, _, system = described.partition(" on ")
        name = self.texts["frame.unknown"] if name == UNKNOWN else name
        return self._fill(self.texts["frame.browser"], {"name": name, "system": system}) if system else name

    def _fill(self, text: str, values: Mapping[str, object]) -> str:
        return fill(text, values, self.language)

    def _whole(self, key: str) -> str:
        """The text with its standing phrases; "" for one that the occasion does not have."""
        return _with_phrases(self.texts.get(key, ""), self.texts)

    def _signature(self, origin: str) -> Iterator[str]:
        yield from ("-- ", self.name, origin)
        if self.support:
            yield self._fill(self.texts["frame.support"], {"support": ", ".join(self.support)})

    def render(self, kind: Kind, *, origin: str, at: datetime, times: int = 1, **values: object) -> Notice:
        """The texts of an occasion, or of so many equal ones, of which ``at`` is the last.

        A value may be a text, a number, a Phrase, a Role, a LanguageName or a datetime. Raises KeyError when one of the
        values is missing: a programming error.
        """
        repeated = self._fill(self.texts["frame.repeated"], {"times": times}) if times > 1 else ""
        places = {"origin": origin, "site": origin.partition("://")[2]}
        mailed = {**self._said(values, in_mail=True), **places, "when": written(at, self.language) + repeated}
        texted = {**self._said(values, in_mail=False), **places, "when": in_sms(at) + repeated}
        happened, act, sms = (self._whole(f"{kind}.{part}") for part in ("happened", "act", "sms"))
        body = "\n\n".join(self._fill(text, mailed) for text in (happened, self.texts["frame.when"], act))
        signature = "\n".join(self._signature(origin))
        return Notice(
            self.texts[f"{kind}.subject"] + repeated,
            f"{body}\n\n{signature}\n",
            plainest(self._fill(sms if "{when}" in sms else f"{sms}{repeated}", texted)),
        )


def wordings(texts: Catalogue, name: str, support: tuple[str, ...] = ()) -> Mapping[str, Wording]:
    """A deployment's notices, by language."""
    return {
        language: Wording(language, cast("dict[str, str]", catalogue.in_language(texts, language)), name, support)
        for language in LANGUAGES
    }


_STANDING = ("not_you", "never", "cancel", "tell_support")


def _with_phrases(text: str, texts: Mapping[str, str]) -> str:
    for name in _STANDING:
        text = text.replace(f"{{{name}}}", texts[f"phrase.{name}"])
    return text


_VALUE_MAX = 200
_NOT_PRINTABLE = re.compile(r"[^ -~]+")
_TEXTS = cast("dict[str, str]", catalogue.in_language(CATALOGUE, DEFAULT_LANGUAGE))

# One thief may come from many addresses. A notice stands for all of them, and names the last one.
FROM_ANYWHERE = frozenset({Kind.PASSWORD_ACCEPTED})
# Each notice of these has a link of its own, so none of them stands for another.
HAS_LINK = frozenset(
    kind
    for kind in Kind
    if any("_url}" in _with_phrases(_TEXTS.get(f"{kind}.{part}", ""), _TEXTS) for part in ("happened", "act", "sms"))
)


def in_sms(at: datetime) -> str:
    """``2026-11-24 05:00 UTC``: short, in the GSM alphabet, and the same in every language."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _one_line(value: object) -> str:
    """A browser names itself as it likes: it must not write paragraphs of its own into our message."""
    return _NOT_PRINTABLE.sub(" ", str(value)).strip()[:_VALUE_MAX]
