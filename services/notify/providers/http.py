"""SMS through any gateway that takes a signed JSON webhook (https://www.standardwebhooks.com).

``POST`` with ``webhook-id`` (our message id: the gateway sends one SMS for it, however often it comes),
``webhook-timestamp``, ``webhook-signature`` and the body
``{"type": "sms.send", "timestamp": …, "data": {"message_id", "to", "text", "valid_for_seconds"}}``.
The answers are in http_answers.py. The only file that imports ``standardwebhooks``.
"""

import json
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from services.notify.domain.verdict import Verdict
from services.notify.providers import (
    CallMessage,
    ProviderMisconfigured,
    ProviderUnavailable,
    RecipientRejected,
    SmsMessage,
    http_answers,
    transport,
)
from services.notify.settings import HttpSmsSettings
from shared.clock import Clock, rfc3339, unix_seconds

TYPE = "sms.send"


class HttpSms:
    """An SmsProvider; one instance, and with it one connection pool, for each process."""

    name = "http"
    idempotent = True
    makes_calls = False

    def __init__(self, settings: HttpSmsSettings, clock: Clock) -> None:
        self._target = parse_url(settings.url).request_uri
        # With every key, so that the gateway may hold the old one or the new one while they are rotated.
        self._signers = [Webhook(key.material.reveal()) for key in settings.keys]
        self._clock = clock
        self._line = transport.Line(settings.url)

    def send(self, message: SmsMessage) -> str:
        """Send; the gateway's id, or ours where it gave none."""
        now = self._clock()
        body = _body(message, now)
        try:
            answer = self._line.post(self._target, body.encode(), self._headers(message.message_id, now, body))
        except HTTPError as error:
            raise ProviderUnavailable(type(error).__name__, maybe_sent=transport.maybe_sent(error)) from None
        return _read(answer) or message.message_id

    def call(self, message: CallMessage) -> str:  # noqa: ARG002 - the protocol's
        """Not supported: the router calls only providers whose ``makes_calls`` is true."""
        raise ProviderMisconfigured("the http provider makes no calls")

    def _headers(self, message_id: str, now: datetime, body: str) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(unix_seconds(now)),
            "webhook-signature": " ".join(signer.sign(message_id, now, body) for signer in self._signers),
        }


def _body(message: SmsMessage, now: datetime) -> str:
    data = {
        "message_id": message.message_id,
        "to": message.to.e164,
        "text": message.body,
        "valid_for_seconds": max(message.valid_for_seconds, 1),
    }
    return json.dumps({"type": TYPE, "timestamp": rfc3339(now), "data": data})


def _read(answer: BaseHTTPResponse) -> str | None:
    """The gateway's id. Raises what it says no with; no text of it: it may quote the number."""
    detail = f"http {answer.status}"
    match http_answers.verdict(answer.status):
        case Verdict.SENT:
            return http_answers.message_id(_json(answer))
        case Verdict.REJECT:
            raise RecipientRejected(http_answers.reason(_json(answer)), detail)
        case Verdict.RETRY:
            raise ProviderUnavailable(detail)
        case Verdict.MAYBE_SENT:
            raise ProviderUnavailable(detail, maybe_sent=True)
        case Verdict.OUR_FAULT:
            raise ProviderMisconfigured(detail)


def _json(answer: BaseHTTPResponse) -> Any:  # noqa: ANN401 - JSON
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None
