"""All other sessions, and all other known devices, ended by one call; what the caller itself uses stays."""

import pytest

from services.auth import session_store
from services.auth.domain.session import Factor
from services.auth.store import devices
from shared.database import reading, writing
from shared.problems import Unavailable
from tests.support import auth
from tests.support.auth import add_device, events_in, sign_in, timeline_of, types_of
from tests.support.sign_in import challenge, log_in, problem, sessions, verify, who_is

SESSIONS, DEVICES = "/v1/sessions", "/v1/trusted-devices"
OTHERS = "?keep=current"


@pytest.fixture
def eve(make_account):
    return make_account("eve@example.com")


def known(deps, account):
    with reading(deps.database) as connection:
        return set(devices.ids(connection, account.id, deps.clock()))


def ids_of(deps, account):
    return {session.id for session in sessions(deps, account)}


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_all_other_sessions_end_and_the_own_one_stays(deps, api, ann, tom, otp):
    others = [sign_in(deps, ann) for _ in range(3)]
    foreign, _ = sign_in(deps, tom)
    caller = api(ann)
    assert [caller.delete(SESSIONS + OTHERS).status_code for _ in range(2)] == [204, 204]
    assert ids_of(deps, ann) == {caller.session.id}
    assert ids_of(deps, tom) == {foreign.id}
    assert all(problem(who_is(api, token)) == (401, "not_authenticated") for _, token in others)
    assert otp.ended_sessions == {session.id for session, _ in others}
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.details) == ("session.ended", {"sessions": 3, "cause": "all_others"})
    assert sorted(event.session_id for event in events_in(deps)) == sorted(session.id for session, _ in others)
    assert caller.delete(f"{SESSIONS}/{others[0][0].id}").status_code == 204, "it has ended already"


def test_all_sessions_end_with_the_own_one(deps, app, tom):
    sign_in(deps, tom)
    browser = app.test_client()
    browser.post("/v1/login", json={"email": tom.email, "password": auth.PASSWORD})
    assert browser.delete(SESSIONS).status_code == 204
    assert ids_of(deps, tom) == set()
    assert browser.get_cookie("latchkey_session") is None
    assert problem(browser.delete(SESSIONS)) == (401, "not_authenticated")
    assert timeline_of(deps, tom)[-1].details == {"sessions": 2}


# --- known devices ----------------------------------------------------------------------------------------------------


def test_all_other_devices_end_with_their_sessions_and_the_own_one_is_still_remembered(deps, api, stranger, mia, otp):
    own, trusted, merely_known = (
        add_device(deps, mia, name, trusted=name != "known") for name in ("own", "trusted", "known")
    )
    theirs = [sign_in(deps, mia, device_id=device_id)[0].id for device_id in (trusted, merely_known)]
    on_own, _ = sign_in(deps, mia, device_id=own)
    waiting = challenge(stranger, mia, device_token="known")
    caller = api(mia, device_id=own)
    assert [caller.delete(DEVICES + OTHERS).status_code for _ in range(2)] == [204, 204]
    assert known(deps, mia) == {own}
    assert ids_of(deps, mia) == {caller.session.id, on_own.id}
    assert otp.ended_sessions == set(theirs)
    (row,) = [row for row in timeline_of(deps, mia) if row.type == "trusted_device.revoked"]
    assert row.details == {"devices": 2, "cause": "all_others"}
    assert problem(verify(stranger, waiting)) == (410, "challenge_expired")
    assert log_in(stranger, mia, device_token="trusted").json["status"] == "second_factor_required"
    assert log_in(stranger, mia, device_token="own").json["status"] == "authenticated"


def test_a_session_whose_device_had_to_make_room_ends_too(deps, api, mia):
    """A thief could sign in often, so that the row of the device with the open session goes first."""
    own, evicted = add_device(deps, mia, "own"), add_device(deps, mia, "thief", trusted=False)
    sign_in(deps, mia, device_id=evicted)
    with writing(deps.database) as connection:
        devices.make_room(connection, mia.id, deps.clock(), at_most=1)
    assert known(deps, mia) == {own}
    caller = api(mia, device_id=own)
    assert caller.delete(DEVICES + OTHERS).status_code == 204
    assert ids_of(deps, mia) == {caller.session.id}


def test_a_session_without_a_device_keeps_itself_and_no_device(deps, api, mia, eve):
    add_device(deps, mia, "one")
    foreign = add_device(deps, eve, "eve")
    caller = api(mia)
    assert caller.delete(DEVICES + OTHERS).status_code == 204
    assert known(deps, mia) == set()
    assert known(deps, eve) == {foreign}
    assert caller.get("/v1/session").status_code == 200


def test_a_session_of_an_earlier_release_ends_with_the_devices_that_may_have_opened_it(deps, api, mia):
    """It does not say which device skipped its code."""
    add_device(deps, mia, "one")
    caller = api(mia, Factor.PASSWORD, Factor.TRUSTED_DEVICE)
    assert caller.delete(DEVICES + OTHERS).status_code == 204
    assert ids_of(deps, mia) == set()


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SESSIONS, DEVICES])
@pytest.mark.parametrize("query", ["?keep=", "?keep=ses_1", "?keep=current&keep=current", "?spare=current"])
def test_what_is_to_be_kept_is_said_in_one_word(deps, api, mia, path, query):
    own = add_device(deps, mia, "own")
    add_device(deps, mia, "other")
    sign_in(deps, mia)
    caller = api(mia, device_id=own)
    assert problem(caller.delete(path + query)) == (422, "validation_failed")
    assert (len(ids_of(deps, mia)), len(known(deps, mia))) == (2, 2)


@pytest.mark.parametrize("path", [SESSIONS, DEVICES])
def test_what_otp_does_not_end_in_time_is_not_called_ended(deps, api, mia, otp, path):
    other, _ = sign_in(deps, mia, device_id=add_device(deps, mia, "other"))
    caller = api(mia, device_id=add_device(deps, mia, "own"))
    otp.ending_refusal = Unavailable("otp")
    assert problem(caller.delete(path + OTHERS)) == (503, "service_unavailable")
    assert ids_of(deps, mia) == {caller.session.id}
    assert [event.session_id for event in events_in(deps)] == [other.id], "otp hears of it by an event"
    otp.ending_refusal = None
    assert caller.delete(path + OTHERS).status_code == 204


@pytest.mark.parametrize("path", [SESSIONS, DEVICES])
def test_a_session_that_has_ended_ends_no_other(deps, api, mia, path):
    other, _ = sign_in(deps, mia, device_id=add_device(deps, mia, "other"))
    caller = api(mia)
    session_store.end(deps.redis, mia.id, session_store.Order(at=deps.clock(), session_ids=[caller.session.id]))
    assert problem(caller.delete(path + OTHERS)) == (401, "not_authenticated")
    assert ids_of(deps, mia) == {other.id}
    assert "trusted_device.revoked" not in types_of(deps, mia)
