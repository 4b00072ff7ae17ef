"""The carrier's word on a code advances its delivery, and never moves it back."""

from collections.abc import Callable

import structlog

from services.notify.deps import Deps
from services.notify.domain.retries import DONE, Done
from services.notify.providers import twilio_codes
from services.notify.providers.twilio_codes import Reading
from shared import delivery
from shared.channel import CALL_PROVIDER
from shared.messages import RecordReceipt

# The provider's name -> how its receipts are read.
READERS: dict[str, Callable[[str, str | None], Reading | None]] = {
    "twilio": twilio_codes.read_receipt,
    CALL_PROVIDER: twilio_codes.read_call_receipt,
}

log = structlog.get_logger("notify.receipts")


def record_receipt(deps: Deps, command: RecordReceipt) -> Done:
    """Advance the delivery. A receipt that is late, repeated, unknown or says nothing new changes nothing.

    Raises RedisError.
    """
    facts = log.bind(message_id=command.message_id, provider=command.provider, error=command.provider_error)
    reader = READERS.get(command.provider)
    reading = reader(command.provider_status, command.provider_error) if reader else None
    if reading is None:
        facts.error("receipt not understood", provider_status=command.provider_status)
        return DONE
    if reading.status is None:
        return DONE
    if delivery.advance(
        deps.redis,
        command.message_id,
        reading.status,
        deps.clock(),
        reason=reading.reason,
        provider=command.provider,
    ):
        facts.info("sms code reported", status=reading.status)
    return DONE
