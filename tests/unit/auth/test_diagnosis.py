"""Why the owner can't get in: one test a cause of domain/diagnosis.py, and the laws of the table."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.diagnosis import CAUSES, Cause, Finding, Help, diagnose
from services.auth.domain.diagnosis_facts import Code, Facts, Password, RefusedText, Text
from services.auth.domain.hold import Held, Hold, LiftedBy
from shared.delivery import DeliveryStatus
from shared.delivery_reasons import DeliveryReason
from tests.support.clock import NOW

HINT = "+*********2671"
ON = Facts(is_on=True, backup_codes=7, phone_hint=HINT, last_login_at=NOW - timedelta(hours=2))


def ago(**passed):
    return NOW - timedelta(**passed)


def wrong(minutes, reason="wrong", *, skew=None, purpose="login", login="chl_1"):
    return Code(ago(minutes=minutes), purpose, "rejected", None, reason, skew, login)


def right(minutes, factor="totp"):
    return Code(ago(minutes=minutes), "login", "verified", factor)


def text(minutes, status="sent", reason=None, *, after=timedelta(seconds=3)):
    at = ago(minutes=minutes)
    return Text(at, at + timedelta(minutes=5), status, at + after, reason)


def hold(what, *lifted_by, minutes=14):
    return Hold(what, NOW + timedelta(minutes=minutes), lifted_by or (LiftedBy.TIME,))


def the_answer(facts, cause):
    """The first finding, which must be of this cause."""
    findings = diagnose(facts)
    assert findings[0].cause is cause, findings
    return findings[0]


def causes(facts):
    return [finding.cause for finding in diagnose(facts)]


# --- a test a cause --------------------------------------------------------------------------------------------------


def test_nothing_is_in_the_way_since_the_last_login():
    facts = replace(ON, passwords=(Password(ago(hours=2, minutes=1), is_right=False),), codes=(wrong(121), right(120)))
    assert diagnose(facts) == (Finding(Cause.NOTHING, last_login_at=ago(hours=2)),)


def test_nobody_has_logged_in_yet():
    assert diagnose(Facts()) == (Finding(Cause.NO_LOGIN_YET),)


def test_a_stolen_app_is_refused_until_the_reset_is_done():
    assert the_answer(replace(ON, is_suspended=True), Cause.STOLEN).helps == (Help.FINISH_RESET,)


def test_who_was_reset_must_set_it_up_again():
    facts = replace(ON, is_on=False, must_enroll=True)
    assert the_answer(facts, Cause.MUST_ENROLL).helps == (Help.ENROLL,)
    assert causes(replace(facts, is_on=True)) == [Cause.NOTHING]


def test_locked_everywhere_after_a_hundred_wrong_codes():
    facts = replace(ON, failures_in_all=100, holds=(Hold(Held.CODES_ALL, None, (LiftedBy.BACKUP_CODE,)),))
    finding = the_answer(facts, Cause.CODES_EVERYWHERE)
    assert (finding.wrong_codes, finding.until, finding.helps) == (100, None, (LiftedBy.BACKUP_CODE,))


def test_locked_in_new_browsers_tells_how_many_codes_from_how_many_networks():
    facts = replace(
        ON,
        failures_of_strangers=60,
        holds=(Hold(Held.CODES_NEW, None, (LiftedBy.SUPPORT,)),),
        codes=tuple(wrong(n, login=f"chl_{n}") for n in range(1, 5)),
        passwords=tuple(
            Password(ago(minutes=n), is_right=True, ip=ip, challenge_id=f"chl_{n}") for n, ip in enumerate(IPS, start=1)
        ),
    )
    finding = the_answer(facts, Cause.CODES_NEW)
    assert (finding.wrong_codes, finding.networks) == (60, 3)
    assert Cause.WRONG_CODES not in causes(facts)


# Of the four the first two are one network: a /48 (RFC 6177).
IPS = ("2001:db8:1:1::1", "2001:db8:1:2::1", "192.0.2.7", "198.51.100.9")


def test_locked_in_new_browsers_until_a_time():
    facts = replace(
        ON,
        holds=(hold(Held.CODES_LOGIN, LiftedBy.TIME, LiftedBy.SUPPORT),),
        codes=(*(wrong(n) for n in range(1, 6)), wrong(60 * 30)),
        passwords=(Password(ago(minutes=6), is_right=True, ip="192.0.2.7", challenge_id="chl_1"),),
    )
    finding = the_answer(facts, Cause.CODES_LOGIN)
    assert (finding.until, finding.wrong_codes, finding.networks) == (NOW + timedelta(minutes=14), 5, 1)
    assert finding.helps == (LiftedBy.TIME, LiftedBy.SUPPORT)


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        (Held.CODES_BRAKED, Cause.CODES_BRAKED),
        (Held.PASSWORDS_NEW, Cause.PASSWORDS_NEW),
        (Held.PASSWORDS_KNOWN, Cause.PASSWORDS_KNOWN),
        (Held.PASSWORDS_STEP_UP, Cause.PASSWORDS_STEP_UP),
        (Held.CODES_PHONE, Cause.CODES_PHONE),
        (Held.CODES_ENROLLMENT, Cause.CODES_ENROLLMENT),
    ],
)
def test_each_other_hold_says_until_when(what, cause):
    facts = replace(ON, holds=(hold(what),), passwords=(Password(ago(minutes=1), is_right=False),))
    finding = next(finding for finding in diagnose(facts) if finding.cause is cause)
    assert (finding.until, finding.helps) == (NOW + timedelta(minutes=14), (LiftedBy.TIME,))


def test_a_hold_of_changes_is_no_answer_where_a_login_fails():
    facts = replace(ON, holds=(hold(Held.CODES_PHONE),), codes=(wrong(1),))
    assert causes(facts) == [Cause.WRONG_CODES, Cause.CODES_PHONE]


@pytest.mark.parametrize(("skew", "cause"), [(300, Cause.CLOCK_FAST), (-300, Cause.CLOCK_SLOW)])
def test_a_wrong_clock_says_by_how_much_and_in_how_many_of_the_last_codes(skew, cause):
    off = [wrong(n, "clock_skew", skew=skew + 30 * (n % 2)) for n in (1, 2, 3, 5)]
    facts = replace(ON, codes=(*off[:3], wrong(4), off[3], wrong(6)), holds=(hold(Held.CODES_LOGIN),))
    finding = the_answer(facts, cause)
    assert (finding.clock_skew_seconds, finding.wrong_codes, finding.of_codes) == (skew + 30, 4, 5)
    assert finding.helps == (Help.SET_CLOCK, LiftedBy.BACKUP_CODE, Help.TEXT)
    assert causes(facts) == [cause, Cause.CODES_LOGIN], "a wait ends by itself, a wrong clock does not"


def test_the_clock_counts_while_it_is_set_up_too():
    codes = tuple(wrong(n, "clock_skew", skew=300, purpose="enrollment") for n in (1, 2))
    assert the_answer(replace(ON, is_on=False, codes=codes), Cause.CLOCK_FAST).helps == (Help.SET_CLOCK,)


@pytest.mark.parametrize(
    "codes",
    [
        (wrong(1, "clock_skew", skew=300),),
        (wrong(1, "clock_skew", skew=300), wrong(2, "clock_skew", skew=-300)),
        (wrong(1, "clock_skew", skew=-90), Code(ago(seconds=75), "login", "rejected", None, "clock_skew", -75)),
        (right(1), *(wrong(n, "clock_skew", skew=300) for n in (2, 3))),
        (*(wrong(n) for n in range(1, 6)), *(wrong(n, "clock_skew", skew=300) for n in (6, 7))),
    ],
    ids=["one code", "two that disagree", "one code twice", "the app was right since", "older than the last five"],
)
def test_too_little_is_no_wrong_clock(codes):
    assert not {Cause.CLOCK_FAST, Cause.CLOCK_SLOW} & set(causes(replace(ON, codes=codes)))


def test_another_phones_clock_is_no_longer_of_interest():
    codes = tuple(wrong(n, "clock_skew", skew=300) for n in (1, 2))
    assert Cause.CLOCK_FAST not in causes(replace(ON, codes=codes, factor_since=NOW))
    assert Cause.CLOCK_FAST not in causes(replace(ON, codes=codes, is_on=False))


def test_a_login_by_backup_code_leaves_the_clock_as_it_is():
    codes = (right(1, "recovery_code"), *(wrong(n, "clock_skew", skew=300) for n in (2, 3)))
    the_answer(replace(ON, codes=codes, last_login_at=ago(minutes=1)), Cause.CLOCK_FAST)


def test_texts_that_the_carrier_blocks_tell_since_when():
    facts = replace(
        ON, texts=(text(1, "undelivered", "filtered"), text(4, "failed", "filtered"), text(60, "delivered"))
    )
    finding = the_answer(facts, Cause.TEXT_NOT_DELIVERED)
    assert (finding.phone_hint, finding.reason, finding.since) == (HINT, "filtered", ago(minutes=4))
    assert finding.helps == (Help.APP_CODE, LiftedBy.BACKUP_CODE)


@pytest.mark.parametrize("reason", DeliveryReason)
def test_every_reason_of_a_delivery_is_a_reason_here(reason):
    facts = replace(ON, texts=(text(1, "failed", reason.value),))
    assert the_answer(facts, Cause.TEXT_NOT_DELIVERED).reason == reason.value


@pytest.mark.parametrize(
    "facts",
    [
        replace(ON, texts=(text(1, "delivered"), text(2, "failed"))),
        replace(ON, texts=(text(2, "failed"),), codes=(right(1, "sms"),)),
        replace(ON, texts=(text(2, "failed"),), codes=(right(1),)),
        replace(ON, texts=(text(2, "expired"),)),
        replace(ON, texts=(text(2, "failed"),), phone_hint=None),
        replace(ON, texts=(text(2, "failed"),), is_on=False),
    ],
    ids=["one arrived since", "its code was entered", "the app's was", "a newer one replaced it", "no phone", "off"],
)
def test_texts_that_failed_once_are_no_cause(facts):
    assert Cause.TEXT_NOT_DELIVERED not in causes(facts)


def test_a_text_that_came_too_late():
    facts = replace(ON, texts=(text(8, "delivered", after=timedelta(minutes=7)),))
    assert the_answer(facts, Cause.TEXT_LATE).since == ago(minutes=8)


def test_a_text_that_was_refused():
    finding = the_answer(replace(ON, refused_texts=(RefusedText(ago(minutes=3), "destination"),)), Cause.TEXT_REFUSED)
    assert (finding.reason, finding.since) == ("destination", ago(minutes=3))
    answered = replace(ON, refused_texts=(RefusedText(ago(minutes=3)),), texts=(text(2, "delivered"),))
    assert Cause.TEXT_REFUSED not in causes(answered)


def test_a_text_that_nobody_has_confirmed():
    assert the_answer(replace(ON, texts=(text(2, "sent"),)), Cause.TEXT_UNCONFIRMED).since == ago(minutes=2)
    assert causes(replace(ON, texts=(text(60 * 3, "sent"),))) == [Cause.NOTHING], "they are in"
    the_answer(replace(ON, texts=(text(2, "sent"),), codes=(wrong(3),)), Cause.WRONG_CODES)


def test_a_backup_code_that_was_used_before():
    finding = the_answer(replace(ON, codes=(wrong(1, "spent"), wrong(2))), Cause.BACKUP_CODE_SPENT)
    assert finding.helps == (Help.OTHER_BACKUP_CODE, Help.APP_CODE, Help.TEXT)


def test_a_code_that_was_used_before():
    assert the_answer(replace(ON, codes=(wrong(1, "replayed"),)), Cause.CODE_REPLAYED).helps == (Help.NEXT_CODE,)


def test_codes_of_something_else():
    finding = the_answer(replace(ON, codes=(wrong(1), wrong(2), wrong(3), right(60 * 3))), Cause.WRONG_CODES)
    assert (finding.wrong_codes, finding.since) == (3, ago(minutes=3))
    assert finding.helps == (Help.RIGHT_ENTRY, LiftedBy.BACKUP_CODE, Help.TEXT, LiftedBy.RESET)


def test_a_wrong_password():
    tried = tuple(Password(ago(minutes=n), is_right=False) for n in (1, 2))
    finding = the_answer(replace(ON, passwords=(*tried, Password(ago(hours=3), is_right=False))), Cause.WRONG_PASSWORDS)
    assert (finding.wrong_passwords, finding.since) == (2, ago(minutes=2))
    assert causes(replace(ON, passwords=(Password(ago(minutes=1), is_right=True), *tried))) == [Cause.STOPPED_AT_CODE]


def test_a_right_password_that_no_code_followed():
    facts = replace(ON, passwords=(Password(ago(minutes=9), is_right=True),))
    finding = the_answer(facts, Cause.STOPPED_AT_CODE)
    assert (finding.since, finding.helps[-1]) == (ago(minutes=9), LiftedBy.RESET)
    assert the_answer(replace(facts, backup_codes=0, phone_hint=None), Cause.STOPPED_AT_CODE).helps == (
        Help.APP_CODE,
        LiftedBy.RESET,
    )


def test_nobody_is_sent_to_what_does_not_work():
    off = tuple(wrong(n, "clock_skew", skew=300) for n in (1, 2))
    clock, texts = diagnose(replace(ON, codes=off, texts=(text(5, "failed", "filtered"),)))
    assert (clock.cause, clock.helps) == (Cause.CLOCK_FAST, (Help.SET_CLOCK, LiftedBy.BACKUP_CODE))
    assert (texts.cause, texts.helps) == (Cause.TEXT_NOT_DELIVERED, (LiftedBy.BACKUP_CODE,))


def test_the_lock_stands_before_the_clock_that_led_to_it():
    facts = replace(
        ON,
        holds=(Hold(Held.CODES_NEW, None, (LiftedBy.SUPPORT,)), hold(Held.CODES_LOGIN)),
        codes=tuple(wrong(n, "clock_skew", skew=300) for n in (1, 2)),
    )
    assert causes(facts) == [Cause.CODES_NEW, Cause.CLOCK_FAST]


# --- laws ------------------------------------------------------------------------------------------------------------

moments = st.integers(-10_000, 600).map(lambda minutes: NOW + timedelta(minutes=minutes))
codes = st.builds(
    Code,
    moments,
    st.sampled_from(["login", "step_up", "phone_verification", "enrollment"]),
    st.sampled_from(["verified", "rejected", "throttled"]),
    st.none() | st.sampled_from(["totp", "sms", "recovery_code"]),
    st.none() | st.sampled_from(["wrong", "clock_skew", "spent", "replayed", "second_factor_locked"]),
    st.none() | st.integers(-600, 600),
    st.none() | st.sampled_from(["chl_1", "chl_2"]),
)
passwords = st.builds(
    Password, moments, st.booleans(), st.none() | st.sampled_from(IPS), st.none() | st.sampled_from(["chl_1", "chl_2"])
)
texts = st.builds(
    Text,
    moments,
    moments,
    st.none() | st.sampled_from([status.value for status in DeliveryStatus]),
    st.none() | moments,
    st.none() | st.sampled_from([reason.value for reason in DeliveryReason]),
)
holds = st.builds(
    Hold, st.sampled_from(Held), st.none() | moments, st.lists(st.sampled_from(LiftedBy), unique=True).map(tuple)
)
all_facts = st.builds(
    Facts,
    is_on=st.booleans(),
    is_suspended=st.booleans(),
    must_enroll=st.booleans(),
    backup_codes=st.integers(0, 10),
    phone_hint=st.none() | st.just(HINT),
    factor_since=st.none() | moments,
    failures_of_strangers=st.integers(0, 60),
    failures_in_all=st.integers(0, 100),
    holds=st.lists(holds, unique_by=lambda one: one.what).map(tuple),
    last_login_at=st.none() | moments,
    passwords=st.lists(passwords).map(tuple),
    codes=st.lists(codes).map(tuple),
    texts=st.lists(texts).map(tuple),
    refused_texts=st.lists(st.builds(RefusedText, moments, st.none() | st.just("today"))).map(tuple),
)
_CALM = {Cause.NOTHING, Cause.NO_LOGIN_YET}


@given(all_facts)
def test_each_combination_of_facts_has_exactly_one_first_sentence(known):
    findings = diagnose(known)
    found = [finding.cause for finding in findings]
    assert findings, "there is always an answer"
    assert len(set(found)) == len(found), "no cause is said twice"
    assert found == sorted(found, key=list(Cause).index), "the order is that of the table, whatever the facts"
    assert not _CALM & set(found) or len(found) == 1, "nothing is in the way only where nothing else is"


@given(all_facts)
def test_no_hold_is_kept_from_the_reader(known):
    """A hold is a finding of its own, or a lock that lasts longer is one."""
    found = set(causes(known))
    for one in known.holds:
        assert Cause(one.what.value) in found or {Cause.CODES_EVERYWHERE, Cause.CODES_NEW} & found


@given(all_facts)
def test_nobody_is_sent_to_what_the_account_does_not_have(known):
    for finding in diagnose(known):
        if finding.cause.value in set(Held):
            continue
        assert known.backup_codes or LiftedBy.BACKUP_CODE not in finding.helps
        assert known.phone_hint or Help.TEXT not in finding.helps


def test_the_table_has_a_row_for_each_cause_and_each_hold():
    assert [*CAUSES, Cause.NOTHING, Cause.NO_LOGIN_YET] == list(Cause)
    assert {Cause(what.value) for what in Held} <= set(CAUSES)
