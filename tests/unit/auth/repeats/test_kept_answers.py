"""A change whose answer was lost: its session repeats the call, by its old token, and hears the same again."""

import base64
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.auth import repeat_store
from shared.clock import rfc3339
from tests.lockout.stage import LocalOtp
from tests.support.auth import NOW, Api, sign_in, timeline_of
from tests.support.repeats import KEY, begun, end, proof, without_id
from tests.support.sign_in import problem


@pytest.fixture(params=["confirm", "disable", "regenerate", "phone"])
def done(request, deps, api, tom, otp, world):
    """A call that was made and answered: its caller, how it is made again, its answer. The token has ended."""
    caller = api(tom)
    headers = {}
    if request.param == "confirm":
        path, body = begun(caller, world, tom)
        method = "POST"
    elif request.param == "phone":
        method, path, body = "POST", "/v1/phone/verify", {"code": proof(caller, world, tom, deps)}
    else:
        world.enrol(tom.id)
        method, body, headers = ("DELETE", None, KEY) if request.param == "disable" else ("POST", None, KEY)
        path = "/v1/two-factor" + ("" if request.param == "disable" else "/recovery-codes")

    def again(token=caller.token, path=path, body=body, headers=headers):
        return Api(caller.app, token).call(method, path, body, headers=headers)

    answer = again()
    assert answer.status_code in {200, 204}, answer.json
    end(deps, caller)
    return caller, again, answer


def test_the_old_token_has_the_same_answer_for_a_minute(done, clock):
    _, again, answer = done
    clock.turn(seconds=59)
    assert without_id(again()) == without_id(answer)
    assert without_id(again()) == without_id(answer)
    clock.turn(seconds=1)
    assert problem(again()) == (401, "not_authenticated")


def test_the_old_token_is_good_for_nothing_else(done):
    caller, again, _ = done
    assert problem(caller.get("/v1/session")) == (401, "not_authenticated")
    assert problem(caller.post("/v1/two-factor/enrollment")) == (401, "not_authenticated")
    assert problem(again(body={"code": "000000"})) == (401, "not_authenticated")
    assert problem(again(headers={"Idempotency-Key": "k-2"})) == (401, "not_authenticated")


def test_another_session_and_another_account_hear_nothing(deps, done, tom, make_account):
    _, again, answer = done
    for account in (tom, make_account("ann@example.com")):
        _, token = sign_in(deps, account, stepped_up=False)
        other = again(token=token)
        assert other.status_code >= 400
        assert other.data != answer.data
    assert problem(again(token=None)) == (401, "not_authenticated")


def test_a_repeat_costs_no_try_and_leaves_no_event_and_no_entry(deps, done, tom, world, clock):
    _, again, _ = done
    rows, events, budgets = len(timeline_of(deps, tom)), world.event_types(), sorted(deps.redis.keys("budget:*"))
    counts = [deps.redis.get(key) for key in budgets]
    again()
    assert (len(timeline_of(deps, tom)), world.event_types()) == (rows, events)
    assert [deps.redis.get(key) for key in budgets] == counts


def test_redis_alone_opens_nothing(deps, done):
    _, _, answer = done
    kept = "".join(key + deps.redis.get(key) for key in deps.redis.keys("auth:answer:*"))
    assert kept
    secrets = answer.json.get("recovery_codes", []) if answer.data else []
    assert not any(code in kept for code in secrets)
    assert all(0 < deps.redis.pttl(key) <= 60_000 for key in deps.redis.keys("auth:answer:*"))


def test_an_answer_that_was_put_there_by_another_hand_is_none(deps, done):
    _, again, _ = done
    for key in [*deps.redis.keys("auth:answer:*"), *deps.redis.keys("auth:passed_on:*")]:
        deps.redis.set(key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    assert problem(again()) == (401, "not_authenticated")


def test_an_answer_of_another_release_is_none(redis):
    call = repeat_store.call_of("token", "DELETE", "/v1/two-factor", b"", "k-1")
    nonce, until = bytes(repeat_store.NONCE_BYTES), rfc3339(NOW + timedelta(minutes=1))
    text = json.dumps([204, "application/json", "", [], until]).encode()
    sealed = nonce + AESGCM(call.secret.reveal()).encrypt(nonce, text, call.key.encode())
    redis.set(call.key, base64.b64encode(sealed).decode())
    assert repeat_store.find(redis, call, NOW) is None


def test_with_redis_down_the_answer_goes_out_all_the_same(deps, api, on, redis_server, otp):
    class LosesRedis(LocalOtp):
        def disable(self, *args):
            super().disable(*args)
            redis_server.connected = False

    otp.__class__ = LosesRedis
    assert api(on).delete("/v1/two-factor", headers=KEY).status_code == 204
