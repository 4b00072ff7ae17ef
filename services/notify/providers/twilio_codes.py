"""Twilio's words in ours. Tables and nothing to import: receipts are read where the client is not loaded.

Source: Twilio's error and warning dictionary (https://www.twilio.com/docs/api/errors, read in November 2026) and the
statuses of https://www.twilio.com/docs/messaging/api/message-resource and
https://www.twilio.com/docs/voice/api/call-resource. Twilio asks not to build much on single codes, since it refines
them: what the table does not know falls back to the HTTP status, and never to the recipient.
"""

from dataclasses import dataclass

from services.notify.domain.verdict import Verdict
from shared.channel import SPOKEN
from shared.delivery import DeliveryStatus
from shared.delivery_reasons import DeliveryReason


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do, and the reason that the owner may be shown when it ends there."""

    verdict: Verdict
    reason: DeliveryReason


_RETRY = Outcome(Verdict.RETRY, DeliveryReason.PROVIDER_DOWN)
_OURS = Outcome(Verdict.OUR_FAULT, DeliveryReason.OUR_FAULT)


def _reject(reason: DeliveryReason) -> Outcome:
    return Outcome(Verdict.REJECT, reason)


_REFUSED = _reject(DeliveryReason.NUMBER_REFUSED)
_UNREACHABLE = _reject(DeliveryReason.NUMBER_UNREACHABLE)
_LANDLINE = _reject(DeliveryReason.LANDLINE)
_REGION = _reject(DeliveryReason.REGION_BLOCKED)
_FILTERED = _reject(DeliveryReason.FILTERED)

# Answers to the request (2xxxx, 6xxxx, 9xxxx) and words in receipts (3xxxx); both may carry either.
ERRORS: dict[int, Outcome] = {
    # the account
    10001: _OURS,  # account is not active
    10004: _RETRY,  # too many calls at once; not called
    20003: _OURS,  # authentication failed, or no permission
    20005: _OURS,  # account not active: out of funds
    20404: _OURS,  # no such resource: a wrong account SID or base URL
    20429: _RETRY,  # too many requests; not processed
    20503: _RETRY,  # service unavailable
    21730: _RETRY,  # under maintenance
    63038: _OURS,  # the account's daily limit
    # the recipient
    21211: _REFUSED,  # invalid To
    21214: _REFUSED,  # To cannot be reached
    21217: _REFUSED,  # does not appear to be valid
    21265: _REFUSED,  # a short code
    21268: _REFUSED,  # a premium or information service
    21203: _REGION,  # no calls abroad
    21215: _REGION,  # calls to this country are not permitted
    21216: _REFUSED,  # calls to this number are not permitted
    21408: _REGION,  # permissions disabled for the region
    21610: _reject(DeliveryReason.UNSUBSCRIBED),  # the owner sent STOP
    21612: _REFUSED,  # this sender cannot reach this number
    21614: _LANDLINE,  # not a mobile number
    21635: _LANDLINE,  # a landline
    # the sender
    21205: _OURS,  # invalid URL of a call's callback
    21210: _OURS,  # From is not verified
    21212: _OURS,  # invalid From
    21266: _OURS,  # To and From are the same
    21267: _OURS,  # alphanumeric sender on a trial account
    21603: _OURS,  # From or MessagingServiceSid missing
    21606: _OURS,  # From cannot send messages for this account
    21608: _OURS,  # trial account, unverified recipient
    21611: _RETRY,  # the sender's queue is full
    21659: _OURS,  # From is not a number of Twilio's
    21660: _OURS,  # From belongs to another account
    21661: _OURS,  # From cannot send SMS
    21701: _OURS,  # no such messaging service
    21702: _OURS,  # the messaging service takes no new messages
    21703: _OURS,  # the messaging service has no number available
    21704: _OURS,  # the messaging service has no numbers
    21705: _OURS,  # the messaging service is invalid
    # the request
    21602: _OURS,  # no body
    21604: _OURS,  # no To
    21609: _OURS,  # invalid StatusCallback
    21617: _OURS,  # the body is longer than 1600 characters
    21619: _OURS,  # no body
    21624: _OURS,  # invalid validity period
    90007: _OURS,  # invalid validity period
    # on the way
    30001: _RETRY,  # queue overflow
    30002: _OURS,  # account suspended
    30003: _UNREACHABLE,  # the handset is off or out of reach
    30004: _FILTERED,  # blocked by the recipient or the carrier
    30005: _REFUSED,  # unknown handset
    30006: _LANDLINE,  # landline or unreachable carrier
    30007: _FILTERED,  # filtered as spam
    30008: _UNREACHABLE,  # the carrier did not say why
    30022: _RETRY,  # US carrier's rate limit
    30023: _OURS,  # US carrier's daily limit
    30034: _OURS,  # unregistered US sender
    30036: _reject(DeliveryReason.TOO_LATE),  # the validity period passed
    30410: _RETRY,  # the carrier timed out
    30450: _FILTERED,  # SMS pumping protection
}

# The one 5xx that says "not taken". After any other the message may be out, and Twilio itself warns of asking twice
# (https://www.twilio.com/docs/api/errors/20500).
NOT_TAKEN_STATUS = 503

STATUSES: dict[str, DeliveryStatus | None] = {  # None: nothing that a page does not show already
    "accepted": None,
    "scheduled": None,
    "queued": None,
    "sending": None,
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.DELIVERED,
    "undelivered": DeliveryStatus.UNDELIVERED,
    "failed": DeliveryStatus.FAILED,
    "canceled": DeliveryStatus.FAILED,
}
# A call's statuses. The gateway reports SPOKEN when it returns the code. A call that completes without it was answered
# by a voicemail, or by a person who pressed no keys.
_WITH_REASON = frozenset({DeliveryStatus.UNDELIVERED, DeliveryStatus.FAILED})
_REASON_UNKNOWN = DeliveryReason.NUMBER_UNREACHABLE


@dataclass(frozen=True, slots=True)
class Reading:
    """What a receipt says in our words; no status when it says nothing new."""

    status: DeliveryStatus | None
    reason: DeliveryReason | None = None


def outcome(http_status: int, code: int | None) -> Outcome:
    """What a refused request means: by its code, else by its HTTP status, else it is our own fault."""
    known = ERRORS.get(code) if code is not None else None
    meaning = known or (_RETRY if http_status == 429 or http_status >= 500 else _OURS)
    if meaning.verdict is Verdict.RETRY and http_status >= 500 and http_status != NOT_TAKEN_STATUS:
        return Outcome(Verdict.MAYBE_SENT, meaning.reason)
    return meaning


def read_receipt(status: str, error: str | None) -> Reading | None:
    """A receipt in our words, or None for a status that Twilio's list does not have."""
    if status not in STATUSES:
        return None
    ours = STATUSES[status]
    if ours not in _WITH_REASON:
        return Reading(ours)
    known = ERRORS.get(int(error)) if error and error.isascii() and error.isdigit() else None
    return Reading(ours, known.reason if known else _REASON_UNKNOWN)


CALL_STATUSES: dict[str, Reading] = {
    "queued": Reading(None),
    "initiated": Reading(None),
    "ringing": Reading(None),
    "in-progress": Reading(None),
    SPOKEN: Reading(DeliveryStatus.DELIVERED),
    "completed": Reading(DeliveryStatus.UNDELIVERED, DeliveryReason.NO_KEYS),
    "busy": Reading(DeliveryStatus.UNDELIVERED, DeliveryReason.NOT_ANSWERED),
    "no-answer": Reading(DeliveryStatus.UNDELIVERED, DeliveryReason.NOT_ANSWERED),
    "failed": Reading(DeliveryStatus.FAILED, DeliveryReason.NUMBER_UNREACHABLE),
    "canceled": Reading(DeliveryStatus.FAILED, DeliveryReason.PROVIDER_DOWN),
}


def read_call_receipt(status: str, _error: str | None) -> Reading | None:
    """A call's status in our words, or None for one that Twilio's list does not have."""
    return CALL_STATUSES.get(status)
