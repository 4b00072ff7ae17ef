"""HTTP of an owner's answer to support: whether a member asked for help."""

from typing import Any

from services.auth import owner_approvals, reset_views
from services.auth.routes.guard import client, current, deps, signed_in, stepped_up
from services.auth.schemas.resets import OwnerApprovalArgs, OwnerApprovalListSchema, OwnerApprovalSchema
from shared.rest import RestBlueprint

blueprint = RestBlueprint(
    "approvals", __name__, url_prefix="/v1/team/approvals", description="Whether a member asked support for help"
)


@blueprint.route("", methods=["GET"])
@signed_in
@blueprint.response(200, OwnerApprovalListSchema)
@blueprint.refuses("forbidden")
def pending() -> dict[str, Any]:
    """What waits for this owner's answer."""
    found = owner_approvals.pending(deps(), current().account)
    return {"items": [reset_views.approval_document(one, deps().settings.reset_times) for one in found]}


@blueprint.route("/<id:check_id>", methods=["GET"])
@signed_in
@blueprint.response(200, OwnerApprovalSchema)
@blueprint.refuses("forbidden", "not_found")
def one(check_id: str) -> dict[str, Any]:
    """One question."""
    found = owner_approvals.one(deps(), current().account, check_id)
    return reset_views.approval_document(found, deps().settings.reset_times)


@blueprint.route("/<id:check_id>", methods=["POST"])
@stepped_up
@blueprint.arguments(OwnerApprovalArgs)
@blueprint.response(200, OwnerApprovalSchema)
@blueprint.refuses("forbidden", "not_found", "second_factor_required", "check_not_open")
def answer(args: dict[str, Any], check_id: str) -> dict[str, Any]:
    """Approve or refuse."""
    principal = current()
    found = owner_approvals.answer(
        deps(), client(), principal.account, principal.acting, check_id, approve=args["approve"]
    )
    return reset_views.approval_document(found, deps().settings.reset_times)
