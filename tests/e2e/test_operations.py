"""What operations see and do: queues, dead letters, canaries; by the commands and the gauges that they have."""

import json
import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psutil
import pytest
import urllib3
from redis import Redis

from deploy.local.keys import read_keys
from deploy.local.settings import ROOT
from deploy.portal import wait_for
from shared.envelope import Envelope
from shared.ids import new_id
from shared.keys import KeyList
from shared.messages import (
    AUTH_EVENTS,
    OTP_EVENTS,
    QUEUES,
    SMS_CODES,
    SMS_NOTICES,
    RecoveryCodesRegenerated,
    SendSmsNotice,
)
from shared.queueing import Publisher, make_celery
from shared.scraping import READ_EVERY_SECONDS
from shared.secret import Secret
from shared.signed_messages import sign
from tests.support.signing import signer_of

pytestmark = pytest.mark.e2e

NOTICES = 600
GARBAGE = "no message of anybody's"


@pytest.fixture(scope="module")
def celery(stack):
    app = make_celery("test", Secret(stack.settings.redis_url))
    yield app
    app.close()


@pytest.fixture(scope="module")
def publisher(celery):
    return Publisher(celery)


@pytest.fixture
def redis(stack):
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def no_letters(stack):
    yield
    command(stack, "shared.dead_letters", "drop", "--all")


@pytest.fixture
def person(make_person, inbox):
    """Somebody with 2FA on and a proven phone."""
    person = make_person()
    # A number of its own: codes to one and the same are limited.
    person.proven_phone(person.enrolled(), inbox, f"01512 {secrets.randbelow(10**7):07}")
    return person


def command(stack, *arguments, code=0):
    """What ``make queues`` and ``make dead-letters`` run."""
    settings = stack.settings
    environment = {
        name: value for name, value in os.environ.items() if name not in {"REDIS_URL", "STATE_REDIS_URL", "BROKER_URL"}
    }
    environment |= {"PORT": str(settings.port), "REDIS_PORT": str(settings.redis_port), "VAR_DIR": str(stack.var_dir)}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.operate", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def letters(stack):
    """Their ids, and the line of each."""
    lines = command(stack, "shared.dead_letters", "list").splitlines()[1:-2]
    return {line.split()[0]: line for line in lines if line}


def metrics(stack):
    text = urllib3.request("GET", stack.settings.metrics_urls["auth"]).data.decode()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")}


def ask_for_code(person):
    portal = person.portal()
    return code_for(portal, person.challenge(portal))


def code_for(portal, challenge):
    sent = portal.post(f"/v1/login/{challenge}/sms")
    assert sent.status == 202, sent.body
    return sent.body["reference"]


def workers(stack):
    return [process.pid for name in ("notify-codes", "background") for process in stack.processes_of(name)]


# --- queues -----------------------------------------------------------------------------------------------------------


def test_every_queue_has_its_canary_taken(stack):
    def ages():
        lines = command(stack, "shared.queues").splitlines()
        rows = {line.split()[0]: line for line in lines[1 : len(QUEUES) + 1]}
        assert rows.keys() == QUEUES.keys()
        return all("s ago" in row for row in rows.values())

    wait_for(ages, seconds=30)
    gauges = metrics(stack)
    for queue in QUEUES:
        assert gauges[f'latchkey_queue_canary_age_seconds{{queue="{queue}"}}'] < 30


def test_the_age_of_the_oldest_unsent_code_is_read_while_nobody_sends_it(stack, person, inbox):
    stack.stop_program("notify-codes")
    try:
        reference = ask_for_code(person)

        def age():
            gauges = metrics(stack)
            waited = gauges["latchkey_sms_oldest_unsent_code_age_seconds"]
            return waited if waited > 2 else None

        assert wait_for(age, seconds=READ_EVERY_SECONDS * 3) < 30
        gauges = metrics(stack)
        assert gauges["latchkey_sms_codes_unsent"] == 1
        assert gauges[f'latchkey_queue_waiting_messages{{queue="{SMS_CODES}"}}'] >= 1
        assert "unsent codes: 1, the oldest" in command(stack, "shared.queues")
    finally:
        stack.start_program("notify-codes")
    assert inbox.code(reference)
    wait_for(lambda: metrics(stack)["latchkey_sms_codes_unsent"] == 0)
    assert metrics(stack)["latchkey_sms_oldest_unsent_code_age_seconds"] == 0


def test_a_flood_of_notices_delays_no_code(stack, person, inbox, publisher, redis):
    keys = read_keys(stack.settings.keys_file)
    key, signer = KeyList.parse(keys["NOTIFY_PUBLIC_KEY"]).newest, signer_of("auth", keys)
    now = datetime.now(UTC)
    later = now + timedelta(hours=1)
    # An account, a phone and a prefix for each few of them, or their budgets would end the flood.
    floods = [
        Envelope(f"acc_flood_{number}", f"+4179{number:07}", None, "a flood", later).seal(key)
        for number in range(1_000_000, 1_000_000 + 10_000 * NOTICES, 10_000)
    ]
    portal = person.portal()
    challenge = person.challenge(portal)
    stack.stop_program("background")
    try:
        for sealed in floods:
            notice = SendSmsNotice(
                id=new_id("cmd"), occurred_at=now, message_id=new_id("ntc"), sealed=sealed, deadline=later
            )
            publisher.publish_to(SMS_NOTICES, sign(notice, signer, SMS_NOTICES))
    finally:
        stack.start_program("background")
    asked = datetime.now(UTC)
    assert inbox.code(code_for(portal, challenge))
    assert datetime.now(UTC) - asked < timedelta(seconds=3)
    assert redis.llen(SMS_NOTICES) > 0, "the flood was over before the code was there: it shows nothing"
    wait_for(lambda: inbox.count("a flood") == NOTICES, seconds=60)


# --- dead letters -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_letters")
def test_what_nobody_can_read_keeps_no_code_waiting_and_ends_no_worker(stack, person, inbox, publisher, celery, redis):
    before = workers(stack)
    for queue in QUEUES:
        publisher.publish_to(queue, {"type": "send_sms_code", "version": 2, "id": queue})
        publisher.publish_to(queue, {"type": "teleport", "version": 1, "id": queue})
        publisher.publish_to(queue, {}, task="latchkey.no_such_task")
        celery.send_task(QUEUES[queue], args=[1, 2], queue=queue)
        celery.send_task(QUEUES[queue], kwargs={"document": {}}, queue=queue)
        redis.lpush(queue, GARBAGE)
        redis.lpush(queue, json.dumps({"type": "send_sms_code"}))
    assert inbox.code(ask_for_code(person))
    wait_for(lambda: len(letters(stack)) == 7 * len(QUEUES))
    assert workers(stack) == before
    assert [psutil.Process(pid).status() for pid in before].count(psutil.STATUS_ZOMBIE) == 0
    wait_for(lambda: metrics(stack)["latchkey_dead_letters"] == 7 * len(QUEUES))


@pytest.mark.usefixtures("no_letters")
def test_a_letter_is_listed_shown_replayed_and_dropped(stack, publisher):
    document = {"type": "two_factor.teleported", "version": 1, "id": "evt_1", "account_id": "acc_1"}
    publisher.publish_to(OTP_EVENTS, document)
    [(letter, line)] = wait_for(lambda: list(letters(stack).items()) or None)
    assert OTP_EVENTS in line
    assert "unknown message 'two_factor.teleported'" in line
    assert json.loads(command(stack, "shared.dead_letters", "show", letter))["document"] == document
    # Its workers still don't know it: the replay comes back, as another letter.
    command(stack, "shared.dead_letters", "replay", letter)
    wait_for(lambda: letters(stack).keys() - {letter} or None)
    [again] = letters(stack)
    command(stack, "shared.dead_letters", "drop", again)
    assert letters(stack) == {}
    assert "no dead letters" in command(stack, "shared.dead_letters", "list")
    assert "nothing was done" in command(stack, "shared.dead_letters", "drop", again, code=1)


@pytest.mark.usefixtures("no_letters")
def test_an_event_whose_fault_was_mended_acts_when_it_is_replayed(stack, make_person, redis):
    """As if an older worker had refused it: the letter is there, and what it says is known by now."""
    person = make_person()
    event = RecoveryCodesRegenerated(id=new_id("evt"), occurred_at=datetime.now(UTC), account_id=person.id)
    signer = signer_of("otp", read_keys(stack.settings.keys_file))
    letter = {"at": "2026-11-24T12:00:00Z", "queue": AUTH_EVENTS, "task": QUEUES[AUTH_EVENTS], "reason": "too new"}
    letter["document"] = json.dumps(sign(event, signer, AUTH_EVENTS))
    redis.hset("dead_letters", "0123456789ab", json.dumps(letter))
    redis.zadd("dead_letters:order", {"0123456789ab": 0})
    portal = person.signed_in()
    command(stack, "shared.dead_letters", "replay", "--all")

    def types():
        return [item["type"] for item in portal.get("/v1/activity").body["items"]]

    wait_for(lambda: "recovery_codes.regenerated" in types())
    assert letters(stack) == {}
