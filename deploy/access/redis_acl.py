"""The table as a Redis ACL file (Redis 7.0 or later, Valkey): `aclfile users.acl` in redis.conf.

Scripts are checked twice: EVAL for the keys that it names, and each command inside like a command from outside.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from deploy.access.users import HEALTH, LETTERS, OPERATOR, User
from shared.messages import QUEUES
from shared.redis_notes import index_of, notes_of

DATABASE = 0  # of the broker; channels carry its number

CONNECTION = (
    *("auth", "hello", "ping", "echo", "select", "time", "quit", "client"),
    *("multi", "exec", "discard", "watch", "unwatch", "script|load", "script|exists"),
)
# A client may give its name and library (Redis 7.2); the commands that affect other clients are taken away.
NOT_OF_CLIENT = ("kill", "list", "pause", "unpause", "unblock", "no-evict", "tracking", "caching", "reply")
# Commands that act only on keys that they name: no KEYS, SCAN, RANDOMKEY, FLUSHALL, CONFIG, ACL.
ON_KEYS = (
    *("get", "set", "setex", "psetex", "getdel", "mget", "del", "unlink", "exists", "type"),
    *("incr", "incrby", "decr", "decrby", "expire", "pexpire", "expireat", "pexpireat", "ttl", "pttl", "persist"),
    *("hget", "hset", "hsetnx", "hmget", "hgetall", "hdel", "hkeys", "hvals", "hlen", "hexists", "hincrby"),
    *("sadd", "srem", "smembers", "sismember", "scard"),
    *("zadd", "zrem", "zrange", "zrangebyscore", "zcount", "zcard", "zscore", "zremrangebyscore", "zincrby"),
    *("lpush", "rpush", "lpop", "rpop", "brpop", "lrange", "lrem", "ltrim", "llen", "lpos"),
)
SCRIPTS = ("eval", "evalsha")
# Commands that put a message on a queue (shared/redis_broker.py). They cannot read, move or delete one.
PUTTING = ("lpush", "rpush", "hset", "zadd")
# How many messages wait, are in hand, and were set aside: metrics, and a worker that looks whether it starves.
LOOKING = ("llen", "exists", "hlen")
CHANNELS = ("publish", "subscribe", "psubscribe", "unsubscribe", "punsubscribe")
# kombu's tables of exchanges. None of our messages is routed by them, so a changed table redirects nothing.
TABLES = "_kombu.binding*"


def render(users: Sequence[User], hashes: Mapping[str, Sequence[str]]) -> str:
    """The ACL file. ``hashes`` has each user's password hashes (``password_hash``): two while one is being changed."""
    lines = [
        # Nobody can log in as this user, which is off. It may do everything, because a starting server replays
        # transactions of its append-only file as this user, and drops what the user may not do.
        "user default off resetpass ~* &* +@all",
        f"user {HEALTH} on nopass resetkeys resetchannels -@all +ping",
        f"user {OPERATOR} on {_passwords(hashes[OPERATOR])} ~* &* +@all",
        *(rule_of(user, hashes[user.name]) for user in users),
    ]
    return "\n".join(lines) + "\n"


def password_hash(password: str) -> str:
    """The password as an ACL stores it: SHA-256, which is enough for 144 random bits."""
    return hashlib.sha256(password.encode()).hexdigest()


def rule_of(user: User, hashes: Iterable[str]) -> str:
    """The line of one user. Its first part is for its own keys; each selector in brackets adds commands and keys."""
    mine = [*user.owns, *_taken(user)]
    reads, writes = list(user.reads), list(user.writes)
    puts = [key for queue in user.publishes_to if user.on_broker for key in (queue, notes_of(queue), index_of(queue))]
    commands = [*CONNECTION, *ON_KEYS]
    if user.takes:
        commands += CHANNELS
    if user.scans:
        commands.append("scan")
    parts = [
        *("user", user.name, "on", _passwords(hashes), "resetkeys", "resetchannels", "-@all"),
        *_commands(commands),
        *(f"-client|{name}" for name in NOT_OF_CLIENT),
        *(f"~{key}" for key in mine),
        *(f"%R~{key}" for key in reads),
        *(f"%W~{key}" for key in writes),
        *([f"&/{DATABASE}.{user.name}.pidbox"] if user.takes else []),
        # A script names its keys beforehand, some of them to read and some to write.
        _selector(SCRIPTS, (f"~{key}" for key in [*mine, *reads, *writes, *puts])),
    ]
    if user.on_broker:
        parts.append(_selector(PUTTING, (f"%W~{key}" for key in puts)))
        counted = [LETTERS[0], *(key for queue in QUEUES for key in (queue, notes_of(queue)))]
        parts.append(_selector(LOOKING, (f"%R~{key}" for key in counted)))
    return " ".join(parts)


def _taken(user: User) -> list[str]:
    """The keys of the queues that a user takes from, and of the pings that its health check sends."""
    keys = [key for queue in user.takes for key in (queue, notes_of(queue), index_of(queue), f"unacked_mutex:{queue}")]
    if user.takes:
        keys.append(f"*.{user.name}.pidbox*")
    if user.on_broker:
        keys.append(TABLES)
    return keys


def _selector(commands: Iterable[str], keys: Iterable[str]) -> str:
    return f"({' '.join(['-@all', *_commands(commands), *dict.fromkeys(keys)])})"


def _commands(names: Iterable[str]) -> list[str]:
    return [f"+{name}" for name in names]


def _passwords(hashes: Iterable[str]) -> str:
    return " ".join(f"#{one}" for one in hashes)
