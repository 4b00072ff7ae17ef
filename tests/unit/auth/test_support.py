from datetime import timedelta

import pytest

from services.auth import pages
from services.auth.domain.account import Role
from services.auth.domain.identity_checks import CHECKS
from services.auth.domain.reset_policy import RULES
from services.auth.domain.session import Factor
from services.auth.otp_client import Throttle
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared.clock import parse_rfc3339
from shared.database import writing
from tests.support.auth import NOW, PHONE, add_device, timeline_of, types_of
from tests.support.ceremony import COOL_OFF, IMMEDIATE_BY_TWO, pass_checks

UNLOCK = {"ticket": "SUP-1", "reason": "New phone"}
CALLS = [
    ("GET", "/v1/support/accounts?query=ann"),
    ("GET", "/v1/support/accounts/{account}"),
    ("GET", "/v1/support/accounts/{account}/timeline"),
    ("GET", "/v1/support/reset-policy"),
    ("GET", "/v1/support/accounts/{account}/identity-checks"),
    ("POST", "/v1/support/accounts/{account}/identity-checks"),
    ("POST", "/v1/support/accounts/{account}/identity-checks/idc_1/verify"),
    ("POST", "/v1/support/accounts/{account}/two-factor-resets"),
    ("POST", "/v1/support/accounts/{account}/two-factor-resets/rst_1/approve"),
    ("POST", "/v1/support/accounts/{account}/two-factor-resets/rst_1/cancel"),
    ("GET", "/v1/support/two-factor-resets"),
    ("GET", "/v1/support/two-factor-resets/rst_1"),
    ("POST", "/v1/support/accounts/{account}/unlock"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_support_calls_are_for_support_with_a_second_factor(deps, api, ann, owner, sam, method, path):
    path = path.format(account=ann.id)
    callers = [
        (api(), 401, "not_authenticated"),
        (api(ann), 403, "forbidden"),
        (api(owner), 403, "forbidden"),
        (api(sam, Factor.PASSWORD), 403, "second_factor_required"),
        (api(sam, Factor.PASSWORD, Factor.TRUSTED_DEVICE), 403, "second_factor_required"),
    ]
    for caller, status, code in callers:
        answer = caller.call(method, path, {"bogus": 1} if method == "POST" else None)
        assert (answer.status_code, answer.json["code"]) == (status, code)
    assert types_of(deps, ann) == []


def test_search_finds_by_address_name_and_id(api, ann, owner, sam):
    caller = api(sam)
    for query in ("ANN@", "ann", ann.id):
        assert [item["id"] for item in caller.get(f"/v1/support/accounts?query={query}").json["items"]] == [ann.id]
    assert caller.get("/v1/support/accounts?query=%25%25%25").json["items"] == []


def test_search_pages(api, make_account, sam):
    ids = {make_account(f"m{number}@example.com").id for number in range(5)}
    caller, found, cursor = api(sam), [], ""
    while cursor is not None:
        page = caller.get(f"/v1/support/accounts?query=example.com&limit=2{cursor and f'&cursor={cursor}'}").json
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert len(found) == 5
    assert set(found) == ids


def test_search_is_budgeted_by_operator(api, sam, sue):
    caller = api(sam)
    statuses = [caller.get("/v1/support/accounts?query=ann").status_code for _ in range(121)]
    assert statuses == [200] * 120 + [429]
    assert api(sue).get("/v1/support/accounts?query=ann").status_code == 200


@pytest.mark.parametrize("query", ["", "query=ab", f"query={'a' * 101}", "query=ab%00", "query=ann&bogus=1"])
def test_a_strange_search_is_refused(api, sam, query):
    assert api(sam).get(f"/v1/support/accounts?{query}").status_code == 422


@pytest.mark.parametrize("key", ["acc\x00", "\n"])  # PostgreSQL takes no NUL byte
def test_a_cursor_that_we_did_not_write_is_refused(api, sam, key):
    for path in ("accounts?query=ann", "two-factor-resets?limit=1"):
        answer = api(sam).get(f"/v1/support/{path}&cursor={pages.encode_cursor(key)}")
        assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")


def test_support_sees_how_an_account_is_protected(deps, api, ann, sam, otp, clock):
    otp.locked.add(ann.id)
    otp.reset_needed.add(ann.id)
    otp.throttled[ann.id] = [Throttle("login", NOW + timedelta(minutes=4))]
    otp.recovery_codes[ann.id] = 7
    api(ann)
    add_device(deps, ann)
    add_device(deps, ann, "u", trusted=False)
    answer = api(sam).get(f"/v1/support/accounts/{ann.id}")
    assert answer.status_code == 200
    assert answer.json == {
        "id": ann.id,
        "email": "ann@example.com",
        "name": "Ann",
        "role": "member",
        "created_at": "2026-11-24T05:00:00.000000Z",
        "team": {"id": ann.team_id, "name": "Example Ltd"},
        "phone": {"hint": PHONE.masked(), "verified": True, "calls_only": False},
        "pending_phone_hint": None,
        "enrollment_prompted": False,
        "password_throttled_until": None,
        "held_out": [
            {"what": "codes_everywhere", "until": None, "lifted_by": ["backup_code", "reset"]},
            {"what": "codes_login", "until": "2026-11-24T05:04:00.000000Z", "lifted_by": ["time", "backup_code"]},
        ],
        "two_factor": {
            "enabled": True,
            "locked": True,
            "locked_everywhere": True,
            "reset_needed": True,
            "throttles": [{"purpose": "login", "until": "2026-11-24T05:04:00.000000Z"}],
            "consecutive_failures": 100,
            "authenticators": [{"id": "enr_1", "kind": "TOTP", "label": "phone"}],
            "recovery_codes": {"remaining": 7, "created_at": "2026-11-24T05:00:00.000000Z"},
        },
        "trusted_devices": 1,
        "sessions": 1,
        "open_reset": None,
        "open_unlock": None,
    }
    assert PHONE.e164 not in answer.text


def test_support_sees_until_when_passwords_are_not_looked_at(api, ann, sam, clock):
    stranger = api()
    path, body = "/v1/login", {"email": " ANN@example.com", "password": "not her password", "transport": "bearer"}
    assert [stranger.post(path, body).status_code for _ in range(11)] == [401] * 10 + [429]
    until = api(sam).get(f"/v1/support/accounts/{ann.id}").json["password_throttled_until"]
    assert timedelta(minutes=14) < parse_rfc3339(until) - clock() <= timedelta(minutes=15)


@pytest.mark.parametrize(("path", "what"), [("", "account"), ("/timeline", "timeline")])
def test_who_looks_is_seen(deps, api, ann, sam, path, what):
    api(sam).get(f"/v1/support/accounts/{ann.id}{path}")
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor, row.details) == ("support.viewed", f"operator:{sam.id}", {"what": what})


def test_support_sees_the_whole_timeline_with_operators(deps, api, ann, sam, otp):
    otp.add_attempt(ann.id, NOW, reason="clock_skew", clock_skew_seconds=120)
    items = api(sam).get(f"/v1/support/accounts/{ann.id}/timeline").json["items"]
    assert [(item["source"], item["type"]) for item in items] == [
        ("auth", "support.viewed"),
        ("otp", "second_factor.rejected"),
    ]
    assert items[0]["actor"] == f"operator:{sam.id}"
    assert items[1]["details"]["clock_skew_seconds"] == 120


@pytest.mark.parametrize("path", ["", "/timeline"])
def test_an_unknown_account_is_404(api, sam, path):
    assert api(sam).get(f"/v1/support/accounts/acc_x{path}").status_code == 404


def test_the_policy_is_shown_as_the_table_stands(api, sam):
    policy = api(sam).get("/v1/support/reset-policy").json
    assert [check["id"] for check in policy["checks"]] == list(CHECKS)
    assert all(check["title"] and check["how"] and check["kind"] for check in policy["checks"])
    assert [rule["name"] for rule in policy["rules"]] == [rule.name for rule in RULES]
    assert policy["rules"][6] == {
        "name": "phone_and_billing",
        "when": "any",
        "identity_checks": ["phone_code", "billing_details"],
        "path": "cool_off",
        "approvals": 0,
        "cool_off_seconds": 3600,
    }
    assert policy["rules"][2]["cool_off_seconds"] == 0


# --- lists of resets --------------------------------------------------------------------------------------------------


@pytest.fixture
def resets(deps, api, make_account, sam, otp, clock):
    made = []
    for number, checks in enumerate([IMMEDIATE_BY_TWO, COOL_OFF, IMMEDIATE_BY_TWO]):
        account = make_account(f"m{number}@example.com", phone=PHONE)
        otp.enabled.add(account.id)
        pass_checks(deps, sam, account, checks)
        body = {"ticket": f"T-{number}", "reason": "lost"}
        reset = api(sam).post(f"/v1/support/accounts/{account.id}/two-factor-resets", body).json
        del reset["enrollment_word"]  # shown once
        made.append(reset)
        clock.turn(seconds=number)  # the first two at the same moment
    return made


def test_resets_are_listed_newest_first_page_by_page(api, sam, resets):
    caller, found, cursor = api(sam), [], ""
    while cursor is not None:
        page = caller.get(f"/v1/support/two-factor-resets?limit=1{cursor and f'&cursor={cursor}'}").json
        found += page["items"]
        cursor = page["next_cursor"]
    assert found[0] == resets[2]
    assert sorted(item["id"] for item in found) == sorted(item["id"] for item in resets)


def test_resets_are_listed_by_status(api, sam, resets):
    listed = api(sam).get("/v1/support/two-factor-resets?status=cooling_off").json["items"]
    assert [item["id"] for item in listed] == [resets[1]["id"]]
    assert api(sam).get("/v1/support/two-factor-resets?status=bogus").status_code == 422


def test_a_reset_shows_what_happened_to_it(api, sam, sue, resets):
    reset = resets[0]
    path = f"/v1/support/accounts/{reset['account_id']}/two-factor-resets/{reset['id']}"
    api(sue).post(f"{path}/approve")
    api(sue).get(f"/v1/support/two-factor-resets/{reset['id']}")
    shown = api(sue).get(f"/v1/support/two-factor-resets/{reset['id']}").json
    assert (shown["id"], shown["status"], shown["approved_by"]) == (reset["id"], "approved", sue.id)
    assert [(item["type"], item["actor"]) for item in shown["timeline"]] == [
        ("two_factor.reset_requested", f"operator:{sam.id}"),
        ("two_factor.reset_approved", f"operator:{sue.id}"),
    ]


def test_an_unknown_reset_is_404(api, sam):
    assert api(sam).get("/v1/support/two-factor-resets/rst_x").status_code == 404


def test_who_loses_the_role_loses_the_console(deps, api, sam, ann):
    caller = api(sam)
    with writing(deps.database) as connection:
        accounts.set_role(connection, sam.id, Role.MEMBER)
    assert caller.get(f"/v1/support/accounts/{ann.id}").status_code == 403


def on_accounts(answer):
    """The lines of the trail that concern an account: not the look at the trail itself."""
    return [row for row in answer.json["items"] if row["account_id"] is not None]


def test_the_audit_trail_has_what_operators_did_to_anybody_newest_first(api, sam, sue, ann, tom):
    api(sam).get(f"/v1/support/accounts/{ann.id}")
    api(sue).post(f"/v1/support/accounts/{tom.id}/unlock", UNLOCK)
    items = on_accounts(api(sam).get("/v1/support/audit"))
    assert [(row["account_id"], row["type"], row["actor"]) for row in items] == [
        (tom.id, "second_factor.unlocked", f"operator:{sue.id}"),
        (ann.id, "support.viewed", f"operator:{sam.id}"),
    ]
    assert [(row["account_email"], row["operator_email"]) for row in items] == [
        (tom.email, sue.email),
        (ann.email, sam.email),
    ]


def test_who_works_at_the_command_line_has_no_address_in_the_audit_trail(deps, api, sam, ann):
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.PERSONAL_DATA_ERASED, NOW, actor=timeline.operator("cli"))
    (row,) = on_accounts(api(sam).get("/v1/support/audit"))
    assert (row["actor"], row["operator_email"], row["account_email"]) == ("operator:cli", None, ann.email)


def test_the_audit_trail_can_be_filtered_and_read_page_by_page(api, sam, sue, ann):
    for _ in range(3):
        api(sam).get(f"/v1/support/accounts/{ann.id}")
    api(sue).post(f"/v1/support/accounts/{ann.id}/unlock", UNLOCK)
    by_sue = api(sam).get(f"/v1/support/audit?operator={sue.id}").json["items"]
    assert [row["type"] for row in by_sue] == ["second_factor.unlocked"]
    path = f"/v1/support/audit?type=support.viewed&account={ann.id}&limit=2"
    first = api(sam).get(path).json
    rest = api(sam).get(f"{path}&cursor={first['next_cursor']}").json
    assert len({row["id"] for row in (*first["items"], *rest["items"])}) == 4  # this look at the trail, too
    assert rest["next_cursor"] is None
    for query in ("cursor=bm8", "type=x'y", "limit=0"):
        assert api(sam).get(f"/v1/support/audit?{query}").status_code == 422


@pytest.mark.parametrize("named_by", ["id", "email"])
def test_the_audit_trail_can_be_asked_by_whom_and_of_whom(api, sam, sue, ann, tom, named_by):
    for operator, account in ((sam, ann), (sue, ann), (sue, tom)):
        api(operator).get(f"/v1/support/accounts/{account.id}")
    api(sue).post(f"/v1/support/accounts/{ann.id}/unlock", UNLOCK)

    def trail(**wanted):
        query = {key: value if isinstance(value, str) else getattr(value, named_by) for key, value in wanted.items()}
        items = api(sam).get("/v1/support/audit", query_string=query).json["items"]
        looks = {"what": "audit"}.items()  # the look at the trail itself, which names the account as well
        rows = [row for row in items if not looks <= row["details"].items()]
        return [(row["actor"], row["account_id"], row["type"]) for row in rows]

    by_sam, by_sue = f"operator:{sam.id}", f"operator:{sue.id}"
    unlocked = (by_sue, ann.id, "second_factor.unlocked")
    of_ann = [unlocked, (by_sue, ann.id, "support.viewed"), (by_sam, ann.id, "support.viewed")]
    assert trail(account=ann) == of_ann
    assert trail(account=ann, operator=sue) == of_ann[:2]
    assert trail(account=ann, operator=sue, type="second_factor.unlocked") == [unlocked]
    assert trail(operator=sue) == [unlocked, (by_sue, tom.id, "support.viewed"), (by_sue, ann.id, "support.viewed")]
    assert trail(account=sam) == []


def test_an_address_is_taken_in_any_case_and_nobodys_matches_nothing(api, sam, ann):
    api(sam).get(f"/v1/support/accounts/{ann.id}")
    for wanted, found in ((ann.email.upper(), 2), ("nobody@example.com", 0), ("acc_nobody", 0)):
        answer = api(sam).get("/v1/support/audit", query_string={"account": wanted})
        assert (answer.status_code, len(answer.json["items"])) == (200, found), wanted
    assert api(sam).get("/v1/support/audit", query_string={"account": "x" * 255}).status_code == 422


def test_what_owners_do_themselves_is_not_in_the_audit_trail(api, sam, tom):
    api(tom).delete("/v1/trusted-devices")
    assert on_accounts(api(sam).get("/v1/support/audit")) == []
    assert api(tom).get("/v1/support/audit").status_code == 403
