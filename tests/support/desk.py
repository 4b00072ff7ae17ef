"""An operator at the console, for tests of what each call of support leaves behind."""

from dataclasses import dataclass

from sqlalchemy import select

from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.limits import SUPPORT_FOUND
from services.auth.models import timeline as timeline_table
from services.auth.store import found_rows
from shared.budgets import Charge
from shared.database import reading
from tests.support import ceremony
from tests.support.auth import Api
from tests.support.ceremony import IMMEDIATE_BY_TWO

READ, SEARCH = "/v1/support/two-factor-resets", "/v1/support/accounts?query=ann"


def trail(deps, operator):
    """What the operator's calls left, oldest first."""
    columns = timeline_table.c.type, timeline_table.c.account_id, timeline_table.c.details
    query = select(*columns).where(timeline_table.c.actor == f"operator:{operator.id}")
    with reading(deps.database) as connection:
        return [tuple(row) for row in connection.execute(query.order_by(timeline_table.c.position))]


RESET = {"ticket": "T-1", "reason": "lost"}
ASKED = {"ticket": "T-2", "reason": "locked out"}


@dataclass
class Desk:
    """An operator at work on an account, and the colleague who has asked for what the operator approves."""

    deps: Deps
    operator: Account
    colleague: Account
    account: Account
    caller: Api
    colleagues: Api

    @property
    def path(self):
        return f"/v1/support/accounts/{self.account.id}"

    def get(self, path):
        return lambda: self.caller.get(path)

    def post(self, path, body=None):
        return lambda: self.caller.post(path, body)

    def reset(self):
        """A reset that waits for a second operator."""
        return ceremony.request_reset(self.deps, self.colleague, self.account, IMMEDIATE_BY_TWO).id

    def check(self):
        """A check that waits for the caller's words, and the words."""
        check = self.caller.post(f"{self.path}/identity-checks", {"check": "email_code"}).json
        return check["id"], ceremony.words_sent(self.deps, "email_code")

    def verify(self):
        check_id, words = self.check()
        return self.post(f"{self.path}/identity-checks/{check_id}/verify", {"code": words})

    def request_reset(self):
        ceremony.pass_checks(self.deps, self.operator, self.account, IMMEDIATE_BY_TWO)
        return self.post(f"{self.path}/two-factor-resets", RESET)

    @property
    def own_path(self):
        return f"/v1/support/accounts/{self.operator.id}"

    @staticmethod
    def spent(path):
        """A call of an operator who was shown as many accounts as an hour allows. The look itself stands already."""

        def act(desk):
            desk.colleagues.post(f"{desk.path}/unlock", ASKED)
            desk.reset()
            desk.caller.get(path)
            desk.deps.redis.delete(f"auth:shown:{desk.operator.id}")
            found_rows.pay(desk.deps.redis, Charge(SUPPORT_FOUND, desk.operator.id), desk.left())
            return desk.get(path)

        return act

    def left(self):
        """How many accounts the operator may still be shown this hour."""
        (hour, *_), (window, *_) = Charge(SUPPORT_FOUND, self.operator.id).keys(), SUPPORT_FOUND.windows
        return window.max - int(self.deps.redis.get(hour) or 0)

    def unlock_beyond_lifting(self):
        self.deps.otp.reset_needed.add(self.account.id)
        return self.post(f"{self.path}/unlock", ASKED)

    def approve_own_unlock(self):
        answers = [self.caller.post(f"{self.path}/unlock", ASKED) for _ in range(4)]
        return self.post(f"{self.path}/unlocks/{answers[-1].json['id']}/approve")

    def check_with_2fa_off(self):
        self.deps.otp.enabled.discard(self.account.id)
        return self.post(f"{self.path}/identity-checks", {"check": "email_code"})

    def one_check_too_many(self):
        for _ in range(6):
            self.check()
        return self.post(f"{self.path}/identity-checks", {"check": "email_code"})

    def verify_wrongly(self):
        return self.post(f"{self.path}/identity-checks/{self.check()[0]}/verify", {"code": "wrong words"})

    def verify_again(self):
        act = self.verify()
        assert act().status_code == 200
        return act

    def approve_own_reset(self):
        reset = ceremony.request_reset(self.deps, self.operator, self.account, IMMEDIATE_BY_TWO)
        return self.post(f"{self.path}/two-factor-resets/{reset.id}/approve")

    def cancel_again(self):
        act = self.post(f"{self.path}/two-factor-resets/{self.reset()}/cancel")
        assert act().status_code == 200
        return act

    def approve_unlock(self):
        answers = [self.colleagues.post(f"{self.path}/unlock", ASKED) for _ in range(4)]
        return self.post(f"{self.path}/unlocks/{answers[-1].json['id']}/approve")


# What makes one good call of each route, when everything that it needs is there.
ROUTES = {
    "support.search": lambda desk: desk.get(SEARCH),
    "support.account": lambda desk: desk.get(desk.path),
    "support.account_timeline": lambda desk: desk.get(f"{desk.path}/timeline"),
    "support.audit": lambda desk: desk.get("/v1/support/audit"),
    "support.unlock": lambda desk: desk.post(f"{desk.path}/unlock", ASKED),
    "support.approve_unlock": Desk.approve_unlock,
    "support-resets.list_checks": lambda desk: desk.get(f"{desk.path}/identity-checks"),
    "support-resets.begin_check": lambda desk: desk.post(f"{desk.path}/identity-checks", {"check": "email_code"}),
    "support-resets.verify_check": Desk.verify,
    "support-resets.request_reset": Desk.request_reset,
    "support-resets.approve_reset": lambda desk: desk.post(f"{desk.path}/two-factor-resets/{desk.reset()}/approve"),
    "support-resets.cancel_reset": lambda desk: desk.post(f"{desk.path}/two-factor-resets/{desk.reset()}/cancel"),
    "support-resets.list_resets": lambda desk: desk.get(READ),
    "support-resets.reset": lambda desk: desk.get(f"{READ}/{desk.reset()}"),
}
