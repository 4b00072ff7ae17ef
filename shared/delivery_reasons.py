"""Why a message did not arrive, in words for its owner: notify writes the code, the gateway shows the sentence."""

from enum import StrEnum

from shared.delivery import DeliveryStatus


class DeliveryReason(StrEnum):
    """The reasons that travel in a delivery's ``reason``."""

    NUMBER_REFUSED = "number_refused"
    NUMBER_UNREACHABLE = "number_unreachable"
    LANDLINE = "landline"
    UNSUBSCRIBED = "unsubscribed"
    REGION_BLOCKED = "region_blocked"
    FILTERED = "filtered"
    ADDRESS_REFUSED = "address_refused"
    NOT_ANSWERED = "not_answered"
    NO_KEYS = "no_keys"
    TOO_LATE = "too_late"
    PROVIDER_DOWN = "provider_down"
    OUR_FAULT = "our_fault"


_SENTENCES: dict[str, str] = {
    DeliveryReason.NUMBER_REFUSED: "The carrier does not know this phone number. Check it on the Team page.",
    DeliveryReason.NUMBER_UNREACHABLE: "The phone could not be reached. Is it on, and does it have a signal?",
    DeliveryReason.LANDLINE: "This number can't receive SMS; it looks like a landline.",
    DeliveryReason.UNSUBSCRIBED: "This number has opted out of our messages. Answer START to one of them to opt in.",
    DeliveryReason.REGION_BLOCKED: "We can't send SMS to this country.",
    DeliveryReason.FILTERED: "The carrier blocked the message.",
    DeliveryReason.ADDRESS_REFUSED: "The mail server does not accept this email address.",
    DeliveryReason.NOT_ANSWERED: "The call was not answered. Request another one.",
    DeliveryReason.NO_KEYS: "The call ended before the keys were pressed. Request another call.",
    DeliveryReason.TOO_LATE: "The code expired before it could be sent. Request a new one.",
    DeliveryReason.PROVIDER_DOWN: "Our SMS provider did not answer. Try again, or use your app or a backup code.",
    DeliveryReason.OUR_FAULT: "Something is wrong on our side. Use your app or a backup code; we have been told.",
}
_UNKNOWN = "The message could not be delivered."


def sentence(code: str) -> str:
    """The sentence for a reason code; a general one for a code that this version does not know."""
    return _SENTENCES.get(code, _UNKNOWN)


_PROGRESS: dict[DeliveryStatus, str] = {
    DeliveryStatus.QUEUED: "Your code is about to be sent.",
    DeliveryStatus.SENDING: "Your code is being handed to the carrier.",
    DeliveryStatus.SENT: "Your code was handed to the carrier.",
    DeliveryStatus.DELIVERED: "Your code has arrived on your phone.",
    DeliveryStatus.UNDELIVERED: "The carrier could not deliver the message.",
    DeliveryStatus.FAILED: _UNKNOWN,
    DeliveryStatus.EXPIRED: "This code was not sent: it expired, or a newer one took its place.",
}


def describe(status: DeliveryStatus, reason: str | None) -> str:
    """What a page says of a delivery: the reason where there is one, else how far it has come."""
    return sentence(reason) if reason else _PROGRESS[status]
