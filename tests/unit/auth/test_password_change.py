import itertools
from contextlib import ExitStack

import pytest

from services.auth import limits, session_store
from services.auth.store import accounts, devices
from shared import budgets
from shared.budgets import Charge
from shared.database import reading
from tests.support import auth
from tests.support.auth import add_device, notices_in, sign_in, timeline_of, types_of
from tests.support.sign_in import log_in, problem, spent, who_is

NEW = "nine dry badgers hum softly"


def change(caller, password=NEW, current=auth.PASSWORD):
    return caller.post("/v1/password", {"current_password": current, "new_password": password})


def stored_hash(deps, account):
    with reading(deps.database) as connection:
        return accounts.password(connection, account.id).encoded


def live(deps, account):
    return {session.id for session in session_store.sessions_of(deps.redis, account.id)}


def test_the_new_password_is_in_force_and_the_old_one_is_not(deps, api, tom):
    answer = change(api(tom))
    assert answer.status_code == 200
    assert answer.json["strength"]["score"] >= 3
    assert NEW not in answer.text
    assert log_in(api(), tom, NEW).status_code == 200
    assert problem(log_in(api(), tom)) == (401, "invalid_credentials")


def test_it_ends_other_sessions_and_spares_this_one(deps, api, tom, ann):
    caller = api(tom)
    _, other = sign_in(deps, tom)
    _, anns = sign_in(deps, ann)
    change(caller)
    assert live(deps, tom) == {caller.session.id}
    assert problem(who_is(api, other)) == (401, "not_authenticated")
    assert who_is(api, anns).status_code == 200


def test_it_ends_every_login_under_way(deps, api, tom):
    epoch = session_store.epoch(deps.redis, tom.id)
    change(api(tom))
    assert session_store.epoch(deps.redis, tom.id) > epoch


def test_it_revokes_devices_known_and_trusted(deps, api, mia):
    add_device(deps, mia, "trusted")
    add_device(deps, mia, "known", trusted=False)
    change(api(mia))
    with reading(deps.database) as connection:
        assert devices.by_tokens(connection, mia.id, ["trusted"], deps.clock()) is None
        assert devices.by_tokens(connection, mia.id, ["known"], deps.clock()) is None


def test_the_owner_is_told_on_every_channel(deps, api, mia):
    change(api(mia))
    assert {notice.recipient for notice in notices_in(deps)} == {mia.phone.e164, mia.email}
    assert not any(NEW in notice.body for notice in notices_in(deps))
    (row,) = timeline_of(deps, mia)
    assert (row.type, row.ip, row.details) == ("password.changed", "127.0.0.1", {})


@pytest.mark.parametrize("password", ["short", "password1234", "tom@example.com", "aaaaaaaaaaaaaaaaaa"])
def test_a_weak_one_is_refused_with_advice_and_changes_nothing(deps, api, tom, password):
    caller = api(tom)
    sign_in(deps, tom)
    before = stored_hash(deps, tom)
    answer = change(caller, password)
    assert problem(answer) == (422, "password_too_weak")
    assert set(answer.json["strength"]) >= {"score", "warning", "suggestions"}
    assert answer.json["detail"]
    assert stored_hash(deps, tom) == before
    assert len(live(deps, tom)) == 2
    assert types_of(deps, tom) == []


# --- the current password ---------------------------------------------------------------------------------------------


def test_it_takes_the_current_password(deps, api, tom):
    caller, before = api(tom), stored_hash(deps, tom)
    sign_in(deps, tom)
    answer = change(caller, current="seven wet otters juggled")
    assert problem(answer) == (422, "invalid_credentials")
    assert answer.json["detail"] == "The current password is wrong."
    assert answer.json["cause"] == "current"
    assert "WWW-Authenticate" not in answer.headers
    assert stored_hash(deps, tom) == before
    assert len(live(deps, tom)) == 2
    assert (types_of(deps, tom), notices_in(deps)) == ([], [])
    assert who_is(api, caller.token).status_code == 200
    assert change(caller).status_code == 200


@pytest.mark.parametrize("current", [None, "", "x" * 513, 7, ["x"], "a\x00b"])
def test_it_takes_one_that_may_be_a_password(api, tom, current):
    answer = change(api(tom), current=current)
    assert problem(answer) == (422, "validation_failed")
    assert set(answer.json["errors"]) == {"current_password"}


def test_it_takes_no_new_one_alone(api, tom):
    answer = api(tom).post("/v1/password", {"new_password": NEW})
    assert problem(answer) == (422, "validation_failed")
    assert set(answer.json["errors"]) == {"current_password"}


def test_the_new_password_is_current_for_the_next_change(api, tom):
    caller = api(tom)
    change(caller)
    assert caller.post("/v1/reauthenticate", {"password": NEW}).status_code == 200
    assert problem(change(caller, "ten dry badgers hum softly")) == (422, "invalid_credentials")
    assert change(caller, "ten dry badgers hum softly", current=NEW).status_code == 200


def test_guesses_here_and_at_reauthenticate_share_one_row(api, tom):
    caller = api(tom)
    assert [problem(change(caller, current=f"wrong {n}"))[0] for n in range(3)] == [422] * 3
    for n in range(2):
        answer = caller.post("/v1/reauthenticate", {"password": f"wrong {n}"})
        assert problem(answer) == (422, "invalid_credentials")
    refused = change(caller)
    assert problem(refused) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    assert problem(caller.post("/v1/reauthenticate", {"password": auth.PASSWORD})) == (429, "too_many_requests")
    assert api(tom).post("/v1/reauthenticate", {"password": auth.PASSWORD}).status_code == 200
    assert log_in(api(), tom).status_code == 200


def test_a_right_one_is_not_charged_even_when_the_new_one_is_too_weak(deps, api, tom):
    caller = api(tom)
    for _ in range(7):
        assert problem(change(caller, "password1234")) == (422, "password_too_weak")
    assert spent(deps, limits.REAUTHENTICATE, caller.session.id) == [0, 0, 0]


def test_an_outage_is_not_charged(deps, api, tom):
    caller = api(tom)
    with ExitStack() as places:
        for _ in range(4):
            places.enter_context(deps.hashing.place())
        assert problem(change(caller)) == (503, "service_unavailable")
    assert spent(deps, limits.REAUTHENTICATE, caller.session.id) == [0, 0, 0]


def test_it_needs_step_up(deps, api, tom):
    before = stored_hash(deps, tom)
    assert problem(change(api(tom, stepped_up=False))) == (403, "step_up_required")
    assert problem(change(api())) == (401, "not_authenticated")
    assert stored_hash(deps, tom) == before


@pytest.mark.parametrize("password", ["x" * 513, "", None, 7, "a\x00b wet otters juggle"])
def test_hostile_passwords_are_refused(api, tom, password):
    assert problem(change(api(tom), password)) == (422, "validation_failed")


def test_with_redis_down_the_old_password_stays_in_force(deps, api, tom, redis_server, watched):
    """Otherwise sessions that the change should end would live on."""
    caller = api(tom)
    before = stored_hash(deps, tom)
    watched.meanwhile = lambda: setattr(redis_server, "connected", False)
    assert problem(change(caller)) == (503, "service_unavailable")
    assert stored_hash(deps, tom) == before
    assert notices_in(deps) == []


def test_a_full_hashing_pool_is_503_and_changes_nothing(deps, api, tom):
    caller = api(tom)
    before = stored_hash(deps, tom)
    with ExitStack() as places:
        for _ in range(4):
            places.enter_context(deps.hashing.place())
        answer = change(caller)
    assert problem(answer) == (503, "service_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert stored_hash(deps, tom) == before


def test_the_stored_hash_is_argon2id(deps, api, tom):
    change(api(tom))
    assert stored_hash(deps, tom).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert auth.PASSWORD not in stored_hash(deps, tom)


def test_a_new_password_is_rated_while_it_is_typed_and_nothing_changes(deps, api, tom):
    caller = api(tom, stepped_up=False)
    weak = caller.post("/v1/password/strength", {"new_password": "tom@example.com"})
    assert (weak.status_code, weak.json["acceptable"]) == (200, False)
    strong = caller.post("/v1/password/strength", {"new_password": "nine dry walruses whistle"}).json
    assert (strong["score"], strong["acceptable"]) == (4, True)
    assert types_of(deps, tom) == []
    assert api().post("/v1/password/strength", {"new_password": "x"}).status_code == 401


def test_rating_passwords_has_a_budget(api, tom):
    caller = api(tom)
    answers = [caller.post("/v1/password/strength", {"new_password": "short"}).status_code for _ in range(121)]
    assert answers[-2:] == [200, 429]


def test_so_many_changes_and_no_more(deps, api, tom):
    most = limits.PASSWORD_CHANGE.windows[0].max
    passwords = [auth.PASSWORD, *(f"nine dry badgers hum softly {number}" for number in range(most + 2))]
    answers = [change(api(tom), new, current=old) for old, new in itertools.pairwise(passwords)]
    assert [answer.status_code for answer in answers] == [200] * most + [429] * 2
    assert answers[-1].json["code"] == "too_many_requests"
    assert 0 < answers[-1].json["retry_after"] <= 3600
    assert types_of(deps, tom) == ["password.changed"] * most


def test_refused_passwords_count_too(api, tom):
    caller, most = api(tom), limits.PASSWORD_CHANGE.windows[0].max
    assert [change(caller, "password1234").status_code for _ in range(most)] == [422] * most
    assert problem(change(caller)) == (429, "too_many_requests")


def test_nobody_pays_for_another(api, tom, mia):
    caller = api(tom)
    for _ in range(limits.PASSWORD_CHANGE.windows[0].max + 1):
        change(caller, "password1234")
    assert change(api(mia)).status_code == 200


def test_an_outage_costs_no_try(deps, api, tom):
    caller = api(tom)
    with ExitStack() as places:
        for _ in range(4):
            places.enter_context(deps.hashing.place())
        assert change(caller).status_code == 503
    assert budgets.count(deps.redis, Charge(limits.PASSWORD_CHANGE, tom.id)) == 0
