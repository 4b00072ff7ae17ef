"""To the page that was asked for before the login, to a service that the settings list, and to nowhere else."""

from urllib.parse import quote

from flask import current_app
from werkzeug.exceptions import HTTPException

from services.auth.routes.guard import deps

# Where somebody who has logged in may be sent. An address must be one of these in the very spelling that we would give
# it, so nothing of another site can be in it (CWE-601).
ENDPOINTS = frozenset(
    f"portal.pages.{name}"
    for name in ("two_factor_page", "team_page", "security_page", "support_page", "support_account_page")
)


def page_asked_for(address: str | None) -> str | None:
    """Return the path of the page or of the listed service that ``address`` names, or None when it names none."""
    if not address:
        return None
    if deps().settings.sign_in_targets.take(address):
        return address
    routes = current_app.url_map.bind("")
    try:
        endpoint, values = routes.match(address, method="GET")
    except HTTPException:  # no page, or one under another spelling
        return None
    if endpoint not in ENDPOINTS:
        return None
    path = routes.build(endpoint, values)
    return path if path == address else None


def with_asked(path: str, asked: str | None) -> str:
    """``path`` with the page that was asked for in its query."""
    return f"{path}{'&' if '?' in path else '?'}next={quote(asked)}" if asked else path
