"""The pages whose scripts do the work, through the API, and the files that they name."""

from flask import Blueprint, Response, abort, make_response, request

from services.auth import views
from services.auth.domain.account import Role
from services.auth.domain.session import AssuranceLevel, Session, assurance
from services.auth.portal.shell import look, page, to
from services.auth.portal.way_back import page_asked_for
from services.auth.routes.guard import SAFE_METHODS, current, deps, signed_in, support_operator
from shared.settings import Mode

blueprint = Blueprint("pages", __name__)

ASSET_ENDPOINT = "portal.pages.asset"
SUPPORT_TEXTS = ("support", "activity", "diagnosis", "reset", "delivery", "role")


def move_to_name() -> Response | None:
    """Have a browser of development ask for this page at localhost, where passkeys work."""
    if request.method not in SAFE_METHODS or request.endpoint in {None, ASSET_ENDPOINT}:
        return None
    origin = deps().settings.hosts.move_to(request.headers.get("Host"))
    return None if origin is None else to(origin + request.full_path.rstrip("?"))


@blueprint.get("/")
@signed_in
def home() -> Response:
    """The page that was asked for before the login, or where each role begins."""
    account = current().account
    if views.must_enroll(account, current().session):  # until then a password alone protects the account
        return to("/two-factor")
    return to(page_asked_for(request.args.get("next")) or _begins_at(account.role, current().session))


def _begins_at(role: Role, session: Session) -> str:
    """The console for an operator to whom it opens."""
    by_second_factor = assurance(session.signed_in_with) is AssuranceLevel.AAL2
    return "/support" if role is Role.SUPPORT and by_second_factor else "/two-factor"


@blueprint.get("/two-factor")
@signed_in
def two_factor_page() -> Response:
    """2-Factor Auth."""
    return page("two-factor", groups=("two_factor", "held", "activity", "diagnosis", "reset", "delivery"))


@blueprint.get("/team")
@signed_in
def team_page() -> Response:
    """Members and their phones."""
    return page("team", groups=("team", "role", "delivery"))


@blueprint.get("/security")
@signed_in
def security_page() -> Response:
    """Password, sessions, known devices."""
    return page("security", groups=("security", "held", "lists", "strength", "advice"))


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


@blueprint.get("/reset/confirm")
def confirm_check_page() -> Response:
    """Where the link in the mail of an identity check leads; its token stands behind the #, too."""
    return page("confirm-check", groups=("reset",))


@blueprint.get("/browser/confirm")
def confirm_browser_page() -> Response:
    """Where the link leads that confirms a login under the brake; its token stands behind the #, too."""
    return page("confirm-browser", groups=("browser", "reset"))


@blueprint.get("/team/approvals")
@signed_in
def approvals_page() -> Response:
    """Whether a member of the team asked support for help; owners answer."""
    return page("approvals", groups=("approvals",))


@blueprint.get("/dev/inbox")
def inbox_page() -> Response:
    """What the console providers "sent"; in development only."""
    if deps().settings.mode is not Mode.DEVELOPMENT:
        abort(404)
    return page("inbox", groups=("inbox",))


@blueprint.get("/portal/<version>/<name>")
def asset(version: str, name: str) -> Response:
    """A style, a script or the logo. An old address gives today's file, which the browser then doesn't keep."""
    found = look().assets.get(name)
    if found is None:
        abort(404)
    is_present = version == look().version
    zipped = request.accept_encodings.quality("gzip") > 0
    response = make_response(found.zipped if zipped else found.plain)
    response.content_type = found.content_type
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_present else "no-cache"
    return response
