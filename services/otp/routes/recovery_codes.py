"""A new sheet of recovery codes."""

from typing import Any

from services.otp import recovery_codes
from services.otp.answer_store import Call
from services.otp.deps import Deps
from services.otp.schemas import RecoveryCodesSchema, RegenerateSchema
from shared.rest import RestBlueprint


def blueprint(deps: Deps) -> RestBlueprint:
    """The routes over these deps."""
    routes = RestBlueprint("recovery_codes", __name__, description="Recovery codes")

    @routes.post("/accounts/<id:account_id>/recovery-codes")
    @routes.arguments(RegenerateSchema())
    @routes.response(200, RecoveryCodesSchema())
    @routes.refuses("two_factor_off", "session_ended", "answer_replaced", "too_many_requests")
    def regenerate(body: dict[str, Any], account_id: str) -> dict[str, list[str]]:
        """Ten new codes; the old ones die. The same key of the same session has them again for a minute.

        409 when 2FA is off, or when newer codes have replaced them; 429.
        """
        session_id, key = body["session_id"], body["idempotency_key"]
        call = None if session_id is None or key is None else Call(account_id, session_id, f"regenerate:{key}")
        return {"recovery_codes": recovery_codes.regenerate(deps, account_id, session_id, call)}

    return routes
