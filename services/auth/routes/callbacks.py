"""HTTP of what providers and clocks ask."""

from typing import Any

from flask import Response, make_response, request
from marshmallow import EXCLUDE, Schema, fields

from services.auth import callbacks
from services.auth.routes.guard import deps
from shared.bodies import Pattern, Text
from shared.clock import rfc3339
from shared.openapi import Header
from shared.rest import RestBlueprint

blueprint = RestBlueprint("callbacks", __name__, url_prefix="/v1", description="Callbacks and the clock")

SIGNATURE_HEADER = Header("X-Twilio-Signature", "Twilio's signature of address and body. Without it the answer is 403.")
TWIML = "text/xml"
TWILIO_ENDPOINTS = frozenset({"callbacks.twilio_status", "callbacks.twilio_keys"})


class StatusQuery(Schema):
    """Which of our messages the callback is about; notify puts it into the callback's address."""

    class Meta:
        """Providers may add parameters."""

        unknown = EXCLUDE

    message_id = Text(required=True, validate=Pattern(r"[A-Za-z0-9_-]{1,80}"))


class KeysQuery(StatusQuery):
    """Which call it is, and the token that opens what it says."""

    token = Text(required=True, validate=Pattern(r"[A-Za-z0-9_-]{43}"))


class TimeSchema(Schema):
    """The server's clock."""

    now = fields.String()
    unix_seconds = fields.Float()


@blueprint.route("/callbacks/twilio/status", methods=["POST"])
@blueprint.arguments(StatusQuery, location="query", unknown=EXCLUDE)
@blueprint.response(204)
@blueprint.refuses("invalid_signature")
@blueprint.reads(SIGNATURE_HEADER)
def twilio_status(args: dict[str, Any]) -> Response:
    """Twilio's status callback; needs a valid X-Twilio-Signature."""
    callbacks.twilio_status(deps(), **_signed(), message_id=args["message_id"])
    return make_response("", 204)


@blueprint.route("/callbacks/twilio/call", methods=["POST"])
@blueprint.arguments(KeysQuery, location="query", unknown=EXCLUDE)
@blueprint.response(200, {"type": "string", "description": "TwiML"}, content_type=TWIML)
@blueprint.refuses("invalid_signature")
@blueprint.reads(SIGNATURE_HEADER)
def twilio_keys(args: dict[str, Any]) -> Response:
    """Twilio asks what a call says after keys were pressed; needs a valid X-Twilio-Signature. Once for each call."""
    said = callbacks.twilio_keys(deps(), **_signed(), message_id=args["message_id"], token=args["token"])
    response = make_response(said)
    response.mimetype = TWIML
    return response


def _signed() -> dict[str, Any]:
    """What Twilio signs: our public address, because ``Host`` is the caller's, and the form."""
    return {
        "url": deps().settings.public_origin + request.full_path.rstrip("?"),
        "form": request.form,
        "signature": request.headers.get(SIGNATURE_HEADER.name, ""),
    }


@blueprint.route("/time", methods=["GET"])
@blueprint.response(200, TimeSchema)
def time() -> dict[str, Any]:
    """The server's time, for the page that checks the phone's clock."""
    now = deps().clock()
    return {"now": rfc3339(now), "unix_seconds": now.timestamp()}
