import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from deploy.attack.accounts import AccountSource
from deploy.attack.people import UnexpectedAnswerError
from deploy.attack.probe import Target
from deploy.attack.probes.sms import signature
from deploy.attack.probes.timing import chance_of_longer
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

TARGET = Target("http://127.0.0.1:9", AccountSource([]))
seconds = st.lists(st.floats(0, 10), min_size=1, max_size=20)


def answer(status: int, code: str | None = None) -> Answer:
    return Answer(status, urllib3.HTTPHeaderDict(), {"code": code} if code else {})


@pytest.mark.parametrize(
    ("status", "code", "hole"),
    [
        (403, "step_up_required", None),
        (200, None, "a call: 200"),
        (204, None, "a call: 204"),
        (302, None, "a call: 302"),
        (500, "internal_error", "a call: 500 internal_error"),
    ],
)
def test_a_try_holds_only_when_it_is_refused_for_the_reason_of_the_guard(status, code, hole):
    watch = Watch()
    watch.refused("a call", answer(status, code), "step_up_required")
    finding = watch.finding("calls")
    assert (finding.tries, finding.hole) == (1, hole)


@pytest.mark.parametrize(("status", "code"), [(503, "service_unavailable"), (429, "too_many_requests"), (404, None)])
def test_a_refusal_for_another_reason_says_nothing(status, code):
    watch = Watch()
    watch.refused("a call", answer(status, code), "step_up_required")
    with pytest.raises(UnexpectedAnswerError, match=f"a call: {status}"):
        watch.finding("calls")


def test_what_must_work_and_does_not_says_nothing_either():
    watch = Watch()
    watch.served("the right code", answer(401, "invalid_passcode"))
    with pytest.raises(UnexpectedAnswerError, match="the right code: 401 invalid_passcode"):
        watch.finding("a code")


def test_a_hole_is_told_whatever_else_was_odd_and_each_one_once():
    watch = Watch()
    watch.served("the right code", answer(401, "invalid_passcode"))
    watch.holds("a pass", held=False)
    watch.holds("a pass", held=False)
    watch.holds("another", held=False, tries=3)
    watch.holds("no pass", held=True)
    finding = watch.finding("codes")
    assert (finding.tries, finding.hole) == (6, "a pass; another")


def test_what_breaks_behind_a_hole_does_not_hide_it():
    @watched
    def attack(_target, watch):
        watch.holds("a pass", held=False)
        raise KeyError("session")

    assert attack(TARGET).hole == "a pass"


def test_what_breaks_before_a_hole_is_raised():
    @watched
    def attack(_target, watch):
        watch.holds("a pass", held=True)
        raise KeyError("session")

    with pytest.raises(KeyError):
        attack(TARGET)


@given(left=seconds, right=seconds)
def test_the_two_chances_of_taking_longer_are_one_together(left, right):
    assert chance_of_longer(left, right) + chance_of_longer(right, left) == pytest.approx(1)


@given(values=seconds)
def test_what_is_no_different_takes_longer_half_of_the_time(values):
    assert chance_of_longer(values, values) == pytest.approx(0.5)


def test_what_always_takes_longer_is_told_from_what_never_does():
    assert chance_of_longer([2.0, 3.0], [0.1, 1.0]) == 1
    assert chance_of_longer([0.1], [1.0, 2.0]) == 0


def test_our_signature_is_the_one_that_the_provider_makes():
    url = "https://example.com/v1/callbacks/twilio/status?message_id=sms_1"
    form = {"MessageStatus": "delivered", "ErrorCode": "", "MessageSid": "SM1"}
    assert signature("token", url, form) == RequestValidator("token").compute_signature(url, form)
