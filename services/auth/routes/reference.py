"""The API reference for people at ``/docs``: Swagger UI with its own files. ``API_DOCS=off`` leaves it out.

The package has a page of its own, with a script inside. This one has none, so its policy can forbid them. Its layout
has no bar on top, because the logo there brings an inline style.
"""

from collections.abc import Mapping
from importlib.resources import files

from flask import Blueprint, Response, abort, send_from_directory
from markupsafe import escape

from services.auth.routes.guard import deps

blueprint = Blueprint("reference", __name__, url_prefix="/docs")

_FILES = files("flask_swagger_ui").joinpath("dist")
_STYLES = ("index.css", "swagger-ui.css")
_SCRIPTS = ("swagger-ui-bundle.js",)
_ICON = "favicon-32x32.png"
_SERVED = frozenset({*_STYLES, *_SCRIPTS, _ICON})

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_START = """\
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  layout: "BaseLayout",
});
"""
_PAGE = "\n".join(
    (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name} API</title>',
        f'<link rel="icon" type="image/png" href="/docs/{_ICON}">',
        *(f'<link rel="stylesheet" href="/docs/{name}">' for name in _STYLES),
        *(f'<script defer src="/docs/{name}"></script>' for name in (*_SCRIPTS, "start.js")),
        '</head>\n<body>\n<div id="swagger-ui"></div>\n</body>\n</html>\n',
    )
)


@blueprint.after_request
def add_headers(response: Response) -> Response:
    """Add the policy that lets the page load its own files."""
    response.headers.update(HEADERS)
    return response


@blueprint.get("/")
def page() -> Response:
    """The page."""
    return Response(_PAGE.format(name=escape(deps().settings.brand.name)), mimetype="text/html")


@blueprint.get("/start.js")
def start() -> Response:
    """What draws the document of ``/openapi.json``."""
    return Response(_START, mimetype="text/javascript")


@blueprint.get("/<name>")
def file(name: str) -> Response:
    """One of Swagger UI's files."""
    if name not in _SERVED:
        abort(404)
    return send_from_directory(str(_FILES), name)
