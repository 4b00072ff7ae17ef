"""A gateway for the ``http`` provider, as an operator would write one: it checks the signature and keeps ids apart.

It misbehaves like the other stub (twilio_stub.py), by the same ``Behaviour``.
"""

import json
from typing import Any

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tests.support.twilio_stub import Behaviour, Fault, Received, TwilioStub

KEY = bytes(range(32))
PATH = "/sms"
_MEMBERS = {"message_id", "to", "text", "valid_for_seconds"}


class HttpStub(TwilioStub):
    """``messages`` are the SMS that it "sent": one for each webhook-id."""

    def __init__(self, *, port: int = 0, key: bytes = KEY):
        super().__init__(port=port)
        self._webhook = Webhook(key)
        self._taken: dict[str, str] = {}
        self.bodies: list[dict[str, Any]] = []

    @property
    def sms_url(self) -> str:
        return self.url + PATH

    def read(self, path: str, headers: Any, body: bytes) -> tuple[dict[str, str], Fault | None]:
        try:
            document = self._webhook.verify(body, dict(headers))
        except WebhookVerificationError as error:
            return {}, Fault(401, 0, str(error))
        self.bodies.append(document)
        data = document["data"]
        checks = [
            (path == PATH, Fault(404, 0, "no such path")),
            (headers.get_content_type() == "application/json", Fault(415, 0, "not JSON")),
            (document["type"] == "sms.send", Fault(400, 0, "unknown type")),
            (data.keys() == _MEMBERS, Fault(400, 0, f"unknown members {sorted(data)}")),
            (data.get("message_id") == headers["webhook-id"], Fault(400, 0, "two ids")),
            (data.get("valid_for_seconds", 0) >= 1, Fault(400, 0, "no life")),
        ]
        return data, next((fault for holds, fault in checks if not holds), None)

    def take(self, form: dict[str, Any]) -> str:
        known = self._taken.get(form["message_id"])
        if known is None:
            known = self._taken[form["message_id"]] = f"gw_{len(self._taken) + 1}"
            self.keep(Received(form["to"], form["text"], "gateway", form["valid_for_seconds"], None, known))
        return json.dumps({"id": known})

    def refuse(self, form: dict[str, str], behaviour: Behaviour) -> str:
        return json.dumps({"reason": "landline", "detail": f"{form['to']} is a landline"})

    def error(self, fault: Fault) -> str:
        return json.dumps({"detail": fault.words})
