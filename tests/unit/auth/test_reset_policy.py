import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.reset_policy import CHECKS, RULES, Path, decide, in_order

sets_of_checks = st.frozensets(st.sampled_from(sorted(CHECKS)))


def rank(checks):
    rule = decide(checks)
    return RULES.index(rule) if rule else len(RULES)


@given(sets_of_checks, sets_of_checks)
def test_a_further_check_never_makes_it_worse(some, more):
    assert rank(some | more) <= rank(some)


@given(sets_of_checks)
def test_a_rule_is_met_only_by_all_of_its_checks(checks):
    rule = decide(checks)
    assert rule is None or rule.all_of <= checks


@pytest.mark.parametrize("check", CHECKS)
def test_no_single_check_removes_2fa_without_a_second_operator(check):
    rule = decide([check])
    assert rule is None or rule.second_operator


def test_no_rule_is_out_of_reach():
    assert [decide(rule.all_of) for rule in RULES] == list(RULES)


@pytest.mark.parametrize(
    ("checks", "path", "second_operator"),
    [
        (["video_id", "callback_proven_phone"], Path.IMMEDIATE, False),
        (["video_id"], Path.IMMEDIATE, True),
        (["team_owner_confirms", "callback_proven_phone"], Path.IMMEDIATE, True),
        (["callback_proven_phone", "billing_details"], Path.COOL_OFF, False),
        (["email_reply", "billing_details"], Path.COOL_OFF, True),
    ],
)
def test_the_table(checks, path, second_operator):
    rule = decide(checks)
    assert (rule.path, rule.second_operator) == (path, second_operator)


@pytest.mark.parametrize("checks", [[], ["email_reply"], ["billing_details"], ["callback_proven_phone"]])
def test_too_little_is_too_little(checks):
    assert decide(checks) is None


def test_every_rule_names_known_checks_and_has_a_name_of_its_own():
    assert all(rule.all_of <= CHECKS.keys() for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_an_unknown_check_is_an_error():
    with pytest.raises(KeyError):
        decide(["horoscope"])


def test_checks_are_kept_once_in_the_order_of_the_table():
    assert in_order(["email_reply", "video_id", "email_reply"]) == ["video_id", "email_reply"]
