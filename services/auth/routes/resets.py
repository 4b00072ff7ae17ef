"""HTTP of the owner's way to stop a reset."""

from typing import Any

from flask import Response, make_response

from services.auth import reset_cancellation
from services.auth.routes.guard import client, current, deps, signed_in
from services.auth.schemas.resets import CancelResetArgs
from shared.bodies import NothingSchema
from shared.rest import RestBlueprint

blueprint = RestBlueprint(
    "resets", __name__, url_prefix="/v1/two-factor/resets", description="Stopping a reset of two-factor authentication"
)


@blueprint.route("/cancel", methods=["POST"])
@blueprint.arguments(CancelResetArgs)
@blueprint.response(204)
@blueprint.refuses("not_found", "reset_not_open", "too_many_requests")
def cancel_by_token(args: dict[str, Any]) -> Response:
    """Cancel a reset with the token from the notice; needs no session."""
    reset_cancellation.cancel_by_token(deps(), client(), args["token"])
    return make_response("", 204)


@blueprint.route("/<id:reset_id>", methods=["DELETE"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
@blueprint.refuses("not_found", "reset_not_open")
def cancel_own(_args: dict[str, Any], reset_id: str) -> Response:
    """Cancel the reset of one's own account."""
    reset_cancellation.cancel_own(deps(), client(), current().account, reset_id)
    return make_response("", 204)
