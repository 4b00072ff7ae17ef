"""Who asks, from where, and how well proven: the one place that reads credentials from a request."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

from flask import Response, current_app, g, request

from services.auth import session_store
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.session import AssuranceLevel, Session
from services.auth.limits import STEP_UP_LIFE, TRUSTED_DEVICE_LIFE
from services.auth.store import accounts
from shared.database import reading
from shared.problems import Refusal
from shared.rest import RestBlueprint

P = ParamSpec("P")
R = TypeVar("R")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEVICE_HEADER = "X-Device-Token"
USER_AGENT_KEPT = 200


@dataclass(frozen=True, slots=True)
class Principal:
    """The account behind a live session. ``token`` finds the session again and is never logged."""

    account: Account
    session: Session
    token: str


def deps() -> Deps:
    """The app's dependencies, put there by create_app."""
    return cast("Deps", current_app.extensions["latchkey"])


def client() -> Client:
    """The caller. ``X-Forwarded-For`` counts from the right, as far as proxies are ours (TRUSTED_PROXY_COUNT)."""
    return Client(_client_ip(), request.headers.get("User-Agent", "")[:USER_AGENT_KEPT])


def _client_ip() -> str:
    hops = deps().settings.trusted_proxy_count
    forwarded = [part.strip() for header in request.headers.getlist("X-Forwarded-For") for part in header.split(",")]
    if hops == 0 or len(forwarded) < hops:
        return request.remote_addr or "unknown"
    return forwarded[-hops][:45]


def check_origin() -> None:
    """Refuse a write that a page of another site makes (ASVS 3.5.1). Runs before every request.

    Every current browser sends Origin with unsafe methods, or says Sec-Fetch-Site; what sends neither is no browser
    and carries no one else's cookies.
    """
    if request.method in SAFE_METHODS or _bearer_token() is not None:
        return
    origin = request.headers.get("Origin")
    if origin is not None:
        if origin not in {deps().settings.public_origin, f"http://{request.host}", f"https://{request.host}"}:
            raise Refusal("origin_refused")
    elif request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise Refusal("origin_refused")


def set_session_cookie(response: Response, token: str) -> None:
    """The session lives in Redis; the cookie goes with the browser's session."""
    _set_cookie(response, deps().settings.session_cookie, token, None)


def set_device_cookie(response: Response, token: str) -> None:
    """Kept 30 days; whether it still skips the code is the server's to say."""
    _set_cookie(response, deps().settings.device_cookie, token, int(TRUSTED_DEVICE_LIFE.total_seconds()))


def clear_session_cookie(response: Response) -> None:
    """Tell the browser to forget the session."""
    _set_cookie(response, deps().settings.session_cookie, "", 0)


def _set_cookie(response: Response, name: str, value: str, max_age: int | None) -> None:
    secure = deps().settings.secure_cookies
    response.set_cookie(name, value, max_age=max_age, secure=secure, httponly=True, samesite="Lax", path="/")


def _bearer_token() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.casefold() == "bearer" and token.strip() else None


def device_token(in_body: str | None = None) -> str | None:
    """The device token of this request: body, header or cookie."""
    return in_body or request.headers.get(DEVICE_HEADER) or request.cookies.get(deps().settings.device_cookie)


def live_session() -> tuple[Session, str]:
    """The session of this request and its token, without a look at the account. Raises 401 not_authenticated."""
    token = _bearer_token() or request.cookies.get(deps().settings.session_cookie)
    session = session_store.find(deps().redis, token) if token else None
    if session is None or token is None or session.expires_at <= deps().clock():
        raise Refusal("not_authenticated")
    return session, token


def current() -> Principal:
    """The principal that signed_in found for this request."""
    return cast("Principal", g.principal)


def signed_in(view: Callable[P, R]) -> Callable[P, R]:
    """Needs a live session: else 401."""

    @functools.wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        _authenticate()
        return view(*args, **kwargs)

    return _documented(guarded, view, "Needs a session.", "not_authenticated")


def stepped_up(view: Callable[P, R]) -> Callable[P, R]:
    """Needs a session that proved itself fully within the last ten minutes: else 403 step_up_required (ASVS 7.5.1)."""

    @functools.wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        session = _authenticate().session
        if session.stepped_up_at is None or deps().clock() - session.stepped_up_at > STEP_UP_LIFE:
            raise Refusal("step_up_required")
        return view(*args, **kwargs)

    needs = "Needs a session and an open step-up window."
    return _documented(guarded, view, needs, "not_authenticated", "step_up_required")


def support_operator(view: Callable[P, R]) -> Callable[P, R]:
    """Needs role support and a session with a second factor: else 403."""

    @functools.wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        principal = _authenticate()
        if principal.account.role is not Role.SUPPORT:
            raise Refusal("forbidden")
        if principal.session.assurance is not AssuranceLevel.AAL2:
            raise Refusal("second_factor_required")
        return view(*args, **kwargs)

    needs = "Needs role support and a session with a second factor."
    return _documented(guarded, view, needs, "not_authenticated", "forbidden", "second_factor_required")


def _authenticate() -> Principal:
    session, token = live_session()
    with reading(deps().database) as connection:
        account = accounts.by_id(connection, session.account_id)
    if account is None:
        raise Refusal("not_authenticated")
    principal = g.principal = Principal(account, session, token)
    return principal


def _documented(guarded: Callable[P, R], view: Callable[P, R], needs: str, *codes: str) -> Callable[P, R]:
    """Tell the OpenAPI document what the guard asks for, and what it refuses with."""
    document: dict[str, Any] = {"security": [{"bearer": []}, {"cookie": []}], "description": needs}
    guarded._apidoc = {**getattr(view, "_apidoc", {}), "manual_doc": document}  # type: ignore[attr-defined]  # noqa: SLF001
    return RestBlueprint.refuses(*codes)(guarded)
