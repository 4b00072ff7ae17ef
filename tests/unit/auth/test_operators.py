"""Operators are accounts with more to lose: what opens the console, and what each call of it leaves behind."""

from dataclasses import dataclass

import pytest
from sqlalchemy import event, select

from services.auth import enrollment_words, events, operators
from services.auth.deps import Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.session import Factor
from services.auth.limits import SUPPORT_FOUND
from services.auth.models import identity_checks as check_table
from services.auth.models import resets as reset_table
from services.auth.models import timeline as timeline_table
from services.auth.models import unlocks as unlock_table
from services.auth.routes.guard import SAFE_METHODS
from services.auth.store import found_rows
from shared.budgets import Charge
from shared.database import reading, writing
from shared.messages import TwoFactorDisabled
from tests.support import ceremony
from tests.support.auth import CLIENT, Api, end_all, notices_in
from tests.support.ceremony import IMMEDIATE_BY_TWO
from tests.support.sign_in import log_in, problem

READ, SEARCH = "/v1/support/two-factor-resets", "/v1/support/accounts?query=ann"


def trail(deps, operator):
    """What the operator's calls left, oldest first."""
    columns = timeline_table.c.type, timeline_table.c.account_id, timeline_table.c.details
    query = select(*columns).where(timeline_table.c.actor == f"operator:{operator.id}")
    with reading(deps.database) as connection:
        return [tuple(row) for row in connection.execute(query.order_by(timeline_table.c.position))]


# --- what opens the console -------------------------------------------------------------------------------------------


def test_an_operator_who_turns_2fa_off_loses_the_console_at_once(api, otp, sam):
    caller = api(sam)
    assert caller.get(READ).status_code == 200
    otp.enabled.discard(sam.id)
    assert problem(caller.get(READ)) == (403, "second_factor_required")


def test_a_stolen_second_factor_opens_no_console_while_its_reset_waits_and_a_login_still_asks_for_a_code(
    api, otp, make_account, password_hash
):
    olga = make_account("olga@latchkey.example", role=Role.SUPPORT, password_hash=password_hash)
    otp.enabled.add(olga.id)
    thief = api(olga)
    assert thief.get(READ).status_code == 200
    otp.suspended.add(olga.id)
    assert problem(thief.get(READ)) == (403, "second_factor_required")
    assert log_in(api(), olga).json["status"] == "second_factor_required"
    assert thief.delete("/v1/trusted-devices").status_code == 204


def test_a_session_whose_2fa_was_turned_off_opens_no_console_after_an_enrolment_in_it(deps, api, otp, sam, clock):
    """The gateway was killed before it ended the factors of the session, so otp's event did."""
    caller = api(sam)
    clock.turn(seconds=5)
    members = {"occurred_at": clock(), "account_id": sam.id, "session_id": caller.session.id}
    events.handle(deps, TwoFactorDisabled(id="evt_1", **members))
    assert caller.get("/v1/session").json["assurance"] == "aal1"
    assert problem(caller.get(READ)) == (
        403,
        "second_factor_required",
    )  # sam has enrolled anew: otp says that 2FA is on


def test_the_console_is_shut_while_otp_does_not_answer(api, otp, sam):
    caller = api(sam)
    otp.go_down()
    assert caller.get(READ).status_code == 503


def test_a_session_of_password_and_remembered_device_does_not_open_the_console(api, sam):
    for factors in ((Factor.PASSWORD,), (Factor.PASSWORD, Factor.TRUSTED_DEVICE)):
        assert problem(api(sam, *factors).get(READ)) == (403, "second_factor_required")


def test_the_login_that_enrolled_does_not_open_the_console_and_a_later_one_does(deps, api, otp, make_account):
    olga = make_account("olga@latchkey.example", role=Role.SUPPORT)
    with writing(deps.database) as connection:
        keys = deps.settings.digest_keys
        _, word = enrollment_words.issue(connection, keys, olga.id, deps.clock(), usable_at_once=True)
    caller = api(olga, Factor.PASSWORD)
    begun = caller.post("/v1/two-factor/enrollment", {"word": word}).json["enrollment_id"]
    code = otp.expect(olga.id, "enrollment", begun)
    confirmed = caller.post(f"/v1/two-factor/enrollment/{begun}/confirm", {"code": code})
    assert confirmed.status_code == 200
    caller.token = confirmed.headers.get("X-Session-Token", caller.token)
    assert caller.get("/v1/session").json["assurance"] == "aal2"
    assert problem(caller.get(READ)) == (403, "second_factor_required")
    assert api(olga).get(READ).status_code == 200


def test_every_write_of_support_needs_the_step_up_window(app, api, sam, ann):
    caller = api(sam, stepped_up=False)
    assert caller.get(READ).status_code == 200
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/v1/support") and "POST" in rule.methods:
            path = rule.build(dict.fromkeys(rule.arguments, ann.id), append_unknown=False)[1]
            assert problem(caller.post(path)) == (403, "step_up_required"), path


# --- searching --------------------------------------------------------------------------------------------------------


def test_a_search_is_recorded_without_the_words_that_were_searched_for(deps, api, sam, ann):
    api(sam).get("/v1/support/accounts?query=ANN@example.com")
    ((entry, account_id, details),) = trail(deps, sam)
    assert (entry, account_id) == ("support.searched", None)
    digest = deps.settings.digest_keys.newest.mac("support_search", "ann@example.com")
    assert details == {"by": "address", "query": digest, "found": 1}


@pytest.mark.parametrize(("query", "by"), [("acc_x", "id"), ("@example", "address"), ("ann", "text")])
def test_the_trail_says_what_kind_of_search_it_was(deps, api, sam, query, by):
    api(sam).get("/v1/support/accounts", query_string={"query": query})
    assert trail(deps, sam)[0][2]["by"] == by


def test_two_characters_find_nothing(api, sam):
    assert api(sam).get("/v1/support/accounts?query=an").status_code == 422


def test_searches_pay_by_the_row_and_the_list_of_customers_is_not_to_be_had(deps, api, make_account, sam, sue):
    for number in range(120):
        make_account(f"m{number}@example.com")
    caller, path = api(sam), "/v1/support/accounts?query=@example.com&limit=100"
    first = caller.get(path)
    assert len(first.json["items"]) == 100
    assert len(caller.get(path).json["items"]) == 100
    refused = caller.get(f"{path}&cursor={first.json['next_cursor']}")
    assert problem(refused) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    assert trail(deps, sam)[-1][2]["code"] == "too_many_requests"
    assert api(sue).get(path).status_code == 200


def test_a_search_that_finds_nothing_costs_one_row(api, sam):
    statuses = [api(sam).get("/v1/support/accounts?query=nobody").status_code for _ in range(101)]
    assert statuses == [200] * 101


# --- every call leaves an entry ---------------------------------------------------------------------------------------

EXEMPT = {"support-resets.reset_policy"}  # a table of the settings, and nobody's data
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


@pytest.fixture
def desk(deps, api, ann, sam, sue):
    return Desk(deps, sam, sue, ann, api(sam), api(sue))


def test_every_route_of_support_is_in_the_table_or_exempt(app):
    served = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1/support/")}
    assert served == ROUTES.keys() | EXEMPT


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_of_support_leaves_an_entry(deps, desk, sam, route):
    act = ROUTES[route](desk)
    before = len(trail(deps, sam))
    assert act().status_code in {200, 201, 202, 204}
    assert len(trail(deps, sam)) == before + 1


# The refused calls of each route that reach its use case. A call about an id that is nobody's shows nothing, concerns
# no account and leaves no entry.
REFUSED = {
    "support.search": [("too_many_requests", Desk.spent(SEARCH))],
    "support.account": [],
    "support.account_timeline": [],
    "support.audit": [("too_many_requests", Desk.spent("/v1/support/audit"))],
    "support.unlock": [
        ("own_account", lambda desk: desk.post(f"{desk.own_path}/unlock", ASKED)),
        ("reset_needed", Desk.unlock_beyond_lifting),
    ],
    "support.approve_unlock": [
        ("not_found", lambda desk: desk.post(f"{desk.path}/unlocks/unl_none/approve")),
        ("same_operator", Desk.approve_own_unlock),
    ],
    "support-resets.list_checks": [],
    "support-resets.begin_check": [
        ("own_account", lambda desk: desk.post(f"{desk.own_path}/identity-checks", {"check": "email_code"})),
        ("check_not_possible", lambda desk: desk.post(f"{desk.path}/identity-checks", {"check": "owner_approval"})),
        ("validation_failed", lambda desk: desk.post(f"{desk.path}/identity-checks", {"check": "video_id"})),
        ("two_factor_off", Desk.check_with_2fa_off),
        ("too_many_requests", Desk.one_check_too_many),
    ],
    "support-resets.verify_check": [
        ("not_found", lambda desk: desk.post(f"{desk.path}/identity-checks/idc_none/verify", {"code": "a b"})),
        ("wrong_words", Desk.verify_wrongly),
        ("check_not_open", Desk.verify_again),
    ],
    "support-resets.request_reset": [
        ("own_account", lambda desk: desk.post(f"{desk.own_path}/two-factor-resets", RESET)),
        ("identity_checks_insufficient", lambda desk: desk.post(f"{desk.path}/two-factor-resets", RESET)),
    ],
    "support-resets.approve_reset": [
        ("not_found", lambda desk: desk.post(f"{desk.path}/two-factor-resets/rst_none/approve")),
        ("same_operator", Desk.approve_own_reset),
    ],
    "support-resets.cancel_reset": [
        ("not_found", lambda desk: desk.post(f"{desk.path}/two-factor-resets/rst_none/cancel")),
        ("reset_not_open", Desk.cancel_again),
    ],
    "support-resets.list_resets": [("too_many_requests", Desk.spent(READ))],
    "support-resets.reset": [],
}
CASES = [(route, code, call) for route, cases in REFUSED.items() for code, call in cases]


def test_every_route_of_support_is_in_the_table_of_refused_calls():
    assert REFUSED.keys() == ROUTES.keys()


@pytest.mark.parametrize(("route", "code", "call"), CASES, ids=[f"{route}-{code}" for route, code, _ in CASES])
def test_every_refused_call_of_support_leaves_an_entry(deps, desk, sam, route, code, call):
    act = call(desk)
    before = len(trail(deps, sam))
    assert problem(act())[1] == code
    left = trail(deps, sam)[before:]
    if code == "wrong_words":
        assert [entry for entry, _, _ in left] == ["identity_check.failed"]
    else:
        assert [details["code"] for _, _, details in left] == [code]


# --- a write belongs to a live session --------------------------------------------------------------------------------


WRITES = (
    "support.unlock",
    "support.approve_unlock",
    "support-resets.begin_check",
    "support-resets.verify_check",
    "support-resets.request_reset",
    "support-resets.approve_reset",
    "support-resets.cancel_reset",
)


def stand(deps):
    """What support's writes change."""
    with reading(deps.database) as connection:
        checks = connection.execute(select(check_table.c.id, check_table.c.status)).all()
        return checks, connection.execute(select(reset_table)).all(), connection.execute(select(unlock_table)).all()


def test_every_write_of_support_is_in_the_list(app):
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1/support/")]
    assert {rule.endpoint for rule in rules if not rule.methods <= SAFE_METHODS} == set(WRITES)


@pytest.mark.parametrize("route", WRITES)
def test_a_write_under_way_when_the_operators_session_ends_changes_nothing(deps, desk, otp, sam, route):
    act = ROUTES[route](desk)
    before, told, entries = stand(deps), len(notices_in(deps)), len(trail(deps, sam))
    otp.after_state = lambda: end_all(deps, sam)
    otp.before_unlock = lambda: pytest.fail("nothing may be lifted")
    assert problem(act()) == (401, "not_authenticated")
    assert (stand(deps), len(notices_in(deps))) == (before, told)
    assert [details.get("code") for _, _, details in trail(deps, sam)[entries:]] == ["not_authenticated"]


# --- no rings ---------------------------------------------------------------------------------------------------------


def test_an_operator_whose_2fa_was_reset_approves_nothing_with_the_password(deps, api, otp, ann, sam, sue):
    """One operator resets the other, signs in as the other with a known password, and approves the own requests."""
    reset = ceremony.request_reset(deps, sam, ann, IMMEDIATE_BY_TWO)
    otp.enabled.discard(sue.id)  # what a reset does
    stolen = api(sue, Factor.PASSWORD)
    assert stolen.post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset.id}/approve").status_code == 403
    assert problem(stolen.post("/v1/two-factor/enrollment")) == (422, "enrollment_word_required")
    assert problem(stolen.post("/v1/password", {"new_password": "x"})) == (403, "enrollment_required")


def test_an_operator_does_nothing_to_the_own_account(api, sam):
    caller = api(sam)
    for path, body in (("unlock", ASKED), ("two-factor-resets", RESET)):
        assert problem(caller.post(f"/v1/support/accounts/{sam.id}/{path}", body)) == (422, "own_account"), path


# --- what repeats itself ----------------------------------------------------------------------------------------------


def test_a_list_that_refreshes_itself_leaves_one_entry_in_ten_minutes(deps, api, sam, sue):
    for caller in (api(sam), api(sam), api(sue)):
        caller.get(READ)
    assert trail(deps, sam) == [("support.viewed", None, {"what": "resets"})]
    assert len(trail(deps, sue)) == 1


def test_a_list_that_was_narrowed_to_something_else_is_another_look(deps, api, sam, sue, ann, tom):
    caller = api(sam)
    for asked in ("account=ann@example.com", f"account={tom.id}", f"operator={sue.email}", "type=support.viewed") * 2:
        assert caller.get(f"/v1/support/audit?{asked}").status_code == 200
    assert caller.get(f"{READ}?status=applied").status_code == 200
    assert trail(deps, sam) == [
        ("support.viewed", ann.id, {"what": "audit"}),
        ("support.viewed", tom.id, {"what": "audit"}),
        ("support.viewed", None, {"what": "audit", "of_operator": sue.id}),
        ("support.viewed", None, {"what": "audit", "type": "support.viewed"}),
        ("support.viewed", None, {"what": "resets", "status": "applied"}),
    ]


def test_an_address_that_is_nobodys_stands_in_the_trail_as_its_digest(deps, api, sam):
    api(sam).get("/v1/support/audit?account=Ghost@example.com")
    digest = deps.settings.digest_keys.newest.mac("support_search", "ghost@example.com")
    assert trail(deps, sam) == [("support.viewed", None, {"what": "audit", "of_account": digest})]


@pytest.mark.parametrize("path", ["/v1/support/audit", READ])
def test_lists_pay_by_the_account_and_the_same_accounts_again_cost_nothing(deps, api, desk, ann, sam, path):
    ceremony.request_reset(deps, desk.colleague, ann, IMMEDIATE_BY_TWO)
    before = desk.left()
    assert desk.caller.get(path).status_code == 200
    assert desk.left() == before - 1
    assert desk.caller.get(path).status_code == 200
    assert desk.left() == before - 1


def test_page_after_page_of_the_trail_names_no_list_of_customers(deps, api, make_account, sam, sue):
    for number in range(210):
        customer = make_account(f"m{number}@example.com")
        operators.record_view(deps, CLIENT, sue, customer, "account")
    caller, path, cursor, seen = api(sam), "/v1/support/audit?limit=50", "", set()
    while (page := caller.get(f"{path}{cursor}")).status_code == 200:
        seen |= {item["account_id"] for item in page.json["items"]}
        cursor = f"&cursor={page.json['next_cursor']}"
    assert problem(page) == (429, "too_many_requests")
    assert 150 < len(seen - {None}) <= 200


def test_a_look_that_can_not_be_recorded_shows_nothing_and_is_recorded_later(deps, api, sam):
    caller = api(sam)
    with deps.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE timeline RENAME TO gone")
    assert caller.get(READ).status_code == 503
    with deps.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO timeline")
    assert caller.get(READ).status_code == 200
    assert len(trail(deps, sam)) == 1


def test_a_look_whose_gateway_was_killed_is_recorded_at_the_next_one(deps, api, sam):
    caller = api(sam)

    def kill(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO timeline"):
            raise KeyboardInterrupt

    event.listen(deps.database, "before_cursor_execute", kill)
    with pytest.raises(KeyboardInterrupt):
        caller.get(READ)
    event.remove(deps.database, "before_cursor_execute", kill)
    assert caller.get(READ).status_code == 200
    assert len(trail(deps, sam)) == 1


def test_the_audit_trail_shows_what_concerns_no_account(api, sam):
    api(sam).get(SEARCH)
    items = api(sam).get("/v1/support/audit").json["items"]
    assert [(item["type"], item["account_id"], item["account_email"]) for item in items] == [
        ("support.viewed", None, None),
        ("support.searched", None, None),
    ]
    assert items[1]["operator_email"] == sam.email
