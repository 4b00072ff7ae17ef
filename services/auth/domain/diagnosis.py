"""Why an account's owner can't get in: facts in, findings out, without I/O.

CAUSES is the table: one row per cause, each with a test of the facts. The longest-lasting cause comes first, because it
decides when the owner can log in. The first finding is the answer; the others are true as well.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import takewhile

from services.auth.domain.diagnosis_facts import Code, Facts, Password, Text
from services.auth.domain.hold import Held, LiftedBy
from services.auth.domain.network import networks_of

LAST_CODES = 5  # the wrong codes that a clock is judged by
AGREEING_CODES = 2  # as many different codes as the clock coach wants (otp), so that one slow typist is no wrong clock
AGREES_WITHIN_SECONDS = 60  # a code may be entered at the end of its time, and the next one at the beginning


class Cause(StrEnum):
    """What is in the way. Those that are named like a Held are that hold."""

    STOLEN = "stolen"
    CODES_EVERYWHERE = Held.CODES_ALL.value
    CODES_NEW = Held.CODES_NEW.value
    MUST_ENROLL = "must_enroll"
    CLOCK_FAST = "clock_fast"
    CLOCK_SLOW = "clock_slow"
    CODES_BRAKED = Held.CODES_BRAKED.value
    CODES_LOGIN = Held.CODES_LOGIN.value
    PASSWORDS_NEW = Held.PASSWORDS_NEW.value
    PASSWORDS_KNOWN = Held.PASSWORDS_KNOWN.value
    TEXT_NOT_DELIVERED = "text_not_delivered"
    TEXT_LATE = "text_late"
    TEXT_REFUSED = "text_refused"
    BACKUP_CODE_SPENT = "backup_code_spent"
    CODE_REPLAYED = "code_replayed"
    WRONG_CODES = "wrong_codes"
    WRONG_PASSWORDS = "wrong_passwords"
    TEXT_UNCONFIRMED = "text_unconfirmed"
    STOPPED_AT_CODE = "stopped_at_code"
    PASSWORDS_STEP_UP = Held.PASSWORDS_STEP_UP.value
    CODES_PHONE = Held.CODES_PHONE.value
    CODES_ENROLLMENT = Held.CODES_ENROLLMENT.value
    NOTHING = "nothing"
    NO_LOGIN_YET = "no_login_yet"


class Help(StrEnum):
    """What to do, besides what lifts a hold (LiftedBy)."""

    FINISH_RESET = "finish_reset"
    ENROLL = "enroll"
    SET_CLOCK = "set_clock"
    APP_CODE = "app_code"
    TEXT = "text"
    CHECK_NUMBER = "check_number"
    SWITCH_ON = "switch_on"
    OPT_IN = "opt_in"
    WAIT_FOR_TEXT = "wait_for_text"
    OTHER_BACKUP_CODE = "other_backup_code"
    NEXT_CODE = "next_code"
    RIGHT_ENTRY = "right_entry"
    CHECK_PASSWORD = "check_password"  # noqa: S105 - no password


Ways = tuple[Help | LiftedBy, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, what to do about it in the order of a page, and the facts that its sentence names."""

    cause: Cause
    helps: Ways = ()
    since: datetime | None = None
    until: datetime | None = None
    wrong_codes: int | None = None
    of_codes: int | None = None
    wrong_passwords: int | None = None
    networks: int | None = None
    clock_skew_seconds: int | None = None
    phone_hint: str | None = None
    reason: str | None = None
    last_login_at: datetime | None = None


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """What is in the way, each cause at most once. The first one is the answer, also where it is Cause.NOTHING."""
    found = {cause: finding for cause, test in CAUSES.items() if (finding := test(facts)) is not None}
    told = tuple(finding for cause, finding in found.items() if not _SAID_BY.get(cause, frozenset()) & found.keys())
    return told or (_nothing(facts),)


def _nothing(facts: Facts) -> Finding:
    if facts.last_login_at is None:
        return Finding(Cause.NO_LOGIN_YET)
    return Finding(Cause.NOTHING, last_login_at=facts.last_login_at)


# --- what lasts ------------------------------------------------------------------------------------------------------


def _stolen(facts: Facts) -> Finding | None:
    return Finding(Cause.STOLEN, (Help.FINISH_RESET,)) if facts.is_suspended else None


def _must_enroll(facts: Facts) -> Finding | None:
    return Finding(Cause.MUST_ENROLL, (Help.ENROLL,)) if facts.must_enroll and not facts.is_on else None


def _held(what: Held, facts: Facts) -> Finding | None:
    hold = next((one for one in facts.holds if one.what is what), None)
    if hold is None:
        return None
    finding = Finding(Cause(what.value), hold.lifted_by, until=hold.until)
    match what:
        case Held.CODES_ALL:
            return replace(finding, wrong_codes=facts.failures_in_all or None)
        case Held.CODES_NEW:
            return replace(
                finding, wrong_codes=facts.failures_of_strangers or None, networks=_networks(facts, _wrong(facts))
            )
        case Held.CODES_LOGIN if hold.until is not None:
            # No window of guesses is longer than a day.
            wrong = [code for code in _wrong(facts) if code.at > hold.until - timedelta(days=1)]
            return replace(finding, wrong_codes=len(wrong) or None, networks=_networks(facts, wrong))
        case _:
            return finding


def _wrong(facts: Facts) -> list[Code]:
    return [code for code in facts.codes if code.is_wrong and code.purpose == "login"]


def _networks(facts: Facts, codes: Iterable[Code]) -> int | None:
    """From how many networks these codes came: those of the passwords whose logins they answered."""
    tried = {code.challenge_id for code in codes} - {None}
    ips = {one.ip for one in facts.passwords if one.challenge_id in tried and one.ip is not None}
    return len({networks_of(ip).whole for ip in ips}) or None


# --- the clock -------------------------------------------------------------------------------------------------------


def _clock(cause: Cause, facts: Facts) -> Finding | None:
    """A clock is off when different codes agree by how much. A code that the app's clock got right ends it."""
    last = _last_wrong_codes(facts)
    off = [code for code in last if code.clock_skew_seconds]
    if not off:
        return None
    skew = off[0].clock_skew_seconds or 0
    agreeing = [code for code in off if abs((code.clock_skew_seconds or 0) - skew) <= AGREES_WITHIN_SECONDS]
    is_this = (skew > 0) is (cause is Cause.CLOCK_FAST)
    if not is_this or len({code.step for code in agreeing}) < AGREEING_CODES:
        return None
    return Finding(
        cause,
        (Help.SET_CLOCK, *_other_ways(facts)),
        since=agreeing[-1].at,
        clock_skew_seconds=skew,
        wrong_codes=len(agreeing),
        of_codes=len(last),
    )


def _last_wrong_codes(facts: Facts) -> list[Code]:
    """The newest wrong codes since the app last gave a right one."""
    since = takewhile(lambda code: not code.is_accepted("totp"), facts.codes)
    of_this_app = [code for code in since if code.is_wrong and _is_of_this_app(facts, code)]
    return of_this_app[:LAST_CODES]


def _is_of_this_app(facts: Facts, code: Code) -> bool:
    """Whether it was meant for the app in use, or for the one that is being set up."""
    if code.purpose == "enrollment":
        return not facts.is_on
    is_from_before = facts.factor_since is not None and code.at < facts.factor_since
    return facts.is_on and code.purpose in {"login", "step_up"} and not is_from_before


# --- texts -----------------------------------------------------------------------------------------------------------


def _unanswered_texts(facts: Facts) -> list[Text]:
    """The texts since one arrived in time, or since a code of the app or of a text was accepted."""
    if not facts.is_on or facts.phone_hint is None:
        return []
    accepted = [code.at for code in facts.codes if code.is_accepted("sms") or code.is_accepted("totp")]
    last_accepted = max(accepted, default=None)
    return list(
        takewhile(
            lambda text: not text.is_in_time and (last_accepted is None or text.requested_at > last_accepted),
            facts.texts,
        )
    )


def _text_not_delivered(facts: Facts) -> Finding | None:
    failed = [text for text in _unanswered_texts(facts) if text.is_failed]
    if not failed:
        return None
    reason = failed[0].reason or failed[0].status or ""
    helps: Ways = (*_OF_REASON.get(reason, ()), *_app(facts), *_backup_code(facts))
    return Finding(
        Cause.TEXT_NOT_DELIVERED,
        helps,
        since=failed[-1].requested_at,
        phone_hint=facts.phone_hint,
        reason=reason,
    )


_OF_REASON: Mapping[str, Ways] = {
    "number_refused": (Help.CHECK_NUMBER,),
    "landline": (Help.CHECK_NUMBER,),
    "number_unreachable": (Help.SWITCH_ON,),
    "unsubscribed": (Help.OPT_IN,),
}


def _text_late(facts: Facts) -> Finding | None:
    texts = _unanswered_texts(facts)
    late = [text for text in texts if text.is_late]
    if not late:
        return None
    helps: Ways = (*_app(facts), *_backup_code(facts))
    return Finding(Cause.TEXT_LATE, helps, since=late[0].requested_at, phone_hint=facts.phone_hint)


def _text_refused(facts: Facts) -> Finding | None:
    newest = facts.refused_texts[0] if facts.refused_texts else None
    is_answered = newest is not None and any(text.requested_at > newest.at for text in facts.texts)
    if newest is None or is_answered or not facts.is_since_login(newest.at):
        return None
    return Finding(
        Cause.TEXT_REFUSED,
        (*_app(facts), *_backup_code(facts)),
        since=newest.at,
        phone_hint=facts.phone_hint,
        reason=newest.cause,
    )


def _text_unconfirmed(facts: Facts) -> Finding | None:
    texts = _unanswered_texts(facts)
    is_last_word = bool(texts) and texts[0].is_under_way and facts.is_since_login(texts[0].requested_at)
    if not is_last_word:
        return None
    helps: Ways = (Help.WAIT_FOR_TEXT, *_app(facts), *_backup_code(facts))
    return Finding(Cause.TEXT_UNCONFIRMED, helps, since=texts[0].requested_at, phone_hint=facts.phone_hint)


# --- what was entered since the last login ---------------------------------------------------------------------------


def _codes(cause: Cause, facts: Facts) -> Finding | None:
    """Wrong codes at login; the newest says of which kind they are."""
    wrong = [code for code in _wrong(facts) if facts.is_since_login(code.at)]
    if not wrong or not facts.is_on or _KIND_OF.get(wrong[0].reason or "", Cause.WRONG_CODES) is not cause:
        return None
    helps: Mapping[Cause, Ways] = {
        Cause.BACKUP_CODE_SPENT: (Help.OTHER_BACKUP_CODE, *_app(facts), *_text(facts)),
        Cause.CODE_REPLAYED: (Help.NEXT_CODE,),
        Cause.WRONG_CODES: (Help.RIGHT_ENTRY, *_other_ways(facts), LiftedBy.RESET),
    }
    return Finding(cause, helps[cause], since=wrong[-1].at, wrong_codes=len(wrong), networks=_networks(facts, wrong))


_KIND_OF: Mapping[str, Cause] = {"spent": Cause.BACKUP_CODE_SPENT, "replayed": Cause.CODE_REPLAYED}


def _wrong_passwords(facts: Facts) -> Finding | None:
    tried = _passwords_since_login(facts)
    wrong = list(takewhile(lambda one: not one.is_right, tried))
    if not wrong:
        return None
    return Finding(Cause.WRONG_PASSWORDS, (Help.CHECK_PASSWORD,), since=wrong[-1].at, wrong_passwords=len(wrong))


def _stopped_at_code(facts: Facts) -> Finding | None:
    tried = _passwords_since_login(facts)
    entered = [code for code in facts.codes if code.purpose == "login" and facts.is_since_login(code.at)]
    if not facts.is_on or entered or not tried or not tried[0].is_right:
        return None
    helps: Ways = (*_app(facts), *_other_ways(facts), LiftedBy.RESET)
    return Finding(Cause.STOPPED_AT_CODE, helps, since=tried[0].at)


def _passwords_since_login(facts: Facts) -> list[Password]:
    return [one for one in facts.passwords if facts.is_since_login(one.at)]


# --- ways in ---------------------------------------------------------------------------------------------------------


def _backup_code(facts: Facts) -> Ways:
    return (LiftedBy.BACKUP_CODE,) if facts.backup_codes else ()


def _app(facts: Facts) -> Ways:
    """A code of the app, unless its clock is off."""
    is_off = _clock(Cause.CLOCK_FAST, facts) or _clock(Cause.CLOCK_SLOW, facts)
    return () if is_off else (Help.APP_CODE,)


def _text(facts: Facts) -> Ways:
    """A text, if there is a phone and texts reach it."""
    is_reached = not any(text.is_failed or text.is_late for text in _unanswered_texts(facts))
    return (Help.TEXT,) if facts.phone_hint is not None and is_reached else ()


def _other_ways(facts: Facts) -> Ways:
    """The ways in besides the app, for an account whose 2FA is on."""
    return (*_backup_code(facts), *_text(facts)) if facts.is_on else ()


def _held_row(what: Held) -> Callable[[Facts], Finding | None]:
    return partial(_held, what)


CAUSES: Mapping[Cause, Callable[[Facts], Finding | None]] = {
    Cause.STOLEN: _stolen,
    Cause.CODES_EVERYWHERE: _held_row(Held.CODES_ALL),
    Cause.CODES_NEW: _held_row(Held.CODES_NEW),
    Cause.MUST_ENROLL: _must_enroll,
    # A wait of minutes ends by itself, and the clock is still off then.
    Cause.CLOCK_FAST: partial(_clock, Cause.CLOCK_FAST),
    Cause.CLOCK_SLOW: partial(_clock, Cause.CLOCK_SLOW),
    Cause.CODES_BRAKED: _held_row(Held.CODES_BRAKED),
    Cause.CODES_LOGIN: _held_row(Held.CODES_LOGIN),
    Cause.PASSWORDS_NEW: _held_row(Held.PASSWORDS_NEW),
    Cause.PASSWORDS_KNOWN: _held_row(Held.PASSWORDS_KNOWN),
    Cause.TEXT_NOT_DELIVERED: _text_not_delivered,
    Cause.TEXT_LATE: _text_late,
    Cause.TEXT_REFUSED: _text_refused,
    Cause.BACKUP_CODE_SPENT: partial(_codes, Cause.BACKUP_CODE_SPENT),
    Cause.CODE_REPLAYED: partial(_codes, Cause.CODE_REPLAYED),
    Cause.WRONG_CODES: partial(_codes, Cause.WRONG_CODES),
    Cause.WRONG_PASSWORDS: _wrong_passwords,
    Cause.TEXT_UNCONFIRMED: _text_unconfirmed,
    Cause.STOPPED_AT_CODE: _stopped_at_code,
    # These refuse changes, not logins.
    Cause.PASSWORDS_STEP_UP: _held_row(Held.PASSWORDS_STEP_UP),
    Cause.CODES_PHONE: _held_row(Held.CODES_PHONE),
    Cause.CODES_ENROLLMENT: _held_row(Held.CODES_ENROLLMENT),
}

# The findings of the right side say more than the one of the left side, which is then left out.
_LOCKS = frozenset({Cause.CODES_EVERYWHERE, Cause.CODES_NEW})
_CLOCKS = frozenset({Cause.CLOCK_FAST, Cause.CLOCK_SLOW})
_TEXTS = frozenset({Cause.TEXT_NOT_DELIVERED, Cause.TEXT_LATE, Cause.TEXT_REFUSED, Cause.TEXT_UNCONFIRMED})
_SAID_BY: Mapping[Cause, frozenset[Cause]] = {
    Cause.CODES_LOGIN: _LOCKS,
    Cause.CODES_BRAKED: _LOCKS,
    Cause.TEXT_LATE: frozenset({Cause.TEXT_NOT_DELIVERED}),
    Cause.TEXT_UNCONFIRMED: frozenset({Cause.TEXT_NOT_DELIVERED, Cause.TEXT_LATE}),
    Cause.WRONG_CODES: _LOCKS | _CLOCKS | {Cause.CODES_LOGIN, Cause.CODES_BRAKED},
    Cause.WRONG_PASSWORDS: frozenset({Cause.PASSWORDS_NEW, Cause.PASSWORDS_KNOWN}),
    Cause.STOPPED_AT_CODE: _LOCKS | _TEXTS | {Cause.STOLEN, Cause.CODES_LOGIN, Cause.CODES_BRAKED},
}
