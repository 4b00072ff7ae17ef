"""Many notices at once: no more go out than their budgets have, and the others are told. Real Redis, real threads."""

from datetime import UTC, datetime, timedelta

import pytest

from services.notify import notice_store
from services.notify.notice_store import Bill, Claimed, OverBudget
from shared import sending_budgets
from shared.delivery import CHANGES
from shared.redis_client import connect
from shared.secret import Secret
from shared.sending_budgets import SMS_DAILY_CAP, Kind
from tests.support.threads import at_once

THREADS, ALLOWED = 20, 2
NOW = datetime.now(UTC)


@pytest.fixture
def redis(real_redis_url):
    redis = connect(Secret(real_redis_url))
    redis.flushall()
    yield redis
    redis.close()


def claim(redis, message_id, *, account="acc_1", phone="digest", cap=SMS_DAILY_CAP):
    charges = sending_budgets.charges_of_notice(Kind.SECURITY, account, phone, "447400", cap)
    return notice_store.claim(redis, message_id, NOW, NOW + timedelta(hours=1), Bill(account, "sms", charges))


def kinds(outcomes):
    return [type(outcome) for outcome in outcomes]


def test_texts_of_one_account_at_once_are_no_more_than_it_has(redis):
    outcomes = kinds(at_once(THREADS, lambda number: claim(redis, f"msg_{number}", phone=f"digest_{number}")))
    assert outcomes.count(Claimed) == ALLOWED
    assert outcomes.count(OverBudget) == redis.llen(CHANGES) == THREADS - ALLOWED


def test_nor_are_those_of_a_day(redis):
    def send(number):
        return claim(redis, f"msg_{number}", account=f"acc_{number}", phone=f"digest_{number}", cap=10)

    assert kinds(at_once(THREADS, send)).count(Claimed) == 4  # 40 % may be notices
    assert redis.get("budget:otp.sms.day:86400:all") == "4"


def test_one_notice_that_many_take_is_charged_once(redis):
    outcomes = kinds(at_once(THREADS, lambda _: claim(redis, "msg_1")))
    assert outcomes.count(Claimed) == 1
    assert redis.get("budget:notify.text.security.account:600:acc_1") == "1"
    assert redis.llen(CHANGES) == 0
