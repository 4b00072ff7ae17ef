"""Codes by SMS."""

from typing import Any

from services.otp import sms_challenge
from services.otp.deps import Deps
from services.otp.schemas import RequestSmsSchema, SmsChallengeSchema, WithdrawSmsSchema
from services.otp.sms_challenge import RequestSms, SmsChallenge
from services.otp.sms_store import Slot
from shared.rest import RestBlueprint


def blueprint(deps: Deps) -> RestBlueprint:
    """The routes over these deps."""
    routes = RestBlueprint("sms_challenges", __name__, description="Codes by SMS")

    @routes.post("/accounts/<id:account_id>/sms-challenges")
    @routes.arguments(RequestSmsSchema())
    @routes.response(202, SmsChallengeSchema())
    @routes.refuses("two_factor_off", "too_many_requests", "second_factor_locked")
    def request(body: dict[str, Any], account_id: str) -> SmsChallenge:
        """Mint a passcode and leave its sealed text for notify; 409 two_factor_off, 429."""
        return sms_challenge.request(deps, RequestSms(account_id, **body))

    @routes.delete("/accounts/<id:account_id>/sms-challenges/<id:message_id>")
    @routes.arguments(WithdrawSmsSchema())
    @routes.response(204)
    def withdraw(body: dict[str, Any], account_id: str, message_id: str) -> None:
        """Take back a challenge that could not be published."""
        sms_challenge.withdraw(deps, Slot(account_id, **body), message_id)

    return routes
