"""The portal on an app: its pages, and what a browser sees in their place."""

from flask import Blueprint, Flask, Response
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.response import Response as BaseResponse

from services.auth.portal import forms, pages, refusals
from services.auth.portal.look import look_of
from services.auth.portal.shell import LOOK, add_headers
from services.auth.settings import AuthSettings
from shared.problems import Refusal

blueprint = Blueprint("portal", __name__, template_folder="templates")
blueprint.register_blueprint(forms.blueprint)
blueprint.register_blueprint(pages.blueprint)
blueprint.before_request(pages.move_to_name)
blueprint.after_request(add_headers)
blueprint.register_error_handler(Refusal, refusals.refused)
blueprint.register_error_handler(HTTPException, refusals.http_error)
for kind in (RedisError, DBAPIError, PoolTimeoutError):
    blueprint.register_error_handler(kind, refusals.store_down)
blueprint.register_error_handler(Exception, refusals.unexpected)

# The forms that work without scripts.
FORM_ENDPOINTS = forms.ENDPOINTS


def register(app: Flask, settings: AuthSettings) -> None:
    """Put it on the app, with a page for addresses that nothing answers to."""
    app.extensions[LOOK] = look_of(settings)
    app.register_blueprint(blueprint)
    for status in (404, 405):
        app.register_error_handler(status, _nowhere)


def _nowhere(error: HTTPException) -> BaseResponse:
    response = refusals.http_error(error)
    return add_headers(response) if isinstance(response, Response) and response.mimetype == "text/html" else response
