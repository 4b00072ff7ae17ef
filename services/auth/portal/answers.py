"""What a page says to a refusal, and beside which field: one table for the forms and for the scripts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.auth.portal.texts import Texts
from shared.problems import Refusal
from shared.texts.cldr import country_name

# By code, or by code and cause. A form that has no such field shows it above its button.
FIELD_OF: Mapping[str, str] = {
    "invalid_credentials": "password",
    "invalid_credentials_current": "current_password",
    "invalid_passcode": "code",
    "second_factor_locked": "code",
    "too_many_requests_guessing": "code",
    "enrollment_word_required": "word",
    "invalid_enrollment_word": "word",
    "password_too_weak": "new_password",
    "invalid_phone": "number",
    "country_not_allowed": "country",
    "country_not_allowed_other_country": "number",
    "wrong_words": "code",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Errors by field, one for the whole form, and by how much the clock is off that made a code wrong."""

    fields: Mapping[str, str] = field(default_factory=dict)
    form: str | None = None
    clock: str | None = None


def answer(texts: Texts, refusal: Refusal) -> Answer:
    """A refusal in the reader's words."""
    if refusal.code == "validation_failed":
        named, cause = refusal.extra.get("errors") or {}, refusal.extra.get("cause")
        return Answer({name: _invalid(texts, name, cause) for name in named})
    skew = refusal.extra.get("clock_skew_seconds")
    if isinstance(skew, int):
        clock = texts("clock.fast" if skew > 0 else "clock.slow", amount=duration(texts, abs(skew)), seconds=abs(skew))
        return Answer({"code": _with_tries_left(texts, texts("clock.wrong_code"), refusal)}, clock=clock)
    key, closer = f"problem.{refusal.code}", f"problem.{refusal.code}_{refusal.extra.get('cause')}"
    key = closer if closer in texts else key
    region = refusal.extra.get("country")
    country = country_name(region, texts.language) if isinstance(region, str) else None
    places = {"country": country, "time": refusal.extra.get("begun_at")}
    sentence = texts(key, **places) if key in texts else refusal.detail
    sentence = _with_tries_left(texts, sentence, refusal)
    if refusal.retry_after_seconds is not None:
        sentence = f"{sentence} {texts('form.retry_after', time=duration(texts, refusal.retry_after_seconds))}"
    name = FIELD_OF.get(closer.removeprefix("problem.")) or FIELD_OF.get(refusal.code)
    return Answer({name: sentence}) if name else Answer(form=sentence)


def _with_tries_left(texts: Texts, sentence: str, refusal: Refusal) -> str:
    key = f"form.tries_left_{refusal.extra.get('tries_left')}"
    return f"{sentence} {texts(key)}" if key in texts else sentence


def _invalid(texts: Texts, name: str, cause: object) -> str:
    keys = (f"invalid.{name}_{cause}", f"invalid.{name}", "problem.validation_failed")
    return texts(next(key for key in keys if key in texts))


def duration(texts: Texts, seconds: int) -> str:
    """As people say it: ``2 min 30 s``, ``45 s``, ``1 h 5 min``."""
    hours, minutes, rest = seconds // 3600, seconds % 3600 // 60, seconds % 60
    parts = [(hours, "unit.hours"), (minutes, "unit.minutes"), (0 if hours else rest, "unit.seconds")]
    said = [texts(unit, n=n) for n, unit in parts if n]
    if len(said) == 2:  # never three, because hours leave the seconds out
        return texts("unit.both", first=said[0], second=said[1])
    return said[0] if said else texts("unit.seconds", n=0)
