"""HTTP of signing in and out."""

from typing import Any

from flask import Response, jsonify, make_response

from services.auth import login, login_confirmation, login_sms, sessions, views
from services.auth.challenge_store import LoginChallenge
from services.auth.consequences import Acting
from services.auth.login import Answer, SecondFactorRequired, SignedIn
from services.auth.routes.cookies import (
    clear_cookies_of_sign_in,
    set_challenge_cookie,
    set_cookies_of_sign_in,
)
from services.auth.routes.guard import (
    BINDING_HEADER,
    DEVICE_HEADER,
    LANGUAGE_HEADER,
    UNATTENDED_HEADER,
    challenge_binding,
    client,
    cookie_session_token,
    deps,
    device_tokens,
    language,
    live_session,
)
from services.auth.schemas.session import (
    ChallengeStateSchema,
    ConfirmationSentSchema,
    ConfirmLoginArgs,
    LoginAnswer,
    LoginArgs,
    LogoutArgs,
    SmsSentSchema,
    VerifyAnswer,
    VerifyArgs,
)
from services.auth.sessions import Forget
from shared.bodies import NothingSchema
from shared.channel import Channel
from shared.delivery_reasons import describe
from shared.phone import PhoneNumber
from shared.rest import RestBlueprint

LOGIN_ANSWER, VERIFY_ANSWER = LoginAnswer(), VerifyAnswer()  # making a schema costs more than dumping with it
blueprint = RestBlueprint("login", __name__, url_prefix="/v1", description="Signing in and out")


@blueprint.route("/login", methods=["POST"])
@blueprint.arguments(LoginArgs)
@blueprint.response(200, LoginAnswer)
@blueprint.refuses("invalid_credentials", "too_many_requests")
@blueprint.reads(DEVICE_HEADER)
def log_in(args: dict[str, Any]) -> Response | dict[str, Any]:
    """Sign in with email and password."""
    outcome = login.log_in(
        deps(),
        client(),
        email=args["email"],
        password=args["password"],
        transport=args["transport"],
        device_tokens=device_tokens(args["device_token"]),
        replaces=_replaced(args["transport"]),
    )
    if isinstance(outcome, SecondFactorRequired):
        return _second_factor_required(outcome)
    return _signed_in(outcome, LOGIN_ANSWER, {})


@blueprint.route("/login/<id:challenge_id>", methods=["GET"])
@blueprint.response(200, ChallengeStateSchema)
@blueprint.refuses("challenge_expired")
@blueprint.reads(BINDING_HEADER)
def challenge_state(challenge_id: str) -> dict[str, Any]:
    """A login that waits for its code, and the delivery of its last SMS."""
    state = login_sms.state(deps(), challenge_id, challenge_binding())
    shown = None
    if state.sent is not None and state.delivery is not None:
        shown = {
            "status": state.delivery.status,
            "updated_at": state.delivery.updated_at,
            "message_id": state.sent.message_id,
            "reference": state.sent.reference,
            "reason": state.delivery.reason,
            "message": describe(state.delivery.status, state.delivery.reason),
            "channel": Channel.SMS if state.sent.is_text else Channel.CALL,
        }
    return {
        **_challenge(state.challenge, state.account.phone, one_try=state.one_try),
        "status": "second_factor_required",
        "delivery": shown,
    }


@blueprint.route("/login/<id:challenge_id>/sms", methods=["POST"])
@blueprint.arguments(NothingSchema)
@blueprint.response(202, SmsSentSchema)
@blueprint.refuses(
    "challenge_expired", "sms_unavailable", "two_factor_off", "too_many_requests", "second_factor_locked"
)
@blueprint.reads(BINDING_HEADER, LANGUAGE_HEADER)
def send_sms(_args: dict[str, Any], challenge_id: str) -> Any:  # noqa: ANN401 - dumped by the schema
    """Send an SMS code for this login, or send another one."""
    return login_sms.send(deps(), client(), challenge_id, challenge_binding(), Channel.SMS, language=language())


@blueprint.route("/login/<id:challenge_id>/call", methods=["POST"])
@blueprint.arguments(NothingSchema)
@blueprint.response(202, SmsSentSchema)
@blueprint.refuses(
    "challenge_expired", "call_unavailable", "two_factor_off", "too_many_requests", "second_factor_locked"
)
@blueprint.reads(BINDING_HEADER, LANGUAGE_HEADER)
def call(_args: dict[str, Any], challenge_id: str) -> Any:  # noqa: ANN401 - dumped by the schema
    """Say a code for this login in a call; the same budgets as for an SMS."""
    return login_sms.send(deps(), client(), challenge_id, challenge_binding(), Channel.CALL, language=language())


@blueprint.route("/login/<id:challenge_id>/confirmation", methods=["POST"])
@blueprint.arguments(NothingSchema)
@blueprint.response(202, ConfirmationSentSchema)
@blueprint.refuses("challenge_expired", "confirmation_not_needed", "too_many_requests")
@blueprint.reads(BINDING_HEADER)
def send_confirmation(_args: dict[str, Any], challenge_id: str) -> dict[str, Any]:
    """Mail a link that confirms this browser, after a 429 whose ``cause`` is guessing."""
    expires_at = login_confirmation.send(deps(), client(), challenge_id, challenge_binding())
    return {"expires_at": expires_at}


@blueprint.route("/login/<id:challenge_id>/confirm", methods=["POST"])
@blueprint.arguments(ConfirmLoginArgs)
@blueprint.response(204)
@blueprint.refuses("link_expired", "other_browser", "too_many_requests")
@blueprint.reads(BINDING_HEADER)
def confirm(args: dict[str, Any], challenge_id: str) -> Response:
    """Confirm this browser with the token from the mail. The login then takes more codes of six digits."""
    login_confirmation.confirm(deps(), client(), challenge_id, challenge_binding(), args["token"])
    return make_response("", 204)


@blueprint.route("/login/<id:challenge_id>/verify", methods=["POST"])
@blueprint.arguments(VerifyArgs)
@blueprint.response(200, VerifyAnswer)
@blueprint.refuses(
    "invalid_passcode", "challenge_expired", "two_factor_off", "too_many_requests", "second_factor_locked"
)
@blueprint.reads(BINDING_HEADER)
def verify(args: dict[str, Any], challenge_id: str) -> Response:
    """Answer with the code from the app, from an SMS, or with a backup code."""
    answer = Answer(
        challenge_id=challenge_id,
        binding=challenge_binding(),
        code=args["code"],
        remember_device=args["remember_device"],
        replaces=cookie_session_token(),
    )
    outcome = login.verify(deps(), client(), answer)
    return _signed_in(outcome, VERIFY_ANSWER, {"factor": outcome.session.factors[-1]})


@blueprint.route("/logout", methods=["POST"])
@blueprint.arguments(LogoutArgs)
@blueprint.response(204)
@blueprint.refuses("not_authenticated")
@blueprint.reads(DEVICE_HEADER, UNATTENDED_HEADER)
def log_out(args: dict[str, Any]) -> Response:
    """End this session; with ``forget_browser`` the account no longer knows this browser."""
    session, token = live_session()
    forgets = args["forget_browser"]
    forget = Forget(device_tokens(args["device_token"])) if forgets else None
    sessions.log_out(deps(), client(), Acting(session, token), forget)
    response = make_response("", 204)
    clear_cookies_of_sign_in(response, forgets=session.account_id if forgets else None)
    return response


def _replaced(transport: str) -> str | None:
    """The token of the session that this browser still has. A bearer client may have several sessions."""
    return cookie_session_token() if transport == "cookie" else None


def _second_factor_required(outcome: SecondFactorRequired) -> Response | dict[str, Any]:
    """The challenge. The secret that binds it to this client goes into a cookie or into the body, never into both."""
    challenge = _challenge(outcome.challenge, outcome.phone, one_try=outcome.one_try)
    document: dict[str, Any] = {"status": "second_factor_required", "challenge": challenge}
    if outcome.challenge.transport == "bearer":
        challenge["binding"] = outcome.binding
        return document
    response: Response = jsonify(LOGIN_ANSWER.dump(document))
    set_challenge_cookie(response, outcome.binding)
    return response


def _challenge(challenge: LoginChallenge, phone: PhoneNumber | None, *, one_try: bool) -> dict[str, Any]:
    channels = login_sms.channels(deps(), challenge, phone)
    methods = [method for method in challenge.methods if method != Channel.SMS or Channel.SMS in channels]
    return {
        "id": challenge.id,
        "expires_at": challenge.expires_at,
        "methods": [*methods, *([Channel.CALL] if Channel.CALL in channels else [])],
        "sms": {"available": Channel.SMS in channels, "phone_hint": views.hint(phone)},
        "call": {"available": Channel.CALL in channels, "phone_hint": views.hint(phone)},
        "one_try": one_try,
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
        set_cookies_of_sign_in(response, outcome)
    return response
