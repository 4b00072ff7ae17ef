"""Attacks on the stores by another service, a local user and a web page (rows 48, 68)."""

import json
from datetime import timedelta
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from deploy.attack.inside import redis_url_of
from deploy.attack.people import enrol, prove_phone
from deploy.attack.probe import CannotTryError, Probe, Target
from deploy.attack.steps import account_id
from deploy.attack.watch import Watch, watched
from shared.clock import rfc3339, system_clock
from shared.ids import new_id, new_token, token_digest

FOREIGN_HOSTS = ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "8.8.8.8")
# Paths that answer to any host: liveness, readiness, the public keys and forward-auth.
ANY_HOST = {"/healthz": 200, "/readyz": 200, "/.well-known/jwks.json": 200, "/v1/session/verify": 204}
_MISDIRECTED = 421


@watched
def courier_makes_session(target: Target, watch: Watch) -> str:
    """Make and read a session with the password for Redis that the courier has."""
    control = target.need_control()
    victim = enrol(target, target.account("support"))
    token, own_id = new_token(), account_id(victim.browser)
    with Redis.from_url(redis_url_of(control, "notify"), decode_responses=True) as redis:
        watch.holds("the courier writes a session", not _writes_session(redis, own_id, token))
        browser = target.browser()
        browser.token = token
        answer = browser.get("/v1/session")
        watch.refused("a session that the courier made", answer, "not_authenticated")
        key = f"auth:session:{token_digest(str(victim.browser.token))}"
        watch.holds("the courier reads a session", not _reads(redis, key))
        watch.holds("the courier lists all keys", not _lists(redis))
    return "a session written, read and listed with the courier's credentials for Redis"


def _writes_session(redis: "Redis", own_id: str, token: str) -> bool:
    """Write a whole session of this account, with everything proven; whether Redis took it."""
    now = system_clock()
    session = {
        "id": new_id("ses"),
        "account_id": own_id,
        "factors": ["password", "totp"],
        "signed_in_with": ["password", "totp"],
        "transport": "bearer",
        "authenticated_at": rfc3339(now),
        "stepped_up_at": rfc3339(now),
        "expires_at": rfc3339(now + timedelta(hours=1)),
        "ip": "10.0.0.1",
        "user_agent": "",
    }
    known = _session_members(redis, own_id)
    members = {name: value for name, value in session.items() if known is None or name in known}
    try:
        redis.set(f"auth:session:{token_digest(token)}", json.dumps(members), ex=3600)
    except RedisError:
        return False
    return True


def _session_members(redis: "Redis", own_id: str) -> frozenset[str] | None:
    """The members of a stored session, where this user can read them."""
    try:
        digests = [str(digest) for digest in redis.hvals(f"auth:sessions:{own_id}")]
        raw = redis.get(f"auth:session:{digests[0]}") if digests else None
    except RedisError:
        return None
    return frozenset(json.loads(str(raw))) if raw else None


def _reads(redis: "Redis", key: str) -> bool:
    try:
        return redis.get(key) is not None
    except RedisError:
        return False


def _lists(redis: "Redis") -> bool:
    try:
        return next(iter(redis.scan_iter(match="auth:session:*", count=1000)), None) is not None
    except RedisError:
        return False


@watched
def local_user(target: Target, watch: Watch) -> str:
    """Connect to Redis as another user of the machine, who knows its port and not its password."""
    control = target.need_control()
    parts = urlsplit(control.settings.redis_url)
    if parts.scheme not in {"redis", "rediss"}:
        return "Redis has no port: it is a socket in a folder of its owner's"
    port = parts.port or 6379
    for what, credentials in (("no password", ""), ("an empty password", ":@"), ("a guess", "default:redis@")):
        with Redis.from_url(f"redis://{credentials}{parts.hostname}:{port}/0") as redis:
            try:
                redis.scan(count=1)
            except RedisError:
                watch.tries += 1
                continue
            watch.holds(f"a local user with {what} reads Redis", held=False)
    return "Redis on its port with no password, an empty one, and a guess"


@watched
def foreign_host(target: Target, watch: Watch) -> str:
    """Read a page of the gateway under a name that is not its own, as DNS rebinding makes a browser do."""
    if target.inbox is None:
        raise CannotTryError("needs the development inbox")
    owner = enrol(target)
    prove_phone(owner)
    token = owner.browser.token or ""
    for host in FOREIGN_HOSTS:
        for path in ("/dev/inbox.json", "/dev/inbox", "/v1/time", "/login", "/openapi.json"):
            answer = target.browser().raw("GET", path, headers={"Host": host})
            watch.holds(f"GET {path} for Host {host}: {answer.status}", answer.status == _MISDIRECTED)
        answer = target.browser().raw("GET", "/v1/session", headers={"Host": host, "Authorization": f"Bearer {token}"})
        watch.holds(f"a session for Host {host}: {answer.status}", answer.status == _MISDIRECTED)
    own = {"Authorization": f"Bearer {token}"}
    for path, status in ANY_HOST.items():
        answer = target.browser().raw("GET", path, headers={"Host": FOREIGN_HOSTS[0], **own})
        watch.served(f"{path} for any host", answer, status)
    return f"the inbox, pages and a session under {len(FOREIGN_HOSTS)} foreign names"


PROBES = (
    Probe(48, "courier-makes-session", "A session made by the courier", "found here", courier_makes_session),
    Probe(68, "local-user", "A local user who reads and writes Redis", "found here", local_user),
    Probe(68, "foreign-host", "A web page that reads the inbox by DNS rebinding", "found here", foreign_host),
)
