"""HTTP of the team page."""

from typing import Any

from services.auth import pages, phone, support_views, team, views
from services.auth.domain.account import Account
from services.auth.routes.guard import client, current, deps, signed_in, stepped_up
from services.auth.schemas.common import PageArgs
from services.auth.schemas.phone import MemberPhoneSchema, PhoneArgs, TeamSchema
from shared.rest import RestBlueprint

blueprint = RestBlueprint("team", __name__, url_prefix="/v1/team", description="The members of the client account")


@blueprint.route("", methods=["GET"])
@signed_in
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, TeamSchema)
def members(args: dict[str, Any]) -> dict[str, Any]:
    """The team and its members."""
    account = current().account
    after = pages.decode_cursor(args["cursor"]) or ""
    rows = team.members(deps(), account, after=after, limit=args["limit"] + 1)
    return {
        "team": {"id": account.team_id, "name": team.name(deps(), account)},
        **pages.page(rows, args["limit"], lambda member: member.id, _member),
    }


@blueprint.route("/<id:account_id>/phone", methods=["PUT"])
@stepped_up
@blueprint.arguments(PhoneArgs)
@blueprint.response(200, MemberPhoneSchema)
@blueprint.refuses("forbidden", "not_found", "invalid_phone", "country_not_allowed", "too_many_requests")
def set_member_phone(args: dict[str, Any], account_id: str) -> dict[str, Any]:
    """Set a member's number, as the team's owner; the member proves it with POST /v1/phone/sms and /verify.

    A number that the member has proven, or that waits to be proven, stays as it is.
    """
    owner = current()
    number, is_proven = phone.set_member_phone(
        deps(), client(), owner.account, owner.acting, account_id, args["country"], args["number"]
    )
    return {"phone_hint": number, "verified": is_proven}


def _member(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "email": account.email,
        "name": account.name,
        "role": account.role,
        "phone": support_views.phone_document(account),
        "pending_phone_hint": views.hint(account.pending_phone),
    }
