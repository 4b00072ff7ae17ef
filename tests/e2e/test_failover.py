"""Two providers behind a running stack: codes come through the second while the first is away, and then no more."""

import base64
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from services.notify.domain.health import BAD_SENDS
from tests.e2e.conftest import Inbox, new_person
from tests.support.http_stub import KEY, HttpStub
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import Received, TwilioStub

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WHILE_AWAY = BAD_SENDS
# The first provider is tried again 15 s after its last failure: the second of these logins comes later.
AFTERWARDS, PAUSE_SECONDS = 2, 9


@dataclass(frozen=True)
class Both:
    """What came through either."""

    first: TwilioStub
    second: HttpStub

    @property
    def messages(self) -> list[Received]:
        return self.first.messages + self.second.messages


@pytest.fixture
def first():
    with TwilioStub() as stub:
        yield stub


@pytest.fixture
def second():
    with HttpStub() as stub:
        yield stub


@pytest.fixture
def stack(tmp_path, first, second):
    settings = {
        **settings_for(first),
        "SMS_PROVIDERS": "twilio,http",
        "SMS_HTTP_URL": second.sms_url,
        "SMS_HTTP_KEYS": f"k1:{base64.urlsafe_b64encode(KEY).decode()}",
    }
    with running_stack(tmp_path, free_port(5), settings) as running:
        yield running


def signs_in(person, inbox) -> None:
    portal = person.portal()
    challenge = person.challenge(portal)
    sent = portal.post(f"/v1/login/{challenge}/sms")
    assert sent.status == 202, sent.body
    answer = portal.verify(challenge, inbox.code(sent.body["reference"]))
    assert answer.status == 200, answer.body


def test_codes_come_through_the_other_provider_and_back_again(stack, first, second):
    people = [new_person(stack, "member", "Tests") for _ in range(WHILE_AWAY + AFTERWARDS)]
    for number, person in enumerate(people):
        person.proven_phone(person.enrolled(), Inbox(first), f"01512 345678{number}")
    assert not second.messages

    first.go_down()
    for person in people[:WHILE_AWAY]:
        signs_in(person, Inbox(second))

    first.come_back()
    before = len(first.messages)
    for person in people[WHILE_AWAY:]:
        time.sleep(PAUSE_SECONDS)
        signs_in(person, Inbox(Both(first, second)))
    assert len(first.messages) > before, "it has its place again"
    bodies = Counter(text.body for text in Both(first, second).messages)
    assert set(bodies.values()) == {1}
