"""A message with its sender's signature, as it stands in an outbox and on a queue; checked before it is acted on.

The signature covers every member of the message, its sender, the queue that it is for, and the time before which it is
not due. SENT_BY in shared/messages.py says which service may send which message.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Clock, parse_rfc3339, rfc3339
from shared.messages import SENT_BY, Message, UnreadableMessage, decode, encode
from shared.signing import SignatureRefused, Signer, Verifier

KIND = "message"
# What stands in a signed document besides the members of the message.
SENDER, QUEUE, NOT_BEFORE, SIGNATURE = "sender", "queue", "not_before", "signature"
ADDED = (SENDER, QUEUE, NOT_BEFORE, SIGNATURE)
# How long a consumer remembers the messages that it has acted on: longer than any broker redelivers.
HANDLED_KEPT_FOR = timedelta(days=14)
# A message that is older could act twice.
ACCEPTED_FOR = HANDLED_KEPT_FOR - timedelta(hours=1)
# Relay and consumers read one clock, each over its own connection. A message early by less than this is retried.
EARLY_BY_CLOCK = timedelta(seconds=30)

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class NotDueYet(Exception):  # noqa: N818
    """The message is early by no more than clocks may differ; it is to be delivered again."""


def sign(message: Message, signer: Signer, queue: str, not_before: datetime | None = None) -> dict[str, Any]:
    """The message as JSON-ready members, signed for this queue. Raises ValueError when another service sends it."""
    sender = SENT_BY[type(message)]
    if sender is None:
        return encode(message)
    if sender != signer.sender:
        raise ValueError(f"{signer.sender} does not send {message.TYPE}")
    members = {**encode(message), SENDER: sender, QUEUE: queue}
    if not_before is not None:
        members[NOT_BEFORE] = rfc3339(not_before)
    return {**members, SIGNATURE: signer.sign(KIND, _canonical(members))}


def is_signed_by(document: Mapping[str, Any], signer: Signer) -> bool:
    """Whether it names a key of this list. For a service's own outbox only, where no other service writes."""
    return any(str(document.get(SIGNATURE)).startswith(f"{key.id}.") for key in signer.keys)


class Gate:
    """The check of a consumer's messages from one queue."""

    def __init__(self, queue: str, verifier: Verifier, clock: Clock) -> None:
        self._queue = queue
        self._verifier = verifier
        self._clock = clock

    def open(self, document: object) -> Message:
        """Return the message, if its sender signed it for this queue and it is due.

        Raises UnreadableMessage for what is unsigned, foreign, changed, too old or not due, and NotDueYet.
        """
        if not isinstance(document, dict):
            raise UnreadableMessage("not an object")
        message = decode(content(document))
        sender = SENT_BY[type(message)]
        if sender is not None:
            self._require_signature(message, sender, document)
            self._require_due(message, document.get(NOT_BEFORE))
        return message

    def _require_signature(self, message: Message, sender: str, document: Mapping[str, Any]) -> None:
        try:
            text = _canonical({name: value for name, value in document.items() if name != SIGNATURE})
            self._verifier.require(sender, KIND, text, document.get(SIGNATURE))
        except SignatureRefused as refused:
            raise UnreadableMessage(f"{message.TYPE}: {refused}") from None
        except (TypeError, ValueError, RecursionError):
            raise UnreadableMessage(f"{message.TYPE}: cannot be written as JSON") from None
        if document.get(SENDER) != sender or document.get(QUEUE) != self._queue:
            raise UnreadableMessage(f"{message.TYPE}: signed for another queue")

    def _require_due(self, message: Message, not_before: str | None) -> None:
        now, due = self._clock(), parse_rfc3339(not_before) if not_before else message.occurred_at
        if not_before and now < due - EARLY_BY_CLOCK:
            raise UnreadableMessage(f"{message.TYPE}: not due before {not_before}")
        if not_before and now < due:
            raise NotDueYet(message.TYPE)
        if now >= due + ACCEPTED_FOR:
            raise UnreadableMessage(f"{message.TYPE}: older than what is known of handled messages")


def content(document: Mapping[str, Any]) -> dict[str, Any]:
    """The members of the message itself."""
    return {name: value for name, value in document.items() if name not in ADDED}
