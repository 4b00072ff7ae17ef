"""A code expires, stays secret, opens its own account only, and there is no way beside it."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import urllib3
from redis import Redis

from deploy.attack.browser import Browser
from deploy.attack.people import enrol, expect, prove_phone
from deploy.attack.probe import Finding, Probe, Target
from deploy.attack.watch import Watch, watched
from deploy.local.stack import Stack
from deploy.portal import Answer, pages_of

LONGEST_CODE_LIFE_SECONDS = 600  # NIST SP 800-63B-4 §3.1.3.2
REFUSALS = ("invalid_passcode", "challenge_expired", "too_many_requests")


def sms_code_expires(target: Target) -> Finding:
    """How long a text's code lives: as announced, as kept by a stack of ours, and, with patience, by waiting."""
    owner = enrol(target)
    prove_phone(owner)
    browser, challenge = owner.challenge()
    sent = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
    code = target.need_inbox().code(str(sent["reference"]))
    ends = datetime.fromisoformat(str(sent["expires_at"]))
    life = (ends - datetime.now(UTC)).total_seconds()
    holes, tried, tries = [], [f"the API announces {life:.0f} s"], 1
    if life > LONGEST_CODE_LIFE_SECONDS:
        holes.append(f"the code is announced to live {life:.0f} s")
    if target.control is not None:
        lives = list(_lives_of(target.control, challenge))
        tries += len(lives)
        tried.append(f"{len(lives)} keys of that login end by themselves")
        if not lives or not all(0 < seconds <= LONGEST_CODE_LIFE_SECONDS for seconds in lives):
            holes.append("what is kept of the code doesn't end by itself in ten minutes")
    if target.patient:
        time.sleep(max(0.0, life) + 2)
        tries += 1
        tried.append("the code was sent after its end")
        if browser.verify(challenge, code).status == 200:
            holes.append("the code was accepted after its end")
    else:
        tried.append("waiting for the end is left to --patient")
    return Finding(tries, "; ".join(tried), "; ".join(holes) or None)


def _lives_of(stack: Stack, challenge: str) -> Iterator[float]:
    """The seconds that each key of this login has left; below 0 for one that has no end."""
    with Redis.from_url(stack.settings.redis_url) as redis:
        for key in redis.scan_iter(match=f"*{challenge}*", count=1000):
            yield float(redis.pttl(key)) / 1000


@watched
def code_leaks(target: Target, watch: Watch) -> str:
    """Secrets sought in every answer that isn't theirs and, on a stack of ours, in queue, Redis, logs and databases."""
    owner = enrol(target)
    prove_phone(owner)
    browser, challenge = owner.challenge()
    wrong = owner.wrong_codes(1)[0]
    kept: list[tuple[str, str]] = []
    if target.control is None:
        sent = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
        code = target.need_inbox().code(str(sent["reference"]))
    else:
        sent, code, kept = _code_in_the_queue(target, target.control, browser, challenge)
    secret = owner.app.secret
    bare = [each.replace("-", "") for each in owner.recovery_codes]
    own = [owner.account.password, secret, *owner.recovery_codes, *bare]
    sheet = owner.recovery_codes[0]
    reader = target.copy_of(browser)
    reader.base_url = pages_of(reader.base_url)
    reader.keep_login_in_cookies(challenge)
    page = reader.get(f"/login/{challenge}")
    watch.served("the login's page in its browser", page)
    answers = [
        ("the answer to the request for a text", sent),
        ("the login's state", browser.get(f"/v1/login/{challenge}")),
        ("the login's page", page),
        ("a refused code", browser.verify(challenge, wrong)),
        ("a code of the wrong shape", browser.verify(challenge, f"{code}x")),
        ("a number for a code", browser.post(f"/v1/login/{challenge}/verify", {"code": int(code)})),
        ("a refused password", target.browser().log_in(owner.account.email, f"{owner.account.password}x")),
    ]
    entered = browser.verify(challenge, code)
    expect(entered, 200)
    expect(owner.guess(sheet), 200)
    answers += [("the answer to the code", {**entered.body, "token": ""})]
    answers += [(path, browser.get(path)) for path in _PAGES]
    for what, answer in answers:
        shown = _text(answer)
        sought = [code, *own] if what != "a code of the wrong shape" else own
        watch.holds(f"{what} shows a secret", not _found(shown, sought))
    if target.control is None:
        return f"{watch.tries} answers read for the code, key, backup codes and password"
    places = [*kept, *_logs(target.control), *_redis(target.control), *_metrics(target.control)]
    for where, text in places:
        watch.holds(
            f"{where} holds a code or a key in clear", not _found(text, [code, wrong, *own, browser.token or code])
        )
    for where, data in _files(target.control):
        watch.holds(f"{where} holds a key in clear", not any(each.encode() in data for each in own))
    return f"{len(answers)} answers, the waiting order, {len(places)} Redis values and logs, databases read for secrets"


_PAGES = ("/v1/session", "/v1/two-factor", "/v1/activity", "/v1/sessions", "/healthz", "/readyz")


def _text(answer: object) -> str:
    if isinstance(answer, Answer):
        body = answer.body.decode(errors="replace") if isinstance(answer.body, bytes) else str(answer.body)
        return f"{answer.headers!s} {body}"
    return str(answer)


def _found(text: str, sought: list[str]) -> bool:
    """Whether one of them stands in the text; six digits only where they are no part of a longer number or a time."""
    return any(re.search(rf"(?<![0-9.]){each}(?![0-9])", text) if len(each) == 6 else each in text for each in sought)


def _code_in_the_queue(
    target: Target, stack: Stack, browser: Browser, challenge: str
) -> tuple[dict[str, object], str, list[tuple[str, str]]]:
    """Ask for a text while nobody sends: its order waits in the queue, where it can be read."""
    stack.stop_program("notify-codes")
    try:
        sent = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
        kept = [(f"{where}, while the order waits,", text) for where, text in _redis(stack)]
    finally:
        stack.start_program("notify-codes")
    return sent, target.need_inbox().code(str(sent["reference"])), kept


def _logs(stack: Stack) -> list[tuple[str, str]]:
    folder = stack.settings.log_dir
    return [(f"the log {path.name}", path.read_text(errors="replace")) for path in sorted(folder.glob("*.log*"))]


def _metrics(stack: Stack) -> list[tuple[str, str]]:
    pages = stack.settings.metrics_urls.items()
    return [(f"the metrics of {name}", urllib3.request("GET", url).data.decode()) for name, url in pages]


def _redis(stack: Stack) -> list[tuple[str, str]]:
    """Every value, but for the development inbox, which stands for the phones."""
    with Redis.from_url(stack.settings.redis_url, decode_responses=True, encoding_errors="replace") as redis:
        readers: dict[str, Callable[[str], object]] = {
            "string": redis.get,
            "hash": redis.hgetall,
            "list": lambda key: redis.lrange(key, 0, -1),
            "set": redis.smembers,
            "zset": lambda key: redis.zrange(key, 0, -1),
            "stream": redis.xrange,
        }
        keys = [str(key) for key in redis.scan_iter(count=1000) if key != "dev:inbox"]
        return [
            (f"Redis key {key.partition(':')[0]}", f"{key} {readers[str(redis.type(key))](key)}")
            for key in keys
            if str(redis.type(key)) in readers
        ]


def _files(stack: Stack) -> list[tuple[str, bytes]]:
    return [(f"the database {path.name}", path.read_bytes()) for path in stack.var_dir.glob("*.sqlite3*")]


@watched
def foreign_backup_code(target: Target, watch: Watch) -> str:
    """User B's backup and app codes at user A's login and step-up; afterwards they still serve B."""
    one, other = enrol(target), enrol(target)
    browser, challenge = one.challenge()
    code, password = other.recovery_codes[3], one.account.password
    watch.refused("B's backup code opened A's account", browser.verify(challenge, code), *REFUSALS)
    watch.refused("B's backup code, again", browser.verify(challenge, code.replace("-", "").lower()), *REFUSALS)
    watch.refused("B's app code opened A's account", browser.verify(challenge, other.app.near(0)), *REFUSALS)
    body = {"password": password, "code": code}
    watch.refused("B's backup code stepped A up", one.browser.post("/v1/reauthenticate", body), *REFUSALS)
    watch.served("B's own use of the code", other.guess(code))
    watch.served("A's own code", browser.verify(challenge, one.recovery_codes[3]))
    return "B's backup code at A's login (two spellings) and step-up, B's app code at A's login"


PROBES = (
    Probe(15, "sms-code-expires", "An SMS code that never expires", "CVE-2024-8122", sms_code_expires),
    Probe(
        16,
        "code-leaks",
        "A code in an answer, a log, a queue message or a task's result",
        "CVE-2026-105211, celery#9563",
        code_leaks,
        alone=True,
    ),
    Probe(
        17,
        "foreign-backup-code",
        "User B's backup code opens user A's account",
        "CVE-2025-64175, CVE-2026-78619",
        foreign_backup_code,
    ),
)
