"""What a browser is shown in the place of a page: the way to the login, or one calm page that says what is wrong."""

from collections.abc import Mapping
from contextlib import suppress

import structlog
from flask import Response, request
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.response import Response as BaseResponse

from services.auth.portal.answers import answer
from services.auth.portal.shell import page, texts, to, with_retry_after
from services.auth.portal.way_back import page_asked_for, with_asked
from services.auth.routes.guard import cookie_session_token, is_signed_in
from shared.event_queue import STORE_ERRORS
from shared.problems import Refusal, Unavailable
from shared.web import http_problem, http_refusal

HEADINGS: Mapping[int, str] = {
    403: "refused.forbidden",
    404: "refused.not_found",
    500: "refused.failed",
    503: "refused.unavailable",
}
# Asking once more may help.
AGAIN = frozenset({429, 500, 503})
# Addresses of programs: whoever opens one in a browser sees what a program would.
OF_PROGRAMS = ("/v1/", "/.well-known/")

log = structlog.get_logger("http")


def refused(refusal: Refusal) -> Response:
    """Redirect to the login page without a session; else show an error page.

    Only a browser that had a session is told that it has ended.
    """
    if refusal.code == "not_authenticated":
        login = "/login" if cookie_session_token() is None else "/login?ended=1"
        return to(with_asked(login, page_asked_for(request.path)))
    status = refusal.problem.status
    said = answer(texts(), refusal)
    response = page(
        "refused",
        status=status,
        heading=HEADINGS.get(status, "refused.title"),
        sentence=said.form or next(iter(said.fields.values())),
        again=status in AGAIN and request.method == "GET",
    )
    return with_retry_after(response, refusal)


def store_down(error: Exception) -> Response:
    """A store that is down is no wrong password."""
    return refused(Unavailable("redis" if isinstance(error, RedisError) else "sql"))


def unexpected(error: Exception) -> Response:
    """A fault of ours."""
    log.error("unexpected error", exc_info=error)
    return refused(Refusal("internal_error"))


def http_error(error: HTTPException) -> BaseResponse:
    """A page for a browser that asked for one, the API's problem for anything else."""
    problem = http_problem(error)
    if not _wants_page():
        return problem
    with suppress(*STORE_ERRORS):  # a session gives the page its navigation; the page works without it
        is_signed_in()
    response = refused(http_refusal(error))
    response.headers.add("Vary", "Accept")
    if "Allow" in problem.headers:
        response.headers["Allow"] = problem.headers["Allow"]
    return response


def _wants_page() -> bool:
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"] and not request.path.startswith(OF_PROGRAMS)
