"""What a gateway's answer means: the whole contract of the ``http`` provider's answers is this table.

The first column that fits holds: the status, else its class, else it is our own fault. A redirect is not followed: it
would carry the text elsewhere.
"""

from collections.abc import Mapping
from typing import Any

from services.notify.domain.verdict import Verdict
from shared.delivery_reasons import DeliveryReason

STATUSES: Mapping[int, Verdict] = {
    408: Verdict.RETRY,  # it never had the whole request
    409: Verdict.MAYBE_SENT,  # it is at this webhook-id already
    422: Verdict.REJECT,  # this recipient
    425: Verdict.RETRY,
    429: Verdict.RETRY,
    501: Verdict.OUR_FAULT,
    503: Verdict.RETRY,
}
CLASSES: Mapping[int, Verdict] = {2: Verdict.SENT, 5: Verdict.MAYBE_SENT}

# What a 422 may say in its member ``reason``; anything else is "the number was refused".
REASONS = frozenset(
    {
        DeliveryReason.NUMBER_REFUSED,
        DeliveryReason.NUMBER_UNREACHABLE,
        DeliveryReason.LANDLINE,
        DeliveryReason.UNSUBSCRIBED,
        DeliveryReason.REGION_BLOCKED,
        DeliveryReason.FILTERED,
    }
)
_LONGEST_ID = 100


def verdict(status: int) -> Verdict:
    """What the status says."""
    return STATUSES.get(status) or CLASSES.get(status // 100) or Verdict.OUR_FAULT


def reason(body: Any) -> DeliveryReason:  # noqa: ANN401 - JSON
    """Why the recipient was refused."""
    said = body.get("reason") if isinstance(body, dict) else None
    return next((known for known in REASONS if known == said), DeliveryReason.NUMBER_REFUSED)


def message_id(body: Any) -> str | None:  # noqa: ANN401 - JSON
    """The gateway's own id of the message, if it gave one."""
    said = body.get("id") if isinstance(body, dict) else None
    return said[:_LONGEST_ID] if isinstance(said, str) and said else None
