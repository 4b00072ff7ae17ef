import fakeredis
import pytest

from shared import spoken_codes
from shared.spoken_codes import SpokenCode

SPOKEN = SpokenCode("sms_1", "+4930123456", "47", "<Say>4, 8, 1, 5, 1, 6</Say>", "<Say>other keys</Say>")


@pytest.fixture
def redis():
    return fakeredis.FakeStrictRedis(decode_responses=True)


def test_it_is_taken_once(redis):
    token = spoken_codes.keep(redis, SPOKEN, 180)
    assert spoken_codes.take(redis, "sms_1", token) == SPOKEN
    assert spoken_codes.take(redis, "sms_1", token) is None


def test_it_ends_by_itself(redis):
    spoken_codes.keep(redis, SPOKEN, 180)
    assert [0 < redis.ttl(key) <= 180 for key in redis.scan_iter()] == [True]


def test_redis_alone_reads_nothing_of_it(redis):
    token = spoken_codes.keep(redis, SPOKEN, 180)
    (key,) = redis.keys()
    held = key + redis.get(key)
    assert not [secret for secret in (token, "4, 8", "30123456", "sms_1") if secret in held]


def test_nothing_opens_under_another_token_or_for_another_message(redis):
    token = spoken_codes.keep(redis, SPOKEN, 180)
    assert spoken_codes.take(redis, "sms_1", token[:-1] + ("A" if token[-1] != "A" else "B")) is None
    assert spoken_codes.take(redis, "sms_2", token) is None
    assert spoken_codes.take(redis, "sms_1", token) is None  # who came with the wrong message has ended it


def test_what_somebody_else_put_into_redis_is_not_said(redis):
    token = spoken_codes.keep(redis, SPOKEN, 180)
    (key,) = redis.keys()
    for forged in ("", "not base64", spoken_codes.lock("another token", "{}"), spoken_codes.lock(token, "[]")):
        redis.set(key, forged)
        assert spoken_codes.take(redis, "sms_1", token) is None


def test_it_never_prints_itself():
    assert repr(SPOKEN) == "SpokenCode(message_id='sms_1', ***)"
