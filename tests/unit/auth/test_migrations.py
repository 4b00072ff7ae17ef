"""What a migration makes of rows that are there."""

import pytest
from alembic import command
from sqlalchemy import inspect, text

from shared import migrations
from shared.database import opened, writing

_ACCOUNT = (
    "INSERT INTO accounts (id, team_id, email, email_key, name, role, password_hash, password_changed_at, created_at)"
    " VALUES (:id, 'team_1', :email, :key, 'Ann', 'member', '$argon2id$x', '2026-01-01 00:00:00.000000', :at)"
)
_BEFORE = [
    ("acc_1", "ann@example.com", "ann@example.com"),
    ("acc_2", "Bo@Bücher.example", "bo@bücher.example"),
    ("acc_3", "cy@straße.example", "cy@strasse.example"),
    ("acc_4", "cy@xn--bcher-kva.example", "cy@xn--bcher-kva.example"),
    ("acc_5", "jörg@example.com", "jörg@example.com"),
    ("acc_6", "di@☃.example", "di@☃.example"),
]


@pytest.fixture
def at(tmp_path):
    """Accounts of release 0010, brought to a revision, or there and back: their keys."""

    def run(accounts, *revisions):
        with opened(f"sqlite:///{tmp_path / 'auth.sqlite3'}") as database, writing(database) as connection:
            config = migrations._config("auth", connection)
            command.upgrade(config, "0010")
            connection.execute(text("INSERT INTO teams VALUES ('team_1', 'T', '2026-01-01 00:00:00.000000')"))
            for number, (account_id, email, key) in enumerate(accounts):
                when = f"2026-01-01 00:00:{number:02}.000000"
                connection.execute(text(_ACCOUNT), {"id": account_id, "email": email, "key": key, "at": when})
            for revision in revisions:
                (command.upgrade if revision != "0010" else command.downgrade)(config, revision)
            return dict(map(tuple, connection.execute(text("SELECT id, email_key FROM accounts"))))

    return run


def test_an_address_with_a_domain_in_unicode_is_kept_under_its_a_labels(at):
    before = {account_id: key for account_id, _, key in _BEFORE}
    assert at(_BEFORE, "head") == {**before, "acc_2": "bo@xn--bcher-kva.example", "acc_3": "cy@xn--strae-oqa.example"}


def test_the_way_back_gives_the_keys_of_the_release_before(at):
    assert at(_BEFORE, "head", "0010") == {account_id: key for account_id, _, key in _BEFORE}


def test_of_two_accounts_of_one_address_the_one_that_browsers_reach_keeps_it(at, capsys):
    keys = at(
        [
            ("acc_1", "ann@bücher.example", "ann@bücher.example"),
            ("acc_2", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ],
        "head",
    )
    assert keys == {"acc_1": "ann@bücher.example", "acc_2": "ann@xn--bcher-kva.example"}
    said = capsys.readouterr().out
    assert "two accounts of one address" in said
    assert "acc_1" in said
    assert "acc_2" in said


def test_a_release_without_languages_works_on_with_the_column(tmp_path):
    values = {"id": "acc_1", "email": "a@example.com", "key": "a@example.com", "at": "2026-01-01 00:00:00.000000"}
    with opened(f"sqlite:///{tmp_path / 'auth.sqlite3'}") as database, writing(database) as connection:
        config = migrations._config("auth", connection)
        command.upgrade(config, "head")
        connection.execute(text("INSERT INTO teams VALUES ('team_1', 'T', '2026-01-01 00:00:00.000000')"))
        connection.execute(text(_ACCOUNT), values)
        assert connection.execute(text("SELECT language FROM accounts")).scalar_one() is None
        command.downgrade(config, "0012")
        assert "language" not in {column["name"] for column in inspect(connection).get_columns("accounts")}
        assert connection.execute(text("SELECT id FROM accounts")).scalar_one() == "acc_1"
