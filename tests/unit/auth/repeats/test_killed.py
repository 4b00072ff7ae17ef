"""The gateway was killed before it kept the answer: the repeat gets its sheet and a live token."""

from tests.support.auth import Api, sign_in, timeline_of
from tests.support.repeats import KEY, NEW_PASSWORD, begun, confirmed, proof, without_id
from tests.support.sign_in import problem


def forget_kept_answers(deps):
    """As if the gateway had been killed after the change, and before it kept the answer."""
    for key in [*deps.redis.keys("auth:answer:*"), *deps.redis.keys("auth:standing_answer:*")]:
        deps.redis.delete(key)


def repeated_after_a_kill(deps, caller, call):
    """The first answer and that of its repeat, which has the token of before."""
    old = caller.token
    first = call()
    forget_kept_answers(deps)
    caller.token = old
    again = call()
    assert caller.token == first.headers["X-Session-Token"] != old
    assert caller.get("/v1/session").status_code == 200
    return first, again


def test_a_repeated_confirmation_gets_its_sheet_and_a_live_token_all_the_same(deps, api, tom, world):
    caller = api(tom)
    path, body = begun(caller, world, tom)
    first, again = repeated_after_a_kill(deps, caller, lambda: caller.post(path, body))
    assert again.json == {"recovery_codes": first.json["recovery_codes"], "token": caller.token}
    assert world.verify(again.json["recovery_codes"][0], account=tom.id).status_code == 200
    assert world.event_types().count("authenticator.enrolled") == 1


def test_a_repeated_disable_gets_a_live_token_all_the_same(deps, api, on, world):
    caller = api(on)
    _, again = repeated_after_a_kill(deps, caller, lambda: caller.delete("/v1/two-factor", headers=KEY))
    assert again.status_code == 204
    assert world.event_types() == ["two_factor.disabled"]


def test_a_repeated_proof_of_a_phone_gets_its_answer_all_the_same(deps, api, tom, world, clock):
    caller = api(tom)
    body = {"code": proof(caller, world, tom, deps)}
    first = caller.post("/v1/phone/verify", body)
    forget_kept_answers(deps)
    clock.turn(seconds=59)
    assert problem(caller.post("/v1/phone/verify", {"code": "000000"})) == (409, "phone_not_pending")
    _, other = sign_in(deps, tom)
    assert problem(Api(caller.app, other).post("/v1/phone/verify", body)) == (409, "phone_not_pending")
    assert without_id(caller.post("/v1/phone/verify", body)) == without_id(first)
    assert [row.type for row in timeline_of(deps, tom)].count("phone.changed") == 1
    forget_kept_answers(deps)
    assert caller.delete("/v1/phone").status_code == 204
    assert problem(caller.post("/v1/phone/verify", body)) == (409, "phone_not_pending")


def test_without_another_secret_a_repeat_gets_no_new_token(deps, api, on):
    caller = api(on)
    old = caller.token
    assert caller.delete("/v1/two-factor").status_code == 204
    forget_kept_answers(deps)
    caller.token = old
    assert problem(caller.delete("/v1/two-factor")) == (401, "not_authenticated")


def test_after_a_later_change_the_token_that_nobody_got_is_void(deps, api, tom, world):
    caller, again = confirmed(deps, api, tom, world)
    forget_kept_answers(deps)
    assert caller.post("/v1/password", NEW_PASSWORD).status_code == 200
    assert problem(again()) == (401, "not_authenticated")
