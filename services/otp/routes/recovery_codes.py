"""A new sheet of recovery codes."""

from typing import Any

from services.otp import recovery_codes
from services.otp.deps import Deps
from services.otp.schemas import RecoveryCodesSchema
from shared.bodies import NothingSchema
from shared.rest import RestBlueprint


def blueprint(deps: Deps) -> RestBlueprint:
    """The routes over these deps."""
    routes = RestBlueprint("recovery_codes", __name__, description="Recovery codes")

    @routes.post("/accounts/<id:account_id>/recovery-codes")
    @routes.arguments(NothingSchema())
    @routes.response(200, RecoveryCodesSchema())
    @routes.refuses("two_factor_off")
    def regenerate(_body: dict[str, Any], account_id: str) -> dict[str, list[str]]:
        """Ten new codes, shown this once; the old ones die. 409 two_factor_off."""
        return {"recovery_codes": recovery_codes.regenerate(deps, account_id)}

    return routes
