"""HTTP of the owner's way to stop a reset."""

from typing import Any

from flask import Response, make_response

from services.auth import identity_checks, reset_cancellation
from services.auth.routes.guard import client, current, deps, signed_in
from services.auth.schemas.resets import CancelResetArgs, ConfirmCheckArgs
from shared.bodies import NothingSchema
from shared.rest import RestBlueprint

blueprint = RestBlueprint(
    "resets", __name__, url_prefix="/v1/two-factor/resets", description="Stopping a reset of two-factor authentication"
)


@blueprint.route("/cancel", methods=["POST"])
@blueprint.arguments(CancelResetArgs)
@blueprint.response(204)
@blueprint.refuses("not_found", "reset_not_open", "texted_link", "too_many_requests")
def cancel_by_token(args: dict[str, Any]) -> Response:
    """Cancel a reset with the token from the notice; needs no session."""
    reset_cancellation.cancel_by_token(deps(), client(), args["token"])
    return make_response("", 204)


@blueprint.route("/confirm", methods=["POST"])
@blueprint.arguments(ConfirmCheckArgs)
@blueprint.response(204)
@blueprint.refuses("not_found", "check_not_open", "too_many_requests")
def confirm_check(args: dict[str, Any]) -> Response:
    """Confirm the call to support with the token from the mail; needs no session."""
    identity_checks.confirm_by_link(deps(), client(), args["token"])
    return make_response("", 204)


@blueprint.route("/<id:reset_id>", methods=["DELETE"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
@blueprint.refuses("not_found", "reset_not_open", "forbidden")
def cancel_own(_args: dict[str, Any], reset_id: str) -> Response:
    """Cancel the reset of one's own account; 204 also when it is cancelled or has ended already.

    One of a stolen factor takes the link in the mail or a backup code.
    """
    reset_cancellation.cancel_own(deps(), client(), current().account, current().acting, reset_id)
    return make_response("", 204)
