import base64
import time
import urllib.parse
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from services.otp import qr, store
from services.otp.domain.time_step import TimeStep
from services.otp.key_uri import decode_secret, key_uri, new_secret
from services.otp.models import authenticators
from shared.database import reading, writing
from shared.secret import Secret
from tests.support.clock import NOW
from tests.support.otp import ACCOUNT, World


def begin(world: World, label: str = "ann@example.com", account: str = ACCOUNT):
    return world.account("POST", "enrollments", {"label": label}, account=account)


def confirm(world: World, enrollment_id: str, code: str, account: str = ACCOUNT, **body):
    return world.account("POST", f"enrollments/{enrollment_id}/confirm", {"code": code, **body}, account=account)


def shown(begun) -> Secret[bytes]:
    return decode_secret(Secret(begun["secret"]))


@pytest.fixture
def begun(world: World):
    return begin(world).json


def statuses(world: World):
    with reading(world.database) as connection:
        return sorted(connection.execute(select(authenticators.c.status)).scalars())


def test_begin_shows_a_new_160_bit_secret(world: World, begun):
    assert len(base64.b32decode(begun["secret"])) == 20
    assert begun["expires_at"] == "2026-11-24T05:10:00.000000Z"
    assert begin(world).json["secret"] != begun["secret"]


def test_the_uri_is_what_apps_read(begun):
    parsed = pyotp.parse_uri(begun["otpauth_uri"])
    assert (parsed.secret, parsed.issuer, parsed.name) == (begun["secret"], "Latchkey", "ann@example.com")
    assert (parsed.digits, parsed.interval) == (6, 30)
    assert begun["qr_svg"].startswith("<svg ")


@pytest.mark.parametrize("label", ["Evil:Bank", ":", "ann:", "Łódź/ann?x=1&secret=AAAA#x", "  "])
def test_no_label_breaks_the_uri(world: World, label):
    begun = begin(world, label).json
    uri = urllib.parse.urlsplit(begun["otpauth_uri"])
    issuer, _, name = urllib.parse.unquote(uri.path.lstrip("/")).partition(":")
    assert (uri.netloc, issuer) == ("totp", "Latchkey")
    assert name.strip()
    assert ":" not in name
    query = urllib.parse.parse_qs(uri.query)
    assert query == {"secret": [begun["secret"]], "issuer": ["Latchkey"]}


@given(st.text(min_size=1, max_size=128))
def test_no_label_makes_a_code_that_takes_long_to_draw(label):
    uri = key_uri(new_secret(), issuer="Latchkey", label=label)
    assert len(uri) <= 230
    assert pyotp.parse_uri(uri).name.strip()


def test_the_longest_uri_is_drawn_in_fifty_milliseconds():
    uri = key_uri(new_secret(), issuer="Latchkey", label="\U0001f511" * 128)
    taken = []
    for _ in range(3):
        begun = time.thread_time()
        qr.svg(uri)
        taken.append(time.thread_time() - begun)
    assert min(taken) <= 0.05


def test_2fa_is_off_until_the_code_is_confirmed(world: World, begun):
    assert world.state()["enabled"] is False
    assert world.event_types() == []


def test_confirm_turns_it_on_and_shows_ten_codes_once(world: World, begun):
    response = confirm(world, begun["enrollment_id"], world.code(secret=shown(begun)), session_id="ses_1")
    assert response.status_code == 200
    assert len(set(response.json["recovery_codes"])) == 10
    state = world.state()
    assert (state["enabled"], state["recovery_codes"]["remaining"]) == (True, 10)
    assert state["authenticators"] == [
        {"id": begun["enrollment_id"], "kind": "TOTP", "label": "ann@example.com",
         "confirmed_at": "2026-11-24T05:00:00.000000Z", "last_used_at": "2026-11-24T05:00:00.000000Z"}
    ]  # fmt: skip
    (event,) = world.events()
    assert (event["type"], event["session_id"], event["authenticator_id"]) == (
        "authenticator.enrolled", "ses_1", begun["enrollment_id"],
    )  # fmt: skip
    assert world.verify(response.json["recovery_codes"][0]).status_code == 200


def test_recovery_codes_are_stored_as_argon2id(world: World, begun):
    codes = confirm(world, begun["enrollment_id"], world.code(secret=shown(begun))).json["recovery_codes"]
    hashes = world.recovery_hashes()
    assert len(hashes) == len(set(hashes)) == 10
    assert all(hash_.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for hash_ in hashes)
    assert not any(code.replace("-", "")[1:] in hash_ for code in codes for hash_ in hashes)


def test_the_codes_are_shown_though_redis_fails_after_the_count(world: World, begun, redis_server):
    class HashingThatLosesRedis:
        def hash_many(self, passwords):
            redis_server.connected = False
            return [f"hash of {password}" for password in passwords]

    world.deps = replace(world.deps, hashing=HashingThatLosesRedis())
    response = confirm(world, begun["enrollment_id"], world.code(secret=shown(begun)))
    assert (response.status_code, len(response.json["recovery_codes"])) == (200, 10)
    assert world.event_types() == ["authenticator.enrolled"]
    assert [attempt["outcome"] for attempt in world.attempts()] == ["verified"]


def test_the_confirming_code_is_used_up(world: World, begun):
    code = world.code(secret=shown(begun))
    confirm(world, begun["enrollment_id"], code)
    assert world.verify(code).json["reason"] == "replayed"


def test_a_wrong_code_confirms_nothing(world: World, begun):
    world.secrets[ACCOUNT] = shown(begun)
    response = confirm(world, begun["enrollment_id"], world.wrong_code())
    assert (response.status_code, response.json["code"]) == (401, "invalid_passcode")
    assert "clock_skew_seconds" not in response.json
    assert world.state()["enabled"] is False


@pytest.mark.parametrize(("offset", "skew"), [(-20, -600), (-2, -60), (2, 60), (20, 600)])
def test_the_coach_speaks_at_once(world: World, begun, offset, skew):
    response = confirm(world, begun["enrollment_id"], world.code(offset, secret=shown(begun)))
    assert (response.status_code, response.json["clock_skew_seconds"]) == (401, skew)
    assert world.attempts()[0] | {"id": "", "at": ""} == {
        "id": "", "at": "", "purpose": "enrollment", "factor": None, "outcome": "rejected", "reason": "clock_skew",
        "clock_skew_seconds": skew, "device_known": False, "throttled_until": None, "challenge_id": None,
    }  # fmt: skip


def test_a_recovery_code_confirms_nothing(world: World, begun):
    assert confirm(world, begun["enrollment_id"], "0AAA-BBBB-CCCC-DDDD").status_code == 422


def test_it_waits_ten_minutes(world: World, begun):
    world.clock.turn(minutes=10)
    response = confirm(world, begun["enrollment_id"], world.code(secret=shown(begun)))
    assert (response.status_code, response.json["code"]) == (410, "enrollment_expired")


def test_after_that_even_a_wrong_code_hears_that_it_is_over(world: World, begun):
    world.secrets[ACCOUNT] = shown(begun)
    world.clock.turn(minutes=10)
    assert confirm(world, begun["enrollment_id"], world.wrong_code()).json["code"] == "enrollment_expired"


def test_activation_itself_asks_whether_it_still_waits(world: World, begun):
    """Ten hashes lie between reading the enrollment and activating it."""
    enrollment_id, step = begun["enrollment_id"], TimeStep(1)
    with writing(world.database) as connection:
        assert store.activate(connection, enrollment_id, step, NOW + timedelta(minutes=10)) is False
        assert store.activate(connection, enrollment_id, step, NOW) is True
        assert store.activate(connection, enrollment_id, step, NOW) is False


def test_a_new_begin_replaces_the_one_that_waits(world: World, begun):
    again = begin(world).json
    assert confirm(world, begun["enrollment_id"], world.code(secret=shown(begun))).json["code"] == "enrollment_expired"
    assert statuses(world) == ["PENDING"]
    assert confirm(world, again["enrollment_id"], world.code(secret=shown(again))).status_code == 200


def test_the_old_secret_does_not_confirm_the_new_enrollment(world: World, begun):
    again = begin(world).json
    assert confirm(world, again["enrollment_id"], world.code(secret=shown(begun))).status_code == 401


def test_an_enrollment_is_confirmed_once(world: World, begun):
    confirm(world, begun["enrollment_id"], world.code(secret=shown(begun)))
    world.clock.turn(seconds=30)
    again = confirm(world, begun["enrollment_id"], world.code(secret=shown(begun)))
    assert again.json["code"] == "enrollment_expired"


def test_nobody_confirms_for_another_account(world: World, begun):
    begin(world, account="acc_bob")
    code = world.code(secret=shown(begun))
    assert confirm(world, begun["enrollment_id"], code, account="acc_bob").json["code"] == "enrollment_expired"


def test_with_2fa_on_it_does_not_begin(world: World):
    world.enrol()
    response = begin(world)
    assert (response.status_code, response.json["code"]) == (409, "two_factor_already_on")


def test_a_pending_enrollment_never_replaces_an_active_authenticator(world: World, begun):
    """Begun while 2FA was off, confirmed after it was turned on elsewhere."""
    world.enrol()
    codes = world.give_recovery_codes()
    response = confirm(world, begun["enrollment_id"], world.code(secret=shown(begun)))
    assert (response.status_code, response.json["code"]) == (409, "two_factor_already_on")
    assert world.verify(world.code()).status_code == 200
    assert world.verify(codes[0]).status_code == 200
    assert "authenticator.enrolled" not in world.event_types()


def test_the_database_itself_refuses_a_second_active_one(world: World):
    from sqlalchemy.exc import IntegrityError

    world.enrol()
    with pytest.raises(IntegrityError):
        world.enrol()


def test_confirming_has_a_budget(world: World, begun):
    world.secrets[ACCOUNT] = shown(begun)
    results = [confirm(world, begun["enrollment_id"], world.wrong_code()).status_code for _ in range(6)]
    assert results == [401] * 5 + [429]
    assert confirm(world, begin(world).json["enrollment_id"], "000000").status_code == 429
    assert world.attempts()[0]["outcome"] == "throttled"


def test_failed_confirmations_do_not_lock_the_second_factor(world: World, begun):
    world.secrets[ACCOUNT] = shown(begun)
    confirm(world, begun["enrollment_id"], world.wrong_code())
    world.settle()
    assert world.state()["consecutive_failures"] == 0


def test_the_secret_is_sealed_at_rest(world: World, begun):
    with reading(world.database) as connection:
        row = connection.execute(select(authenticators)).one()
    assert row.key_id == "s2"
    assert shown(begun).reveal() not in row.ciphertext
    assert begun["secret"].encode() not in row.ciphertext
