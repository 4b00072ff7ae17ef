"""The tokens in an answer: cookies for browsers, a header for bearer clients. guard.py reads those of a request."""

from flask import Response, g, request

from services.auth import trusted_devices
from services.auth.consequences import Acting
from services.auth.limits import CHALLENGE_LIFE, DEVICES_OF_A_BROWSER, KNOWN_DEVICE_LIFE
from services.auth.login import SignedIn
from services.auth.routes.guard import deps, device_cookie, device_cookies, sent_token
from shared.openapi import Header

SESSION_HEADER = Header(
    "X-Session-Token",
    "The session's new token, with transport bearer only. The token of the request is void from here on. A client that "
    "does not keep the new one has no session. It is absent where the call has changed nothing.",
)


def hand_over(acting: Acting) -> dict[str, str]:
    """Give the caller the token of its session, if the call came with another one: by cookie, or by header.

    Returns the members that the JSON answer to a bearer client has besides.
    """
    if acting.token == sent_token():
        return {}
    g.handed_over = acting
    return {"token": acting.token} if acting.session.transport == "bearer" else {}


def forget_session() -> None:
    """Note that the call has ended its own session, so the answer removes the cookie."""
    g.forgets_session = True


def deliver(response: Response) -> Response:
    """Set the cookies and headers that hand_over and forget_session have noted. Runs after every request."""
    acting: Acting | None = g.pop("handed_over", None)
    if acting is not None and acting.session.transport == "bearer":
        response.headers[SESSION_HEADER.name] = acting.token
    elif acting is not None:
        set_session_cookie(response, acting.token)
    if g.pop("forgets_session", False):
        clear_session_cookie(response)
    return response


def set_session_cookie(response: Response, token: str) -> None:
    """Set the session's cookie, which the browser drops when it closes. Redis decides how long the session lives."""
    _set_cookie(response, deps().settings.session_cookie, token, None)


def clear_session_cookie(response: Response) -> None:
    """Tell the browser to forget the session."""
    _set_cookie(response, deps().settings.session_cookie, "", 0)


def set_cookies_of_sign_in(response: Response, outcome: SignedIn) -> None:
    """Give the browser its session, and its device for 90 days more. The server decides whether it is still known."""
    set_session_cookie(response, outcome.token)
    clear_challenge_cookie(response)
    name = device_cookie(outcome.account.id)
    # One without an account in its name is of an earlier release.
    known = request.cookies.get(name) or request.cookies.get(deps().settings.device_cookie)
    device = outcome.device_token or known
    if device is not None:
        _set_cookie(response, name, device, int(KNOWN_DEVICE_LIFE.total_seconds()))
        others = {other: request.cookies[other] for other in device_cookies() if other != name}
        for other in trusted_devices.longest_unused(deps(), others, len(others) + 1 - DEVICES_OF_A_BROWSER):
            _set_cookie(response, other, "", 0)


def clear_cookies_of_sign_in(response: Response, *, forgets: str | None) -> None:
    """Tell the browser to forget the session, and its device of the account ``forgets``; those of others stay."""
    clear_session_cookie(response)
    if forgets is not None:
        _set_cookie(response, device_cookie(forgets), "", 0)


def set_challenge_cookie(response: Response, binding: str) -> None:
    """Bind the login to this browser: no other browser may complete it."""
    _set_cookie(response, deps().settings.challenge_cookie, binding, int(CHALLENGE_LIFE.total_seconds()))


def clear_challenge_cookie(response: Response) -> None:
    """Remove the cookie of a completed login."""
    if deps().settings.challenge_cookie in request.cookies:
        _set_cookie(response, deps().settings.challenge_cookie, "", 0)


def _set_cookie(response: Response, name: str, value: str, max_age: int | None) -> None:
    secure = deps().settings.secure_cookies
    response.set_cookie(name, value, max_age=max_age, secure=secure, httponly=True, samesite="Lax", path="/")
