"""The state of an account's 2FA, turning it off, lifting a lock."""

from typing import Any

from services.otp import endings, throttles, two_factor
from services.otp.deps import Deps
from services.otp.endings import End
from services.otp.schemas import (
    AccountsOnSchema,
    AccountsSchema,
    DisabledSchema,
    DisableSchema,
    EndingsSchema,
    InSessionSchema,
    ThrottlesSchema,
    TwoFactorSchema,
)
from services.otp.throttles import Throttle
from services.otp.two_factor import TwoFactorState
from shared.bodies import NothingSchema
from shared.rest import RestBlueprint


def blueprint(deps: Deps) -> RestBlueprint:
    """The routes over these deps."""
    routes = RestBlueprint("two_factor", __name__, description="The state of an account's 2FA")

    @routes.get("/accounts/<id:account_id>/two-factor")
    @routes.arguments(InSessionSchema(), location="query")
    @routes.response(200, TwoFactorSchema())
    def read(query: dict[str, Any], account_id: str) -> TwoFactorState:
        """How an account's 2FA stands; with a session, whether an enrollment of its waits to be confirmed."""
        return two_factor.state(deps, account_id, query["session_id"])

    @routes.post("/accounts-with-two-factor")
    @routes.arguments(AccountsSchema())
    @routes.response(200, AccountsOnSchema())
    def those_on(body: dict[str, Any]) -> dict[str, list[str]]:
        """Those of some accounts whose 2FA is on."""
        return {"account_ids": sorted(two_factor.those_on(deps, body["account_ids"]))}

    @routes.get("/accounts/<id:account_id>/throttles")
    @routes.response(200, ThrottlesSchema())
    def read_throttles(account_id: str) -> dict[str, list[Throttle]]:
        """Which budgets of tries are spent, and until when."""
        return {"items": throttles.of_account(deps, account_id)}

    @routes.delete("/accounts/<id:account_id>/two-factor")
    @routes.arguments(DisableSchema())
    @routes.response(200, DisabledSchema())
    @routes.refuses("two_factor_off", "two_factor_already_on", "session_ended")
    def disable(body: dict[str, Any], account_id: str) -> dict[str, str | None]:
        """Turn 2FA off; 409 two_factor_off when it is."""
        only_repeat = body["only_repeat"]
        return {"event_id": two_factor.disable(deps, account_id, body["session_id"], only_repeat=only_repeat)}

    @routes.post("/accounts/<id:account_id>/endings")
    @routes.arguments(EndingsSchema())
    @routes.response(204)
    def end(body: dict[str, Any], account_id: str) -> None:
        """End what these sessions have begun; with ``codes`` and ``enrollments`` all of the account's."""
        endings.end(deps, End(account_id, **body))

    @routes.post("/accounts/<id:account_id>/unlock")
    @routes.arguments(NothingSchema())
    @routes.response(204)
    @routes.refuses("reset_needed")
    def unlock(_body: dict[str, Any], account_id: str) -> None:
        """Lift the lock and begin all windows anew; 409 reset_needed at a hundred failures in a row."""
        two_factor.unlock(deps, account_id)

    return routes
