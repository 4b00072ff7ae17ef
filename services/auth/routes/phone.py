"""HTTP of the account's own phone."""

from typing import Any

from flask import Response, jsonify, make_response

from services.auth import phone
from services.auth.domain.account import Account
from services.auth.routes.cookies import forget_session
from services.auth.routes.guard import LANGUAGE_HEADER, client, current, deps, language, signed_in, stepped_up
from services.auth.routes.repeats import repeatable
from services.auth.schemas.phone import CountriesSchema, PhoneArgs, PhoneCodeArgs, PhoneVerifiedSchema
from services.auth.schemas.session import SmsSentSchema
from services.auth.sms_request import SentCode
from shared.bodies import NothingSchema
from shared.channel import Channel
from shared.rest import RestBlueprint

blueprint = RestBlueprint("phone", __name__, url_prefix="/v1/phone", description="The phone for codes by SMS")


@blueprint.route("/countries", methods=["GET"])
@signed_in
@blueprint.response(200, CountriesSchema)
def countries() -> dict[str, Any]:
    """The choices of a Country Code field."""
    return {"items": phone.countries(deps()), "next_cursor": None}


@blueprint.route("", methods=["PUT"])
@stepped_up
@blueprint.arguments(PhoneArgs)
@blueprint.response(202, SmsSentSchema)
@blueprint.alt_response(200, schema=PhoneVerifiedSchema)
@blueprint.refuses("sms_unavailable", "call_unavailable", "invalid_phone", "country_not_allowed", "too_many_requests")
@blueprint.reads(LANGUAGE_HEADER)
def set_phone(args: dict[str, Any]) -> SentCode | Response:
    """Set the number and send the code that proves it; the number before it stays in use until then.

    A landline is called, and takes codes by call only. A repeat while the code lives has the same answer, and nothing
    else is sent. 200: the number is proven already.
    """
    number = args["country"], args["number"]
    outcome = phone.set_phone(deps(), client(), current().account, current().acting, *number, language())
    if isinstance(outcome, SentCode):
        return outcome
    return make_response(jsonify(PhoneVerifiedSchema().dump(_proven(outcome))), 200)


# An owner may set a member's number. The member's full proof comes before a code can go there, so that no stolen
# session can prove it (ASVS 7.5.1).
@blueprint.route("/sms", methods=["POST"])
@stepped_up
@blueprint.arguments(NothingSchema)
@blueprint.response(202, SmsSentSchema)
@blueprint.refuses("phone_not_pending", "sms_unavailable", "too_many_requests")
@blueprint.reads(LANGUAGE_HEADER)
def resend(_args: dict[str, Any]) -> SentCode:
    """Send a code to the number that waits to be proven; it counts in this session alone."""
    return phone.resend(deps(), client(), current().account, current().acting, language())


@blueprint.route("/call", methods=["POST"])
@stepped_up
@blueprint.arguments(NothingSchema)
@blueprint.response(202, SmsSentSchema)
@blueprint.refuses("phone_not_pending", "call_unavailable", "too_many_requests")
@blueprint.reads(LANGUAGE_HEADER)
def call(_args: dict[str, Any]) -> SentCode:
    """Say a code in a call to the number that waits to be proven; it counts in this session alone."""
    return phone.resend(deps(), client(), current().account, current().acting, language(), Channel.CALL)


@blueprint.route("/verify", methods=["POST"])
@repeatable
@signed_in
@blueprint.arguments(PhoneCodeArgs)
@blueprint.response(200, PhoneVerifiedSchema)
@blueprint.refuses("invalid_passcode", "phone_not_pending", "too_many_requests")
def verify(args: dict[str, Any]) -> dict[str, Any]:
    """Prove the number with the code that this session requested and that came by SMS."""
    account, session_ended = phone.verify(deps(), client(), current().account, current().acting, args["code"])
    if session_ended:
        forget_session()
    return _proven(account)


def _proven(account: Account) -> dict[str, Any]:
    return {"phone_hint": account.phone, "verified_at": account.phone_verified_at}


@blueprint.route("", methods=["DELETE"])
@stepped_up
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
@blueprint.refuses("too_many_requests")
def remove(_args: dict[str, Any]) -> Response:
    """Forget the phone; no codes go there any more."""
    if phone.remove(deps(), client(), current().account, current().acting):
        forget_session()
    return make_response("", 204)
