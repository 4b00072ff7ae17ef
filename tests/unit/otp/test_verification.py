import dataclasses

import pytest

from services.otp.secrets_box import SecretBox
from shared.keys import KeyList, encode_key
from tests.support.otp import ACCOUNT, World


def read_text(world, notify_keys, message_id):
    from shared.envelope import open_envelope

    return open_envelope(notify_keys, world.redis.get(f"notify:sealed:{message_id}")).body


@pytest.fixture
def sms_code(world, notify_keys):
    def send(**kwargs):
        message_id = world.send_sms(**kwargs).json["message_id"]
        return read_text(world, notify_keys, message_id)[-6:]

    return send


def refused(response, reason):
    assert response.status_code == 401
    assert response.mimetype == "application/problem+json"
    assert (response.json["code"], response.json["reason"]) == ("invalid_passcode", reason)
    return True


class TestTotp:
    def test_a_code_is_accepted_once(self, world: World):
        world.enrol()
        first = world.verify(world.code())
        assert (first.status_code, first.json) == (200, {"factor": "totp"})
        assert refused(world.verify(world.code(), binding="chl_2"), "replayed")

    def test_a_code_is_not_accepted_again_in_the_next_step(self, world: World):
        world.enrol()
        code = world.code()
        assert world.verify(code).status_code == 200
        world.clock.turn(seconds=30)
        assert refused(world.verify(code, binding="chl_2"), "replayed")

    def test_an_older_step_is_refused_after_a_newer_one(self, world: World):
        world.enrol()
        assert world.verify(world.code(1)).status_code == 200
        for older in (0, -1):
            assert refused(world.verify(world.code(older)), "replayed")
        assert refused(world.verify(world.code(1), binding="chl_2"), "replayed")

    def test_a_later_step_is_accepted(self, world: World):
        world.enrol()
        for _ in range(4):
            assert world.verify(world.code()).status_code == 200
            world.clock.turn(seconds=30)

    @pytest.mark.parametrize(("offset", "status"), [(-2, 401), (-1, 200), (1, 200), (2, 401)])
    def test_one_step_of_delay_is_allowed(self, world: World, offset, status):
        world.enrol()
        assert world.verify(world.code(offset)).status_code == status

    def test_the_other_spellings_are_not_even_counted(self, world: World):
        world.enrol()
        code = world.code()
        for spelling in (
            f" {code}",
            f"{code[:3]} {code[3:]}",
            f"{code[:3]}_{code[3:]}",
            f"+{code}",
            code + "\n",
            int(code),
        ):
            assert world.verify(spelling).status_code == 422
        assert world.verify(code).status_code == 200
        world.settle()
        assert world.attempts()[0]["outcome"] == "verified"
        assert len(world.attempts()) == 1

    def test_another_accounts_code_is_wrong(self, world: World):
        world.enrol()
        world.enrol("acc_bob")
        assert refused(world.verify(world.code(account="acc_bob")), "wrong")

    def test_without_an_authenticator_it_says_so(self, world: World):
        for purpose in ("login", "step_up"):
            response = world.verify("123456", purpose=purpose)
            assert (response.status_code, response.json["code"]) == (409, "two_factor_off")

    def test_a_pending_authenticator_verifies_nothing(self, world: World):
        begun = world.account("POST", "enrollments", {"label": "ann"}).json
        from services.otp.key_uri import decode_secret
        from shared.secret import Secret

        code = world.code(secret=decode_secret(Secret(begun["secret"])))
        assert world.verify(code).json["code"] == "two_factor_off"

    def test_a_secret_whose_key_is_gone_is_our_fault_and_no_wrong_code(self, world: World):
        world.enrol()
        world.deps = dataclasses.replace(world.deps, secret_box=SecretBox(KeyList.parse(f"s9:{encode_key(b'9' * 32)}")))
        response = world.verify(world.code())
        assert (response.status_code, response.json["code"]) == (503, "service_unavailable")


class TestRecoveryCodes:
    @pytest.fixture
    def codes(self, world: World):
        world.enrol()
        return world.give_recovery_codes()

    def test_each_lets_in_once(self, world: World, codes):
        response = world.verify(codes[3])
        assert response.json == {"factor": "recovery_code", "recovery_codes_remaining": 9}
        assert refused(world.verify(codes[3], binding="chl_2"), "spent")
        assert world.verify(codes[4].lower().replace("-", " ")).json["recovery_codes_remaining"] == 8

    def test_spending_is_reported_in_the_same_transaction(self, world: World, codes):
        world.verify(codes[0])
        assert world.events()[-1] | {"id": "", "occurred_at": ""} == {
            "type": "recovery_code.spent", "version": 1, "id": "", "occurred_at": "",
            "account_id": ACCOUNT, "remaining": 9,
        }  # fmt: skip

    def test_user_bs_code_does_not_open_user_as_account(self, world: World, codes):
        world.enrol("acc_bob")
        world.give_recovery_codes("acc_bob")
        assert refused(world.verify(codes[0], account="acc_bob"), "wrong")
        assert world.state()["recovery_codes"]["remaining"] == 10

    def test_a_code_under_another_number_is_wrong(self, world: World, codes):
        moved = codes[1][0] + codes[0][1:]
        assert refused(world.verify(moved), "wrong")

    def test_a_new_sheet_kills_the_old_one(self, world: World, codes):
        new = world.give_recovery_codes()
        assert refused(world.verify(codes[0]), "wrong")
        assert world.verify(new[0]).status_code == 200

    def test_they_open_step_up_but_prove_no_phone(self, world: World, codes):
        assert world.verify(codes[0], purpose="step_up").json["factor"] == "recovery_code"
        assert refused(world.verify(codes[1], purpose="phone_verification"), "wrong")
        assert world.state()["recovery_codes"]["remaining"] == 9


class TestSms:
    def test_a_code_is_accepted_once(self, world: World, sms_code):
        world.enrol()
        code = sms_code()
        assert world.verify(code).json == {"factor": "sms"}
        assert refused(world.verify(code, binding="chl_2"), "wrong")

    def test_current_and_previous_both_live_after_a_resend(self, world: World, sms_code):
        world.enrol()
        first = sms_code()
        world.let_resend()
        sms_code()
        assert world.verify(first).json == {"factor": "sms"}

    def test_one_success_ends_the_other_code_too(self, world: World, sms_code):
        world.enrol()
        first = sms_code()
        world.let_resend()
        second = sms_code()
        assert world.verify(second).status_code == 200
        assert refused(world.verify(first), "wrong")

    def test_the_last_but_two_is_dead(self, world: World, sms_code):
        world.enrol()
        codes = []
        for _ in range(3):
            codes.append(sms_code())
            world.clock.turn(seconds=31)
            world.let_resend()
        assert refused(world.verify(codes[0]), "wrong")
        assert world.verify(codes[1]).status_code == 200

    def test_it_expires_after_five_minutes(self, world: World, sms_code):
        world.enrol()
        code = sms_code()
        world.clock.turn(minutes=5)
        assert refused(world.verify(code), "wrong")

    @pytest.mark.parametrize("asked", ["step_up", "phone_verification"])
    def test_a_login_code_serves_no_other_purpose(self, world: World, sms_code, asked):
        world.enrol()
        code = sms_code(purpose="login")
        assert refused(world.verify(code, purpose=asked), "wrong")
        assert world.verify(code).status_code == 200

    def test_a_phone_verification_code_is_no_login_code(self, world: World, sms_code):
        world.enrol()
        code = sms_code(purpose="phone_verification")
        assert refused(world.verify(code, purpose="login"), "wrong")
        assert world.verify(code, purpose="phone_verification").json == {"factor": "sms"}

    def test_it_is_bound_to_its_request(self, world: World, sms_code):
        world.enrol()
        code = sms_code(binding="chl_1")
        assert refused(world.verify(code, binding="chl_2"), "wrong")

    def test_it_is_bound_to_its_account(self, world: World, sms_code):
        world.enrol()
        world.enrol("acc_bob")
        code = sms_code()
        assert refused(world.verify(code, account="acc_bob"), "wrong")

    def test_a_digest_moved_to_another_slot_matches_nothing(self, world: World, sms_code):
        world.enrol()
        code = sms_code(purpose="phone_verification")
        world.redis.rename("otp:sms:acc_ann:phone_verification:chl_1", "otp:sms:acc_ann:login:chl_1")
        assert refused(world.verify(code), "wrong")

    def test_a_totp_proves_no_phone(self, world: World):
        world.enrol()
        assert refused(world.verify(world.code(), purpose="phone_verification"), "wrong")

    def test_a_phone_is_proven_with_2fa_off(self, world: World, sms_code):
        code = sms_code(purpose="phone_verification")
        assert world.verify(code, purpose="phone_verification").json == {"factor": "sms"}

    def test_a_code_kept_under_the_older_key_still_counts(self, world: World, sms_code):
        world.enrol()
        code = sms_code()
        rotated = KeyList.parse(f"d3:{encode_key(b'3' * 32)},d2:{encode_key(b'D' * 32)}")
        world.deps = dataclasses.replace(world.deps, digest_keys=rotated)
        assert world.verify(code).json == {"factor": "sms"}

    def test_a_text_that_waits_is_withdrawn_once_the_login_is_done(self, world: World):
        world.enrol()
        message_id = world.send_sms().json["message_id"]
        assert world.verify(world.code()).json == {"factor": "totp"}
        world.settle()
        assert world.redis.get(f"notify:sealed:{message_id}") is None
        assert world.redis.hgetall("otp:sms:acc_ann:login:chl_1") == {}


def test_the_record_tells_every_attempt(world: World):
    world.enrol()
    world.verify(world.wrong_code(), device_id="dev_1")
    world.clock.turn(seconds=1)
    world.verify(world.code())
    newest, oldest = world.attempts()
    assert newest | {"id": ""} == {
        "id": "", "at": "2026-11-24T05:00:01.000000Z", "purpose": "login", "factor": "totp", "outcome": "verified",
        "reason": None, "clock_skew_seconds": None, "device_known": False, "throttled_until": None,
        "challenge_id": "chl_1",
    }  # fmt: skip
    assert (oldest["outcome"], oldest["reason"], oldest["device_known"]) == ("rejected", "wrong", True)


def test_only_a_login_names_its_challenge(world: World):
    world.enrol()
    world.verify(world.code(), purpose="step_up", binding="ses_1")
    assert [attempt["challenge_id"] for attempt in world.attempts()] == [None]


def test_the_record_is_read_page_by_page(world: World):
    world.enrol()
    for _ in range(5):
        world.verify(world.wrong_code())
    world.settle()
    first = world.account("GET", "attempts?limit=3").json
    second = world.account("GET", f"attempts?limit=3&cursor={first['next_cursor']}").json
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert (len(ids), len(set(ids)), second["next_cursor"]) == (5, 5, None)
    assert world.account("GET", "attempts?cursor=x").status_code == 422
    assert world.account("GET", "attempts?limit=101").status_code == 422
