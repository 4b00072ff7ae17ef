"""HTTP of the account's language. GET /v1/session returns it."""

from typing import Any

from flask import Response, make_response

from services.auth import account_language
from services.auth.routes.guard import client, current, deps, signed_in
from services.auth.schemas.account_language import LanguageArgs
from shared.rest import RestBlueprint

blueprint = RestBlueprint("language", __name__, url_prefix="/v1/language", description="The language of an account")


@blueprint.route("", methods=["PUT"])
@signed_in
@blueprint.arguments(LanguageArgs)
@blueprint.response(204)
@blueprint.refuses("too_many_requests")
def choose(args: dict[str, Any]) -> Response:
    """Choose the language of the account's notices, texts and calls.

    Without a choice it is the language of the browser that turned 2FA on, and English before that. A mail in the
    language so far tells of the change.
    """
    account_language.choose(deps(), client(), current().account, current().acting, args["language"])
    return make_response("", 204)
