"""Tell auth what became of a code."""

import structlog

from services.notify.deps import Deps
from shared.delivery import DeliveryStatus
from shared.delivery_reasons import DeliveryReason
from shared.ids import new_id
from shared.messages import SmsDeliveryChanged
from shared.problems import Unavailable

log = structlog.get_logger("notify.events")


def publish_change(
    deps: Deps,
    message_id: str,
    account_id: str | None,
    status: DeliveryStatus,
    reason: DeliveryReason | None,
    provider: str | None,
) -> None:
    """Publish SmsDeliveryChanged, after the change is recorded. ``provider`` is None when none was asked.

    A broker that does not take it is logged and no more: the record is what counts, and a task that failed here would
    send its SMS again. Without a known account there is nobody to tell.
    """
    if account_id is None:
        return
    event = SmsDeliveryChanged(
        id=new_id("evt"),
        occurred_at=deps.clock(),
        account_id=account_id,
        message_id=message_id,
        status=status,
        reason=reason,
        provider=provider,
    )
    try:
        deps.publisher.publish(event)
    except Unavailable as error:
        log.warning("event not published", message_id=message_id, status=status, part=error.reason)
