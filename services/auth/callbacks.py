"""The provider's word on a message: checked, then handed to notify, which owns deliveries."""

from collections.abc import Mapping

from twilio.request_validator import RequestValidator

from services.auth.deps import Deps
from shared.ids import new_id
from shared.messages import RecordReceipt
from shared.problems import Refusal


def twilio_status(deps: Deps, *, url: str, form: Mapping[str, str], signature: str, message_id: str) -> None:
    """Check ``X-Twilio-Signature`` over the public URL and the form, by any of our tokens, and queue the receipt.

    A replay is harmless: a delivery never goes backwards, and the same word twice changes nothing.
    Raises Refusal invalid_signature; Unavailable.
    """
    tokens = deps.settings.twilio_auth_tokens
    if not any(RequestValidator(token.reveal()).validate(url, dict(form), signature) for token in tokens):
        raise Refusal("invalid_signature")
    deps.publisher.publish(
        RecordReceipt(
            id=new_id("msg"),
            occurred_at=deps.clock(),
            message_id=message_id,
            provider="twilio",
            provider_status=form.get("MessageStatus", "")[:40],
            provider_error=form.get("ErrorCode", "")[:10] or None,
        )
    )
