"""Verifying a code."""

from typing import Any

from services.otp import verification
from services.otp.deps import Deps
from services.otp.domain.attempt import Verify
from services.otp.schemas import InvalidPasscodeSchema, VerifiedSchema, VerifySchema
from shared.rest import RestBlueprint


def blueprint(deps: Deps) -> RestBlueprint:
    """The routes over these deps."""
    routes = RestBlueprint("verifications", __name__, description="Verifying a second factor")

    @routes.post("/accounts/<id:account_id>/verifications")
    @routes.arguments(VerifySchema())
    @routes.response(200, VerifiedSchema())
    @routes.alt_response(401, schema=InvalidPasscodeSchema(), content_type="application/problem+json")
    @routes.refuses("invalid_passcode", "two_factor_off", "too_many_requests", "second_factor_locked")
    def verify(body: dict[str, Any], account_id: str) -> dict[str, Any]:
        """Verify a code and use it up; 401 invalid_passcode, 409 two_factor_off, 429."""
        verified = verification.verify(deps, Verify(account_id, **body))
        answer: dict[str, Any] = {"factor": verified.factor}
        if verified.recovery_codes_remaining is not None:
            answer["recovery_codes_remaining"] = verified.recovery_codes_remaining
        return answer

    return routes
