"""A request whose answer was lost is sent again: the same code for the same purpose and binding is the same success."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from services.otp import recovery_code_store, store
from services.otp.domain.attempt import Claim
from services.otp.domain.recovery_code import new_sheet
from services.otp.domain.time_step import TimeStep
from services.otp.limits import ACCEPTED_AGAIN_FOR
from services.otp.models import authenticators, recovery_codes
from shared.database import reading, writing
from shared.envelope import open_envelope
from tests.support.brakes import NO_BACKUP_CODE
from tests.support.otp import ACCOUNT, World

SECONDS = int(ACCEPTED_AGAIN_FOR.total_seconds())
COUNTERS = (f"budget:otp.verify.login:300:{ACCOUNT}", f"budget:otp.verify.consecutive:31536000:{ACCOUNT}")


@pytest.fixture(params=["totp", "sms", "recovery_code"])
def factor(request):
    return request.param


@pytest.fixture
def code(world: World, factor, notify_keys):
    """A good code of this factor, for the login chl_1."""
    world.enrol()
    if factor == "totp":
        return world.code()
    if factor == "sms":
        return text(world, notify_keys)
    return recovery_code(world)


def recovery_code(world: World) -> str:
    """The first of a sheet that is made outside of a request, with one hash: ten may take longer than one may."""
    sheet = new_sheet()
    hash_ = world.deps.hashing.hash(sheet[0].secret)
    with writing(world.database) as connection:
        recovery_code_store.replace_recovery_codes(
            connection, ACCOUNT, [(code, hash_) for code in sheet], world.clock()
        )
    return sheet[0].format()


def text(world: World, notify_keys, **kwargs) -> str:
    message_id = world.send_sms(**kwargs).json["message_id"]
    return open_envelope(notify_keys, world.redis.get(f"notify:sealed:{message_id}")).body[-6:]


def counted(world: World) -> list[int]:
    world.settle()
    return [int(world.redis.get(key) or 0) for key in COUNTERS]


@pytest.mark.parametrize("settled", [False, True])
def test_the_same_request_hears_the_same_answer(world: World, code, settled):
    first = world.verify(code)
    for _ in range(7):
        if settled:
            world.settle()
        again = world.verify(code)
        assert (again.status_code, again.json) == (200, first.json)
        world.settle()


def test_a_repeat_is_no_second_success(world: World, code, factor):
    """Nothing is recorded, reported or spent twice."""
    world.verify(code)
    for _ in range(3):
        world.verify(code)
        world.settle()
    assert [attempt["outcome"] for attempt in world.attempts()] == ["verified"]
    assert world.event_types().count("recovery_code.spent") == (factor == "recovery_code")
    if factor == "recovery_code":
        assert world.state()["recovery_codes"]["remaining"] == 9


def test_a_repeat_gives_back_its_own_try_and_forgives_no_failure(world: World, code):
    world.verify(code)
    world.settle()
    for _ in range(2):
        world.verify(world.wrong_code())
    assert counted(world) == [2, 2]
    assert world.verify(code).status_code == 200
    assert counted(world) == [2, 2]
    assert world.state()["consecutive_failures"] == 2


def test_a_repeat_passes_no_brake(world: World, code):
    """Else whoever guesses an accepted code could do so without end."""
    world.verify(code)
    world.settle()
    wrong, tries = (world.wrong_code(), 5) if code.isdigit() else (NO_BACKUP_CODE, 10)
    for _ in range(tries):
        world.verify(wrong)
    assert world.verify(code).status_code == 429


@pytest.mark.parametrize(
    "changed", [{"binding": "chl_2"}, {"binding": "chl_11"}, {"purpose": "step_up"}, {"purpose": "phone_verification"}]
)
def test_for_another_binding_or_purpose_it_is_used(world: World, code, changed):
    world.verify(code)
    assert world.verify(code, **changed).status_code == 401
    assert world.verify(code).status_code == 200


def test_for_another_account_it_is_wrong(world: World, code):
    world.enrol("acc_bob")
    world.verify(code)
    assert world.verify(code, account="acc_bob").json["reason"] == "wrong"


def test_another_code_is_no_repeat(world: World, code):
    world.verify(code)
    assert world.verify(world.wrong_code()).json["reason"] == "wrong"


def test_an_older_code_of_the_app_is_no_repeat(world: World):
    world.enrol()
    older = world.code()
    assert world.verify(older).status_code == 200
    assert world.verify(world.code(1)).status_code == 200
    assert world.verify(older).json["reason"] == "replayed"
    assert world.verify(world.code(1)).status_code == 200


@pytest.mark.parametrize("factor", ["totp", "recovery_code"], indirect=True)
def test_it_ends_after_a_minute(world: World, code):
    """Counted from the success, not from the last repeat."""
    code = world.code(1) if len(code) == 6 else code  # lives in the window for the whole minute
    assert world.verify(code).status_code == 200
    world.clock.turn(seconds=SECONDS - 1)
    assert world.verify(code).status_code == 200
    world.clock.turn(seconds=1)
    assert world.verify(code).json["reason"] in {"replayed", "spent"}


def test_an_accepted_text_is_forgotten_after_a_minute(world: World, notify_keys):
    world.enrol()
    code = text(world, notify_keys)
    world.verify(code)
    key = f"otp:sms-accepted:{ACCOUNT}:login:chl_1"
    world.verify(code)
    assert 0 < world.redis.ttl(key) <= SECONDS == 60
    assert code not in str(world.redis.hgetall(key))
    world.redis.delete(key)
    assert world.verify(code).status_code == 401


def test_a_text_accepted_in_its_last_moment_is_repeated_after_its_end(world: World, notify_keys):
    world.enrol()
    code = text(world, notify_keys)
    world.clock.turn(seconds=299)
    assert world.verify(code).status_code == 200
    world.clock.turn(seconds=3)
    assert world.verify(code).status_code == 200


def test_a_proof_of_a_phone_is_repeated_too(world: World, notify_keys):
    code = text(world, notify_keys, purpose="phone_verification", binding="phb_1")
    for _ in range(2):
        assert world.verify(code, purpose="phone_verification", binding="phb_1").json == {"factor": "sms"}
    assert world.verify(code, purpose="phone_verification", binding="phb_2").status_code == 401


@pytest.mark.parametrize("factor", ["totp", "recovery_code"], indirect=True)
def test_what_was_used_before_the_change_of_the_schema_is_no_repeat(world: World, code):
    world.verify(code)
    with writing(world.database) as connection:
        connection.execute(update(authenticators).values(last_accepted_for=None))
        connection.execute(update(recovery_codes).values(spent_for=None))
    assert world.verify(code).status_code == 401


def test_no_code_is_repeated_after_2fa_was_turned_off(world: World, code):
    world.verify(code)
    world.account("DELETE", "two-factor", {})
    assert world.verify(code).json["code"] == "two_factor_off"
    assert world.redis.keys("otp:sms-accepted:*") == []


def test_a_new_sheet_ends_the_repeats_of_the_old_one(world: World):
    world.enrol()
    code = recovery_code(world)
    world.verify(code)
    recovery_code(world)
    assert world.verify(code).json["reason"] == "wrong"


def test_the_code_that_confirmed_the_app_repeats_nothing(world: World):
    from services.otp.key_uri import decode_secret
    from shared.secret import Secret

    begun = world.account("POST", "enrollments", {"label": "ann"}).json
    code = world.code(secret=decode_secret(Secret(begun["secret"])))
    assert world.account("POST", f"enrollments/{begun['enrollment_id']}/confirm", {"code": code}).status_code == 200
    assert world.verify(code).json["reason"] == "replayed"


@pytest.mark.parametrize("kind", ["totp", "recovery_code"])
def test_who_lost_the_claim_repeats_it_only_for_the_winners_occasion_and_only_for_a_minute(world: World, kind):
    """Both had read the code as unused; the row's own answer decides."""
    world.enrol()
    recovery_code(world)
    with reading(world.database) as connection:
        state = store.read_state_and_code(connection, ACCOUNT, "0")
        claim, id_ = (
            (recovery_code_store.claim_recovery_code, state.recovery_code.id)
            if kind == "recovery_code"
            else (lambda *args: store.claim_step(*args[:2], TimeStep(7), *args[2:]), state.authenticator.id)
        )
        now = world.clock()
        assert claim(connection, id_, "login:chl_1", now) is Claim.WON
        assert claim(connection, id_, "login:chl_2", now) is Claim.LOST
        assert claim(connection, id_, "step_up:chl_1", now) is Claim.LOST
        assert claim(connection, id_, "login:chl_1", now + timedelta(seconds=SECONDS - 1)) is Claim.REPEATED
        assert claim(connection, id_, "login:chl_1", now + timedelta(seconds=SECONDS)) is Claim.LOST
