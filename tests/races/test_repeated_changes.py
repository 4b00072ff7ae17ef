"""One call many times at once makes one change and tells one sheet. Real Redis, real databases of both kinds."""

import pytest

from services.otp.key_uri import decode_secret
from shared.database import create_database
from shared.hashing import HashingPool
from shared.redis_client import connect
from shared.secret import Secret
from tests.lockout.stage import CHEAP
from tests.support.auth import ENVIRONMENT
from tests.support.otp import ACCOUNT, World, make_world
from tests.support.threads import at_once

TIMES, ROUNDS = 4, 4  # confirming has a budget of five tries, and what is under way counts


class QuickHashing(HashingPool):
    """Sheets are made faster than their transactions, so that those meet."""

    def hash_many(self, passwords):
        return [CHEAP.hash(password) for password in passwords]


@pytest.fixture
def world(real_redis_url, new_database):
    redis, database = connect(Secret(real_redis_url)), create_database(new_database("otp"))
    redis.flushall()
    world = make_world(database, redis, QuickHashing(max_waiting=TIMES), ENVIRONMENT["NOTIFY_PUBLIC_KEY"])
    yield world
    world.deps.recorder.close()
    redis.close()
    database.dispose()


def sheets(answers):
    assert [answer.status_code for answer in answers] == [200] * TIMES, [answer.json for answer in answers]
    return {tuple(answer.json["recovery_codes"]) for answer in answers}


def test_one_confirmation_many_times_at_once_tells_one_sheet(world: World):
    for number in range(ROUNDS):
        account = f"{ACCOUNT}_{number}"
        begun = world.account("POST", "enrollments", {"label": "ann"}, account=account).json
        code = world.code(secret=decode_secret(Secret(begun["secret"])))
        path, body = f"enrollments/{begun['enrollment_id']}/confirm", {"code": code, "session_id": "ses_1"}
        call = lambda _, body=body, path=path, account=account: world.account("POST", path, body, account=account)  # noqa: E731
        ((first, *_),) = sheets(at_once(TIMES, call))
        assert world.verify(first, account=account).status_code == 200
    assert world.event_types().count("authenticator.enrolled") == ROUNDS


def test_one_key_many_times_at_once_makes_one_sheet(world: World):
    for number in range(ROUNDS):
        account = f"{ACCOUNT}_{number}"
        world.enrol(account)
        body = {"session_id": "ses_1", "idempotency_key": "k"}
        call = lambda _, body=body, account=account: world.account("POST", "recovery-codes", body, account=account)  # noqa: E731
        ((first, *_),) = sheets(at_once(TIMES, call))
        assert world.verify(first, account=account).status_code == 200
    assert world.event_types().count("recovery_codes.regenerated") == ROUNDS


def test_one_disable_many_times_at_once_is_one_event(world: World):
    for number in range(ROUNDS):
        world.enrol()
        body = {"session_id": f"ses_{number}"}
        answers = at_once(TIMES, lambda _, body=body: world.account("DELETE", "two-factor", body))
        assert [answer.status_code for answer in answers] == [200] * TIMES
        assert [answer.json["event_id"] for answer in answers] == [world.events()[-1]["id"]] * TIMES
    assert world.event_types() == ["two_factor.disabled"] * ROUNDS
