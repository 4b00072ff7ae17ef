"""HTTP of sessions: look, list, end, step up, forward-auth, tokens."""

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify, make_response

from services.auth import pages, session_store, sessions, step_up, tokens, views
from services.auth.domain.session import Session
from services.auth.routes.cookies import forget_session
from services.auth.routes.guard import client, current, deps, live_session, signed_in
from services.auth.schemas.common import PageArgs
from services.auth.schemas.session import (
    ReauthenticateArgs,
    SessionListSchema,
    SessionSchema,
    SmsSentSchema,
    TokenSchema,
)
from services.auth.sms_request import SentCode
from shared.bodies import NothingSchema
from shared.problems import Refusal
from shared.rest import RestBlueprint

blueprint = RestBlueprint("session", __name__, description="Sessions and step-up")


@blueprint.route("/v1/session", methods=["GET"])
@signed_in
@blueprint.response(200, SessionSchema)
def session() -> dict[str, Any]:
    """The present session."""
    principal = current()
    return views.session_document(deps(), principal.account, principal.session)


@blueprint.route("/v1/sessions", methods=["GET"])
@signed_in
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, SessionListSchema)
def list_sessions(args: dict[str, Any]) -> dict[str, Any]:
    """The live sessions of the account, newest first."""
    own, after = current().session, pages.decode_cursor(args["cursor"])
    rows = sessions.listed(deps(), own.account_id, after=after, limit=args["limit"] + 1)

    def shown(session: Session) -> dict[str, Any]:
        return {**asdict(session), "assurance": session.assurance, "current": session.id == own.id}

    return pages.page(rows, args["limit"], session_store.position, shown)


@blueprint.route("/v1/sessions/<id:session_id>", methods=["DELETE"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
def end_session(_args: dict[str, Any], session_id: str) -> Response:
    """End one of the account's sessions."""
    if not sessions.end(deps(), client(), current().acting, session_id):
        raise Refusal("not_found")
    if session_id == current().session.id:
        forget_session()
    return make_response("", 204)


@blueprint.route("/v1/reauthenticate", methods=["POST"])
@signed_in
@blueprint.arguments(ReauthenticateArgs)
@blueprint.response(200, SessionSchema)
@blueprint.refuses(
    "invalid_credentials", "invalid_passcode", "two_factor_off", "too_many_requests", "second_factor_locked"
)
def reauthenticate(args: dict[str, Any]) -> dict[str, Any]:
    """Prove yourself again; opens a step-up window for ten minutes: the small one with a texted code, else the full."""
    principal = current()
    renewed = step_up.reauthenticate(
        deps(),
        client(),
        principal.account,
        principal.acting,
        password=args["password"],
        code=args["code"],
    )
    return views.session_document(deps(), principal.account, renewed)


@blueprint.route("/v1/reauthenticate/sms", methods=["POST"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.response(202, SmsSentSchema)
@blueprint.refuses("sms_unavailable", "two_factor_off", "too_many_requests", "second_factor_locked")
def send_sms(_args: dict[str, Any]) -> SentCode:
    """Text a code for POST /v1/reauthenticate; it opens the small window."""
    principal = current()
    return step_up.send_code(deps(), client(), principal.account, principal.session)


@blueprint.route("/v1/session/verify", methods=["GET"])
@blueprint.response(204)
@blueprint.refuses("not_authenticated")
def forward_auth() -> Response:
    """For nginx auth_request and Traefik ForwardAuth: 204 with who it is, or 401."""
    session, _token = live_session()
    response = make_response("", 204)
    response.headers["X-Account-Id"] = session.account_id
    response.headers["X-Assurance"] = session.assurance
    response.headers["X-Factors"] = ",".join(session.factors)
    return response


@blueprint.route("/v1/session/token", methods=["POST"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.response(200, TokenSchema)
def session_token(_args: dict[str, Any]) -> dict[str, Any]:
    """A five-minute JWT for the portal's other services."""
    principal = current()
    token, seconds = tokens.issue(deps(), principal.account, principal.session)
    return {"token": token, "token_type": "Bearer", "expires_in": seconds}


@blueprint.route("/.well-known/jwks.json", methods=["GET"])
@blueprint.response(200)
def jwks() -> Response:
    """The keys that verify those JWTs."""
    response: Response = jsonify(tokens.key_set(deps()))
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
