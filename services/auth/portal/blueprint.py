"""The portal's pages over HTTP."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, request
from marshmallow import Schema, ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.auth import login, login_sms, sessions
from services.auth.domain.account import Role
from services.auth.login import SignedIn
from services.auth.portal.answers import FIELD_OF, Answer, answer
from services.auth.portal.assets import ASSETS, VERSION
from services.auth.portal.texts import LANGUAGES, Texts, choose
from services.auth.routes.guard import (
    clear_session_cookie,
    client,
    current,
    deps,
    device_token,
    live_session,
    set_device_cookie,
    set_session_cookie,
    signed_in,
    support_operator,
)
from services.auth.schemas.session import LoginArgs, VerifyArgs
from shared.problems import Refusal, Unavailable
from shared.settings import Mode

blueprint = Blueprint("portal", __name__, template_folder="templates")

# The forms that work without scripts.
FORM_ENDPOINTS = frozenset({"portal.log_in", "portal.verify", "portal.send_sms", "portal.log_out"})

LANGUAGE_COOKIE, LANGUAGE_SECONDS = "latchkey_language", 365 * 24 * 3600
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With no-referrer a browser would send "Origin: null" with a form, which check_origin refuses.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Vary": "Cookie, Accept-Language",
}
# Which groups of texts a page's script speaks, beside those that every script needs.
COMMON_TEXTS = ("form", "problem", "invalid", "unit", "time", "clock")

SUPPORT_TEXTS = ("support", "activity", "reset", "delivery", "role")


# --- every page ------------------------------------------------------------------------------------------------------


@blueprint.after_request
def add_headers(response: Response) -> Response:
    """The usual ones, and the language that was switched to."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    secure = deps().settings.secure_cookies
    if secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.args.get("lang") in LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE, texts().language, LANGUAGE_SECONDS, secure=secure, httponly=True, samesite="Lax"
        )
    return response


def texts() -> Texts:
    """In the language of this request: by the switch, by what was switched to before, by the browser's wish."""
    return choose(request.args.get("lang") or request.cookies.get(LANGUAGE_COOKIE), request.accept_languages)


def page(name: str, *, status: int = 200, groups: tuple[str, ...] = (), **values: Any) -> Response:  # noqa: ANN401
    """A page of its template. ``groups`` are the texts that its script needs."""
    principal = g.get("principal")
    document = render_template(
        f"portal/{name}.html",
        t=texts(),
        page=name,
        asset=lambda file: f"/portal/{VERSION}/{file}",
        languages=LANGUAGES,
        path=values.pop("path", request.path),
        account=principal.account if principal else None,
        role=principal.account.role if principal else None,
        for_scripts={"texts": texts().under((*COMMON_TEXTS, *groups)), "fields": FIELD_OF},
        development=deps().settings.mode is Mode.DEVELOPMENT,
        **values,
    )
    return make_response(document, status)


def _to(path: str) -> Response:
    return make_response(redirect(path, 303))


@blueprint.errorhandler(Refusal)
def refused(refusal: Refusal) -> Response:
    """Who has no session signs in; anything else is said on a page."""
    if refusal.code == "not_authenticated":
        return _to("/login?ended=1")
    response = page("refused", status=refusal.problem.status, answer=answer(texts(), refusal))
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


@blueprint.errorhandler(RedisError)
@blueprint.errorhandler(DBAPIError)
@blueprint.errorhandler(PoolTimeoutError)
def store_down(error: Exception) -> Response:
    """A store that is down is no wrong password."""
    return refused(Unavailable("redis" if isinstance(error, RedisError) else "sql"))


@blueprint.get("/portal/<version>/<name>")
def asset(version: str, name: str) -> Response:
    """A style or a script. An old address gives today's file, which the browser then doesn't keep."""
    found = ASSETS.get(name)
    if found is None:
        abort(404)
    zipped = request.accept_encodings.quality("gzip") > 0
    response = make_response(found.zipped if zipped else found.plain)
    response.content_type = found.content_type
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if version == VERSION else "no-cache"
    return response


# --- signing in, which works without scripts --------------------------------------------------------------------------


@blueprint.get("/")
@signed_in
def home() -> Response:
    """Where each role begins."""
    return _to("/support" if current().account.role is Role.SUPPORT else "/two-factor")


@blueprint.get("/login")
def login_page() -> Response:
    """Email and password."""
    return _login_page(ended="ended" in request.args)


@blueprint.post("/login")
def log_in() -> Response:
    """As POST /v1/login, for a browser's form."""
    given = request.form
    try:
        args = _load(LoginArgs, {"email": given.get("email", "").strip(), "password": given.get("password", "")})
        outcome = login.log_in(
            deps(),
            client(),
            email=args["email"],
            password=args["password"],
            transport="cookie",
            device_token=device_token(),
        )
    except Refusal as refusal:
        said = answer(texts(), refusal)
        return _with_retry_after(_login_page(status=refusal.problem.status, answer=said), refusal)
    if isinstance(outcome, SignedIn):
        return _welcome(outcome)
    return _to(f"/login/{outcome.challenge.id}")


@blueprint.get("/login/<id:challenge_id>")
def code_page(challenge_id: str) -> Response:
    """The Authentication Code."""
    return _code_page(challenge_id)


@blueprint.post("/login/<id:challenge_id>")
def verify(challenge_id: str) -> Response:
    """As POST /v1/login/{challenge_id}/verify, for a browser's form."""
    try:
        args = _load(VerifyArgs, {"code": request.form.get("code", "").strip()})
        outcome = login.verify(
            deps(),
            client(),
            challenge_id=challenge_id,
            code=args["code"],
            remember_device="remember_device" in request.form,
        )
    except Refusal as refusal:
        return _code_page(challenge_id, refusal)
    return _welcome(outcome)


@blueprint.post("/login/<id:challenge_id>/sms")
def send_sms(challenge_id: str) -> Response:
    """As POST /v1/login/{challenge_id}/sms, for a browser's form."""
    try:
        login_sms.send(deps(), client(), challenge_id)
    except Refusal as refusal:
        return _code_page(challenge_id, refusal)
    return _to(f"/login/{challenge_id}")


@blueprint.post("/logout")
def log_out() -> Response:
    """As POST /v1/logout, for a browser's form; who has no session is signed out already."""
    response = _to("/login")
    try:
        session, _token = live_session()
    except Refusal:
        return response
    sessions.end(deps(), client(), session.account_id, session.id)
    clear_session_cookie(response)
    return response


def _load(schema: type[Schema], members: dict[str, str]) -> dict[str, Any]:
    try:
        args: dict[str, Any] = schema().load(members)
    except ValidationError as error:
        raise Refusal("validation_failed", extra={"errors": error.messages}) from None
    return args


def _welcome(outcome: SignedIn) -> Response:
    response = _to("/")
    set_session_cookie(response, outcome.token)
    if outcome.device_token is not None:
        set_device_cookie(response, outcome.device_token)
    return response


def _login_page(*, status: int = 200, answer: Answer | None = None, ended: bool = False) -> Response:
    return page(
        "login",
        status=status,
        groups=("login", "delivery"),
        path="/login",
        answer=answer or Answer(),
        email=request.form.get("email", ""),
        ended=ended,
        challenge=None,
    )


def _code_page(challenge_id: str, refusal: Refusal | None = None) -> Response:
    """The second step, with what the first try or the last SMS came to; an expired one begins anew."""
    try:
        state = login_sms.state(deps(), challenge_id)
    except Refusal as gone:
        if gone.code != "challenge_expired":
            raise
        return _login_page(status=gone.problem.status, answer=answer(texts(), gone))
    response = page(
        "login",
        status=refusal.problem.status if refusal else 200,
        groups=("login", "delivery"),
        path=f"/login/{challenge_id}",
        answer=answer(texts(), refusal) if refusal else Answer(),
        email="",
        ended=False,
        challenge=state.challenge,
        phone_hint=state.account.phone.masked() if state.account.phone else None,
        sent=state.sent,
        delivery=state.delivery,
    )
    return _with_retry_after(response, refusal)


def _with_retry_after(response: Response, refusal: Refusal | None) -> Response:
    if refusal is not None and refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


# --- pages whose scripts do the work, through the API ----------------------------------------------------------------


@blueprint.get("/two-factor")
@signed_in
def two_factor_page() -> Response:
    """2-Factor Auth."""
    return page("two-factor", groups=("two_factor", "lists", "activity", "reset", "delivery"))


@blueprint.get("/team")
@signed_in
def team_page() -> Response:
    """Members and their phones."""
    return page("team", groups=("team", "role", "delivery"))


@blueprint.get("/security")
@signed_in
def security_page() -> Response:
    """Password, sessions, trusted devices."""
    return page("security", groups=("security", "lists", "strength"))


@blueprint.get("/support")
@support_operator
def support_page() -> Response:
    """Find an account; resets under way."""
    return page("support", groups=SUPPORT_TEXTS)


@blueprint.get("/support/accounts/<id:account_id>")
@support_operator
def support_account_page(account_id: str) -> Response:
    """One account and why its owner can't get in."""
    return page("support-account", groups=SUPPORT_TEXTS, account_id=account_id)


@blueprint.get("/reset/cancel")
def cancel_reset_page() -> Response:
    """Where the link in a notice leads; the token stands behind the #, which no server sees."""
    return page("cancel-reset", groups=("reset",))


@blueprint.get("/dev/inbox")
def inbox_page() -> Response:
    """What the console providers "sent"; in development only."""
    if deps().settings.mode is not Mode.DEVELOPMENT:
        abort(404)
    return page("inbox", groups=("inbox",))
