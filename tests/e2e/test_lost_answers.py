"""A change whose answer was lost: otp was stopped, or the gateway was killed, and the same call is made again."""

import signal
import threading
import time

import pytest

from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from deploy.portal import AuthenticatorApp, wait_for
from tests.e2e.conftest import new_person
from tests.support.outages import frozen

pytestmark = pytest.mark.e2e

# How long otp has had the request when it is stopped: not yet, in the middle of it or about when it is done, and after.
MOMENTS = (0.0, 0.05, 0.2)
KEY = {"Idempotency_Key": "once-1"}


@pytest.fixture(scope="module")
def fragile(tmp_path_factory):
    """A stack of its own: otp is stopped, the gateway is killed."""
    with running_stack(tmp_path_factory.mktemp("var"), free_port(5), {"TRUSTED_PROXY_COUNT": "1"}) as running:
        yield running


@pytest.fixture
def person(fragile):
    return new_person(fragile, "member", "Lost answers")


def while_otp_stops(stack, moment, call):
    """The answer to a call during which otp stops for two seconds, this long after it was sent."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    if moment:
        thread.start()
        time.sleep(moment)
    with frozen(stack.processes_of("otp")):
        if not moment:
            thread.start()
        time.sleep(2.4)
    thread.join()
    return answers[0]


def begun(person):
    portal = person.signed_in()
    answer = portal.post("/v1/two-factor/enrollment")
    person.app = AuthenticatorApp(answer.body["secret"])
    path = f"/v1/two-factor/enrollment/{answer.body['enrollment_id']}/confirm"
    return portal, path, {"code": person.app.near(0)}


def again(call, *statuses):
    """The answer to the repeat; a busy machine may say 503 once more."""

    def told():
        answer = call()
        return None if answer.status == 503 else answer

    answer = wait_for(told, seconds=60, every=0.5)
    assert answer.status in statuses, answer.body
    return answer


def confirmed_again(person, portal, path, body):
    """The sheet, by the same code; by the next one where a busy machine took longer than a code lives."""
    answer = again(lambda: portal.post(path, body), 200, 422)
    if answer.status == 422:  # so nothing was done
        answer = again(lambda: portal.post(path, {"code": person.app.near(0)}), 200)
    return answer.body["recovery_codes"]


def enrolled(person):
    """Turn 2FA on, then sign in with a backup code, which opens a step-up window; the client that did."""
    *_, last = confirmed_again(person, *begun(person))
    portal = person.portal()
    challenge = person.challenge(portal)
    again(lambda: portal.verify(challenge, last), 200)
    return portal


def sign_in_with(person, backup_code):
    portal = person.portal()
    return portal.verify(person.challenge(portal), backup_code)


def rows(portal, type_):
    return [row for row in portal.get("/v1/activity?limit=50").body["items"] if row["type"] == type_]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_confirm_during_which_otp_stops_succeeds_when_it_is_made_again(fragile, person, moment):
    portal, path, body = begun(person)
    first = while_otp_stops(fragile, moment, lambda: portal.post(path, body))
    sheet = confirmed_again(person, portal, path, body)
    if first.status == 200:  # otp was done before it was stopped
        assert first.body["recovery_codes"] == sheet
    assert sign_in_with(person, sheet[0]).status == 200


def test_a_confirm_that_waited_unread_while_its_caller_gave_up_is_not_carried_out(fragile, person):
    portal, path, body = begun(person)
    with frozen(fragile.processes_of("otp")):
        assert portal.post(path, body).status == 503
        time.sleep(0.5)
    wait_for(lambda: portal.get("/v1/two-factor").status == 200, seconds=30)
    time.sleep(2.0)  # longer than a confirm takes
    state = again(lambda: portal.get("/v1/two-factor"), 200)
    assert state.body["enabled"] is False
    sheet = confirmed_again(person, portal, path, body)
    assert sign_in_with(person, sheet[0]).status == 200


@pytest.mark.parametrize("moment", MOMENTS)
def test_new_backup_codes_are_given_again_after_otp_stopped_during_the_call(fragile, person, moment):
    portal = enrolled(person)
    call = lambda: portal.call("POST", "/v1/two-factor/recovery-codes", **KEY)  # noqa: E731
    while_otp_stops(fragile, moment, call)
    sheet = again(call, 200).body["recovery_codes"]
    assert again(call, 200).body["recovery_codes"] == sheet
    assert sign_in_with(person, sheet[0]).status == 200


def test_a_disable_during_which_otp_stops_is_done_when_it_is_made_again(fragile, person):
    portal = enrolled(person)
    call = lambda: portal.call("DELETE", "/v1/two-factor", **KEY)  # noqa: E731
    assert while_otp_stops(fragile, 0.0, call).status == 503
    again(call, 204)
    assert person.portal().log_in(person.email, person.password).body["status"] == "authenticated"


def test_a_confirm_whose_gateway_was_killed_succeeds_when_it_is_made_again(fragile, person):
    portal, path, body = begun(person)
    otp = fragile.processes_of("otp")
    with frozen(otp):
        thread = threading.Thread(target=lambda: _try(lambda: portal.post(path, body)))
        thread.start()
        time.sleep(0.2)
        for process in fragile.processes_of("auth"):
            process.send_signal(signal.SIGKILL)
        thread.join()
    wait_for(lambda: _try(lambda: portal.get("/readyz").status) == 200, seconds=30)
    sheet = confirmed_again(person, portal, path, body)
    assert sign_in_with(person, sheet[0]).status == 200
    assert len(wait_for(lambda: rows(portal, "two_factor.enabled"))) == 1


def _try(call):
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - the connection was cut
        return error
