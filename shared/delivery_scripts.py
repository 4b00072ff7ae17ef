"""The steps of a delivery's life that must not be divided, as Redis runs them; shared/delivery.py says what each does.

KEYS of CLAIM and ADVANCE: the sealed text, the status, the index of unsent messages, the list of changes.
"""

from shared.lua import LuaScript

# Leaves the event of a change for the account of the message. Without a known account there is nobody to tell.
_TELL = """
local function tell(document)
  local account_id = redis.call('HGET', KEYS[2], 'account_id')
  if not account_id then return end
  local event = cjson.decode(document)
  event.account_id = account_id
  redis.call('RPUSH', KEYS[4], cjson.encode(event))
end
"""

CLAIM = LuaScript(
    _TELL
    + """
local status = redis.call('HGET', KEYS[2], 'status') or 'queued'
if status ~= 'queued' and status ~= 'sending' then
  redis.call('ZREM', KEYS[3], ARGV[6])
  return {'settled', status}
end
local now = tonumber(ARGV[1])
local overdue = now >= tonumber(ARGV[5])
local held_until = tonumber(redis.call('HGET', KEYS[2], 'held_until') or '0')
if held_until > now and (status == 'sending' or not overdue) then return {'held', held_until - now} end
local sealed = redis.call('GET', KEYS[1])
local own = sealed and redis.call('HGET', KEYS[2], 'deadline')
if own and own ~= ARGV[5] then return {'other_deadline'} end
if overdue or not sealed then
  local reason = overdue and ARGV[8] or ''
  redis.call('HSET', KEYS[2], 'status', 'expired', 'rank', 3, 'updated_at', ARGV[3], 'reason', reason)
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[3], ARGV[6])
  if not overdue then return {'settled', 'expired'} end
  tell(ARGV[7])
  return {'overdue'}
end
local lease_end = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[2], 'status', 'sending', 'rank', 1, 'held_until', lease_end, 'updated_at', ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
local signature = redis.call('HGET', KEYS[2], 'signature') or ''
return {'claimed', sealed, redis.call('HINCRBY', KEYS[2], 'attempts', 1), signature}
"""
)

ADVANCE = LuaScript(
    _TELL
    + """
local rank = redis.call('HGET', KEYS[2], 'rank')
if not rank then return 0 end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], 'account_id', ARGV[6]) end
if tonumber(rank) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], 'status', ARGV[1], 'rank', ARGV[2], 'updated_at', ARGV[3], 'reason', ARGV[4])
redis.call('HDEL', KEYS[2], 'held_until')
redis.call('EXPIRE', KEYS[2], ARGV[5])
if tonumber(ARGV[2]) >= 2 then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[3], ARGV[7])
end
tell(ARGV[8])
return 1
"""
)

RELEASE = LuaScript("""
local claim = redis.call('HMGET', KEYS[1], 'status', 'attempts')
if claim[1] ~= 'sending' or claim[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'status', 'queued', 'rank', 0, 'updated_at', ARGV[1], 'held_until', ARGV[3])
return 1
""")

# A lease, so that of many carriers one works at a time: for economy only, for who carries twice is understood once.
TAKE_CHANGES = LuaScript("""
if (redis.call('GET', KEYS[2]) or ARGV[1]) ~= ARGV[1] then return {} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('LRANGE', KEYS[1], 0, ARGV[3] - 1)
""")

# By value: another carrier may have dropped some of them, and what stands in their places nobody has published.
DROP_CHANGES = LuaScript("""
for _, change in ipairs(ARGV) do redis.call('LREM', KEYS[1], 1, change) end
""")

# One command, because callers count the replies of their pipelines; by its text, because it must never be NOSCRIPT.
WITHDRAW = "redis.call('ZREM', KEYS[2], ARGV[1]) return redis.call('DEL', KEYS[1])"
