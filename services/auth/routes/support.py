"""HTTP of the support console: role support and a second factor, every call audited."""

from dataclasses import asdict
from typing import Any

from flask import Response, make_response

from services.auth import pages, reset_cancellation, resets, support, support_views
from services.auth.domain.reset import Reset
from services.auth.resets import ResetRequest
from services.auth.routes.guard import client, current, deps, support_operator
from services.auth.schemas.common import PageArgs
from services.auth.schemas.resets import (
    ResetDetailSchema,
    ResetListArgs,
    ResetListSchema,
    ResetPolicySchema,
    ResetRequestArgs,
    ResetSchema,
)
from services.auth.schemas.support import AuditArgs, AuditSchema, FoundAccountsSchema, SearchArgs, SupportAccountSchema
from services.auth.schemas.timeline import TimelineSchema
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
    rows = support.search(deps(), current().account, args["query"], after=after, limit=args["limit"] + 1)
    return pages.page(rows, args["limit"], lambda account: account.id, lambda account: account)


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
@blueprint.response(200, TimelineSchema)
@blueprint.refuses("not_found")
def account_timeline(args: dict[str, Any], account_id: str) -> dict[str, Any]:
    """What happened to the account, its attempts included, newest first."""
    items, next_cursor = support.account_timeline(
        deps(), client(), current().account, account_id, limit=args["limit"], cursor=args["cursor"]
    )
    return {"items": items, "next_cursor": next_cursor}


@blueprint.route("/accounts/<id:account_id>/unlock", methods=["POST"])
@support_operator
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
@blueprint.refuses("not_found", "own_account")
def unlock(_args: dict[str, Any], account_id: str) -> Response:
    """Lift the lock after too many wrong codes in a row, and end the waits between codes."""
    support.unlock(deps(), client(), current().account, account_id)
    return make_response("", 204)


@blueprint.route("/reset-policy", methods=["GET"])
@support_operator
@blueprint.response(200, ResetPolicySchema)
def reset_policy() -> dict[str, Any]:
    """Which identity checks allow which reset."""
    return support_views.reset_policy_document(deps().settings.reset_cool_off_seconds)


@blueprint.route("/accounts/<id:account_id>/two-factor-resets", methods=["POST"])
@support_operator
@blueprint.arguments(ResetRequestArgs)
@blueprint.response(202, ResetSchema)
@blueprint.refuses(
    "not_found",
    "own_account",
    "identity_checks_insufficient",
    "two_factor_off",
    "reset_already_open",
)
def request_reset(args: dict[str, Any], account_id: str) -> Reset:
    """Ask for a reset on the path that the identity checks allow."""
    return resets.request(deps(), client(), current().account, account_id, ResetRequest(**args))


@blueprint.route("/accounts/<id:account_id>/two-factor-resets/<id:reset_id>/approve", methods=["POST"])
@support_operator
@blueprint.arguments(NothingSchema)
@blueprint.response(202, ResetSchema)
@blueprint.refuses("not_found", "own_account", "same_operator", "reset_not_open")
def approve_reset(_args: dict[str, Any], account_id: str, reset_id: str) -> Reset:
    """Approve a reset that another operator asked for."""
    return resets.approve(deps(), client(), current().account, account_id, reset_id)


@blueprint.route("/accounts/<id:account_id>/two-factor-resets/<id:reset_id>/cancel", methods=["POST"])
@support_operator
@blueprint.arguments(NothingSchema)
@blueprint.response(200, ResetSchema)
@blueprint.refuses("not_found", "reset_not_open")
def cancel_reset(_args: dict[str, Any], account_id: str, reset_id: str) -> Reset:
    """Call a reset off."""
    return reset_cancellation.cancel(deps(), client(), current().account, account_id, reset_id)


@blueprint.route("/audit", methods=["GET"])
@support_operator
@blueprint.arguments(AuditArgs, location="query")
@blueprint.response(200, AuditSchema)
def audit(args: dict[str, Any]) -> dict[str, Any]:
    """What operators did to all accounts, newest first."""
    before = pages.decode_position(args["cursor"])
    rows = support.audit(
        deps(), args["type"], args["operator"], args["account"], before=before, limit=args["limit"] + 1
    )
    return pages.page(rows, args["limit"], lambda found: str(found.row.position), support_views.audit_document)


@blueprint.route("/two-factor-resets", methods=["GET"])
@support_operator
@blueprint.arguments(ResetListArgs, location="query")
@blueprint.response(200, ResetListSchema)
def list_resets(args: dict[str, Any]) -> dict[str, Any]:
    """Resets of all accounts, newest first."""
    before = pages.decode_cursor(args["cursor"])
    rows = support.list_resets(deps(), args["status"], before=before, limit=args["limit"] + 1)
    return pages.page(rows, args["limit"], lambda reset: reset.id, lambda reset: reset)


@blueprint.route("/two-factor-resets/<id:reset_id>", methods=["GET"])
@support_operator
@blueprint.response(200, ResetDetailSchema)
@blueprint.refuses("not_found")
def reset(reset_id: str) -> dict[str, Any]:
    """One reset, and what happened to it."""
    found = support.reset_detail(deps(), reset_id)
    return {**asdict(found.reset), "timeline": found.timeline}
