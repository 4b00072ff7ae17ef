"""A domain in Unicode and in A-labels is one domain: one account and one budget, wherever an address comes in."""

import pytest

from services.auth import journaled, limits
from services.auth.store import accounts
from services.auth.store.accounts import EmailTaken
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from tests.support.auth import PASSWORD
from tests.support.desk import trail
from tests.support.sign_in import problem

SPELLINGS = ("ann@bücher.example", "ann@xn--bcher-kva.example", "ANN@BÜCHER.example")


def log_in(client, email, password=PASSWORD):
    return client.post("/v1/login", {"email": email, "password": password})


@pytest.fixture(params=SPELLINGS)
def account(request, make_account, password_hash):
    """An account that was made with this spelling."""
    return make_account(request.param, password_hash=password_hash)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_each_spelling_signs_in(stranger, account, spelling):
    assert log_in(stranger, spelling).json["session"]["account"]["id"] == account.id


def test_the_spellings_are_one_account(make_account, account):
    for spelling in SPELLINGS:
        with pytest.raises(EmailTaken):
            make_account(spelling)


def test_the_spellings_have_one_budget(stranger, account):
    tries = limits.LOGIN_EMAIL.windows[0].max
    answers = [log_in(stranger, SPELLINGS[number % 3], "not it at all") for number in range(tries + 1)]
    assert [answer.status_code for answer in answers] == [401] * tries + [429]


def test_an_unknown_address_has_one_budget_too(stranger):
    tries = limits.LOGIN_EMAIL.windows[0].max
    answers = [log_in(stranger, SPELLINGS[number % 3]) for number in range(tries + 1)]
    assert problem(answers[-1]) == (429, "too_many_requests")


@pytest.mark.parametrize("query", [*SPELLINGS, "bücher.example", "xn--bcher-kva", "@Bücher.example"])
def test_support_finds_each_spelling(api, sam, account, query):
    found = api(sam).get("/v1/support/accounts", query_string={"query": query}).json["items"]
    assert [item["id"] for item in found] == [account.id]


def test_a_part_of_a_domain_is_found_in_the_spelling_of_the_account(api, sam, make_account):
    account = make_account("ann@bücher.example")
    found = api(sam).get("/v1/support/accounts", query_string={"query": "büch"}).json["items"]
    assert [item["id"] for item in found] == [account.id]


def test_a_search_leaves_one_digest_for_each_spelling(api, deps, sam):
    for query in SPELLINGS:
        api(sam).get("/v1/support/accounts", query_string={"query": query})
    digests = [details["query"] for _, _, details in trail(deps, sam)]
    assert len(digests) == 3
    assert len(set(digests)) == 1


def test_a_journal_of_the_release_before_puts_an_account_back_under_the_key_of_this_one(deps, account):
    with writing(deps.database) as connection:
        state = journaled._state(connection, account.id, Entry.PASSWORD_CHANGED)
        row = {**state["account"], "email_key": "ann@bücher.example"}
        journaled._put(connection, {**state, "account": row})
    with reading(deps.database) as connection:
        assert accounts.by_email(connection, SPELLINGS[1]).id == account.id
