"""The breaker's rule, and whose sends it judges together."""

from hypothesis import given
from hypothesis import strategies as st

from services.otp.domain.conversion import ConversionRule, Evidence, ProbeRound, healed, outrun
from services.otp.domain.lane import Lane
from services.otp.domain.purpose import PURPOSES_BY_SMS, Purpose
from services.otp.limits import SMS_LANE, SMS_PROBE, SMS_PROBES_NEEDED
from shared.phone import PhoneNumber

RULES = st.builds(ConversionRule, st.integers(1, 200), st.integers(1, 20))
COUNTS = st.integers(0, 10_000)
NUMBERS = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True).map(PhoneNumber)


def pauses(rule: ConversionRule, sends: int, verified: int) -> bool:
    return outrun([Evidence(rule, sends, verified)])


@given(RULES, COUNTS)
def test_a_prefix_whose_codes_come_back_never_pauses(rule, verified):
    for sends in (verified, verified * rule.sends_per_verification):
        assert not pauses(rule, sends, verified)


@given(RULES, COUNTS)
def test_one_that_is_never_verified_pauses_with_the_first_send_that_is_judged(rule, sends):
    assert pauses(rule, sends, 0) == (sends > rule.unjudged_sends)


@given(RULES, COUNTS, COUNTS)
def test_another_verification_never_pauses_and_another_send_never_frees(rule, sends, verified):
    assert pauses(rule, sends, verified) >= pauses(rule, sends, verified + 1)
    assert pauses(rule, sends, verified) <= pauses(rule, sends + 1, verified)


@given(st.integers(1, 200), st.integers(2, 20), st.floats(0, 1), st.integers(1, 1000))
def test_codes_that_are_late_cost_nobody_a_text_while_they_fit_into_the_unjudged_ones(unjudged, pays_for, share, sends):
    """Everybody enters the code, ``late`` sends later."""
    late = int(share * ((unjudged - 1) // 2))
    assert not pauses(ConversionRule(unjudged, pays_for), sends, max(0, sends - 1 - late))


@given(st.lists(st.builds(Evidence, RULES, COUNTS, COUNTS), min_size=1, max_size=4))
def test_one_window_is_enough(evidence):
    assert outrun(evidence) == any(outrun([seen]) for seen in evidence)


@given(st.integers(0, 20), st.integers(1, 20))
def test_a_pause_ends_with_the_codes_of_one_round(verified, needed):
    assert healed(ProbeRound(verified, needed)) == (verified >= needed)


def test_the_table_can_heal_and_its_longer_windows_allow_more():
    assert 1 <= SMS_PROBES_NEEDED <= SMS_PROBE.windows[0].max
    hour, day = SMS_LANE
    assert hour.rate.windows[0].seconds < day.rate.windows[0].seconds
    assert hour.rule.unjudged_sends < day.rule.unjudged_sends
    for row in SMS_LANE:
        assert row.rule.unjudged_sends < row.rate.windows[0].max
        assert row.rule.sends_per_verification > 1 / 0.6, "the worst honest conversion must do"


@given(NUMBERS, st.sampled_from(PURPOSES_BY_SMS))
def test_numbers_that_differ_in_their_last_digits_share_a_lane_and_purposes_do_not(phone, purpose):
    neighbour = PhoneNumber(phone.e164[:-4] + "0000")
    assert Lane.of(purpose, phone) == Lane.of(purpose, neighbour)
    subjects = {Lane.of(each, phone).subject for each in Purpose}
    assert len(subjects) == len(Purpose)
