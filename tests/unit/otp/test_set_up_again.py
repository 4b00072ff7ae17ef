"""Set-up that is interrupted: shown again to its own session, and a code of an older entry is recognised."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.otp import endings, older_key_store
from services.otp.key_uri import decode_secret
from shared.clock import rfc3339
from shared.messages import SessionEnded
from shared.secret import Secret
from tests.lockout.stage import CHEAP
from tests.support.clock import NOW
from tests.support.otp import ACCOUNT, World

MINE, OTHER = "ses_1.5", "ses_2.7"
OLDER = {"code": "invalid_passcode", "reason": "older_entry", "cause": "older_entry"}


@pytest.fixture(autouse=True)
def cheap_hashes(world: World):
    """A sheet of ten takes seconds on a busy machine, and nothing here is about it."""

    class CheapHashing:
        def hash_many(self, passwords):
            return [CHEAP.hash(password) for password in passwords]

    world.deps = replace(world.deps, hashing=CheapHashing())


def begin(world: World, session=MINE, account=ACCOUNT):
    return world.account("POST", "enrollments", {"label": "ann", "session_id": session}, account=account).json


def show(world: World, session=MINE, account=ACCOUNT):
    return world.account("GET", f"enrollments?session_id={session}", account=account)


def cancel(world: World, session=MINE):
    return world.account("DELETE", "enrollments", {"session_id": session})


def pending_until(world: World, session=MINE):
    return world.account("GET", f"two-factor?session_id={session}").json["pending_until"]


def secret_of(begun) -> Secret[bytes]:
    return decode_secret(Secret(begun["secret"]))


def confirm(world: World, begun, code, session=MINE, account=ACCOUNT):
    body = {"code": code, "session_id": session}
    return world.account("POST", f"enrollments/{begun['enrollment_id']}/confirm", body, account=account)


def enter_code_of(world: World, entry, begun, session=MINE, **where):
    return confirm(world, begun, world.code(secret=secret_of(entry)), session, **where)


def problem(answer):
    return answer.status_code, answer.json["code"]


class TestShownAgain:
    @pytest.mark.parametrize("session", [MINE, "ses_1.9", "ses_1"])
    def test_the_session_that_began_sees_the_same_key(self, world: World, session):
        begun = begin(world)
        world.clock.turn(minutes=9)
        assert show(world, session).json == begun
        assert pending_until(world, session) == begun["expires_at"]
        assert enter_code_of(world, begun, begun).status_code == 200

    def test_no_other_session_and_no_other_account_sees_it(self, world: World):
        begin(world)
        for session, account in ((OTHER, ACCOUNT), ("ses_11.5", ACCOUNT), (MINE, "acc_bob")):
            assert problem(show(world, session, account)) == (410, "enrollment_expired")
        assert pending_until(world, OTHER) is None
        assert world.state()["pending_until"] is None

    def test_another_session_voids_it(self, world: World):
        """Attack 28: whoever saw the first key must not have it turned on."""
        first = begin(world)
        second = begin(world, OTHER)
        assert second["secret"] != first["secret"]
        assert problem(show(world)) == (410, "enrollment_expired")
        assert pending_until(world) is None
        assert problem(enter_code_of(world, first, first)) == (410, "enrollment_expired")

    def test_what_was_begun_without_a_session_is_shown_to_nobody(self, world: World):
        world.account("POST", "enrollments", {"label": "ann"})
        assert problem(show(world)) == (410, "enrollment_expired")

    def test_its_time_does_not_begin_anew(self, world: World):
        begin(world)
        world.clock.turn(minutes=9)
        show(world)
        world.clock.turn(minutes=1)
        assert problem(show(world)) == (410, "enrollment_expired")
        assert pending_until(world) is None

    def test_once_it_is_on_it_is_not_shown(self, world: World):
        begun = begin(world)
        enter_code_of(world, begun, begun)
        assert problem(show(world)) == (410, "enrollment_expired")
        assert pending_until(world) is None

    def test_it_needs_a_session(self, world: World):
        begin(world)
        assert world.account("GET", "enrollments").status_code == 422

    def test_drawing_it_has_a_budget_of_its_own(self, world: World):
        begin(world)
        answers = [show(world).status_code for _ in range(31)]
        assert answers == [200] * 30 + [429]
        assert begin(world)["secret"]

    def test_an_ended_session_has_nothing_left(self, world: World):
        begin(world)
        assert world.account("POST", "endings", {"session_ids": ["ses_1"]}).status_code == 204
        assert problem(show(world)) == (410, "enrollment_expired")


class TestCancelled:
    def test_it_can_neither_be_seen_nor_confirmed(self, world: World):
        begun = begin(world)
        assert cancel(world).status_code == cancel(world).status_code == 204
        assert problem(show(world)) == (410, "enrollment_expired")
        assert problem(enter_code_of(world, begun, begun)) == (410, "enrollment_expired")

    def test_another_session_cancels_nothing(self, world: World):
        begun = begin(world)
        assert cancel(world, OTHER).status_code == 204
        assert show(world).json == begun

    def test_an_ended_session_orders_nothing(self, world: World):
        begin(world, OTHER)
        world.account("POST", "endings", {"session_ids": ["ses_1"]})
        assert problem(cancel(world)) == (409, "session_ended")


def by_new_begin(world: World):
    pass


def by_expiry(world: World):
    world.clock.turn(minutes=10)


def by_cancel(world: World):
    cancel(world)


def by_ended_session(world: World):
    world.account("POST", "endings", {"session_ids": ["ses_1"]})


def by_event(world: World):
    event = SessionEnded(id="evt_1", occurred_at=world.clock(), account_id=ACCOUNT, session_id="ses_1")
    endings.session_ended(world.worker_deps, event)


class TestOlderEntries:
    @pytest.mark.parametrize("ended", [by_new_begin, by_expiry, by_cancel, by_ended_session, by_event])
    def test_a_code_of_one_is_recognised_and_turns_nothing_on(self, world: World, ended):
        older = begin(world)
        ended(world)
        world.clock.turn(minutes=1)
        begun = begin(world, OTHER)
        answer = enter_code_of(world, older, begun, OTHER)
        assert answer.status_code == 401
        assert answer.json | OLDER | {"begun_at": rfc3339(NOW)} == answer.json
        assert world.state()["enabled"] is False
        assert enter_code_of(world, begun, begun, OTHER).status_code == 200

    def test_it_costs_a_try(self, world: World):
        older, begun = begin(world), begin(world)
        answers = [enter_code_of(world, older, begun).status_code for _ in range(6)]
        assert answers == [401] * 5 + [429]
        assert enter_code_of(world, begun, begun).status_code == 429
        assert [one["reason"] for one in world.attempts()][-5:] == ["older_entry"] * 5

    def test_it_is_good_for_nothing_else(self, world: World):
        older, begun = begin(world), begin(world)
        code = world.code(secret=secret_of(older))
        enter_code_of(world, begun, begun)
        assert world.verify(code).json["reason"] == "wrong"
        assert "begun_at" not in world.verify(code).json

    def test_one_of_another_account_is_a_wrong_code(self, world: World):
        older, _ = begin(world), begin(world)
        bobs = begin(world, account="acc_bob")
        world.redis.rename(f"otp:older_keys:{ACCOUNT}", "otp:older_keys:acc_bob")  # whoever can write Redis
        assert enter_code_of(world, older, bobs, account="acc_bob").json["reason"] == "wrong"

    def test_the_last_three_of_a_day_are_known(self, world: World):
        begun = []
        for _ in range(5):
            begun.append(begin(world))
            world.clock.turn(minutes=10)
        current = begin(world)
        said = [enter_code_of(world, older, current).json["reason"] for older in begun]
        assert said == ["wrong"] * 2 + ["older_entry"] * 3
        assert world.redis.llen(f"otp:older_keys:{ACCOUNT}") == older_key_store.KEPT_AT_MOST
        assert 0 < world.redis.ttl(f"otp:older_keys:{ACCOUNT}") <= older_key_store.KEPT_FOR.total_seconds()

    def test_a_day_later_it_is_forgotten(self, world: World):
        older = begin(world)
        world.clock.turn(minutes=5)
        begin(world)
        world.clock.turn(hours=23, minutes=55)
        assert enter_code_of(world, older, begin(world)).json["reason"] == "wrong"

    def test_what_is_older_than_a_day_is_not_kept_at_all(self, world: World):
        begin(world)
        world.clock.turn(hours=24)
        begin(world)
        assert not world.redis.exists(f"otp:older_keys:{ACCOUNT}")

    def test_nothing_is_kept_once_2fa_is_on(self, world: World):
        begin(world)
        begun = begin(world)
        assert enter_code_of(world, begun, begun).status_code == 200
        assert not world.redis.exists(f"otp:older_keys:{ACCOUNT}")

    def test_it_is_sealed(self, world: World):
        older, _ = begin(world), begin(world)
        (kept,) = world.redis.lrange(f"otp:older_keys:{ACCOUNT}", 0, -1)
        assert older["secret"] not in kept
        assert secret_of(older).reveal() not in kept.encode()

    def test_a_key_that_is_gone_is_no_outage(self, world: World):
        older, begun = begin(world), begin(world)
        (kept,) = world.redis.lrange(f"otp:older_keys:{ACCOUNT}", 0, -1)
        world.redis.lset(f"otp:older_keys:{ACCOUNT}", 0, kept.replace('"s2"', '"s0"'))
        assert enter_code_of(world, older, begun).json["reason"] == "wrong"

    def test_a_clock_that_is_off_is_still_told(self, world: World):
        begin(world)
        begun = begin(world)
        answer = confirm(world, begun, world.code(5, secret=secret_of(begun)))
        assert answer.json["clock_skew_seconds"] == timedelta(seconds=150).total_seconds()
