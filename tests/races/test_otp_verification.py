"""N at once: exactly one wins, and no budget is exceeded. Real Redis, real databases of both kinds, real threads."""

import time
from collections import Counter

import pytest
from nacl.public import PrivateKey
from sqlalchemy import select

from services.otp import reset
from services.otp.limits import HARD_STOP
from services.otp.models import verification_states
from shared.database import create_database
from shared.envelope import open_envelope
from shared.hashing import HashingPool
from shared.ids import new_id
from shared.keys import KeyList, encode_key
from shared.messages import TwoFactorResetApproved
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.otp import ACCOUNT, World, make_world
from tests.support.threads import at_once

THREADS = 20
ROUNDS = 5
PRIVATE = PrivateKey.generate()
NOTIFY_KEYS = KeyList.parse(f"n1:{encode_key(bytes(PRIVATE))}")


@pytest.fixture
def world(real_redis_url, new_database):
    redis, database = connect(Secret(real_redis_url)), create_database(new_database("otp"))
    redis.flushall()
    hashing = HashingPool(max_waiting=THREADS)
    world = make_world(database, redis, hashing, f"n1:{encode_key(bytes(PRIVATE.public_key))}")
    world.enrol()
    yield world
    world.deps.recorder.close()
    redis.close()
    database.dispose()


def sms_code(world: World, **kwargs) -> str:
    message_id = world.send_sms(**kwargs).json["message_id"]
    return open_envelope(NOTIFY_KEYS, world.redis.get(f"notify:sealed:{message_id}")).body[-6:]


def without_budgets(world: World) -> None:
    """So that what is tested is the claim and not the budget in front of it."""
    world.redis.delete(*world.redis.keys("budget:*") or ["none"])


def spread(number: int) -> dict[str, str]:
    """Four tries a device, so that no budget stands in the way."""
    return {"device_id": f"dev_{number // 4}"}


def statuses(responses) -> Counter:
    return Counter(response.status_code for response in responses)


def test_one_totp_has_one_winner(world: World):
    for _ in range(ROUNDS):
        code = world.code()
        answers = at_once(THREADS, lambda n, code=code: world.verify(code, binding=f"chl_{n}", **spread(n)))
        assert statuses(answers) == {200: 1, 401: THREADS - 1}
        world.settle()
        without_budgets(world)
        world.clock.turn(seconds=30)


def test_one_sms_code_has_one_winner(world: World):
    for number in range(ROUNDS):
        binding = f"chl_{number}"
        code = sms_code(world, binding=binding)
        answers = at_once(
            THREADS, lambda n, code=code, binding=binding: world.verify(code, binding=binding, **spread(n))
        )
        assert statuses(answers) == {200: THREADS}, "one success, told to all who repeat it"
        assert [item["outcome"] for item in world.attempts()] == ["verified"] * (number + 1)
        without_budgets(world)


def test_two_live_sms_codes_have_one_winner(world: World):
    for number in range(ROUNDS):
        binding = f"chl_{number}"
        codes = [sms_code(world, binding=binding)]
        world.let_resend(binding=binding)
        codes.append(sms_code(world, binding=binding))
        answers = at_once(
            THREADS, lambda n, codes=codes, binding=binding: world.verify(codes[n % 2], binding=binding, **spread(n))
        )
        assert len({n % 2 for n, answer in enumerate(answers) if answer.status_code == 200}) == 1
        assert statuses(answers) == {200: THREADS // 2, 401: THREADS // 2}
        of_this_round = world.attempts()[: THREADS // 2 + 1]
        assert Counter(item["outcome"] for item in of_this_round) == {"verified": 1, "rejected": THREADS // 2}
        without_budgets(world)


def test_one_recovery_code_has_one_winner(world: World):
    codes = world.give_recovery_codes()
    for code in codes[:2]:
        answers = at_once(THREADS, lambda n, code=code: world.verify(code, binding=f"chl_{n}", **spread(n)))
        # A hash that waits too long is 503: neither a pass nor a wrong code.
        counted = statuses(answers)
        assert counted[200] == 1
        assert counted[401] + counted[503] == THREADS - 1
        world.settle()
        without_budgets(world)
    assert world.state()["recovery_codes"]["remaining"] == 8
    assert world.event_types().count("recovery_code.spent") == 2


def test_neighbouring_steps_at_once_never_let_the_older_one_follow(world: World):
    """Each success must be a later step than the one before it."""
    for _ in range(ROUNDS):
        codes = [world.code(offset) for offset in (-1, 0, 1)]
        answers = at_once(18, lambda n, codes=codes: world.verify(codes[n % 3], binding=f"chl_{n}", **spread(n)))
        winners = [n % 3 for n, answer in enumerate(answers) if answer.status_code == 200]
        assert len(winners) == len(set(winners))
        assert 2 in winners or world.verify(codes[2]).status_code == 200
        assert all(world.verify(code).status_code == 401 for code in codes)
        world.settle()
        without_budgets(world)
        world.clock.turn(seconds=120)


@pytest.mark.parametrize("factor", ["totp", "recovery_code"])
def test_one_request_sent_many_times_at_once_is_one_success(world: World, factor):
    """A retry overtakes the try whose answer was lost; neither may hear that the code was used."""
    for number in range(ROUNDS):
        code = world.code() if factor == "totp" else world.give_recovery_codes()[0]
        answers = at_once(4, lambda n, code=code: world.verify(code, **spread(n)))
        assert statuses(answers)[401] == 0
        assert 1 <= statuses(answers)[200] <= 4  # a hash that waits too long is 503
        assert [item["outcome"] for item in world.attempts()] == ["verified"] * (number + 1)
        assert world.event_types().count("recovery_code.spent") == (number + 1 if factor == "recovery_code" else 0)
        assert world.redis.get(f"budget:otp.verify.consecutive:31536000:{ACCOUNT}") in {None, "0"}
        without_budgets(world)
        world.clock.turn(seconds=30)


def test_no_code_of_before_a_reset_outlives_it(world: World):
    """Whichever came first: a code is taken before the reset or never. Delivered twice, it is applied once."""
    for number in range(ROUNDS):
        codes = [world.code(), *world.give_recovery_codes()[:2], sms_code(world)]
        approved = TwoFactorResetApproved(
            id=new_id("evt"),
            occurred_at=world.clock(),
            account_id=ACCOUNT,
            reset_id=new_id("rst"),
            authenticators=tuple(one["id"] for one in world.state()["authenticators"]),
        )

        def act(n, codes=codes, approved=approved):
            if n < 2:
                return reset.apply(world.worker_deps, approved)
            return world.verify(codes[n % len(codes)], **spread(n))

        at_once(THREADS, act)
        assert not any(world.state()[what] for what in ("enabled", "authenticators"))
        assert (world.recovery_hashes(), world.redis.keys(f"otp:sms*:{ACCOUNT}*")) == ([], [])
        assert all(world.verify(code, binding="chl_after").json["code"] == "two_factor_off" for code in codes)
        assert world.event_types().count("two_factor.reset_applied") == number + 1
        without_budgets(world)
        world.enrol()
        assert all(world.verify(code, device_id="dev_new").status_code == 401 for code in codes[1:])
        world.settle()
        without_budgets(world)
        world.clock.turn(seconds=90)


@pytest.mark.parametrize("purpose", ["login", "step_up", "phone_verification"])
def test_wrong_guesses_at_once_never_exceed_the_budget(world: World, purpose):
    code = world.wrong_code()
    one_session = purpose == "step_up"
    answers = at_once(40, lambda n: world.verify(code, purpose=purpose, binding="ses_1" if one_session else f"chl_{n}"))
    assert statuses(answers) == {401: 5, 429: 35}
    world.settle()
    assert Counter(item["outcome"] for item in world.attempts())["rejected"] == 5


def test_the_hard_stop_is_exact_over_all_devices(world: World):
    world.redis.set(f"budget:otp.verify.consecutive:31536000:{ACCOUNT}", HARD_STOP - 3)
    code = world.wrong_code()
    answers = at_once(THREADS, lambda n: world.verify(code, device_id=f"dev_{n}"))
    assert statuses(answers) == {401: 3, 429: THREADS - 3}


@pytest.mark.parametrize("row", ["device", "session"])
def test_the_row_of_a_device_or_session_is_exact_and_only_its_last_failure_spends_it(world: World, row):
    purpose, whose = ("login", "dev_1") if row == "device" else ("step_up", "ses_1")
    lives = 365 * 86400 if row == "device" else 86400
    world.redis.set(f"budget:otp.verify.consecutive.{row}:{lives}:{ACCOUNT}:{whose}", 7)
    code, device_id = world.wrong_code(), "dev_1" if row == "device" else None
    answers = at_once(THREADS, lambda _: world.verify(code, purpose=purpose, binding="ses_1", device_id=device_id))
    assert statuses(answers) == {401: 3, 429: THREADS - 3}
    assert [answer.json.get("spent_rows") for answer in answers if answer.status_code == 401].count([row]) == 1
    assert all(answer.json["spent_rows"] == [row] for answer in answers if answer.status_code == 429)


def test_confirming_at_once_enrols_once(world: World):
    from services.otp.key_uri import decode_secret

    begun = world.account("POST", "enrollments", {"label": "bob"}, account="acc_bob").json
    code = world.code(secret=decode_secret(Secret(begun["secret"])))
    path = f"enrollments/{begun['enrollment_id']}/confirm"
    answers = at_once(4, lambda _: world.account("POST", path, {"code": code}, account="acc_bob"))
    assert statuses(answers)[200] == 1
    assert statuses(answers)[410] + statuses(answers)[409] + statuses(answers)[503] == 3
    assert world.event_types() == ["authenticator.enrolled"]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert world.verify(winner.json["recovery_codes"][0], account="acc_bob").status_code == 200


def test_beginning_at_once_leaves_one_that_waits(world: World):
    def begin(_number):
        while (answer := world.account("POST", "enrollments", {"label": "bob"}, account="acc_bob")).status_code == 503:
            time.sleep(0.05)  # too many wait for their QR codes
        return answer

    answers = at_once(8, begin)
    assert statuses(answers) == {201: 8}
    from services.otp.key_uri import decode_secret

    confirmed = []
    for answer in answers:
        code = world.code(secret=decode_secret(Secret(answer.json["secret"])))
        path = f"enrollments/{answer.json['enrollment_id']}/confirm"
        confirmed.append(world.account("POST", path, {"code": code}, account="acc_bob").status_code)
        without_budgets(world)
    assert sorted(confirmed) == [200] + [410] * 7


def test_sends_at_once_never_exceed_the_budget(world: World):
    answers = at_once(THREADS, lambda n: world.send_sms(binding=f"chl_{n}"))
    assert statuses(answers) == {202: 5, 429: THREADS - 5}


def test_resends_at_once_send_one(world: World):
    answers = at_once(THREADS, lambda _: world.send_sms())
    assert statuses(answers) == {202: 1, 429: THREADS - 1}


def test_withdrawing_at_once_gives_back_once(world: World):
    world.send_sms(binding="chl_2")
    message_id = world.send_sms().json["message_id"]
    body = {"purpose": "login", "binding": "chl_1"}
    at_once(8, lambda _: world.account("DELETE", f"sms-challenges/{message_id}", body))
    assert world.redis.get(f"budget:otp.sms.account:600:{ACCOUNT}") == "1"


def test_the_durable_count_is_exact_under_load(world: World):
    code = world.wrong_code()
    at_once(THREADS, lambda n: world.verify(code, device_id=f"dev_{n}"))
    world.settle()
    assert world.state()["consecutive_failures"] == THREADS
    assert world.redis.get(f"budget:otp.verify.consecutive:31536000:{ACCOUNT}") == str(THREADS)


def test_unlocks_at_once_lift_what_is_below_a_hundred_and_count_it_once(world: World):
    assert at_once(2, lambda _: world.account("POST", "unlock").status_code) == [204, 204]  # the row is made here
    failures = at_once(THREADS, lambda n: world.verify(world.wrong_code(), device_id=f"dev_{n}"))
    assert statuses(failures) == {401: THREADS}
    world.settle()
    assert at_once(4, lambda _: world.account("POST", "unlock").status_code) == [204] * 4
    world.settle()
    with world.deps.database.connect() as connection:
        assert connection.execute(select(verification_states.c.failures_lifted)).scalars().all() == [THREADS]
