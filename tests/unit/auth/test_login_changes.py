"""A login meets what ends logins: before it, beside it, after it."""

import pytest

from services.auth import events, password_change, two_factor
from services.auth.consequences import Acting
from services.auth.domain.reset import ReasonKind
from services.auth.store import devices, resets
from shared.database import reading, writing
from shared.messages import TwoFactorResetApplied
from tests.support.auth import CLIENT, PASSWORD, end_all, end_one, sign_in
from tests.support.ceremony import COOL_OFF, request_reset
from tests.support.sign_in import challenge, complete, log_in, problem, sessions, trusted_devices, trusted_token, verify

NEW_PASSWORD = "nine dry badgers hum softly"


def change_password(deps, account):
    session, token = sign_in(deps, account)
    password_change.set_new(deps, CLIENT, account, Acting(session, token), NEW_PASSWORD)
    end_one(deps, account, session)


def disable(deps, account):
    session, token = sign_in(deps, account)
    two_factor.disable(deps, account, Acting(session, token))
    end_one(deps, account, session)


def enable(deps, account):
    session, token = sign_in(deps, account)
    deps.otp.expect(account.id, "enrollment", f"enr_{account.id}")
    two_factor.confirm(deps, account, Acting(session, token), f"enr_{account.id}", "424242", "en")
    end_one(deps, account, session)


def apply_reset(deps, account):
    deps.otp.enabled.discard(account.id)
    events.handle(
        deps, TwoFactorResetApplied(id="evt_1", occurred_at=deps.clock(), account_id=account.id, reset_id="rst_1")
    )


CHANGES = [change_password, disable, enable, apply_reset]


@pytest.mark.parametrize("change", CHANGES)
def test_a_challenge_from_before_the_change_makes_no_session(deps, stranger, mia, otp, change):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    change(deps, mia)
    assert problem(verify(stranger, challenge_id)) == (410, "challenge_expired")
    assert sessions(deps, mia) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_code_for_a_login_from_before_the_change_is_not_compared(deps, stranger, mia, otp, change):
    """A thief with the old password has a login that waits, and must not use up the owner's tries with it."""
    challenge_id = challenge(stranger, mia)
    change(deps, mia)
    assert problem(verify(stranger, challenge_id, "000000")) == (410, "challenge_expired")
    assert otp.tried_from == []


def test_a_reset_that_is_asked_for_while_otp_answers_ends_by_that_code(deps, stranger, mia, otp, sam):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id, factor="totp")
    otp.after_verify = lambda: request_reset(deps, sam, mia, COOL_OFF)
    assert verify(stranger, challenge_id).status_code == 200
    with reading(deps.database) as connection:
        assert resets.open_of(connection, mia.id) is None


@pytest.mark.parametrize("factor", ["totp", "sms"])
def test_what_was_stolen_signs_nobody_in_although_otp_has_not_suspended_it_yet(deps, stranger, mia, otp, sam, factor):
    """otp's worker may be down for long."""
    request_reset(deps, sam, mia, COOL_OFF, ReasonKind.STOLEN)
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id, factor=factor)
    assert problem(verify(stranger, challenge_id)) == (401, "invalid_passcode")
    assert sessions(deps, mia) == []
    otp.expect(mia.id, "login", challenge_id, factor="recovery_code")
    assert verify(stranger, challenge_id).status_code == 200


@pytest.mark.parametrize("factor", ["totp", "sms"])
def test_what_was_stolen_opens_no_window_although_otp_has_not_suspended_it_yet(deps, api, mia, otp, sam, factor):
    caller = api(mia)
    request_reset(deps, sam, mia, COOL_OFF, ReasonKind.STOLEN)
    otp.expect(mia.id, "step_up", caller.session.id, factor=factor)
    answer = caller.post("/v1/reauthenticate", {"password": PASSWORD, "code": "424242"})
    assert problem(answer)[1] == "invalid_passcode"
    assert caller.get("/v1/session").json["step_up_until"] is None
    assert problem(caller.delete("/v1/two-factor")) == (403, "step_up_required")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_while_otp_answers_voids_the_login(deps, stranger, mia, otp, change):
    challenge_id = challenge(stranger, mia)
    otp.expect(mia.id, "login", challenge_id)
    otp.after_verify = lambda: change(deps, mia)
    assert problem(verify(stranger, challenge_id, remember_device=True)) == (410, "challenge_expired")
    assert sessions(deps, mia) == []
    assert trusted_devices(deps, mia) == []


def test_a_password_that_changes_while_the_old_one_is_hashed_makes_no_session(deps, stranger, tom, watched):
    watched.meanwhile = lambda: change_password(deps, tom)
    assert problem(log_in(stranger, tom)) == (401, "invalid_credentials")
    assert sessions(deps, tom) == []


def test_a_device_that_is_revoked_while_the_password_is_hashed_no_longer_skips_the_code(
    deps, stranger, mia, otp, watched
):
    token = trusted_token(stranger, otp, mia)
    (device,) = trusted_devices(deps, mia)
    end_all(deps, mia)

    def revoke():
        with writing(deps.database) as connection:
            assert devices.revoke(connection, mia.id, device.id, deps.clock())

    watched.meanwhile = revoke
    assert log_in(stranger, mia, device_token=token).json["status"] == "second_factor_required"
    assert sessions(deps, mia) == []


@pytest.mark.parametrize("change", [change_password, enable])
def test_a_change_while_otp_tells_the_state_makes_no_session(deps, stranger, tom, otp, change):
    def state_then_change(account_id):
        known = type(otp).state(otp, account_id)
        del otp.state
        change(deps, tom)
        return known

    otp.state = state_then_change
    assert problem(log_in(stranger, tom)) == (410, "challenge_expired")
    assert sessions(deps, tom) == []


def test_what_ended_a_login_does_not_end_the_next_one(deps, stranger, mia, otp):
    disable(deps, mia)
    enable(deps, mia)
    complete(stranger, otp, mia)
    assert len(sessions(deps, mia)) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_login_that_a_change_has_voided_sends_no_sms(deps, stranger, mia, otp, publisher, change):
    challenge_id = challenge(stranger, mia)
    change(deps, mia)
    assert problem(stranger.post(f"/v1/login/{challenge_id}/sms")) == (410, "challenge_expired")
    assert problem(stranger.get(f"/v1/login/{challenge_id}")) == (410, "challenge_expired")
    assert (otp.sent_to, publisher.messages) == ([], [])
