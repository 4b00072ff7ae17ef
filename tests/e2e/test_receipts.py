"""The carrier's word on a text, over the URL that Twilio was given with it: it moves a delivery forward, never back."""

import secrets
from dataclasses import dataclass

import pytest
import requests
from twilio.request_validator import RequestValidator

from deploy.portal import Portal, wait_for
from tests.support.twilio_stub import AUTH_TOKEN

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Login:
    """A login that waits for the code of an SMS, its owner's session, and the URL that Twilio was given with it."""

    portal: Portal
    challenge: str
    session: Portal
    url: str

    def delivery(self) -> dict[str, str | None]:
        """As the login page shows it."""
        return self.portal.get(f"/v1/login/{self.challenge}").body["delivery"]

    def waits_for(self, status: str) -> None:
        wait_for(lambda: self.delivery()["status"] == status)

    def timeline(self) -> list[str]:
        """What became of the SMS, newest first, as its owner sees it."""
        entries = self.session.get("/v1/activity").body["items"]
        return [entry["details"]["status"] for entry in entries if entry["type"] == "sms.delivery_changed"]


@pytest.fixture
def begin(make_person, inbox):
    def begin() -> Login:
        person = make_person()
        session = person.enrolled()
        # A number of its own: texts to one number are limited, whoever asks for them.
        person.proven_phone(session, inbox, f"01512 {1_000_000 + secrets.randbelow(9_000_000)}")
        portal = person.portal()
        challenge = person.challenge(portal)
        sent = portal.post(f"/v1/login/{challenge}/sms")
        assert sent.status == 202, sent.body
        text = inbox.text(sent.body["reference"])
        [url] = [message.status_callback for message in inbox.stub.messages if message.body == text]
        login = Login(portal, challenge, session, url)
        login.waits_for("sent")
        return login

    return begin


def report(url: str, status: str, *, error: str = "", token: str = AUTH_TOKEN) -> int:
    """What Twilio does when a carrier has answered; the status of our answer."""
    form = {"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": error}
    headers = {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, form)}
    return requests.post(url, data=form, headers=headers, timeout=10).status_code


def test_a_text_that_was_delivered_stays_delivered(begin):
    login = begin()
    assert report(login.url, "delivered") == 204
    login.waits_for("delivered")
    late = [report(login.url, "sent"), report(login.url, "undelivered", error="30003"), report(login.url, "delivered")]
    assert late == [204] * 3
    another = begin()
    assert report(another.url, "delivered") == 204
    another.waits_for("delivered")  # and what was queued before it is done
    assert (login.delivery()["status"], login.delivery()["reason"]) == ("delivered", None)
    wait_for(lambda: login.timeline()[:2] == ["delivered", "sent"])


def test_a_text_that_was_not_delivered_is_said_in_words_and_a_stranger_moves_nothing(begin):
    login = begin()
    assert report(login.url, "delivered", token="a stranger's") == 403
    assert report(login.url, "undelivered", error="30005") == 204
    login.waits_for("undelivered")
    assert login.delivery()["message"]
    wait_for(lambda: login.timeline()[:1] == ["undelivered"])
