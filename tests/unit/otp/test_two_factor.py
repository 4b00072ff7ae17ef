import dataclasses
from contextlib import ExitStack

import pytest
from sqlalchemy import select

from services.otp import store
from services.otp.domain.attempt import Claim
from services.otp.key_uri import decode_secret
from services.otp.models import authenticators, recovery_codes
from shared.database import reading
from shared.envelope import open_envelope
from shared.secret import Secret
from tests.support.clock import NOW
from tests.support.otp import ACCOUNT, World


def test_an_unknown_account_has_it_off(world: World):
    assert world.state("acc_nobody") == {
        "enabled": False, "authenticators": [], "recovery_codes": {"remaining": 0, "created_at": None},
        "locked": False, "locked_everywhere": False, "consecutive_failures": 0, "strangers_failures": 0,
        "reset_needed": False,
        "suspended": False, "pending_until": None,
    }  # fmt: skip


def test_the_last_use_is_shown(world: World):
    world.enrol()
    assert world.state()["authenticators"][0]["last_used_at"] is None
    world.clock.turn(minutes=3)
    world.verify(world.code())
    assert world.state()["authenticators"][0]["last_used_at"] == "2026-11-24T05:03:00.000000Z"


class TestDisable:
    def disable(self, world: World, **body):
        return world.account("DELETE", "two-factor", body)

    def test_it_turns_2fa_off_and_says_who_did(self, world: World):
        world.enrol()
        world.give_recovery_codes()
        assert self.disable(world, session_id="ses_1").status_code == 200
        assert world.state()["enabled"] is False
        assert world.event_types() == ["recovery_codes.regenerated", "two_factor.disabled"]
        assert world.events()[-1]["session_id"] == "ses_1"
        assert world.verify(world.code()).json["code"] == "two_factor_off"

    def test_no_secret_is_left(self, world: World):
        world.enrol()
        world.give_recovery_codes()
        self.disable(world)
        with reading(world.database) as connection:
            row = connection.execute(select(authenticators)).one()
            assert connection.execute(select(recovery_codes)).all() == []
        assert (row.status, row.key_id, row.ciphertext) == ("REVOKED", None, None)

    def test_a_waiting_enrollment_dies_with_it(self, world: World):
        begun = world.account("POST", "enrollments", {"label": "ann"}).json
        world.enrol()
        self.disable(world)
        path = f"enrollments/{begun['enrollment_id']}/confirm"
        assert world.account("POST", path, {"code": "123456"}).json["code"] == "enrollment_expired"

    def test_when_off_it_says_so(self, world: World):
        response = self.disable(world)
        assert (response.status_code, response.json["code"]) == (409, "two_factor_off")
        assert world.event_types() == []

    def test_all_live_texted_codes_die_with_it(self, world: World, notify_keys):
        world.enrol()
        login = world.send_sms().json["message_id"]
        proof = world.send_sms(purpose="phone_verification").json["message_id"]
        code = open_envelope(notify_keys, world.redis.get(f"notify:sealed:{proof}")).body[-6:]
        self.disable(world)
        assert world.redis.get(f"notify:sealed:{login}") is None
        assert world.redis.hgetall("otp:sms:acc_ann:login:chl_1") == {}
        assert world.redis.get(f"notify:sealed:{proof}") is None
        assert world.verify(code, purpose="phone_verification").status_code == 401

    def test_with_redis_down_nothing_is_turned_off(self, world: World, redis_server):
        world.enrol()
        redis_server.connected = False
        assert self.disable(world).status_code == 503
        assert world.state()["enabled"] is True
        assert world.event_types() == []

    def test_a_code_that_was_compared_before_is_not_claimed_after(self, world: World):
        """The claim itself asks whether the authenticator is still active."""
        world.enrol()
        with reading(world.database) as connection:
            authenticator = store.read_state(connection, ACCOUNT).authenticator
            self.disable(world)
            step = authenticator.last_accepted_step + 1
            assert store.claim_step(connection, authenticator.id, step, "login:chl_1", NOW) is Claim.LOST

    def test_it_can_be_turned_on_again(self, world: World):
        world.enrol()
        self.disable(world)
        world.enrol()
        assert world.verify(world.code()).status_code == 200


class TestRecoveryCodes:
    def test_a_new_sheet_is_reported(self, world: World):
        world.enrol()
        codes = world.give_recovery_codes()
        assert len(codes) == 10
        assert world.event_types() == ["recovery_codes.regenerated"]
        assert world.state()["recovery_codes"] == {"remaining": 10, "created_at": "2026-11-24T05:00:00.000000Z"}

    def test_without_2fa_there_are_none(self, world: World):
        response = world.account("POST", "recovery-codes", {})
        assert (response.status_code, response.json["code"]) == (409, "two_factor_off")

    def test_2fa_turned_off_while_the_hashes_were_made_leaves_no_codes(self, world: World):
        world.enrol()

        class SlowHashing:
            def hash_many(self, passwords):
                world.account("DELETE", "two-factor", {})
                return ["$argon2id$" for _ in passwords]

        world.deps = dataclasses.replace(world.deps, hashing=SlowHashing())
        response = world.account("POST", "recovery-codes", {})
        assert (response.status_code, response.json["code"]) == (409, "two_factor_off")
        assert world.state()["recovery_codes"]["remaining"] == 0

    def test_a_sheet_of_another_account_is_left_alone(self, world: World):
        world.enrol()
        world.enrol("acc_bob")
        bobs = world.give_recovery_codes("acc_bob")
        world.give_recovery_codes()
        assert world.verify(bobs[0], account="acc_bob").status_code == 200


def test_a_full_hashing_pool_is_503_and_no_wrong_code(world: World, hashing):
    world.enrol()
    codes = world.give_recovery_codes()
    with ExitStack() as places:
        for _ in range(4):
            places.enter_context(hashing.place())
        response = world.verify(codes[0])
        assert (response.status_code, response.json["code"]) == (503, "service_unavailable")
        assert world.verify(world.code()).status_code == 200  # six digits wait for nobody
    assert world.verify(codes[0]).status_code == 200


class TestEndings:
    """``ses_1.5`` is session ``ses_1`` under its fifth token."""

    CALLS = (
        ("POST", "enrollments", {"label": "ann"}),
        ("DELETE", "two-factor", {}),
        ("POST", "recovery-codes", {}),
    )

    def end(self, world: World, *session_ids: str):
        body = {"session_ids": list(session_ids)}
        assert world.account("POST", "endings", body).status_code == 204

    @pytest.mark.parametrize(("method", "path", "body"), CALLS)
    @pytest.mark.parametrize(("ended", "refused"), [("ses_1", True), ("ses_1.5", True), ("ses_1.4", False)])
    def test_a_session_ends_under_every_token_and_a_token_alone(self, world: World, method, path, body, ended, refused):
        if path != "enrollments":
            world.enrol()
        self.end(world, ended)
        answer = world.account(method, path, {**body, "session_id": "ses_1.5"})
        assert (b"session_ended" in answer.data) is refused
        assert (answer.status_code < 300) is not refused

    @pytest.mark.parametrize("begun_as", ["ses_1", "ses_1.5"])
    def test_an_ended_session_leaves_no_enrollment(self, world: World, begun_as):
        assert world.account("POST", "enrollments", {"label": "ann", "session_id": begun_as}).status_code == 201
        self.end(world, "ses_1")
        with reading(world.database) as connection:
            assert connection.execute(select(authenticators)).all() == []

    def test_a_session_whose_id_begins_alike_goes_on(self, world: World):
        world.account("POST", "enrollments", {"label": "ann", "session_id": "ses_12.5"})
        self.end(world, "ses_1")
        with reading(world.database) as connection:
            assert len(connection.execute(select(authenticators)).all()) == 1

    @pytest.mark.parametrize(("begun_as", "confirmed_as"), [("ses_1", "ses_1.5"), ("ses_1.5", "ses_1")])
    def test_gateways_of_two_releases_confirm_each_others_enrollments(self, world: World, begun_as, confirmed_as):
        begun = world.account("POST", "enrollments", {"label": "ann", "session_id": begun_as}).json
        code = world.code(secret=decode_secret(Secret(begun["secret"])))
        path = f"enrollments/{begun['enrollment_id']}/confirm"
        assert world.account("POST", path, {"code": code, "session_id": confirmed_as}).status_code == 200
