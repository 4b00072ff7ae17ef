"""A password in another Unicode form is the same password (RFC 8265, OpaqueString)."""

import itertools
import unicodedata
from dataclasses import replace

import pytest
from sqlalchemy import update

from deploy.portal import wait_for
from services.auth import journaled, password_form
from services.auth.domain.account import StoredPassword
from services.auth.models import accounts as table
from services.auth.password_strength import assess
from services.auth.store import accounts
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from tests.support.auth import settings
from tests.support.sign_in import log_in, problem

COMPOSED, DECOMPOSED = "fünf nasse Ötter jonglieren", unicodedata.normalize("NFD", "fünf nasse Ötter jonglieren")
FORMS = {
    "Latin": (COMPOSED, DECOMPOSED),
    "Hangul": ("젖은 수달 일곱 마리가 저글링", unicodedata.normalize("NFD", "젖은 수달 일곱 마리가 저글링")),
    "spaces": ("seven wet otters juggle", "seven\u00a0wet\u3000otters\u2009juggle"),
}
BOTH_WAYS = [pair for forms in FORMS.values() for pair in itertools.permutations(forms)]
REFUSED = "seven wet otters\tjuggle"


@pytest.fixture
def made(make_account, hashing):
    """Make an account as this release does, with this password."""
    return lambda typed: make_account("ann@example.com", password_hash=hashing.hash(password_form.prepare(typed)))


@pytest.fixture
def made_before(deps, make_account, hashing):
    """Make an account as the release before does: the hash of what was typed, and nothing about its form."""

    def make(typed):
        account = make_account("ann@example.com", password_hash="$argon2id$v=19$m=19456,t=2,p=1$no$password")
        of_the_release_before(deps, account, hashing.hash(typed))
        return account

    return make


def of_the_release_before(deps, account, encoded):
    """The UPDATE of a gateway that does not know the column."""
    with writing(deps.database) as connection:
        connection.execute(update(table).where(table.c.id == account.id).values(password_hash=encoded))


def stored(deps, account):
    with reading(deps.database) as connection:
        return accounts.password(connection, account.id)


def signs_in(client, account, password):
    return log_in(client, account, password).status_code == 200


@pytest.mark.parametrize(("at_making", "at_login"), BOTH_WAYS)
def test_every_form_is_the_same_password_at_login(stranger, made, at_making, at_login):
    assert at_making != at_login
    assert signs_in(stranger, made(at_making), at_login)


@pytest.mark.parametrize(("at_making", "later"), BOTH_WAYS)
def test_every_form_is_the_same_password_at_reauthentication(api, made, at_making, later):
    client = api(made(at_making))
    assert client.post("/v1/reauthenticate", {"password": later}).status_code == 200


@pytest.mark.parametrize(("at_making", "later"), BOTH_WAYS)
def test_every_form_is_the_same_password_at_a_change(api, stranger, made, at_making, later):
    account = made(at_making)
    client = api(account)
    body = {"current_password": later, "new_password": "neun trockene Dächse s\u0308ummen"}
    assert client.post("/v1/password", body).status_code == 200
    assert signs_in(stranger, account, unicodedata.normalize("NFD", body["new_password"]))


def test_other_letters_are_another_password(stranger, made):
    account = made("seven wet otters juggle")
    for other in ("Seven wet otters juggle", "seven wet otters juggle ", "ｓeven wet otters juggle"):
        assert problem(log_in(stranger, account, other)) == (401, "invalid_credentials")


def test_a_hash_of_the_release_before_matches_the_form_that_it_was_made_of(stranger, made_before):
    account = made_before(DECOMPOSED)
    assert problem(log_in(stranger, account, COMPOSED)) == (401, "invalid_credentials")
    assert signs_in(stranger, account, DECOMPOSED)


def test_the_next_login_renews_it_and_every_form_matches_from_then_on(deps, stranger, made_before):
    account = made_before(DECOMPOSED)
    before = stored(deps, account)
    assert not before.is_prepared
    assert signs_in(stranger, account, DECOMPOSED)
    after = wait_for(lambda: stored(deps, account) != before and stored(deps, account))
    assert after.is_prepared
    assert after.encoded != before.encoded
    assert signs_in(stranger, account, COMPOSED)
    assert signs_in(stranger, account, DECOMPOSED)


def test_a_password_that_is_its_own_prepared_form_keeps_its_hash(deps, stranger, made_before):
    account = made_before("seven wet otters juggle")
    before = stored(deps, account)
    assert signs_in(stranger, account, "seven wet otters juggle")
    assert stored(deps, account) == StoredPassword(before.encoded, is_prepared=True)
    assert signs_in(stranger, account, "seven\u00a0wet otters juggle")


def test_a_gateway_of_the_release_before_leaves_no_hash_that_counts_as_prepared(deps, stranger, made, hashing):
    account = made(COMPOSED)
    of_the_release_before(deps, account, hashing.hash(DECOMPOSED))
    assert not stored(deps, account).is_prepared
    assert signs_in(stranger, account, DECOMPOSED)


@pytest.fixture
def beside_the_release_before(app, deps):
    app.extensions["latchkey"] = replace(deps, settings=settings(PASSWORD_FORM="typed"))


def test_during_a_rolling_upgrade_a_renewal_keeps_what_the_release_before_can_compare(
    deps, stranger, made_before, beside_the_release_before
):
    account = made_before(DECOMPOSED)
    before = stored(deps, account)
    assert signs_in(stranger, account, DECOMPOSED)
    assert wait_for(lambda: deps.hashing.hash_later("x", lambda _: None))
    assert stored(deps, account) == before


def test_during_a_rolling_upgrade_a_change_keeps_what_the_release_before_can_compare(
    deps, api, stranger, made, beside_the_release_before
):
    account = made("seven wet otters juggle")
    body = {"current_password": "seven\u00a0wet otters juggle", "new_password": DECOMPOSED}
    assert api(account).post("/v1/password", body).status_code == 200
    assert not stored(deps, account).is_prepared
    assert deps.hashing.verify(stored(deps, account).encoded, DECOMPOSED)
    assert signs_in(stranger, account, DECOMPOSED)


def test_a_password_that_is_refused_today_still_signs_in_and_keeps_its_form(deps, stranger, made_before):
    account = made_before(REFUSED)
    assert signs_in(stranger, account, REFUSED)
    assert not stored(deps, account).is_prepared
    assert signs_in(stranger, account, REFUSED)


@pytest.mark.parametrize(
    "password",
    [
        REFUSED,
        "seven wet otters \x7f",
        "seven wet otters ❤\ufe0f",
        "seven wet \u200b otters",
        "seven wet \U000e0fff otters",
    ],
)
def test_a_refused_password_is_no_match_and_costs_its_one_hash(stranger, made, watched, password):
    account = made("seven wet otters juggle")
    assert problem(log_in(stranger, account, password)) == (401, "invalid_credentials")
    assert len(watched.compared) == 1


@pytest.mark.parametrize("password", [REFUSED, "seven wet otters ❤\ufe0f"])
def test_a_refused_password_cannot_be_set_and_the_answer_says_why(api, made, password):
    client = api(made("seven wet otters juggle"))
    body = {"current_password": "seven wet otters juggle", "new_password": password}
    answer = client.post("/v1/password", body)
    assert problem(answer) == (422, "password_too_weak")
    assert "control characters and invisible characters" in answer.json["detail"]
    rated = client.post("/v1/password/strength", {"new_password": password})
    assert not rated.json["acceptable"]
    assert "invisible" in rated.json["warning"]


def test_one_hash_a_try_in_each_form(deps, stranger, made, hashing, watched):
    account = made(COMPOSED)
    for password in (COMPOSED, DECOMPOSED, "not it at all"):
        watched.compared.clear()
        log_in(stranger, account, password)
        assert len(watched.compared) == 1
    of_the_release_before(deps, account, hashing.hash(DECOMPOSED))
    watched.compared.clear()
    log_in(stranger, account, COMPOSED)
    assert len(watched.compared) == 1


def test_the_characters_of_the_prepared_form_count():
    words = "수달은 젖은 채로 저글링한다 "  # syllables of two and three letters
    longest = (words * 9)[:128]
    assert len(unicodedata.normalize("NFD", longest)) > 128
    assert assess(unicodedata.normalize("NFD", longest), []).acceptable
    assert "at most 128" in assess(unicodedata.normalize("NFD", longest + "x"), []).warning
    short = unicodedata.normalize("NFD", "젖은수달일곱마리")
    assert len(short) > 12
    assert "at least 12" in assess(short, []).warning


def test_the_longest_password_signs_in_in_its_longest_form(stranger, made):
    password = "".join(chr(0xAC01 + 28 * number) for number in range(128))
    assert signs_in(stranger, made(password), unicodedata.normalize("NFD", password))


def test_a_password_that_is_too_long_is_not_prepared():
    assert password_form.prepare("٠" * 129) is None
    assert password_form.prepare("٠" * 128) == "٠" * 128
    assert password_form.prepare("") is None


def test_a_journal_of_the_release_before_puts_its_hash_back_as_a_typed_one(deps, made, hashing):
    account = made(COMPOSED)
    encoded = hashing.hash(DECOMPOSED)
    with writing(deps.database) as connection:
        state = journaled._state(connection, account.id, Entry.PASSWORD_CHANGED)
        row = {**state["account"], "password_hash": encoded}
        del row["password_form"]
        journaled._put(connection, {**state, "account": row})
    assert stored(deps, account) == StoredPassword(encoded, is_prepared=False)
