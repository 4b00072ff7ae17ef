"""A later change of the account voids the answer."""

import pytest

from services.auth import events
from shared.messages import decode
from tests.support.auth import fresh
from tests.support.repeats import KEY, NEW_PASSWORD, REPLACED, confirmed, proof
from tests.support.sign_in import problem


@pytest.mark.parametrize("since", ["regenerate", "regenerate, no key", "disable", "password", "event of otp"])
def test_a_sheet_is_not_told_again_after_a_later_change(deps, api, tom, world, clock, since):
    caller, again = confirmed(deps, api, tom, world)
    sheet = again().json["recovery_codes"]
    clock.turn(seconds=1)
    if since == "disable":
        assert caller.delete("/v1/two-factor").status_code == 204
    elif since == "password":
        assert caller.post("/v1/password", NEW_PASSWORD).status_code == 200
    elif since == "event of otp":  # the gateway died before it could keep the answer
        world.give_recovery_codes(tom.id)
        events.handle(deps, decode(world.events()[-1]))
    else:
        headers = KEY if since == "regenerate" else {}
        assert caller.post("/v1/two-factor/recovery-codes", headers=headers).status_code == 200
    assert problem(again()) == REPLACED
    assert problem(again()) == REPLACED
    if since != "password":
        assert world.verify(sheet[0], account=tom.id).status_code in {401, 409}


def test_a_proof_is_not_told_again_after_the_phone_was_removed(deps, api, tom, world):
    caller = api(tom)
    body = {"code": proof(caller, world, tom, deps)}
    assert caller.post("/v1/phone/verify", body).status_code == 200
    assert caller.delete("/v1/phone").status_code == 204
    assert problem(caller.post("/v1/phone/verify", body)) == REPLACED
    assert fresh(deps, tom).phone is None


def test_a_new_sheet_is_not_told_again_by_the_gateway_after_a_newer_one(deps, api, on):
    caller, key2 = api(on), {"Idempotency-Key": "k-2"}
    caller.post("/v1/two-factor/recovery-codes", headers=KEY)
    newer = caller.post("/v1/two-factor/recovery-codes", headers=key2).json
    assert problem(caller.post("/v1/two-factor/recovery-codes", headers=KEY)) == REPLACED
    assert caller.post("/v1/two-factor/recovery-codes", headers=key2).json == newer


def test_a_session_that_was_ended_since_has_no_answer(deps, api, tom, world):
    caller, again = confirmed(deps, api, tom, world)
    caller.post("/v1/logout")
    assert problem(again()) == REPLACED


def test_the_event_of_the_same_change_voids_no_answer(deps, api, tom, world):
    _, again = confirmed(deps, api, tom, world)
    sheet = again().json["recovery_codes"]
    for event in world.events():
        events.handle(deps, decode(event))
    assert again().json["recovery_codes"] == sheet


def test_what_another_account_does_voids_no_answer(deps, api, tom, make_account, world):
    _, again = confirmed(deps, api, tom, world)
    assert api(make_account("ann@example.com")).delete("/v1/phone").status_code == 204
    assert again().status_code == 200
