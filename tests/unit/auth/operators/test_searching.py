"""What an operator searches and lists leaves an entry, and is bounded."""

import pytest
from sqlalchemy import event

from services.auth import operators
from tests.support import ceremony
from tests.support.auth import CLIENT
from tests.support.ceremony import IMMEDIATE_BY_TWO
from tests.support.desk import READ, SEARCH, trail
from tests.support.sign_in import problem

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
