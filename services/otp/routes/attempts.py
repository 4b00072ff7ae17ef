"""The attempts of an account."""

from typing import Any

from services.otp import history
from services.otp.deps import Deps
from services.otp.history import Page
from services.otp.schemas import AttemptsSchema, PageSchema
from shared.rest import RestBlueprint


def blueprint(deps: Deps) -> RestBlueprint:
    """The routes over these deps."""
    routes = RestBlueprint("attempts", __name__, description="The record of attempts")

    @routes.get("/accounts/<id:account_id>/attempts")
    @routes.arguments(PageSchema(), location="query")
    @routes.response(200, AttemptsSchema())
    def attempts(query: dict[str, Any], account_id: str) -> Page:
        """Attempts, newest first."""
        cursor = query["cursor"]
        return history.attempts(deps, account_id, cursor=None if cursor is None else int(cursor), limit=query["limit"])

    return routes
