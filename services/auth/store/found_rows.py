"""The budget of accounts that an operator's searches and lists may show. A call pays for its rows in one step."""

from collections.abc import Collection

from redis import Redis

from shared.budgets import HOUR, Charge
from shared.lua import LuaScript
from shared.problems import Refusal

# ARGV: the rows, then for each window its maximum and its milliseconds. Replies how many milliseconds to wait, or 0.
_PAY = LuaScript("""
local rows, wait = tonumber(ARGV[1]), 0
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') + rows > tonumber(ARGV[2 * i]) then
    wait = math.max(wait, redis.call('PTTL', key), 1)
  end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  if redis.call('INCRBY', key, rows) == rows then redis.call('PEXPIRE', key, ARGV[2 * i + 1]) end
end
return 0
""")


def pay(redis: "Redis", charge: Charge, rows: int) -> None:
    """Pay for all these rows, or for none of them. Raises Refusal too_many_requests; RedisError."""
    windows = [number for window in charge.rate.windows for number in (window.max, window.seconds * 1000)]
    wait_ms = int(_PAY.run(redis, charge.keys(), [rows, *windows]))
    if wait_ms > 0:
        raise Refusal("too_many_requests", retry_after_seconds=-(-wait_ms // 1000))


def pay_for_accounts(redis: "Redis", charge: Charge, account_ids: Collection[str]) -> None:
    """Pay for those of these accounts that the charge's subject has not paid for here within the last hour.

    A list that refreshes itself shows the same accounts again, and that costs nothing. Of two calls at once both may
    pay. Raises Refusal too_many_requests; RedisError.
    """
    key = f"auth:shown:{charge.subject}"
    unpaid = set(account_ids) - {str(account_id) for account_id in redis.smembers(key)}
    if unpaid:
        pay(redis, charge, len(unpaid))
        redis.sadd(key, *unpaid)
        redis.expire(key, HOUR, nx=True)
