"""What the owner is told: what happened, when, and what to do if it wasn't them. Never a secret or a full number.

The texts stand in notices.toml.

NIST SP 800-63B-4 §4.6 asks for notice on every channel with a way to repudiate; OWASP's MFA sheet for news of a right
password that met a wrong code. SMS texts keep to the GSM alphabet: one other character halves what a segment holds.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.resources import files

from services.auth.domain import catalogue
from services.auth.domain.catalogue import Catalogue, fill


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


NOTHING = Phrase(())

CATALOGUE: Catalogue = catalogue.parse(files(__package__).joinpath("notices.toml").read_text("utf-8"))
LANGUAGE = "en"
# The parts of a notice whose text may have several lines.
PARAGRAPHS = frozenset({"happened", "act"})


@dataclass(frozen=True, slots=True)
class Wording:
    """How a deployment speaks: its texts by key, the name that signs its mails, and where its support is."""

    texts: Mapping[str, str]
    name: str
    support: tuple[str, ...] = ()

    def phrase(self, phrase: Phrase) -> str:
        """The phrases of the value."""
        values = {name: _one_line(value) for name, value in phrase.values.items()}
        said = [fill(self.texts[f"phrase.{key}"], values) for key in phrase.keys]
        return "\n".join(f"- {sentence}" if phrase.is_list else sentence for sentence in said)

    def _whole(self, key: str) -> str:
        """The text with its standing phrases; "" for one that the occasion does not have."""
        return _with_phrases(self.texts.get(key, ""), self.texts)

    def _signature(self, origin: str) -> Iterator[str]:
        yield from ("-- ", self.name, origin)
        if self.support:
            yield fill(self.texts["frame.support"], {"support": ", ".join(self.support)})

    def render(self, kind: Kind, *, origin: str, at: datetime, times: int = 1, **values: object) -> Notice:
        """The texts of an occasion, or of so many equal ones, of which ``at`` is the last.

        Raises KeyError when one of its values is missing: a programming error.
        """
        repeated = fill(self.texts["frame.repeated"], {"times": times}) if times > 1 else ""
        known = {
            **{name: self.phrase(one) if isinstance(one, Phrase) else _one_line(one) for name, one in values.items()},
            "origin": origin,
            "site": origin.partition("://")[2],
            "when": written(at) + repeated,
        }
        happened, act, sms = (self._whole(f"{kind}.{part}") for part in ("happened", "act", "sms"))
        body = "\n\n".join(fill(text, known) for text in (happened, self.texts["frame.when"], act))
        signature = "\n".join(self._signature(origin))
        return Notice(
            self.texts[f"{kind}.subject"] + repeated,
            f"{body}\n\n{signature}\n",
            fill(sms if "{when}" in sms else f"{sms}{repeated}", known),
        )


_STANDING = ("not_you", "never", "cancel", "tell_support")


def _with_phrases(text: str, texts: Mapping[str, str]) -> str:
    for name in _STANDING:
        text = text.replace(f"{{{name}}}", texts[f"phrase.{name}"])
    return text


_VALUE_MAX = 200
_NOT_PRINTABLE = re.compile(r"[^ -~]+")
_TEXTS = catalogue.in_language(CATALOGUE, LANGUAGE)

# One thief may come from many addresses. A notice stands for all of them, and names the last one.
FROM_ANYWHERE = frozenset({Kind.PASSWORD_ACCEPTED})
# Each notice of these has a link of its own, so none of them stands for another.
HAS_LINK = frozenset(
    kind
    for kind in Kind
    if any("_url}" in _with_phrases(_TEXTS.get(f"{kind}.{part}", ""), _TEXTS) for part in ("happened", "act", "sms"))
)


def written(at: datetime) -> str:
    """``2026-11-24 05:00 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _one_line(value: object) -> str:
    """A browser names itself as it likes: it must not write paragraphs of its own into our message."""
    return _NOT_PRINTABLE.sub(" ", str(value)).strip()[:_VALUE_MAX] or "unknown"
