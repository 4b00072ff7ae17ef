from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain import reset_policy
from services.auth.domain.identity_checks import CHECKS, OWNER_APPROVAL, Facts, Kind, Passed, Times, WhyNot, why_not
from services.auth.domain.reset_policy import RULES, CoolOff, When, cool_off_of, in_order
from tests.support.auth import NOW

TIMES = Times(
    settled=timedelta(days=7),
    code_login=timedelta(days=1),
    between_resets=timedelta(days=30),
    check_life=timedelta(minutes=30),
    after_cancel=timedelta(minutes=10),
    approval=timedelta(hours=72),
    cool_off=timedelta(hours=24),
    long_cool_off=timedelta(hours=72),
)
OLIVIA = "acc_olivia"
YEAR_AGO = NOW - timedelta(days=365)
SETTLED = Facts(
    now=NOW,
    is_operator=False,
    phone_verified_at=YEAR_AGO,
    address_since=YEAR_AGO,
    changed_at=None,
    password_set_at=None,
    code_accepted_at=None,
    reset_at=None,
    cancelled_at=None,
    owners=frozenset({OLIVIA}),
)

ages = st.timedeltas(timedelta(0), timedelta(days=60)) | st.sampled_from([timedelta(hours=12), timedelta(days=365)])
ago = ages.map(lambda age: NOW - age)
facts_of = st.builds(
    Facts,
    now=st.just(NOW),
    is_operator=st.booleans(),
    phone_verified_at=st.none() | ago,
    address_since=ago,
    changed_at=st.none() | ago,
    password_set_at=st.none() | ago,
    code_accepted_at=st.none() | ago,
    reset_at=st.none() | ago,
    cancelled_at=st.none() | ago,
    owners=st.frozensets(st.sampled_from([OLIVIA, "acc_otto"])),
)
passing = st.timedeltas(timedelta(0), timedelta(days=60)) | st.just(timedelta(days=31))
sets_of_checks = st.frozensets(st.sampled_from(sorted(CHECKS)))


def passed(checks):
    """The checks as passed; it was Olivia who approved."""
    return [Passed(check, OLIVIA if check == OWNER_APPROVAL else None) for check in checks]


def decide(checks, facts, times):
    return reset_policy.decide(passed(checks), facts, times)


def still_holds(checks, facts, times, **decided):
    return reset_policy.still_holds(passed(checks), facts, times, **decided)


def holds_against(decided, checks, facts):
    """Whether what this rule decided still holds."""
    return still_holds(checks, facts, TIMES, approvals=decided.approvals, cool_off=cool_off_of(decided, TIMES))


def possible(checks, facts):
    return {check for check in checks if why_not(check, facts, TIMES) is None}


# --- laws -------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(CHECKS)), facts_of)
def test_no_single_check_is_ever_enough(check, facts):
    assert decide([check], facts, TIMES) is None


@given(sets_of_checks, facts_of)
def test_what_operators_attest_is_never_enough_by_itself(checks, facts):
    attested = [check for check in checks if CHECKS[check].kind is Kind.ATTESTED]
    assert decide(attested, facts, TIMES) is None


@given(sets_of_checks, facts_of)
def test_a_support_account_is_never_reset_by_one_or_at_once(checks, facts):
    rule = decide(checks, replace(facts, is_operator=True), TIMES)
    assert rule is None or (rule.approvals, rule.cool_off) == (2, CoolOff.DAY)


@given(sets_of_checks, facts_of, st.timedeltas(timedelta(0), timedelta(days=6)))
def test_after_a_change_nothing_happens_at_once(checks, facts, age):
    rule = decide(checks, replace(facts, changed_at=NOW - age), TIMES)
    assert rule is None or (rule.approvals >= 1 and rule.cool_off is not CoolOff.NONE)


@given(sets_of_checks, facts_of)
def test_a_check_that_cannot_have_happened_counts_for_nothing(checks, facts):
    assert decide(checks, facts, TIMES) == decide(possible(checks, facts), facts, TIMES)


@given(sets_of_checks, facts_of)
def test_nothing_counts_for_a_while_after_a_cancel(checks, facts):
    assert decide(checks, replace(facts, cancelled_at=NOW - timedelta(minutes=9)), TIMES) is None


@given(sets_of_checks, sets_of_checks, facts_of)
def test_a_further_check_never_takes_a_rule_away(some, more, facts):
    before, after = decide(some, facts, TIMES), decide(some | more, facts, TIMES)
    assert before is None or (after is not None and RULES.index(after) <= RULES.index(before))


@given(st.frozensets(st.sampled_from(sorted(CHECKS)), min_size=2, max_size=2), facts_of, passing)
def test_time_alone_never_ends_a_reset(checks, facts, passes):
    rule = decide(checks, facts, TIMES)
    assert rule is None or holds_against(rule, checks, replace(facts, now=facts.now + passes))


@given(st.sampled_from(RULES), sets_of_checks, facts_of, passing)
def test_time_alone_never_ends_a_reset_that_has_survived_new_facts(decided, checks, facts, passes):
    if holds_against(decided, checks, facts):
        assert holds_against(decided, checks, replace(facts, now=facts.now + passes))


@given(sets_of_checks, facts_of, facts_of)
def test_what_still_holds_would_be_decided_no_more_strictly_today(checks, facts, later):
    """Today, or while the account was unsettled: its rule is the strictest of all but operators' accounts."""
    rule = decide(checks, facts, TIMES)
    if rule is None or not holds_against(rule, checks, later):
        return
    today = [decide(checks, found, TIMES) for found in (later, replace(later, changed_at=later.now))]
    met = [asked for asked in today if asked is not None]
    assert any(
        asked.approvals <= rule.approvals and cool_off_of(asked, TIMES) <= cool_off_of(rule, TIMES) for asked in met
    )


@given(st.sampled_from(RULES), sets_of_checks, facts_of)
def test_a_change_since_the_request_leaves_what_waits_for_long_and_for_a_second_operator(decided, checks, facts):
    if holds_against(decided, checks, replace(facts, changed_at=facts.now)):
        assert (decided.approvals, decided.cool_off) in {(1, CoolOff.LONG), (2, CoolOff.DAY)}


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "name", "approvals", "cool_off"),
    [
        (["phone_code", "owner_approval"], "phone_and_owner", 0, CoolOff.NONE),
        (["phone_code", "video_id"], "phone_and_video", 0, CoolOff.NONE),
        (["video_id", "email_code"], "video_and_email", 1, CoolOff.NONE),
        (["owner_approval", "email_code"], "owner_and_email", 1, CoolOff.NONE),
        (["phone_code", "billing_details"], "phone_and_billing", 0, CoolOff.DAY),
        (["email_code", "billing_details"], "email_and_billing", 1, CoolOff.LONG),
    ],
)
def test_the_table_of_a_settled_account(checks, name, approvals, cool_off):
    rule = decide(checks, SETTLED, TIMES)
    assert (rule.name, rule.approvals, rule.cool_off) == (name, approvals, cool_off)


@pytest.mark.parametrize("checks", [["phone_code", "video_id"], ["email_code", "billing_details"]])
@pytest.mark.parametrize(
    "change",
    [
        {"changed_at": NOW - timedelta(days=6)},
        {"code_accepted_at": NOW - timedelta(hours=23)},
        {"reset_at": NOW - timedelta(days=29)},
    ],
)
def test_an_unsettled_account_takes_a_second_operator_and_the_long_wait(checks, change):
    rule = decide(checks, replace(SETTLED, **change), TIMES)
    assert (rule.name, rule.approvals, rule.cool_off) == ("unsettled_account", 1, CoolOff.LONG)


@pytest.mark.parametrize(
    "change",
    [
        {"changed_at": NOW - timedelta(days=7)},
        {"code_accepted_at": NOW - timedelta(days=1)},
        {"reset_at": NOW - timedelta(days=30)},
    ],
)
def test_when_the_time_is_over_the_account_is_settled_again(change):
    assert decide(["phone_code", "video_id"], replace(SETTLED, **change), TIMES).name == "phone_and_video"


PAIRS_FOR_THE_UNSETTLED = [
    ["phone_code", "email_code"],
    ["owner_approval", "video_id"],
    ["owner_approval", "billing_details"],
]


@pytest.mark.parametrize("checks", PAIRS_FOR_THE_UNSETTLED)
def test_a_pair_that_only_an_unsettled_account_offers_still_holds_when_the_account_is_settled(checks):
    decided = decide(checks, replace(SETTLED, code_accepted_at=NOW - timedelta(hours=12)), TIMES)
    assert decided.name == "unsettled_account"
    assert decide(checks, SETTLED, TIMES) is None
    assert holds_against(decided, checks, SETTLED)


@pytest.mark.parametrize(
    "lost", [{"phone_verified_at": None}, {"phone_verified_at": NOW}, {"is_operator": True}, {"address_since": NOW}]
)
def test_a_new_fact_ends_what_was_decided_for_an_unsettled_account(lost):
    checks = ["phone_code", "email_code"]
    decided = decide(checks, replace(SETTLED, code_accepted_at=NOW - timedelta(hours=12)), TIMES)
    assert not holds_against(decided, checks, replace(SETTLED, **lost))


@pytest.mark.parametrize(
    ("check", "change", "reason"),
    [
        ("phone_code", {"phone_verified_at": None}, WhyNot.NO_PHONE),
        ("phone_code", {"phone_verified_at": NOW - timedelta(days=6)}, WhyNot.PHONE_TOO_NEW),
        ("phone_code", {"phone_verified_at": NOW - timedelta(days=7)}, None),
        ("email_code", {"address_since": NOW - timedelta(days=6)}, WhyNot.ADDRESS_TOO_NEW),
        ("email_code", {"password_set_at": NOW - timedelta(days=6)}, WhyNot.PASSWORD_SET_ANEW),
        ("email_code", {"password_set_at": NOW - timedelta(days=7)}, None),
        ("owner_approval", {"owners": frozenset()}, WhyNot.NO_OTHER_OWNER),
        *((check, {"cancelled_at": NOW - timedelta(minutes=9)}, WhyNot.CANCELLED) for check in CHECKS),
        *((check, {"cancelled_at": NOW - timedelta(minutes=10)}, None) for check in CHECKS),
        *((check, {}, None) for check in CHECKS),
    ],
)
def test_when_a_check_is_possible(check, change, reason):
    assert why_not(check, replace(SETTLED, **change), TIMES) is reason


def test_an_approval_counts_only_while_its_owner_could_give_it():
    checks = ["phone_code", "owner_approval"]
    assert decide(checks, SETTLED, TIMES).name == "phone_and_owner"
    assert decide(checks, replace(SETTLED, owners=frozenset({"acc_otto"})), TIMES) is None


def test_no_rule_is_out_of_reach():
    facts = {
        When.OPERATOR: replace(SETTLED, is_operator=True),
        When.UNSETTLED: replace(SETTLED, changed_at=NOW),
        When.ANY: SETTLED,
    }
    met = [decide(rule.all_of or {"phone_code", "video_id"}, facts[rule.when], TIMES) for rule in RULES]
    assert met == list(RULES)


def test_every_rule_names_known_checks_and_has_a_name_of_its_own():
    assert all(rule.all_of <= CHECKS.keys() for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_an_unknown_check_is_an_error():
    with pytest.raises(KeyError):
        decide(["horoscope"], SETTLED, TIMES)


def test_checks_are_kept_once_in_the_order_of_the_table():
    assert in_order(["video_id", "phone_code", "video_id"]) == ["phone_code", "video_id"]
