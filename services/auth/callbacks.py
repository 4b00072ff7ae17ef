"""Handles Twilio's callbacks. Delivery statuses go to notify, which owns deliveries.

Also answers what a call says after the keys were pressed. notify has left that text in Redis.
"""

import hmac
from collections.abc import Mapping

import structlog
from twilio.request_validator import RequestValidator

from services.auth.deps import Deps
from shared import spoken_codes
from shared.channel import CALL_PROVIDER, SPOKEN
from shared.ids import new_id
from shared.messages import RecordReceipt
from shared.problems import Refusal, Unavailable

NOTHING_TO_SAY = "<Response><Hangup /></Response>"

log = structlog.get_logger("auth.callbacks")


def twilio_status(deps: Deps, *, url: str, form: Mapping[str, str], signature: str, message_id: str) -> None:
    """Check ``X-Twilio-Signature`` over the public URL and the form, by any of our tokens, and queue the receipt.

    A replay is harmless: a delivery never goes backwards, and the same word twice changes nothing.
    Raises Refusal invalid_signature; Unavailable.
    """
    _require_signature(deps, url, form, signature)
    if "CallStatus" in form:
        _report(deps, message_id, CALL_PROVIDER, form["CallStatus"])
        return
    _report(deps, message_id, "twilio", form.get("MessageStatus", ""), form.get("ErrorCode", "")[:10] or None)


def twilio_keys(deps: Deps, *, url: str, form: Mapping[str, str], signature: str, message_id: str, token: str) -> str:
    """Return what Twilio says after keys were pressed, as TwiML: the code if they are the keys of this call.

    Works once per call. A replay, or a token of another message or number, gets a hang-up. That the code was said is
    reported to notify. While the broker is down the report is left out, because the text cannot be taken again.
    Raises Refusal invalid_signature; RedisError.
    """
    _require_signature(deps, url, form, signature)
    spoken = spoken_codes.take(deps.redis, message_id, token)
    if spoken is None or form.get("To") != spoken.to:
        return NOTHING_TO_SAY
    if not hmac.compare_digest(form.get("Digits", "").encode(), spoken.keys.encode()):
        return spoken.refused
    try:
        _report(deps, message_id, CALL_PROVIDER, SPOKEN)
    except Unavailable as error:
        log.warning("call not reported", message_id=message_id, cause=error.reason)
    return spoken.told


def _require_signature(deps: Deps, url: str, form: Mapping[str, str], signature: str) -> None:
    tokens = deps.settings.twilio_auth_tokens
    if not any(RequestValidator(token.reveal()).validate(url, dict(form), signature) for token in tokens):
        raise Refusal("invalid_signature")


def _report(deps: Deps, message_id: str, provider: str, status: str, error: str | None = None) -> None:
    deps.publisher.publish(
        RecordReceipt(
            id=new_id("msg"),
            occurred_at=deps.clock(),
            message_id=message_id,
            provider=provider,
            provider_status=status[:40],
            provider_error=error,
        )
    )
