"""What every page shares: its frame, its language, its headers."""

from collections.abc import Mapping
from typing import Any, cast

from flask import Response, current_app, g, make_response, redirect, render_template, request

from services.auth import owner_approvals
from services.auth.portal.answers import FIELD_OF
from services.auth.portal.look import Look
from services.auth.portal.texts import Texts
from services.auth.routes.guard import LANGUAGE_COOKIE, deps, language
from shared.problems import Refusal
from shared.settings import Mode
from shared.texts.languages import LANGUAGES, direction

LOOK = "latchkey_look"  # the app's extension that holds it
DIRECTIONS: Mapping[str, str] = {code: direction(code) for code in LANGUAGES}
LANGUAGE_SECONDS = 365 * 24 * 3600
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With no-referrer a browser would send "Origin: null" with a form, which check_origin refuses.
    "Referrer-Policy": "same-origin",
}
VARIES_BY = ("Cookie", "Accept-Language")
# Which groups of texts every page's script speaks, beside those of its own.
COMMON_TEXTS = ("form", "problem", "invalid", "unit", "time", "clock", "step_up")


def add_headers(response: Response) -> Response:
    """Add what pages have besides the headers of every answer, and the language that was switched to."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype != "text/html":  # a file is the same for everybody, and caches share it
        return response
    response.vary.update(VARIES_BY)
    if request.args.get("lang") in LANGUAGES and not _comes_from_another_site():
        secure = deps().settings.secure_cookies
        response.set_cookie(
            LANGUAGE_COOKIE, texts().language, LANGUAGE_SECONDS, secure=secure, httponly=True, samesite="Lax"
        )
    return response


def _comes_from_another_site() -> bool:
    """Whether a link elsewhere led here: it may choose the language of this page, and not of those to come."""
    return request.headers.get("Sec-Fetch-Site") == "cross-site"


def look() -> Look:
    """How the pages of this app look and speak."""
    return cast("Look", current_app.extensions[LOOK])


def texts() -> Texts:
    """The texts in the language of ``?lang``, by which a visitor switches, else in that of the request."""
    switched = request.args.get("lang", "")
    return look().texts[switched if switched in LANGUAGES else language()]


def page(
    name: str,
    *,
    status: int = 200,
    groups: tuple[str, ...] = (),
    path: str | None = None,
    asked: str | None = None,
    **values: Any,  # noqa: ANN401
) -> Response:
    """A page of its template.

    ``groups`` are the texts that its script needs; ``asked`` is the page that was asked for before the login.
    ``path`` is where the page stands, if not where it was asked for. Without it, links to the page itself are relative.
    A link made of the requested path could lead off the site, because browsers read a backslash as a slash.
    """
    principal = g.get("principal")
    document = render_template(
        f"portal/{name}.html",
        t=texts(),
        page=name,
        look=look(),
        asset=lambda file: f"/portal/{look().version}/{file}",
        site=deps().settings.public_origin,
        languages=LANGUAGES,
        directions=DIRECTIONS,
        path=path,
        asked=asked,
        account=principal.account if principal else None,
        role=principal.account.role if principal else None,
        # Not on a page of an error, which must not need a store.
        approval_waits=principal is not None and status < 400 and owner_approvals.is_asked(deps(), principal.account),
        for_scripts={"texts": texts().under((*COMMON_TEXTS, *groups)), "fields": FIELD_OF, "brand": look().brand.name},
        development=deps().settings.mode is Mode.DEVELOPMENT,
        api_docs=deps().settings.api_docs,
        **values,
    )
    return make_response(document, status)


def to(path: str) -> Response:
    """Go there."""
    return make_response(redirect(path, 303))


def with_retry_after(response: Response, refusal: Refusal | None) -> Response:
    """And when to come back, where the refusal says so."""
    if refusal is not None and refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response
