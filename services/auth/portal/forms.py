"""Signing in and out by plain forms, which works without scripts: the use cases that the API calls."""

from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError

from services.auth import login, login_sms, sessions
from services.auth.consequences import Acting
from services.auth.login import Answer as CodeAnswer
from services.auth.login import SignedIn
from services.auth.portal.answers import Answer, answer
from services.auth.portal.shell import page, texts, to, with_retry_after
from services.auth.portal.typed_codes import meant
from services.auth.portal.way_back import page_asked_for, with_asked
from services.auth.routes.cookies import (
    clear_cookies_of_sign_in,
    set_challenge_cookie,
    set_cookies_of_sign_in,
)
from services.auth.routes.guard import (
    challenge_binding,
    client,
    cookie_session_token,
    deps,
    device_tokens,
    is_signed_in,
    language,
    live_session,
)
from services.auth.schemas.session import LoginArgs, VerifyArgs
from services.auth.sessions import Forget
from shared.channel import Channel
from shared.problems import Refusal

blueprint = Blueprint("forms", __name__)

ENDPOINTS = frozenset(f"portal.forms.{name}" for name in ("log_in", "verify", "send_sms", "call", "log_out"))


@blueprint.get("/login")
def login_page() -> Response:
    """Show email and password, or lead a browser that has logged in to its next page.

    ``again``: another service wants a new login, so the session does not matter (``domain/targets.py``).
    """
    if "again" not in request.args and is_signed_in():
        return _next_page()
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
            device_tokens=device_tokens(),
            replaces=cookie_session_token(),
        )
    except Refusal as refusal:
        said = answer(texts(), refusal)
        return with_retry_after(_login_page(status=refusal.problem.status, answer=said), refusal)
    if isinstance(outcome, SignedIn):
        return _welcome(outcome)
    response = to(with_asked(f"/login/{outcome.challenge.id}", _asked()))
    set_challenge_cookie(response, outcome.binding)
    return response


@blueprint.get("/login/<id:challenge_id>")
def code_page(challenge_id: str) -> Response:
    """The Authentication Code."""
    return _code_page(challenge_id)


@blueprint.post("/login/<id:challenge_id>")
def verify(challenge_id: str) -> Response:
    """As POST /v1/login/{challenge_id}/verify, for a browser's form."""
    try:
        args = _load(VerifyArgs, {"code": meant(request.form.get("code", ""), only_backup=_wants_backup())})
        given = CodeAnswer(
            challenge_id=challenge_id,
            binding=challenge_binding(),
            code=args["code"],
            remember_device="remember_device" in request.form,
            replaces=cookie_session_token(),
        )
        outcome = login.verify(deps(), client(), given)
    except Refusal as refusal:
        return _code_page(challenge_id, refusal)
    return _welcome(outcome)


@blueprint.post("/login/<id:challenge_id>/sms")
def send_sms(challenge_id: str) -> Response:
    """As POST /v1/login/{challenge_id}/sms, for a browser's form."""
    try:
        login_sms.send(deps(), client(), challenge_id, challenge_binding(), Channel.SMS, language=language())
    except Refusal as refusal:
        return _code_page(challenge_id, refusal)
    return to(with_asked(f"/login/{challenge_id}", _asked()))


@blueprint.post("/login/<id:challenge_id>/call")
def call(challenge_id: str) -> Response:
    """As POST /v1/login/{challenge_id}/call, for a browser's form."""
    try:
        login_sms.send(deps(), client(), challenge_id, challenge_binding(), Channel.CALL, language=language())
    except Refusal as refusal:
        return _code_page(challenge_id, refusal)
    return to(with_asked(f"/login/{challenge_id}", _asked()))


@blueprint.post("/logout")
def log_out() -> Response:
    """As POST /v1/logout, for a browser's form; who has no session is signed out already."""
    response = to("/login")
    try:
        session, token = live_session()
    except Refusal:
        return response
    forgets = "forget_browser" in request.form
    sessions.log_out(deps(), client(), Acting(session, token), Forget(device_tokens()) if forgets else None)
    clear_cookies_of_sign_in(response, forgets=session.account_id if forgets else None)
    return response


def _load(schema: type[Schema], members: dict[str, str]) -> dict[str, Any]:
    try:
        args: dict[str, Any] = schema().load(members)
    except ValidationError as error:
        raise Refusal("validation_failed", extra={"errors": error.messages}) from None
    return args


def _asked() -> str | None:
    return page_asked_for(request.form.get("next") or request.args.get("next"))


def _next_page() -> Response:
    return to(with_asked("/", _asked()))


def _wants_backup() -> bool:
    """Whether the page asks for a backup code: by the link to it, and in the form of the page behind that link."""
    return "backup" in request.values


def _welcome(outcome: SignedIn) -> Response:
    response = _next_page()
    set_cookies_of_sign_in(response, outcome)
    return response


def _login_page(*, status: int = 200, answer: Answer | None = None, ended: bool = False) -> Response:
    return page(
        "login",
        status=status,
        groups=("login", "delivery"),
        path="/login",
        asked=_asked(),
        answer=answer or Answer(),
        email=request.form.get("email", ""),
        ended=ended,
        challenge=None,
        backup=False,
        channels=frozenset(),
        one_try=False,
    )


def _code_page(challenge_id: str, refusal: Refusal | None = None) -> Response:
    """The second step, with what the first try or the last SMS came to.

    An expired challenge shows the login page. After Back, a browser that has logged in meanwhile goes to its next page.
    A code that is sent is refused: the session may be another person's.
    """
    try:
        state = login_sms.state(deps(), challenge_id, challenge_binding())
    except Refusal as gone:
        if gone.code != "challenge_expired":
            raise
        if request.method == "GET" and is_signed_in():
            return _next_page()
        return _login_page(status=gone.problem.status, answer=answer(texts(), gone))
    account, channels = state.account, login_sms.channels(deps(), state.challenge, state.account.phone)
    response = page(
        "login",
        status=refusal.problem.status if refusal else 200,
        groups=("login", "delivery"),
        path=f"/login/{challenge_id}",
        asked=_asked(),
        answer=answer(texts(), refusal) if refusal else Answer(),
        email="",
        ended=False,
        challenge=state.challenge,
        backup=_wants_backup(),
        one_try=state.one_try,
        phone_hint=account.phone.masked() if account.phone and channels else None,
        channels=channels,
        sent=state.sent,
        delivery=state.delivery,
    )
    return with_retry_after(response, refusal)
