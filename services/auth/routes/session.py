"""HTTP of sessions: look, list, end, step up, forward-auth, tokens."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flask import Response, jsonify, make_response, request

from services.auth import forward_auth, pages, session_store, sessions, step_up, tokens, views
from services.auth.domain.account import Role
from services.auth.domain.demand import Demand
from services.auth.domain.session import AssuranceLevel, Session
from services.auth.routes.cookies import forget_session
from services.auth.routes.guard import (
    LANGUAGE_HEADER,
    UNATTENDED_HEADER,
    client,
    current,
    deps,
    language,
    live_session,
    signed_in,
)
from services.auth.schemas.common import EndAllArgs, PageArgs
from services.auth.schemas.session import (
    ForwardAuthArgs,
    ReauthenticateArgs,
    SessionListSchema,
    SessionSchema,
    SmsSentSchema,
    TokenArgs,
    TokenSchema,
)
from services.auth.sms_request import SentCode
from shared.bodies import NothingSchema
from shared.openapi import Header
from shared.problems import Refusal
from shared.rest import RestBlueprint
from shared.web import problem_response

blueprint = RestBlueprint("session", __name__, description="Sessions and step-up")

ASKED_HEADER = Header("X-Forwarded-Uri", "The path that the proxy was asked for. A login leads back to it, if allowed.")
SIGN_IN_HEADER = Header("Location", "The address of the login. Absent where the portal is off.")
SESSION_HEADERS = (
    Header("X-Account-Id", "Whose session it is."),
    Header("X-Assurance", "The session's assurance level.", {"type": "string", "enum": ["aal1", "aal2"]}),
    Header("X-Factors", "The session's factors, by commas."),
)


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


@blueprint.route("/v1/sessions", methods=["DELETE"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.arguments(EndAllArgs, location="query")
@blueprint.response(204)
def end_sessions(_args: dict[str, Any], wanted: dict[str, Any]) -> Response:
    """End all of the account's sessions, or all but this one."""
    if sessions.end_all(deps(), client(), current().acting, spares_own=wanted["keep"] == "current"):
        forget_session()
    return make_response("", 204)


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
@blueprint.reads(LANGUAGE_HEADER)
def send_sms(_args: dict[str, Any]) -> SentCode:
    """Text a code for POST /v1/reauthenticate; it opens the small window."""
    principal = current()
    return step_up.send_code(deps(), client(), principal.account, principal.session, language())


@blueprint.route("/v1/session/verify", methods=["GET"])
@blueprint.arguments(ForwardAuthArgs, location="query")
@blueprint.response(204)
@blueprint.refuses("not_authenticated", "second_factor_required", "forbidden")
@blueprint.reads(ASKED_HEADER, UNATTENDED_HEADER)
@blueprint.sets(204, *SESSION_HEADERS)
@blueprint.sets(401, SIGN_IN_HEADER)
def check_for_proxy(args: dict[str, Any]) -> Response:
    """For nginx auth_request, Traefik ForwardAuth and Caddy forward_auth: 204 with who it is, 401 or 403.

    401 has the address of the login in Location. It leads back to the path in X-Forwarded-Uri, if the settings list it.
    """
    try:
        session, _token = live_session()
        forward_auth.require(deps(), session, _demand(args))
    except Refusal as refusal:
        return _with_sign_in(refusal)
    response = make_response("", 204)
    told = (session.account_id, session.assurance, ",".join(session.factors))
    response.headers.extend([(header.name, value) for header, value in zip(SESSION_HEADERS, told, strict=True)])
    return response


def _demand(args: dict[str, Any]) -> Demand:
    return Demand(
        assurance=AssuranceLevel(args["assurance"]),
        max_age=timedelta(seconds=int(args["max_age"])) if args["max_age"] else None,
        phishing_resistant=args["phishing_resistant"] == "true",
        role=Role(args["role"]) if args["role"] else None,
    )


def _with_sign_in(refusal: Refusal) -> Response:
    response, settings = problem_response(refusal), deps().settings
    if refusal.problem.status == 401 and settings.portal:
        asked = request.headers.get(ASKED_HEADER.name)
        response.headers[SIGN_IN_HEADER.name] = settings.sign_in_targets.sign_in_address(settings.public_origin, asked)
    return response


@blueprint.route("/v1/session/token", methods=["POST"])
@signed_in
@blueprint.arguments(TokenArgs)
@blueprint.response(200, TokenSchema)
@blueprint.refuses("too_many_requests")
def session_token(args: dict[str, Any]) -> dict[str, Any]:
    """A five-minute JWT for one of the portal's other services, which is named in ``aud``."""
    principal = current()
    token, seconds = tokens.issue(deps(), principal.account, principal.session, args["audience"])
    return {"token": token, "token_type": "Bearer", "expires_in": seconds}


@blueprint.route("/.well-known/jwks.json", methods=["GET"])
@blueprint.response(200)
def jwks() -> Response:
    """The keys that verify those JWTs."""
    response: Response = jsonify(tokens.key_set(deps()))
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
