"""A change whose answer was lost: its session repeats the call, by the token that it had, and hears the same again.

Both services run here: the gateway's client asks the real otp.
"""

import base64
import dataclasses
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.auth import events, repeat_store, session_store
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from services.otp.key_uri import decode_secret
from shared.clock import rfc3339
from shared.envelope import open_envelope
from shared.hashing import HashingPool
from shared.ids import new_token, token_digest
from shared.messages import decode
from shared.problems import Unavailable
from shared.secret import Secret
from tests.lockout.stage import CHEAP, LocalOtp
from tests.support.auth import (
    ENVIRONMENT,
    NOTIFY_PRIVATE_KEYS,
    NOW,
    OTHER_PHONE,
    PASSWORD,
    PHONE,
    Api,
    events_in,
    fresh,
    sign_in,
    timeline_of,
)
from tests.support.migrated import copied, migrated
from tests.support.otp import make_world
from tests.support.sign_in import problem

KEY = {"Idempotency-Key": "k-1"}


@pytest.fixture(scope="module")
def otp_file(tmp_path_factory):
    return migrated("otp", tmp_path_factory.mktemp("otp"))


class QuickHashing(HashingPool):
    """A sheet costs next to nothing, so that no call runs out of time on a busy machine."""

    def hash_many(self, passwords):
        return [CHEAP.hash(password) for password in passwords]


class LossyOtp(LocalOtp):
    """otp acts, and its answer is lost once: ``lose`` is how the path of the change ends.

    ``spares``: how many answers arrive before that. ``kills``: the gateway is killed there.
    """

    lose: str | None = None
    spares = 0
    kills = False

    def _call(self, method, path, body=None, **options):
        answer = super()._call(method, path, body, **options)
        if self.lose is not None and method != "GET" and path.endswith(self.lose):
            self.spares -= 1
            if self.spares < 0:
                self.lose = None
                raise SystemExit if self.kills else Unavailable("otp")
        return answer


@pytest.fixture
def world(otp_file, tmp_path, redis, clock):
    folder = tmp_path / "otp"
    folder.mkdir()
    with copied(otp_file, folder) as engine:
        world = make_world(engine, redis, QuickHashing(max_waiting=4), ENVIRONMENT["NOTIFY_PUBLIC_KEY"])
        world.clock, world.deps = clock, dataclasses.replace(world.deps, clock=clock, totp_clock=clock)
        yield world
        world.deps.recorder.close()


@pytest.fixture
def otp(world):
    return LossyOtp(world)


NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "nine dry walruses whistle"}


@pytest.fixture
def on(tom, world):
    """2FA of Tom's is on."""
    world.enrol(tom.id)
    return tom


def begun(caller, world, account):
    answer = caller.post("/v1/two-factor/enrollment").json
    world.secrets[account.id] = decode_secret(Secret(answer["secret"]))
    return f"/v1/two-factor/enrollment/{answer['enrollment_id']}/confirm", {"code": world.code(account=account.id)}


def end(deps, caller):
    """The session's token ends, as it does when the session gets a new one."""
    deps.redis.delete(f"auth:session:{token_digest(caller.token)}")


def without_id(answer):
    return answer.status_code, answer.data, answer.content_type


# --- otp did its part, the gateway did not hear -----------------------------------------------------------------------


def test_a_confirm_that_otp_did_unheard_is_finished_by_its_repeat(deps, api, tom, otp, world):
    caller = api(tom, Factor.PASSWORD)
    _, other = sign_in(deps, tom)
    path, body = begun(caller, world, tom)
    otp.lose = "/confirm"
    assert problem(caller.post(path, body)) == (503, "service_unavailable")
    assert otp.state(tom.id).enabled
    answer = caller.post(path, body)
    assert answer.status_code == 200
    assert world.verify(answer.json["recovery_codes"][0], account=tom.id).status_code == 200
    assert session_store.find(deps.redis, other) is None
    assert world.event_types().count("authenticator.enrolled") == 1


def test_a_disable_that_otp_did_unheard_is_finished_by_its_repeat(deps, api, on, otp, world):
    caller = api(on)
    _, other = sign_in(deps, on)
    otp.lose = "/two-factor"
    assert problem(caller.delete("/v1/two-factor")) == (503, "service_unavailable")
    assert not otp.state(on.id).enabled
    assert caller.delete("/v1/two-factor").status_code == 204
    assert session_store.find(deps.redis, other) is None
    assert world.event_types() == ["two_factor.disabled"]


@pytest.mark.parametrize("lost", [None, "/two-factor"])
def test_the_event_of_a_disable_ends_no_login_begun_since(deps, api, on, otp, world, lost):
    caller = api(on)
    otp.lose = lost
    if lost:
        assert caller.delete("/v1/two-factor", headers=KEY).status_code == 503
    assert caller.delete("/v1/two-factor", headers=KEY).status_code == 204
    epoch = session_store.epoch(deps.redis, on.id)
    events.handle(deps, decode(world.events()[0]))
    assert session_store.epoch(deps.redis, on.id) == epoch


@pytest.mark.parametrize("heard", ["the event first", "no event"])
def test_an_operators_disable_that_otp_did_unheard_is_finished_by_its_repeat(
    deps, api, make_account, otp, world, heard
):
    """An operator without 2FA may write nothing but what leads to it, and the repeat of this call."""
    sam = make_account("sam@latchkey.example", role=Role.SUPPORT, team="Support")
    world.enrol(sam.id)
    caller = api(sam)
    _, other = sign_in(deps, sam)
    otp.lose = "/two-factor"
    assert problem(caller.delete("/v1/two-factor", headers=KEY)) == (503, "service_unavailable")
    if heard == "the event first":
        events.handle(deps, decode(world.events()[0]))
    answer = caller.delete("/v1/two-factor", headers=KEY)
    assert (answer.status_code, "X-Session-Token" in answer.headers) == (204, True)
    assert session_store.find(deps.redis, other) is None


def test_a_repeat_gets_the_new_sheet_that_otp_made_when_its_answer_was_lost(api, on, otp, world):
    caller = api(on)
    otp.lose = "/recovery-codes"
    assert problem(caller.post("/v1/two-factor/recovery-codes", headers=KEY)) == (503, "service_unavailable")
    sheet = caller.post("/v1/two-factor/recovery-codes", headers=KEY).json["recovery_codes"]
    assert caller.post("/v1/two-factor/recovery-codes", headers=KEY).json["recovery_codes"] == sheet
    assert world.event_types() == ["recovery_codes.regenerated"]
    assert world.verify(sheet[0], account=on.id).status_code == 200


def test_a_repeat_finishes_the_proof_of_a_phone_when_otps_answer_was_lost(deps, api, tom, otp, world):
    caller = api(tom)
    code = proof(caller, world, tom, deps)
    otp.lose = "/verifications"
    assert problem(caller.post("/v1/phone/verify", {"code": code})) == (503, "service_unavailable")
    assert caller.post("/v1/phone/verify", {"code": code}).status_code == 200
    assert fresh(deps, tom).phone == OTHER_PHONE


@pytest.mark.parametrize("rests_on", [Factor.TOTP, Factor.SMS])
def test_a_repeat_finishes_the_proof_of_a_phone_when_otps_answer_to_the_endings_was_lost(
    deps, api, make_account, otp, world, rests_on
):
    mia = make_account("mia@example.com", phone=PHONE)
    world.enrol(mia.id)
    caller = api(mia, Factor.PASSWORD, rests_on)
    code = proof(caller, world, mia, deps)
    otp.lose = "/endings"
    assert problem(caller.post("/v1/phone/verify", {"code": code})) == (503, "service_unavailable")
    assert fresh(deps, mia).phone == PHONE
    assert caller.post("/v1/phone/verify", {"code": code}).status_code == 200
    assert fresh(deps, mia).phone == OTHER_PHONE
    assert caller.get("/v1/session").status_code == (401 if rests_on is Factor.SMS else 200)


def proof(caller, world, account, deps):
    caller.put("/v1/phone", {"country": "DE", "number": OTHER_PHONE.e164})
    (message,) = deps.publisher.messages
    return open_envelope(NOTIFY_PRIVATE_KEYS, world.redis.get(f"notify:sealed:{message.message_id}")).body[-6:]


# --- the gateway did all, and its answer was lost ---------------------------------------------------------------------


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


# --- a change that fails half-way leaves a session that otp serves ----------------------------------------------------


def test_a_disable_of_which_otp_answers_no_ending_leaves_a_session_that_enrols(api, on, otp):
    caller = api(on)
    otp.lose = "/endings"
    assert caller.delete("/v1/two-factor").status_code == 204
    assert caller.post("/v1/two-factor/enrollment").status_code == 201


def test_a_password_change_that_fails_leaves_a_session_that_turns_2fa_off(api, on, otp):
    caller = api(on)
    otp.lose = "/endings"
    assert problem(caller.post("/v1/password", NEW_PASSWORD))[0] == 503
    assert caller.delete("/v1/two-factor").status_code == 204


@pytest.mark.parametrize("spares", [0, 1])
@pytest.mark.parametrize("call", ["confirm", "disable"])
def test_a_call_whose_gateway_was_killed_between_its_endings_is_done_by_its_repeat(api, tom, otp, world, call, spares):
    caller = api(tom)
    path, body = begun(caller, world, tom) if call == "confirm" else ("/v1/two-factor", None)
    if call == "disable":
        world.enrol(tom.id)

    def made():
        return caller.post(path, body) if call == "confirm" else caller.delete(path, headers=KEY)

    otp.lose, otp.spares, otp.kills = "/endings", spares, True
    with pytest.raises(SystemExit):
        made()
    assert made().status_code in {200, 204}
    assert caller.get("/v1/session").status_code == 200
    assert otp.state(tom.id).enabled == (call == "confirm")


def test_the_old_name_of_a_session_ends_by_an_event_when_otp_does_not_answer_to_the_call(deps, api, on, otp):
    caller = api(on)
    old = session_store.find(deps.redis, caller.token).call_id
    otp.lose, otp.spares = "/endings", 1
    assert caller.post("/v1/password", NEW_PASSWORD).status_code == 200
    assert old in {event.session_id for event in events_in(deps) if event.TYPE == "session.ended"}
    assert caller.get("/v1/session").status_code == 200


# --- the gateway was killed before it kept the answer -----------------------------------------------------------------


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
    assert caller.token not in {old, first.headers["X-Session-Token"]}
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


# --- the account was changed since ------------------------------------------------------------------------------------


def confirmed(deps, api, tom, world):
    """A caller that has turned 2FA on and stepped up under its new token, and the same call with the old one."""
    caller = api(tom)
    old, (path, body) = caller.token, begun(caller, world, tom)
    assert caller.post(path, body).status_code == 200
    session, proven = session_store.find(deps.redis, caller.token), (Factor.PASSWORD, Factor.TOTP)
    session_store.step_up(deps.redis, session, caller.token, deps.clock(), proven)
    return caller, lambda: Api(caller.app, old).post(path, body)


REPLACED = (409, "answer_replaced")


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
    """Whoever stole the old token knows the path of a disable, too."""
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
