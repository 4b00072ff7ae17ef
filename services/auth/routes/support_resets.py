"""HTTP of the reset ceremony for operators: identity checks, requests, approvals."""

from typing import Any

from services.auth import identity_checks, pages, reset_cancellation, reset_views, resets, support, support_views
from services.auth.domain.reset import REFUSED_WITH
from services.auth.resets import ResetRequest
from services.auth.routes.guard import client, current, deps, support_operator
from services.auth.routes.repeats import repeatable
from services.auth.schemas.resets import (
    BeginCheckArgs,
    CheckTableSchema,
    IdentityCheckSchema,
    OpenedResetSchema,
    ResetDetailSchema,
    ResetListArgs,
    ResetListSchema,
    ResetPolicySchema,
    ResetRequestArgs,
    ResetSchema,
    WordsArgs,
)
from shared.bodies import NothingSchema
from shared.rest import RestBlueprint

blueprint = RestBlueprint(
    "support-resets", __name__, url_prefix="/v1/support", description="Identity checks and resets, for operators"
)
CHECKS = "/accounts/<id:account_id>/identity-checks"
RESETS = "/accounts/<id:account_id>/two-factor-resets"


@blueprint.route("/reset-policy", methods=["GET"])
@support_operator
@blueprint.response(200, ResetPolicySchema)
def reset_policy() -> dict[str, Any]:
    """Which identity checks allow which reset."""
    return reset_views.policy_document(deps().settings.reset_times)


@blueprint.route(CHECKS, methods=["GET"])
@support_operator
@blueprint.response(200, CheckTableSchema)
@blueprint.refuses("not_found")
def list_checks(account_id: str) -> dict[str, Any]:
    """Each check: whether it is possible for this account, why not, and how far the caller is with it."""
    table = identity_checks.listed(deps(), client(), current().account, account_id)
    return reset_views.check_table(table, deps().settings.reset_times)


@blueprint.route(CHECKS, methods=["POST"])
@support_operator
@blueprint.arguments(BeginCheckArgs)
@blueprint.response(201, IdentityCheckSchema)
@blueprint.refuses("not_found", "own_account", "two_factor_off", "check_not_possible", "too_many_requests")
def begin_check(args: dict[str, Any], account_id: str) -> dict[str, Any]:
    """Begin a check: words are sent, owners are asked, or what was seen is written down."""
    check = identity_checks.begin(deps(), client(), current().operator, account_id, args["check"], args["evidence"])
    return reset_views.check_document(check, deps().settings.reset_times)


@blueprint.route(f"{CHECKS}/<id:check_id>/verify", methods=["POST"])
@support_operator
@blueprint.arguments(WordsArgs)
@blueprint.response(200, IdentityCheckSchema)
@blueprint.refuses("not_found", "check_not_open", "wrong_words")
def verify_check(args: dict[str, Any], account_id: str, check_id: str) -> dict[str, Any]:
    """Pass a check with the words that the caller read out; five tries."""
    check = identity_checks.verify(deps(), client(), current().operator, account_id, check_id, args["code"])
    return reset_views.check_document(check, deps().settings.reset_times)


@blueprint.route(RESETS, methods=["POST"])
@repeatable
@support_operator
@blueprint.arguments(ResetRequestArgs)
@blueprint.response(202, OpenedResetSchema)
@blueprint.refuses(
    "not_found",
    "own_account",
    "identity_checks_insufficient",
    "two_factor_off",
    "reset_already_open",
)
def request_reset(args: dict[str, Any], account_id: str) -> dict[str, Any]:
    """Ask for a reset on the path that the caller's standing identity checks allow; a repeat gets the word again."""
    opened = resets.request(deps(), client(), current().operator, account_id, ResetRequest(**args))
    document = reset_views.reset_document(deps(), current().account, opened.reset)
    return {**document, "enrollment_word": opened.enrollment_word}


@blueprint.route(f"{RESETS}/<id:reset_id>/approve", methods=["POST"])
@support_operator
@blueprint.arguments(NothingSchema)
@blueprint.response(202, ResetSchema)
@blueprint.refuses("not_found", "own_account", "same_operator", "reset_not_open", *REFUSED_WITH.values())
def approve_reset(_args: dict[str, Any], account_id: str, reset_id: str) -> dict[str, Any]:
    """Approve a reset that another operator asked for."""
    reset = resets.approve(deps(), client(), current().operator, account_id, reset_id)
    return reset_views.reset_document(deps(), current().account, reset)


@blueprint.route(f"{RESETS}/<id:reset_id>/cancel", methods=["POST"])
@support_operator
@blueprint.arguments(NothingSchema)
@blueprint.response(200, ResetSchema)
@blueprint.refuses("not_found", "own_account", "reset_not_open")
def cancel_reset(_args: dict[str, Any], account_id: str, reset_id: str) -> dict[str, Any]:
    """Cancel a reset of another account."""
    reset = reset_cancellation.cancel(deps(), client(), current().operator, account_id, reset_id)
    return reset_views.reset_document(deps(), current().account, reset)


@blueprint.route("/two-factor-resets", methods=["GET"])
@support_operator
@blueprint.arguments(ResetListArgs, location="query")
@blueprint.response(200, ResetListSchema)
@blueprint.refuses("too_many_requests")
def list_resets(args: dict[str, Any]) -> dict[str, Any]:
    """Resets of all accounts, newest first."""
    before = pages.decode_cursor(args["cursor"])
    operator, limit = current().account, args["limit"]
    rows = support.list_resets(deps(), client(), operator, args["status"], before=before, limit=limit)
    documents = reset_views.reset_documents(deps(), operator, rows)
    return pages.page(documents, limit, lambda reset: str(reset["id"]), lambda reset: reset)


@blueprint.route("/two-factor-resets/<id:reset_id>", methods=["GET"])
@support_operator
@blueprint.response(200, ResetDetailSchema)
@blueprint.refuses("not_found")
def reset(reset_id: str) -> dict[str, Any]:
    """One reset, and what happened to it."""
    found = support.reset_detail(deps(), client(), current().account, reset_id)
    document = reset_views.reset_document(deps(), current().account, found.reset)
    return {**document, "timeline": [support_views.told_document(one) for one in found.timeline]}
