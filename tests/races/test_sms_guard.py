"""Many sends at once: no more go out than a prefix may have, whatever the order. Real Redis, real threads."""

from collections import Counter

import pytest
import structlog
from nacl.public import PrivateKey

from services.otp import lane_store
from services.otp.domain.lane import Lane
from services.otp.domain.purpose import Purpose
from services.otp.limits import SMS_LANE, SMS_PROBE, SMS_PROBES_NEEDED
from shared.database import create_database
from shared.envelope import open_envelope
from shared.hashing import HashingPool
from shared.keys import KeyList, encode_key
from shared.migrations import upgrade
from shared.redis_client import connect
from shared.secret import Secret
from tests.support.otp import World, make_world
from tests.support.threads import at_once

THREADS = 20
UNJUDGED, PROBES = SMS_LANE[0].rule.unjudged_sends, SMS_PROBE.windows[0].max
PRIVATE = PrivateKey.generate()
NOTIFY_KEYS = KeyList.parse(f"n1:{encode_key(bytes(PRIVATE))}")
LANE = Lane(Purpose.PHONE_VERIFICATION, "447400")


@pytest.fixture
def world(real_redis_url, tmp_path):
    url = f"sqlite:///{tmp_path}/otp.sqlite3"
    upgrade("otp", url)
    redis, database = connect(Secret(real_redis_url)), create_database(url)
    redis.flushall()
    world = make_world(database, redis, HashingPool(max_waiting=1), f"n1:{encode_key(bytes(PRIVATE.public_key))}")
    yield world
    world.deps.recorder.close()
    redis.close()
    database.dispose()


def ask(world: World, number: int):
    phone = f"+447400{number:06}"
    return world.send_sms(account=f"acc_{number}", purpose="phone_verification", phone=phone)


def pump(world: World, count: int, first: int = 0) -> list:
    return at_once(count, lambda n: ask(world, first + n))


def statuses(answers) -> Counter:
    return Counter(answer.status_code for answer in answers)


def enter(world: World, number: int, sent) -> int:
    body = open_envelope(NOTIFY_KEYS, world.redis.get(f"notify:sealed:{sent.json['message_id']}")).body
    return world.verify(body[-6:], account=f"acc_{number}", purpose="phone_verification").status_code


def trip(world: World) -> None:
    lane_store.pause(world.redis, LANE, "pau_1", world.clock())


def test_pumped_sends_at_once_never_exceed_the_unjudged_ones_and_the_probes(world: World):
    """The pause begins under their feet, so probes may be among them."""
    with structlog.testing.capture_logs() as logs:
        answers = pump(world, UNJUDGED + 3 * THREADS)
    assert UNJUDGED <= statuses(answers)[202] <= UNJUDGED + PROBES
    assert set(statuses(answers)) == {202, 409}
    assert [line["event"] for line in logs if line["event"] == "sms paused"] == ["sms paused"]
    assert world.redis.get("budget:otp.sms.day:86400:all") == str(statuses(answers)[202])


def test_probes_at_once_are_no_more_than_a_round_has(world: World):
    trip(world)
    for _ in range(5):
        assert statuses(pump(world, THREADS)) == {202: PROBES, 409: THREADS - PROBES}
        world.end_windows()


def test_healing_at_once_is_told_once_and_lets_no_more_out_than_a_beginning(world: World):
    trip(world)
    for number in range(SMS_PROBES_NEEDED):
        assert enter(world, number, ask(world, number)) == 200
    with structlog.testing.capture_logs() as logs:
        answers = pump(world, UNJUDGED + THREADS, first=100)
    assert UNJUDGED <= statuses(answers)[202] <= UNJUDGED + PROBES
    assert [line["event"] for line in logs if line["event"] == "sms resumed"] == ["sms resumed"]


def test_codes_entered_at_once_are_all_credited(world: World):
    sent = [ask(world, number) for number in range(THREADS)]
    assert at_once(THREADS, lambda n: enter(world, n, sent[n])) == [200] * THREADS
    for row in SMS_LANE:
        assert world.redis.get(lane_store.verified_key(row.rate, LANE)) == str(THREADS)


def test_one_code_entered_many_times_at_once_is_credited_once(world: World):
    sent = ask(world, 0)
    body = open_envelope(NOTIFY_KEYS, world.redis.get(f"notify:sealed:{sent.json['message_id']}")).body
    at_once(4, lambda _: world.verify(body[-6:], account="acc_0", purpose="phone_verification"))
    assert world.redis.get(lane_store.verified_key(SMS_LANE[0].rate, LANE)) == "1"


def test_sends_of_a_day_at_once_never_exceed_its_cap(world: World):
    world.redis.set("budget:otp.sms.day:86400:all", 5_000 * 80 // 100 - 3, ex=1000)
    assert statuses(pump(world, THREADS)) == {202: 3, 409: THREADS - 3}


def test_two_accounts_at_once_weigh_no_more_than_two_sends_each(world: World):
    def send(number: int):
        account, phone = f"acc_{number % 2}", f"+447400{number:06}"
        binding = {"binding": f"chl_{number}"}
        return world.send_sms(account=account, purpose="phone_verification", phone=phone, **binding)

    for _ in range(4):
        at_once(THREADS, send)
        world.redis.delete(*world.redis.keys("budget:otp.sms.proof.*"), *world.redis.keys("budget:otp.sms.resend:*"))
    for row in SMS_LANE:
        tally = world.redis.hgetall(lane_store.tally_key(row.rate, LANE))
        accounts = {name: int(count) for name, count in tally.items() if name.startswith("account:")}
        assert int(tally["all"]) == sum(accounts.values())
        assert accounts == {"account:acc_0": 2, "account:acc_1": 2}
