"""HTTP of signing in and out."""

from typing import Any

from flask import Response, jsonify, make_response

from services.auth import login, login_sms, sessions, views
from services.auth.login import SecondFactorRequired, SignedIn
from services.auth.routes.guard import (
    clear_session_cookie,
    client,
    deps,
    device_token,
    live_session,
    set_device_cookie,
    set_session_cookie,
)
from services.auth.schemas.session import (
    ChallengeStateSchema,
    LoginAnswer,
    LoginArgs,
    SmsSentSchema,
    VerifyAnswer,
    VerifyArgs,
)
from services.auth.session_store import LoginChallenge
from shared.bodies import NothingSchema
from shared.delivery_reasons import describe
from shared.phone import PhoneNumber
from shared.rest import RestBlueprint

LOGIN_ANSWER, VERIFY_ANSWER = LoginAnswer(), VerifyAnswer()  # making a schema costs more than dumping with it
blueprint = RestBlueprint("login", __name__, url_prefix="/v1", description="Signing in and out")


@blueprint.route("/login", methods=["POST"])
@blueprint.arguments(LoginArgs)
@blueprint.response(200, LoginAnswer)
@blueprint.refuses("invalid_credentials", "too_many_requests")
def log_in(args: dict[str, Any]) -> Response | dict[str, Any]:
    """Sign in with email and password."""
    outcome = login.log_in(
        deps(),
        client(),
        email=args["email"],
        password=args["password"],
        transport=args["transport"],
        device_token=device_token(args["device_token"]),
    )
    if isinstance(outcome, SecondFactorRequired):
        return {"status": "second_factor_required", "challenge": _challenge(outcome.challenge, outcome.phone)}
    return _signed_in(outcome, LOGIN_ANSWER, {})


@blueprint.route("/login/<id:challenge_id>", methods=["GET"])
@blueprint.response(200, ChallengeStateSchema)
@blueprint.refuses("challenge_expired")
def challenge_state(challenge_id: str) -> dict[str, Any]:
    """A login that waits for its code, and the delivery of its last SMS."""
    state = login_sms.state(deps(), challenge_id)
    shown = None
    if state.sent is not None and state.delivery is not None:
        shown = {
            "status": state.delivery.status,
            "updated_at": state.delivery.updated_at,
            "message_id": state.sent.message_id,
            "reference": state.sent.reference,
            "reason": state.delivery.reason,
            "message": describe(state.delivery.status, state.delivery.reason),
        }
    return {**_challenge(state.challenge, state.account.phone), "status": "second_factor_required", "delivery": shown}


@blueprint.route("/login/<id:challenge_id>/sms", methods=["POST"])
@blueprint.arguments(NothingSchema)
@blueprint.response(202, SmsSentSchema)
@blueprint.refuses(
    "challenge_expired", "sms_unavailable", "two_factor_off", "too_many_requests", "second_factor_locked"
)
def send_sms(_args: dict[str, Any], challenge_id: str) -> Any:  # noqa: ANN401 - dumped by the schema
    """Send an SMS code for this login, or send another one."""
    return login_sms.send(deps(), client(), challenge_id)


@blueprint.route("/login/<id:challenge_id>/verify", methods=["POST"])
@blueprint.arguments(VerifyArgs)
@blueprint.response(200, VerifyAnswer)
@blueprint.refuses(
    "invalid_passcode", "challenge_expired", "two_factor_off", "too_many_requests", "second_factor_locked"
)
def verify(args: dict[str, Any], challenge_id: str) -> Response:
    """Answer with the code from the app, from an SMS, or with a backup code."""
    outcome = login.verify(
        deps(), client(), challenge_id=challenge_id, code=args["code"], remember_device=args["remember_device"]
    )
    return _signed_in(outcome, VERIFY_ANSWER, {"factor": outcome.session.factors[-1]})


@blueprint.route("/logout", methods=["POST"])
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
@blueprint.refuses("not_authenticated")
def log_out(_args: dict[str, Any]) -> Response:
    """End this session."""
    session, _token = live_session()
    sessions.end(deps(), client(), session.account_id, session.id)
    response = make_response("", 204)
    clear_session_cookie(response)
    return response


def _challenge(challenge: LoginChallenge, phone: PhoneNumber | None) -> dict[str, Any]:
    return {
        "id": challenge.id,
        "expires_at": challenge.expires_at,
        "methods": list(challenge.methods),
        "sms": {"available": phone is not None, "phone_hint": views.hint(phone)},
    }


def _signed_in(outcome: SignedIn, schema: LoginAnswer | VerifyAnswer, more: dict[str, Any]) -> Response:
    """The session in the body; its token in a cookie or in the body, never in both."""
    document = {
        "status": "authenticated",
        "session": views.session_document(deps(), outcome.account, outcome.session),
        **more,
    }
    bearer = outcome.session.transport == "bearer"
    if bearer:
        document["token"] = outcome.token
        if outcome.device_token is not None:
            document["device_token"] = outcome.device_token
    response: Response = jsonify(schema.dump(document))
    if not bearer:
        set_session_cookie(response, outcome.token)
        if outcome.device_token is not None:
            set_device_cookie(response, outcome.device_token)
    return response
