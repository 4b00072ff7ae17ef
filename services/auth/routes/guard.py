"""Who asks, from where, and how well proven: the one place that reads credentials from a request."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar, cast

from flask import Response, current_app, g, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from services.auth import enrollment_words, session_store, step_up
from services.auth.consequences import Acting
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.browsers import describe
from services.auth.domain.network import client_address
from services.auth.domain.session import AssuranceLevel, PassOn, Session, StepUp, assurance
from services.auth.limits import DEVICE_COOKIES_READ
from services.auth.models import RESTORES
from services.auth.operators import Operator
from services.auth.otp_client import TwoFactorState
from services.auth.store import accounts
from shared import restores
from shared.database import reading
from shared.ids import token_digest
from shared.openapi import Header
from shared.problems import Refusal
from shared.rest import RestBlueprint
from shared.texts.cldr import best_of
from shared.texts.languages import LANGUAGES
from shared.web import problem_response

P = ParamSpec("P")
R = TypeVar("R")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEVICE_HEADER = Header(
    "X-Device-Token",
    "The device_token that an earlier login of a bearer client got. With it the account knows the client. The member "
    "of the body goes first.",
)
BINDING_HEADER = Header(
    "X-Challenge-Binding",
    "The binding of the login's challenge, which a bearer client got from POST /v1/login. A browser has it in a cookie "
    "instead. With a wrong or missing one the answer is 410 challenge_expired; a link's is 403 other_browser.",
)
LANGUAGE_HEADER = Header(
    "Accept-Language",
    "Sets the language if the account has none and none was chosen on a page; English if we speak none of these.",
)
UNATTENDED_HEADER = Header(
    "X-Unattended",
    "Any value: a page makes this request by itself, so it does not count as a use of the session.",
)
USER_AGENT_READ = 400
ACCEPT_LANGUAGE_READ = 1000
LANGUAGE_COOKIE = "latchkey_language"
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
_RESTORES_FINISHED = "latchkey_restores_finished"
_ENROL_ANEW = "Turn 2FA off, turn it on with the one-time word that an administrator gives you, then sign in again."
# The writes that an account which must enrol first may make. Logging out needs no guard. The choice of a language is
# not among them: after a reset the password alone opens this session, and a thief could make notices unreadable.
BEFORE_ENROLLMENT = frozenset({"two-factor.begin", "two-factor.cancel", "two-factor.confirm", "session.reauthenticate"})


@dataclass(frozen=True, slots=True)
class Principal:
    """The account behind a live session. ``token`` finds the session again and is never logged."""

    account: Account
    session: Session
    token: str

    @property
    def acting(self) -> Acting:
        """The session and its token, for use cases that end things."""
        return Acting(self.session, self.token, g.get("passes_token_on"))

    @property
    def operator(self) -> Operator:
        """The account and its session, for writes of support."""
        return Operator(self.account, self.acting)


def language() -> str:
    """The language of this request: the one chosen on a page, else the best of ours that the browser accepts."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen is not None and chosen in LANGUAGES:
        return chosen
    named = request.headers.get(LANGUAGE_HEADER.name, "")[:ACCEPT_LANGUAGE_READ]
    accepted = parse_accept_header(named, LanguageAccept)
    return best_of(tag for tag, quality in accepted if quality)


def deps() -> Deps:
    """The app's dependencies, put there by create_app."""
    return cast("Deps", current_app.extensions["latchkey"])


def client() -> Client:
    """The caller. ``X-Forwarded-For`` counts from the right, as far as proxies are ours (TRUSTED_PROXY_COUNT)."""
    return Client(client_address(_client_ip()), describe(request.headers.get("User-Agent", "")[:USER_AGENT_READ]))


def _client_ip() -> str:
    hops = deps().settings.trusted_proxy_count
    forwarded = [part.strip() for header in request.headers.getlist("X-Forwarded-For") for part in header.split(",")]
    if hops == 0 or len(forwarded) < hops:
        return request.remote_addr or ""
    return forwarded[-hops]


def check() -> Response | None:
    """Check host, origin and restores. Runs before every request; one function, because Flask wraps each of them."""
    foreign = check_host()
    if foreign is None:
        check_origin()
        check_restore()
    return foreign


def check_restore() -> None:
    """Answer 503 while a restore is unfinished. Asks the database until it has said that none is.

    A gateway that starts meanwhile ends at once (``exit_while_unfinished``), unless the database does not answer it.
    """
    if current_app.extensions.get(_RESTORES_FINISHED) or request.path in HEALTH_PATHS:
        return
    restores.require_finished(deps().database, RESTORES)
    current_app.extensions[_RESTORES_FINISHED] = True


def check_host() -> Response | None:
    """Answer 421 to a foreign host, for every method and path.

    It reads ``Host`` itself, because any client can set ``X-Forwarded-Host``. It returns the answer and does not raise
    it, because a page's error handler would render a page.
    """
    if deps().settings.hosts.take(request.path, request.headers.get("Host")):
        return None
    return problem_response(Refusal("misdirected_request"))


def check_origin() -> None:
    """Refuse a write that a page of another site makes (ASVS 3.5.1).

    Every current browser sends Origin with unsafe methods, or says Sec-Fetch-Site; what sends neither is no browser
    and carries no one else's cookies.
    """
    if request.method in SAFE_METHODS or _bearer_token() is not None:
        return
    origin = request.headers.get("Origin")
    if origin is not None:
        if not deps().settings.hosts.take_write(origin, request.headers.get("Host")):
            raise Refusal("origin_refused")
    elif request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise Refusal("origin_refused")


def challenge_binding() -> str | None:
    """The secret of the login under way that this client holds: header or cookie."""
    return request.headers.get(BINDING_HEADER.name) or _cookie(deps().settings.challenge_cookie)


def cookie_session_token() -> str | None:
    """The token in the session cookie, whether its session is live or not."""
    return _cookie(deps().settings.session_cookie)


def _cookie(name: str) -> str | None:
    if "HTTP_COOKIE" not in request.environ:  # an API client has none, and reading none costs 11 us
        return None
    return request.cookies.get(name)


def _bearer_token() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.casefold() == "bearer" and token.strip() else None


def device_tokens(in_body: str | None = None) -> tuple[str, ...]:
    """The device tokens of this request: of the body, of the header, or of each account that has a cookie here."""
    given = in_body or request.headers.get(DEVICE_HEADER.name)
    if given or "HTTP_COOKIE" not in request.environ:
        return (given,) if given else ()
    tokens = [request.cookies[name] for name in device_cookies()]
    return tuple(tokens[-DEVICE_COOKIES_READ:])


def device_cookies() -> list[str]:
    """The names of the cookies by which this browser may be known, oldest first (RFC 6265 §5.4)."""
    name = deps().settings.device_cookie  # of an earlier release; those of this one have the account in their names
    return [key for key in request.cookies if key == name or key.startswith(f"{name}_")]


def device_cookie(account_id: str) -> str:
    """The name of the cookie by which a browser is known to this account. Several people may share the browser."""
    return f"{deps().settings.device_cookie}_{token_digest(account_id)[:12]}"


def pass_token_on(pass_on: PassOn) -> None:
    """Note how a repeat of this call finds the new token that the call may give its session."""
    g.passes_token_on = pass_on


def act_with(token: str) -> None:
    """Let the rest of this request act with this token, in place of the one that came with it."""
    g.presented_token = token


def presented_token() -> str | None:
    """The session token that this request acts with, live or not."""
    return g.get("presented_token") or sent_token()


def sent_token() -> str | None:
    """The session token that came with this request."""
    return _bearer_token() or _cookie(deps().settings.session_cookie)


def live_session() -> tuple[Session, str]:
    """The session of this request and its token, without a look at the account. Raises 401 not_authenticated.

    The request counts as a use of the session, unless a page made it by itself and says so.
    """
    token, now = presented_token(), deps().clock()
    session = session_store.find(deps().redis, token) if token else None
    if session is None or token is None or session.expires_at <= now:
        raise Refusal("not_authenticated")
    is_used = UNATTENDED_HEADER.name not in request.headers
    ends = session.end_after_use(now, deps().settings.session_times.idle) if is_used else None
    if ends is None:
        return session, token
    if not session_store.keep(deps().redis, token, ends, now):
        raise Refusal("not_authenticated")
    return replace(session, expires_at=ends), token


def current() -> Principal:
    """The principal that signed_in found for this request."""
    return cast("Principal", g.principal)


def is_signed_in() -> bool:
    """Whether this request has a live session; ``current`` then has its principal. For pages that anyone may open."""
    if presented_token() is None:
        return False
    try:
        _identify()
    except Refusal as refusal:
        if refusal.code != "not_authenticated":
            raise
        return False
    return True


def signed_in(view: Callable[P, R]) -> Callable[P, R]:
    """Needs a live session: else 401."""

    @functools.wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        _authenticate()
        return _view_in_session(view, *args, **kwargs)

    return _documented(guarded, view, "Needs a session.", "not_authenticated")


def stepped_up(view: Callable[P, R]) -> Callable[P, R]:
    """Needs the full step-up window: else 403 step_up_required (ASVS 7.5.1)."""
    return _needing(StepUp.FULL, view)


def stepped_up_small(view: Callable[P, R]) -> Callable[P, R]:
    """Needs a step-up window, be it the one that a texted code opens: else 403 step_up_required."""
    return _needing(StepUp.SMALL, view)


def _needing(needed: StepUp, view: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        _require_step_up(_authenticate().session, needed)
        return _view_in_session(view, *args, **kwargs)

    needs = f"Needs a session and an open step-up window ({needed})."
    return _documented(guarded, view, needs, "not_authenticated", "step_up_required")


def support_operator(view: Callable[P, R]) -> Callable[P, R]:
    """Needs role support, a sign-in with a second factor, and 2FA on at this moment; a write needs a full step-up too.

    The factors of the sign-in count, so the login that enrolled an authenticator does not open the console. A second
    factor from before the promotion does not open it either, because the password alone may have enrolled it. Else 403;
    503 when otp does not answer.
    """

    @functools.wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        principal = _authenticate()
        if principal.account.role is not Role.SUPPORT:
            raise Refusal("forbidden")
        by_second_factor = assurance(principal.session.signed_in_with) is AssuranceLevel.AAL2
        if not by_second_factor or not _two_factor(principal.account).is_live:
            raise Refusal("second_factor_required")
        if _is_console_closed(principal.account):
            raise Refusal("enrollment_required", detail=_ENROL_ANEW, extra={"cause": "operator"})
        if request.method not in SAFE_METHODS:
            _require_step_up(principal.session, StepUp.FULL)
        return _view_in_session(view, *args, **kwargs)

    needs = "Needs role support, a sign-in with a second factor that is on; a write needs an open step-up window, too."
    codes = ("not_authenticated", "forbidden", "second_factor_required", "enrollment_required")
    return RestBlueprint.refuses_writes("step_up_required")(_documented(guarded, view, needs, *codes))


def _is_console_closed(account: Account) -> bool:
    if not account.enrollment_prompted:  # so the usual call opens no connection
        return False
    with reading(deps().database) as connection:
        return enrollment_words.closes_console(connection, account)


def _require_step_up(session: Session, needed: StepUp) -> None:
    if not step_up.suffices(session, needed, deps().clock()):
        raise Refusal("step_up_required", extra={"step_up": needed})


def _view_in_session(view: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the view of a guard that found a live session: a wrong code or password is 422, as 401 would end it."""
    try:
        return view(*args, **kwargs)
    except Refusal as refusal:
        refusal.answer_in_session()
        raise


def _authenticate() -> Principal:
    principal = _identify()
    _refuse_until_enrolled(principal.account)
    return principal


def _identify() -> Principal:
    session, token = live_session()
    with reading(deps().database) as connection:
        account = accounts.by_id(connection, session.account_id)
    if account is None:
        raise Refusal("not_authenticated")
    principal = g.principal = Principal(account, session, token)
    return principal


def _refuse_until_enrolled(account: Account) -> None:
    """Refuse every write of an account that must turn 2FA on first, except those that lead to it."""
    if request.method in SAFE_METHODS or request.endpoint in BEFORE_ENROLLMENT or not account.must_enroll:
        return
    if not _two_factor(account).enabled:
        raise Refusal("enrollment_required")


def _two_factor(account: Account) -> TwoFactorState:
    """Ask otp, once a request. Raises Unavailable."""
    if "two_factor" not in g:
        g.two_factor = deps().otp.state(account.id)
    return cast("TwoFactorState", g.two_factor)


def _documented(guarded: Callable[P, R], view: Callable[P, R], needs: str, *codes: str) -> Callable[P, R]:
    """Tell the OpenAPI document what the guard asks for, and what it refuses with."""
    document: dict[str, Any] = {"security": [{"bearer": []}, {"cookie": []}], "description": needs}
    guarded._apidoc = {**getattr(view, "_apidoc", {}), "manual_doc": document}  # type: ignore[attr-defined]  # noqa: SLF001
    told = RestBlueprint.answers_in_session(RestBlueprint.refuses(*codes)(guarded))
    RestBlueprint.reads(UNATTENDED_HEADER)(told)
    return RestBlueprint.refuses_writes("enrollment_required")(told)
