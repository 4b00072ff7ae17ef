"""Tasks that come three times, that come too late, and thousands that waited behind a stopped worker."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import update

from deploy.portal import wait_for
from services.auth.models import BOX as AUTH_BOX
from services.otp import models as otp_models
from services.otp.domain.sms_text import LIVES_FOR
from shared import delivery
from shared.clock import after, parse_rfc3339, system_clock
from shared.database import writing
from shared.delivery import DeliveryStatus
from shared.envelope import Envelope
from shared.ids import new_id
from shared.keys import KeyList
from shared.messages import SMS_CODES, SendSmsCode, encode
from shared.queueing import Publisher, make_celery
from shared.sealed_text import SealedText
from shared.secret import Secret
from tests.faults.ledger import Row
from tests.faults.load import Plan
from tests.faults.parts import CODE_WORKERS
from tests.support.signing import signer_of

pytestmark = pytest.mark.timeout(240)

QUEUED = 5000
FEW = 100  # the living are fewer
LIVING_WITHIN_SECONDS = 30.0  # as after a death of couriers; how fast a courier is, the bench says
TOO_LATE = 40


def publisher(stage):
    return Publisher(make_celery("harness", Secret(stage.broker_url)))


def command(message_id, deadline):
    return SendSmsCode(id=new_id("msg"), occurred_at=system_clock(), message_id=message_id, deadline=deadline)


def test_the_same_task_three_times(small):
    """Commands as they are promised, events by a relay that forgot what it had published."""
    again = publisher(small)

    def twice_more(promised):
        deadline = after(parse_rfc3339(promised["expires_at"]), -30.0)
        for _ in range(2):
            again.publish_to(SMS_CODES, encode(command(promised["message_id"], deadline)), kept_for=LIVES_FOR)

    def publish_again(run):
        since = system_clock()
        for _ in range(2):
            time.sleep(5)
            for engine, box in ((small.auth, AUTH_BOX.outbox), (small.otp, otp_models.outbox.outbox)):
                with writing(engine) as connection:
                    connection.execute(update(box).where(box.c.recorded_at >= since).values(published_at=None))

    plan = Plan(totp=0.2, sms=0.4, backup=0.4, on_asked=twice_more)
    line = small.play("each task and each event three times", publish_again, plan=plan, send_seconds=0.3)
    assert not line.violations()
    assert line.sms_twice_by_death == 0


def sealed_text(stage, person):
    """A code as otp leaves it for the courier."""
    key = KeyList.parse(stage.environment("otp")["NOTIFY_PUBLIC_KEY"]).newest
    body = "Your code is 000000 (ref LATE).\n\n@127.0.0.1 #000000"
    return Envelope(person.id, person.phone, None, body, after(system_clock(), 300)).seal(key)


def queue_late(stage, run, people, count, deadline, *, lives=None):
    """So many commands, with the texts of these people; only the people's own are reported to anyone.

    ``lives`` makes both the texts and the broker's patience so short.
    """
    sealed = {person.id: sealed_text(stage, person) for person in people}
    signer = signer_of("otp", stage.environment("otp"))
    message_ids, pipeline, now = [], stage.state.pipeline(transaction=False), system_clock()
    for number in range(count):
        person, message_id = people[number % len(people)], new_id("sms")
        owner = person.id if number < len(people) else None
        text = SealedText.sign(signer, message_id, sealed[person.id], deadline)
        delivery.queue_put(pipeline, message_id, text, now=now, ttl=lives or LIVES_FOR, account_id=owner)
        message_ids.append(message_id)
        if owner:
            run.expected.add(Row(owner, "sms.delivery_changed", f"{message_id} expired"))
    pipeline.execute()
    out = publisher(stage)
    for message_id in message_ids:
        out.publish_to(SMS_CODES, encode(command(message_id, deadline)), kept_for=lives or LIVES_FOR)
    return message_ids


def expired(stage, message_ids):
    return sum(
        (state := delivery.read(stage.state, message_id)) is not None and state.status is DeliveryStatus.EXPIRED
        for message_id in message_ids
    )


def test_a_task_after_its_deadline(small):
    late = []

    def too_late(run):
        small.kill(run, *CODE_WORKERS)
        late.extend(queue_late(small, run, run.reserved, TOO_LATE, after(system_clock(), 1.0)))
        time.sleep(1.5)
        small.start(*CODE_WORKERS)
        run.ends()
        wait_for(lambda: expired(small, late) == TOO_LATE, seconds=30)

    line = small.play(f"{TOO_LATE} tasks after their deadline", too_late, reserve=TOO_LATE)
    assert not line.violations()
    assert not [message for message in small.stub.messages if "(ref LATE)" in message.body]


def unsent(stage):
    return delivery.unsent(stage.state, system_clock()).count


def waits(run, since):
    """The longest waits of the living for their texts, from when a courier was there: who asked after, who before."""
    found = {True: [0.0], False: [0.0]}
    for asked in run.ledger.asked:
        for text in run.phones.texts(asked.phone):
            if f"(ref {asked.reference})" in text.body:
                found[asked.at > since].append(text.at - max(asked.at, run.ended))
    return max(found[True]), max(found[False])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("small", f"{QUEUED} codes queued behind stopped couriers"),
        ("large", f"RabbitMQ: {QUEUED} codes queued behind stopped couriers"),
    ],
)
def test_thousands_behind_a_stopped_worker(request, kind, name):
    """What is too late is dropped when its turn comes, and who lives hardly waits for that."""
    stage = request.getfixturevalue(kind)
    late, runs, piled_up = [], [], []

    def pile_up(run):
        runs.append(run)
        for worker in CODE_WORKERS:
            stage.parts[worker].stop()
        late.extend(queue_late(stage, run, run.reserved, QUEUED, after(system_clock(), 1.0)))
        piled_up.append(time.monotonic())
        time.sleep(3)  # the living ask meanwhile
        run.ends()
        stage.start("codes-1")
        waited = wait_for(lambda: unsent(stage) < FEW, seconds=60) and time.monotonic() - run.ended
        run.notes.append(f"{QUEUED} stale codes were dropped within {waited:.1f} s by one courier")
        stage.start("codes-2")

    line = stage.play(name, pile_up, reserve=20, pace=2.0)
    assert not line.violations()
    assert not [message for message in stage.stub.messages if "(ref LATE)" in message.body]
    assert expired(stage, late) == QUEUED
    newer, older = waits(*runs, *piled_up)
    line.notes.append(f"living codes came within {newer:.1f} s if asked for after them, within {older:.1f} s if before")
    assert max(newer, older) < LIVING_WITHIN_SECONDS


def test_thousands_that_the_broker_drops(large):
    """As after minutes without a courier: their texts are gone, and who looks for such codes reports them."""
    late, runs = [], []

    def drop(run):
        runs.append(run)
        for worker in CODE_WORKERS:
            large.parts[worker].stop()
        lives = timedelta(seconds=1)
        late.extend(queue_late(large, run, run.reserved, QUEUED, system_clock() + lives, lives=lives))
        wait_for(lambda: unsent(large) < FEW, seconds=30)
        run.ends()
        large.start(*CODE_WORKERS)

    line = large.play(f"RabbitMQ drops {QUEUED} codes that waited too long", drop, reserve=20, pace=2.0)
    assert not line.violations()
    assert expired(large, late) == QUEUED
    newer, older = waits(*runs, runs[0].ended)
    line.notes.append(f"living codes came within {max(newer, older):.1f} s")
    assert max(newer, older) < LIVING_WITHIN_SECONDS
