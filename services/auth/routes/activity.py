"""HTTP of the owner's own timeline."""

from typing import Any

from services.auth import activity, diagnosis
from services.auth.routes.guard import current, deps, signed_in
from services.auth.schemas.common import PageArgs
from services.auth.schemas.diagnosis import DiagnosisSchema
from services.auth.schemas.timeline import TimelineSchema
from shared.rest import RestBlueprint

blueprint = RestBlueprint("activity", __name__, url_prefix="/v1/activity", description="What happened to the account")


@blueprint.route("", methods=["GET"])
@signed_in
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, TimelineSchema)
def own_timeline(args: dict[str, Any]) -> dict[str, Any]:
    """What happened to this account, newest first."""
    items, next_cursor = activity.page(deps(), current().account, limit=args["limit"], cursor=args["cursor"])
    return {"items": items, "next_cursor": next_cursor}


@blueprint.route("/diagnosis", methods=["GET"])
@signed_in
@blueprint.response(200, DiagnosisSchema)
def own_diagnosis() -> dict[str, Any]:
    """Why this account's owner could not get in, as support sees it; the first item is the answer."""
    return {"items": diagnosis.own(deps(), current().account)}
