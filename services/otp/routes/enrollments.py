"""Turning 2FA on."""

from typing import Any

from services.otp import enrollment
from services.otp.deps import Deps
from services.otp.enrollment import Confirm, Enrollment
from services.otp.schemas import (
    BeginEnrollmentSchema,
    ConfirmEnrollmentSchema,
    EnrollmentSchema,
    InvalidPasscodeSchema,
    OwnEnrollmentSchema,
    RecoveryCodesSchema,
)
from shared.rest import RestBlueprint


def blueprint(deps: Deps) -> RestBlueprint:
    """The routes over these deps."""
    routes = RestBlueprint("enrollments", __name__, description="Turning 2FA on")

    @routes.post("/accounts/<id:account_id>/enrollments")
    @routes.arguments(BeginEnrollmentSchema())
    @routes.response(201, EnrollmentSchema())
    @routes.refuses("two_factor_already_on", "session_ended", "too_many_requests")
    def begin(body: dict[str, Any], account_id: str) -> Enrollment:
        """A new secret that waits to be confirmed; 409 two_factor_already_on, 429."""
        return enrollment.begin(deps, account_id, body["label"], body["session_id"])

    @routes.get("/accounts/<id:account_id>/enrollments")
    @routes.arguments(OwnEnrollmentSchema(), location="query")
    @routes.response(200, EnrollmentSchema())
    @routes.refuses("enrollment_expired", "too_many_requests")
    def show(query: dict[str, Any], account_id: str) -> Enrollment:
        """The secret that waits, again for the session that began it; 410 enrollment_expired, 429."""
        return enrollment.show(deps, account_id, query["session_id"])

    @routes.delete("/accounts/<id:account_id>/enrollments")
    @routes.arguments(OwnEnrollmentSchema())
    @routes.response(204)
    @routes.refuses("session_ended")
    def cancel(body: dict[str, Any], account_id: str) -> None:
        """End what this session has begun; 204 also when nothing waits."""
        enrollment.cancel(deps, account_id, body["session_id"])

    @routes.post("/accounts/<id:account_id>/enrollments/<id:enrollment_id>/confirm")
    @routes.arguments(ConfirmEnrollmentSchema())
    @routes.response(200, RecoveryCodesSchema())
    @routes.alt_response(401, schema=InvalidPasscodeSchema(), content_type="application/problem+json")
    @routes.refuses(
        "invalid_passcode", "two_factor_already_on", "enrollment_expired", "session_ended", "too_many_requests"
    )
    def confirm(body: dict[str, Any], account_id: str, enrollment_id: str) -> dict[str, list[str]]:
        """Turn 2FA on; 401 invalid_passcode, 410 enrollment_expired, 409 two_factor_already_on, 429."""
        command = Confirm(account_id, enrollment_id, body["code"], body["session_id"])
        return {"recovery_codes": enrollment.confirm(deps, command)}

    return routes
