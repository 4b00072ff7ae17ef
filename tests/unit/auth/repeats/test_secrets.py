"""A repeat gets tokens and secrets only with a code or an Idempotency-Key."""

import dataclasses

import pytest

from services.auth import events, repeat_store, session_store
from shared.ids import new_token
from shared.messages import decode
from tests.support.auth import Api, sign_in
from tests.support.repeats import KEY, begun, end, without_id
from tests.support.sign_in import problem

# --- what needs something secret besides the token --------------------------------------------------------------------


def test_without_a_key_a_new_sheet_is_never_given_again(deps, api, on):
    caller = api(on)
    first = caller.post("/v1/two-factor/recovery-codes").json
    assert caller.post("/v1/two-factor/recovery-codes").json != first
    assert deps.redis.keys("auth:answer:*") == []
    end(deps, caller)
    assert problem(caller.post("/v1/two-factor/recovery-codes")) == (401, "not_authenticated")


def test_without_a_key_a_repeated_disable_gets_204_and_no_token(deps, api, on):
    caller = api(on)
    token = caller.token
    caller.delete("/v1/two-factor")
    caller.token = token
    answer = caller.delete("/v1/two-factor")
    assert answer.status_code == 204
    assert not {"Set-Cookie", "X-Session-Token"} & set(answer.headers)


@pytest.mark.parametrize("key", ["", "a b", "k" * 81, '"', "ключ".encode().decode("latin-1")])
def test_a_key_of_another_shape_is_refused(api, on, key):
    answer = api(on).post("/v1/two-factor/recovery-codes", headers={"Idempotency-Key": key})
    assert problem(answer) == (422, "validation_failed")


def test_a_key_in_quotes_is_the_key(api, on):
    caller = api(on)
    sheet = caller.post("/v1/two-factor/recovery-codes", headers=KEY).json
    assert caller.post("/v1/two-factor/recovery-codes", headers={"Idempotency-Key": '"k-1"'}).json == sheet


def test_two_calls_are_the_same_when_all_of_them_is():
    call = ("token", "POST", "/v1/x", b"{}", "k")
    keys = {
        repeat_store.call_of(*call[:i], other, *call[i + 1 :]).key
        for i, other in enumerate(["t", "PUT", "/", b"", None])
    }
    assert len({repeat_store.call_of(*call).key, *keys}) == 6


# --- the session's new token ------------------------------------------------------------------------------------------


def cookie_call(app, deps, token, method, path, **kwargs):
    headers = {"Cookie": f"{deps.settings.session_cookie}={token}", **kwargs.pop("headers", {})}
    return app.test_client(use_cookies=False).open(path, method=method, headers=headers, **kwargs)


@pytest.mark.parametrize("what", ["confirm", "disable"])
def test_the_repeat_has_the_same_new_token_again(deps, api, tom, world, what):
    caller, call = api(tom), ("DELETE", "/v1/two-factor")
    old, headers = caller.token, KEY
    if what == "confirm":
        call, headers = ("POST", *begun(caller, world, tom)), {}
    else:
        world.enrol(tom.id)
    first, second = (Api(caller.app, old).call(*call, headers=headers) for _ in range(2))
    new = first.headers["X-Session-Token"]
    assert session_store.find(deps.redis, old) is None
    assert (without_id(second), second.headers["X-Session-Token"]) == (without_id(first), new)
    assert Api(caller.app, new).get("/v1/session").status_code == 200
    assert problem(Api(caller.app, old).get("/v1/session")) == (401, "not_authenticated")
    assert not any(new in deps.redis.get(key) for key in deps.redis.keys("auth:answer:*"))


def test_the_repeat_has_the_same_new_cookie_again(deps, app, tom, world):
    session, bearer = sign_in(deps, tom)
    token = new_token()
    session = dataclasses.replace(session, id="ses_cookie", transport="cookie")
    assert session_store.open_session(deps.redis, session, token, epoch=session_store.epoch(deps.redis, tom.id))
    world.enrol(tom.id)
    answers = [cookie_call(app, deps, token, "DELETE", "/v1/two-factor", headers=KEY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    first, second = (answer.headers.getlist("Set-Cookie") for answer in answers)
    assert first == second != []
    assert session_store.find(deps.redis, bearer) is None


def test_without_a_key_the_new_token_goes_out_once(api, on):
    """A thief of the old token knows the path of a disable, too."""
    caller = api(on)
    thief = Api(caller.app, caller.token)
    assert caller.delete("/v1/two-factor").headers["X-Session-Token"]
    answer = thief.delete("/v1/two-factor")
    assert answer.status_code == 204
    assert "X-Session-Token" not in answer.headers


def test_a_disable_reported_by_otps_event_first_is_finished_without_the_closed_window(deps, api, on, otp, world):
    caller = api(on)
    otp.lose = "/two-factor"
    assert problem(caller.delete("/v1/two-factor")) == (503, "service_unavailable")
    (disabled,) = world.events()
    events.handle(deps, decode(disabled))
    assert caller.get("/v1/session").json["step_up_until"] is None
    answer = caller.delete("/v1/two-factor")
    assert (answer.status_code, "X-Session-Token" in answer.headers) == (204, True)
    assert world.event_types() == ["two_factor.disabled"]


@pytest.mark.parametrize("since", ["never", "on again", "a minute"])
def test_without_the_window_nothing_but_that_is_finished(deps, api, on, world, clock, since):
    caller = api(on, stepped_up=False)
    if since != "never":
        world.account("DELETE", "two-factor", {"session_id": caller.session.id}, account=on.id)
    if since == "on again":
        world.enrol(on.id)
    if since == "a minute":
        clock.turn(minutes=1)
    events_before = world.event_types()
    assert problem(caller.delete("/v1/two-factor")) == (403, "step_up_required")
    assert world.event_types() == events_before
    assert session_store.find(deps.redis, caller.token) is not None


def test_a_body_that_nests_too_deep_is_refused(api, on):
    body = "[" * 8000 + "]" * 8000
    answer = api(on).call("DELETE", "/v1/two-factor", data=body, content_type="application/json")
    assert answer.status_code in {400, 422}
