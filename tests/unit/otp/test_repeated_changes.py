"""A change whose answer was lost: the session that made it may repeat the call for a minute, and nobody else."""

import time
from dataclasses import replace

import pytest

from services.otp import answer_store, recovery_code_store
from services.otp.answer_store import Answer, Call
from services.otp.key_uri import decode_secret
from shared.clock import unix_milliseconds
from shared.database import reading
from shared.deadline import GIVES_UP_AT_HEADER, TIME_LEFT_HEADER, begin_request, caller_waits, end_request
from shared.hashing import HashingPool
from shared.keys import encode_key
from shared.problems import Unavailable
from shared.secret import Secret
from tests.lockout.stage import CHEAP
from tests.support.otp import ACCOUNT, API_KEY, World
from tests.support.threads import at_once

SESSION, OTHER_SESSION = "ses_1", "ses_2"


def begin(world, account=ACCOUNT):
    begun = world.account("POST", "enrollments", {"label": "ann"}, account=account).json
    world.secrets[account] = decode_secret(Secret(begun["secret"]))
    return begun["enrollment_id"]


def confirm(world, enrollment_id, code, session=SESSION, account=ACCOUNT):
    body = {"code": code, "session_id": session}
    return world.account("POST", f"enrollments/{enrollment_id}/confirm", body, account=account)


def disable(world, session=SESSION):
    return world.account("DELETE", "two-factor", {"session_id": session})


def regenerate(world, key, session=SESSION):
    return world.account("POST", "recovery-codes", {"session_id": session, "idempotency_key": key})


def codes(answer):
    assert answer.status_code == 200, answer.json
    return answer.json["recovery_codes"]


def problem(answer):
    return answer.status_code, answer.json["code"]


def in_time(world, method, path, body, milliseconds, gives_up_at=None):
    """A call whose caller waits so long from when it is read, and until a moment."""
    headers = {"Authorization": f"Bearer {encode_key(API_KEY)}", TIME_LEFT_HEADER: str(milliseconds)}
    if gives_up_at is not None:
        headers[GIVES_UP_AT_HEADER] = str(gives_up_at)
    return world.app.test_client().open(f"/accounts/{ACCOUNT}/{path}", method=method, json=body, headers=headers)


class QuickHashing(HashingPool):
    """A sheet costs next to nothing, so that no call runs out of time on a busy machine."""

    def hash_many(self, passwords):
        return [CHEAP.hash(password) for password in passwords]


@pytest.fixture
def hashing():
    return QuickHashing(max_waiting=4)


class SlowHashing:
    """Hashes for longer than the caller waits."""

    def hash_many(self, passwords):
        time.sleep(0.15)
        return [f"hash of {password}" for password in passwords]


class TestConfirm:
    @pytest.fixture
    def enrollment_id(self, world):
        return begin(world)

    def test_the_same_call_has_the_same_sheet_for_a_minute(self, world: World, enrollment_id):
        code = world.code()
        sheet = codes(confirm(world, enrollment_id, code))
        world.clock.turn(seconds=59)
        assert codes(confirm(world, enrollment_id, code)) == sheet
        assert world.verify(sheet[0]).status_code == 200
        world.clock.turn(seconds=1)
        assert problem(confirm(world, enrollment_id, code)) == (410, "enrollment_expired")

    def test_a_repeat_is_no_event_no_attempt_and_no_try(self, world: World, enrollment_id):
        code = world.code()
        for _ in range(8):
            codes(confirm(world, enrollment_id, code))
            world.settle()  # the try is given back after the answer, on a busy machine later than the next call
        assert world.event_types() == ["authenticator.enrolled"]
        assert [attempt["outcome"] for attempt in world.attempts()] == ["verified"]

    @pytest.mark.parametrize("session", [OTHER_SESSION, None])
    def test_another_session_has_nothing(self, world: World, enrollment_id, session):
        code = world.code()
        confirm(world, enrollment_id, code)
        assert problem(confirm(world, enrollment_id, code, session)) == (410, "enrollment_expired")

    def test_another_account_has_nothing(self, world: World, enrollment_id):
        code = world.code()
        confirm(world, enrollment_id, code)
        assert problem(confirm(world, enrollment_id, code, account="acc_bob")) == (410, "enrollment_expired")

    def test_another_code_has_nothing_and_is_a_try(self, world: World, enrollment_id):
        confirm(world, enrollment_id, world.code())
        world.settle()
        world.end_windows()
        answers = [problem(confirm(world, enrollment_id, world.wrong_code())) for _ in range(6)]
        assert answers == [(410, "enrollment_expired")] * 5 + [(429, "too_many_requests")]

    def test_a_sheet_that_was_made_anew_is_not_told_again(self, world: World, enrollment_id):
        code = world.code()
        confirm(world, enrollment_id, code)
        world.give_recovery_codes()
        assert problem(confirm(world, enrollment_id, code)) == (410, "enrollment_expired")

    def test_after_2fa_was_turned_off_it_is_not_told_again(self, world: World, enrollment_id):
        code = world.code()
        confirm(world, enrollment_id, code)
        disable(world)
        assert problem(confirm(world, enrollment_id, code)) == (410, "enrollment_expired")

    def test_an_answer_whose_commit_failed_is_none(self, world: World, enrollment_id):
        code = world.code()
        world.sql("ALTER TABLE outbox RENAME TO gone")
        assert confirm(world, enrollment_id, code).status_code == 503
        world.sql("ALTER TABLE gone RENAME TO outbox")
        call = Call(ACCOUNT, SESSION, f"confirm:{enrollment_id}", code)
        kept = Answer("rec_never", ("0AAA-BBBB-CCCC-DDDD",))
        answer_store.keep(world.redis, world.deps.secret_box, call, kept, world.clock())
        assert len(codes(confirm(world, enrollment_id, code))) == 10
        answer_store.keep(world.redis, world.deps.secret_box, call, kept, world.clock())
        assert problem(confirm(world, enrollment_id, code)) == (410, "enrollment_expired")

    def test_redis_and_its_dump_show_neither_sheet_nor_code(self, world: World, enrollment_id):
        code = world.code()
        sheet = codes(confirm(world, enrollment_id, code))
        (key,) = world.redis.keys("otp:answer:*")
        assert 0 < world.redis.pttl(key) <= 60_000
        kept = key + world.redis.get(key)
        assert not any(text in kept for text in (code, *sheet))

    def test_a_sealed_answer_opens_for_no_other_call(self, world: World, enrollment_id):
        confirm(world, enrollment_id, code := world.code())
        (key,) = world.redis.keys("otp:answer:*")
        box, now = world.deps.secret_box, world.clock()
        mine = Call(ACCOUNT, SESSION, f"confirm:{enrollment_id}", code)
        assert answer_store.find(world.redis, box, mine, now) is not None
        others = [
            replace(mine, account_id="acc_bob"),
            replace(mine, session_id=OTHER_SESSION),
            replace(mine, name="regenerate:k"),
        ]
        for other in others:
            world.redis.set(other.key, world.redis.get(key))
            assert answer_store.find(world.redis, box, other, now) is None
        assert code not in repr(mine)

    def test_many_at_once_have_one_sheet(self, world: World, enrollment_id):
        code = world.code()
        answers = at_once(3, lambda _: confirm(world, enrollment_id, code))
        sheets = {tuple(answer.json["recovery_codes"]) for answer in answers if answer.status_code == 200}
        assert len(sheets) == 1
        assert world.event_types() == ["authenticator.enrolled"]

    def test_a_caller_that_gives_up_during_the_hashes_has_changed_nothing(self, world: World, enrollment_id):
        code, hashing = world.code(), world.deps.hashing
        world.deps = replace(world.deps, hashing=SlowHashing())
        late = in_time(
            world, "POST", f"enrollments/{enrollment_id}/confirm", {"code": code, "session_id": SESSION}, 100
        )
        assert (late.status_code, late.json["part"]) == (503, "deadline")
        assert world.event_types() == []
        world.deps = replace(world.deps, hashing=hashing)
        assert len(codes(confirm(world, enrollment_id, code))) == 10


class TestRegenerate:
    @pytest.fixture(autouse=True)
    def _on(self, world):
        world.enrol()

    def test_the_same_key_has_the_same_sheet_for_a_minute(self, world: World):
        sheet = codes(regenerate(world, "k1"))
        world.clock.turn(seconds=59)
        assert codes(regenerate(world, "k1")) == sheet
        assert world.event_types() == ["recovery_codes.regenerated"]
        world.clock.turn(seconds=1)
        assert codes(regenerate(world, "k1")) != sheet

    def test_without_a_key_each_call_makes_a_sheet(self, world: World):
        assert codes(regenerate(world, None)) != codes(regenerate(world, None))
        assert world.redis.keys("otp:answer:*") == []

    @pytest.mark.parametrize(("key", "session"), [("k2", SESSION), ("k1", OTHER_SESSION)])
    def test_another_key_or_session_makes_a_sheet(self, world: World, key, session):
        assert codes(regenerate(world, "k1")) != codes(regenerate(world, key, session))

    @pytest.mark.parametrize("since", ["another key", "no key", "off and on again"])
    def test_a_repeat_after_a_newer_sheet_makes_none_and_leaves_that_one(self, world: World, since):
        codes(regenerate(world, "k1"))
        if since == "off and on again":
            disable(world)
            world.enrol()
        newer = codes(regenerate(world, "k2" if since == "another key" else None))
        events = world.event_types()
        assert problem(regenerate(world, "k1")) == (409, "answer_replaced")
        assert world.event_types() == events
        assert world.verify(newer[0]).status_code == 200
        assert problem(regenerate(world, "k1")) == (409, "answer_replaced")

    @pytest.mark.parametrize("earlier", [True, False])
    def test_a_call_whose_commit_failed_makes_its_sheet_when_it_is_repeated(self, world: World, earlier):
        if earlier:
            regenerate(world, None)
        with reading(world.database) as connection:
            before = recovery_code_store.sheet_of(connection, ACCOUNT)
        call, kept = Call(ACCOUNT, SESSION, "regenerate:k1"), Answer("rec_never", ("0AAA-BBBB-CCCC-DDDD",), before)
        answer_store.keep(world.redis, world.deps.secret_box, call, kept, world.clock())
        assert len(codes(regenerate(world, "k1"))) == 10

    def test_with_2fa_off_nothing_is_told(self, world: World):
        regenerate(world, "k1")
        disable(world)
        assert problem(regenerate(world, "k1")) == (409, "two_factor_off")

    @pytest.mark.parametrize("key", ["", "a b", "k" * 81, "ключ", "k\n", 7])
    def test_a_key_of_another_shape_is_refused(self, world: World, key):
        assert problem(regenerate(world, key)) == (422, "validation_failed")

    def test_the_same_call_twice_at_once_makes_one_sheet(self, world: World):
        class TwiceAtOnce:
            def hash_many(self, passwords):
                world.deps = replace(world.deps, hashing=hashing)
                self.first = codes(regenerate(world, "k1"))
                return [f"hash of {password}" for password in passwords]

        hashing, twice = world.deps.hashing, TwiceAtOnce()
        world.deps = replace(world.deps, hashing=twice)
        assert codes(regenerate(world, "k1")) == twice.first
        assert world.event_types() == ["recovery_codes.regenerated"]

    def test_a_caller_that_gives_up_during_the_hashes_keeps_the_old_sheet(self, world: World):
        sheet, hashing = codes(regenerate(world, None)), world.deps.hashing
        world.deps = replace(world.deps, hashing=SlowHashing())
        body = {"session_id": SESSION, "idempotency_key": "k1"}
        assert in_time(world, "POST", "recovery-codes", body, 100).json["part"] == "deadline"
        world.deps = replace(world.deps, hashing=hashing)
        assert world.verify(sheet[0]).status_code == 200


class TestDisable:
    @pytest.fixture(autouse=True)
    def _on(self, world):
        world.enrol()

    def test_the_same_session_hears_that_it_is_done_for_a_minute(self, world: World):
        first = disable(world)
        world.clock.turn(seconds=59)
        assert disable(world).json == first.json == {"event_id": world.events()[0]["id"]}
        assert world.event_types() == ["two_factor.disabled"]
        world.clock.turn(seconds=1)
        assert problem(disable(world)) == (409, "two_factor_off")

    @pytest.mark.parametrize("session", [OTHER_SESSION, None])
    def test_another_session_hears_that_it_is_off(self, world: World, session):
        disable(world)
        assert problem(disable(world, session)) == (409, "two_factor_off")

    def test_a_repeat_leaves_the_enrollment_that_was_begun_since(self, world: World):
        disable(world)
        enrollment_id = begin(world)
        assert disable(world).status_code == 200
        assert len(codes(confirm(world, enrollment_id, world.code()))) == 10

    def test_2fa_that_was_turned_on_since_is_turned_off(self, world: World):
        disable(world)
        world.enrol()
        assert disable(world).status_code == 200
        assert world.state()["enabled"] is False


class TestCallersThatGaveUp:
    """One header counts from when otp reads the request, the other is a time of the clock that both services read."""

    @pytest.mark.parametrize("milliseconds", [0, -5])
    def test_nothing_is_begun_for_them(self, world: World, milliseconds):
        world.enrol()
        code = world.code()
        body = {"code": code, "purpose": "login", "binding": "chl_1"}
        late = in_time(world, "POST", "verifications", body, milliseconds)
        assert (late.status_code, late.json["part"]) == (503, "deadline")
        assert world.redis.keys("budget:*") == []
        assert world.verify(code).status_code == 200

    @pytest.mark.parametrize("late_by", [0, 1, 5_000])
    def test_nothing_is_done_for_those_who_gave_up_while_the_call_waited_unread(self, world: World, late_by):
        """A stopped process reads the call late, and by X-Time-Left alone the full time would begin only then."""
        enrollment_id = begin(world)
        body = {"code": world.code(), "session_id": SESSION}
        gives_up_at = unix_milliseconds(world.clock()) - late_by
        late = in_time(world, "POST", f"enrollments/{enrollment_id}/confirm", body, 2200, gives_up_at)
        assert (late.status_code, late.json["part"]) == (503, "deadline")
        assert world.state()["enabled"] is False
        assert codes(in_time(world, "POST", f"enrollments/{enrollment_id}/confirm", body, 2200, gives_up_at + 60_000))

    @pytest.mark.parametrize("gives_up_at", ["", "soon", "2026-11-24T05:00:00Z"])
    def test_a_time_that_cannot_be_read_hurries_nobody(self, world: World, gives_up_at):
        assert in_time(world, "GET", "two-factor", None, 2200, gives_up_at).status_code == 200

    def test_what_is_left_of_the_time_is_all_that_it_gets(self, world: World):
        """It waited unread for most of its time, and the hashes take the rest."""
        enrollment_id, code = begin(world), world.code()
        world.deps = replace(world.deps, hashing=SlowHashing())
        body = {"code": code, "session_id": SESSION}
        path, gives_up_at = f"enrollments/{enrollment_id}/confirm", unix_milliseconds(world.clock()) + 100
        assert in_time(world, "POST", path, body, 2200, gives_up_at).json["part"] == "deadline"
        assert world.event_types() == []

    @pytest.mark.parametrize("milliseconds", ["", "soon", "1e3", 2200])
    def test_what_says_nothing_hurries_nobody(self, world: World, milliseconds):
        world.enrol()
        body = {"code": world.code(), "purpose": "login", "binding": "chl_1"}
        assert in_time(world, "POST", "verifications", body, milliseconds).status_code == 200

    def test_a_backup_code_is_not_spent_for_them_and_the_try_is_given_back(self, world: World):
        class SlowVerify:
            def verify(self, encoded, password):
                time.sleep(0.15)
                return True

        world.enrol()
        hashing, (code, *_) = world.deps.hashing, world.give_recovery_codes()
        world.deps = replace(world.deps, hashing=SlowVerify())
        body = {"code": code, "purpose": "login", "binding": "chl_1"}
        assert in_time(world, "POST", "verifications", body, 100).json["part"] == "deadline"
        world.deps = replace(world.deps, hashing=hashing)
        assert world.verify(code).status_code == 200
        world.settle()
        assert [attempt["outcome"] for attempt in world.attempts()] == ["verified"]

    def test_no_hash_is_begun_after_the_time(self):
        pool = HashingPool(max_waiting=1)
        begin_request()
        caller_waits(0)
        try:
            with pytest.raises(Unavailable, match="service_unavailable"):
                pool.hash("x")
            with pytest.raises(Unavailable, match="service_unavailable"):
                pool.verify("x", "y")
        finally:
            end_request()
