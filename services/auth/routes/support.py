"""HTTP of the support console: role support and a second factor, every call audited."""

from typing import Any

from flask import Response, jsonify, make_response

from services.auth import pages, support, support_views, unlocks
from services.auth.routes.guard import client, current, deps, support_operator
from services.auth.schemas.common import PageArgs
from services.auth.schemas.support import (
    AuditArgs,
    AuditSchema,
    FoundAccountsSchema,
    SearchArgs,
    SupportAccountSchema,
    UnlockArgs,
    UnlockSchema,
)
from services.auth.schemas.timeline import SupportTimelineSchema
from shared.bodies import NothingSchema
from shared.rest import RestBlueprint

blueprint = RestBlueprint("support", __name__, url_prefix="/v1/support", description="For support operators")


@blueprint.route("/accounts", methods=["GET"])
@support_operator
@blueprint.arguments(SearchArgs, location="query")
@blueprint.response(200, FoundAccountsSchema)
@blueprint.refuses("too_many_requests")
def search(args: dict[str, Any]) -> dict[str, Any]:
    """Find accounts by address, name or id."""
    after = pages.decode_cursor(args["cursor"]) or ""
    rows = support.search(deps(), client(), current().account, args["query"], after=after, limit=args["limit"])
    return pages.page(rows, args["limit"], lambda found: found.account.id, support_views.found_document)


@blueprint.route("/accounts/<id:account_id>", methods=["GET"])
@support_operator
@blueprint.response(200, SupportAccountSchema)
@blueprint.refuses("not_found")
def account(account_id: str) -> dict[str, Any]:
    """One account, and how it is protected."""
    return support_views.account_document(support.detail(deps(), client(), current().account, account_id))


@blueprint.route("/accounts/<id:account_id>/timeline", methods=["GET"])
@support_operator
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, SupportTimelineSchema)
@blueprint.refuses("not_found")
def account_timeline(args: dict[str, Any], account_id: str) -> dict[str, Any]:
    """What happened to the account, its attempts included, newest first."""
    items, next_cursor = support.account_timeline(
        deps(), client(), current().account, account_id, limit=args["limit"], cursor=args["cursor"]
    )
    return {"items": [support_views.told_document(one) for one in items], "next_cursor": next_cursor}


@blueprint.route("/accounts/<id:account_id>/unlock", methods=["POST"])
@support_operator
@blueprint.arguments(UnlockArgs)
@blueprint.response(204)
@blueprint.alt_response(202, schema=UnlockSchema)
@blueprint.refuses("not_found", "own_account", "reset_needed")
def unlock(args: dict[str, Any], account_id: str) -> Response:
    """End the waits after wrong codes and passwords: 204. The fourth of a day waits for a second operator: 202."""
    waiting = unlocks.request(deps(), client(), current().operator, account_id, **args)
    if waiting is None:
        return make_response("", 204)
    return make_response(jsonify(UnlockSchema().dump(waiting)), 202)


@blueprint.route("/accounts/<id:account_id>/unlocks/<id:unlock_id>/approve", methods=["POST"])
@support_operator
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
@blueprint.refuses("not_found", "own_account", "same_operator", "operator_gone", "unlock_not_open", "reset_needed")
def approve_unlock(_args: dict[str, Any], account_id: str, unlock_id: str) -> Response:
    """Approve an unlock that another operator asked for; it is done at once."""
    unlocks.approve(deps(), client(), current().operator, account_id, unlock_id)
    return make_response("", 204)


@blueprint.route("/audit", methods=["GET"])
@support_operator
@blueprint.arguments(AuditArgs, location="query")
@blueprint.response(200, AuditSchema)
@blueprint.refuses("too_many_requests")
def audit(args: dict[str, Any]) -> dict[str, Any]:
    """What operators did, newest first."""
    before, limit = pages.decode_position(args["cursor"]), args["limit"]
    wanted = args["type"], args["operator"], args["account"]
    rows = support.audit(deps(), client(), current().account, *wanted, before=before, limit=limit)
    return pages.page(rows, limit, lambda found: str(found.row.position), support_views.audit_document)
