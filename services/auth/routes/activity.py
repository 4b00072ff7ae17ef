"""HTTP of the owner's own timeline."""

from typing import Any

from services.auth import activity
from services.auth.routes.guard import current, deps, signed_in
from services.auth.schemas.common import PageArgs
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
