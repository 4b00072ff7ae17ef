import json
import sys

import pytest
from click.testing import CliRunner

from services.auth import __main__ as cli
from services.auth import session_store
from services.auth.domain.account import Role
from services.auth.store import accounts
from shared.database import opened, reading
from shared.hashing import HashingPool
from tests.support.auth import PASSWORD, fresh, sign_in, timeline_of

CREATE = [
    "accounts",
    "create",
    "--email",
    "ann@example.com",
    "--role",
    "member",
    "--team",
    "Example Ltd",
    "--name",
    "Ann",
]


@pytest.fixture
def run(database, monkeypatch):
    monkeypatch.setenv("AUTH_DATABASE_URL", str(database.url))
    for name in ("REDIS_URL", "STATE_REDIS_URL", "BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    return lambda *args, stdin=None: CliRunner().invoke(cli.main, list(args), input=stdin)


def test_create_prints_one_line_of_json_and_keeps_a_hash(run, database, hashing):
    result = run(*CREATE, stdin=PASSWORD + "\n")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    made = json.loads(line)
    assert made == {"id": made["id"], "email": "ann@example.com", "role": "member", "team": "Example Ltd"}
    with reading(database) as connection:
        account, encoded = accounts.credentials(connection, "ANN@example.com")
    assert account.id == made["id"]
    assert hashing.verify(encoded, PASSWORD)


def test_the_team_is_made_once(run, database):
    run(*CREATE, stdin=PASSWORD + "\n")
    run(*[arg.replace("ann@", "bob@") for arg in CREATE], stdin=PASSWORD + "\n")
    with reading(database) as connection:
        assert len({account.team_id for account, _ in accounts.with_team_names(connection)}) == 1


@pytest.mark.parametrize("password", ["password1234", "kurz", "ann@example.com"])
def test_a_weak_password_is_refused_with_advice(run, database, password):
    result = run(*CREATE, stdin=password + "\n")
    assert result.exit_code == 1
    assert "too weak" in result.stderr
    assert len(result.stderr) > len("Error: the password is too weak. ")
    assert password not in result.output
    with reading(database) as connection:
        assert accounts.with_team_names(connection) == []


def test_a_taken_address_is_refused(run):
    run(*CREATE, stdin=PASSWORD + "\n")
    result = run(*[arg.replace("ann@", "ANN@") for arg in CREATE], stdin=PASSWORD + "\n")
    assert result.exit_code == 1
    assert "already" in result.stderr
    assert "Traceback" not in result.output


def test_an_empty_input_is_wrong_usage(run):
    result = run(*CREATE, stdin="")
    assert result.exit_code == 2
    assert "standard input" in result.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--email", "ann"),
        ("--email", f"{'a' * 250}@example.com"),
        ("--role", "admin"),
        ("--team", " "),
        ("--name", "a\x00b"),
    ],
)
def test_wrong_usage_is_exit_2(run, option, value):
    arguments = CREATE.copy()
    arguments[arguments.index(option) + 1] = value
    assert run(*arguments, stdin=PASSWORD + "\n").exit_code == 2


def test_the_password_is_no_argument(run):
    assert run(*CREATE, "--password", PASSWORD, stdin=PASSWORD + "\n").exit_code == 2


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(run, monkeypatch):
    """click's own hidden prompt; what is checked here is that it is used."""
    asked = {}
    monkeypatch.setattr("services.auth.__main__.sys.stdin", type("Tty", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(
        "services.auth.__main__.click.prompt", lambda text, **options: asked.update(options) or PASSWORD
    )
    assert cli._read_password() == PASSWORD
    assert asked == {"hide_input": True, "confirmation_prompt": True, "err": True}


def test_missing_settings_are_exit_2_and_named(run, monkeypatch):
    monkeypatch.delenv("AUTH_DATABASE_URL")
    for arguments in (["migrate"], ["accounts", "list"], CREATE):
        result = run(*arguments, stdin=PASSWORD + "\n")
        assert result.exit_code == 2
        assert "AUTH_DATABASE_URL is not set" in result.stderr


def test_a_database_without_tables_says_migrate(run, monkeypatch, tmp_path):
    monkeypatch.setenv("AUTH_DATABASE_URL", f"sqlite:///{tmp_path}/empty.sqlite3")
    result = run("accounts", "list")
    assert result.exit_code == 1
    assert "migrate" in result.stderr


def test_migrate_twice(run, monkeypatch, tmp_path):
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    monkeypatch.setenv("AUTH_DATABASE_URL", url)
    assert run("migrate").exit_code == run("migrate").exit_code == 0
    with opened(url) as database, reading(database) as connection:
        assert accounts.with_team_names(connection) == []


def test_list_as_table_and_as_json(run, ann, sam):
    table = run("accounts", "list").stdout.splitlines()
    assert table[0].split() == ["id", "email", "role", "team", "name"]
    assert ann.id in table[1]
    assert json.loads(run("accounts", "list", "--json").stdout)[1] == {
        "id": sam.id,
        "email": "sam@latchkey.example",
        "role": "support",
        "team": "Support",
        "name": "Sam",
    }


@pytest.fixture
def with_redis(run, monkeypatch, redis):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr("services.auth.__main__.connect", lambda _url: redis)


@pytest.mark.parametrize("by", ["id", "email"])
def test_set_role_is_audited_and_ends_sessions(run, with_redis, deps, ann, by):
    sign_in(deps, ann)
    result = run("accounts", "set-role", getattr(ann, by), "support")
    assert result.exit_code == 0, result.output
    assert fresh(deps, ann).role is Role.SUPPORT
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor, row.details) == (
        "role.changed",
        "operator:cli",
        {"before": "member", "after": "support"},
    )
    assert session_store.sessions_of(deps.redis, ann.id) == []


def test_set_role_of_nobody(run, with_redis):
    result = run("accounts", "set-role", "nobody@example.com", "support")
    assert result.exit_code == 1
    assert "nobody@example.com" in result.stderr


def test_set_role_needs_redis_settings_before_it_changes_anything(run, deps, ann):
    result = run("accounts", "set-role", ann.id, "support")
    assert result.exit_code == 2
    assert "REDIS_URL" in result.stderr
    assert fresh(deps, ann).role is Role.MEMBER


def test_set_role_says_when_sessions_live_on(run, with_redis, redis_server, ann):
    redis_server.connected = False
    result = run("accounts", "set-role", ann.id, "owner")
    assert result.exit_code == 1
    assert "run the command again" in result.stderr


def test_the_module_is_runnable():
    assert cli.main.commands.keys() == {"migrate", "accounts", "audit"}
    assert "services.auth.__main__" in sys.modules


def test_the_hash_has_the_parameters_of_the_portal(run, database):
    run(*CREATE, stdin=PASSWORD + "\n")
    with reading(database) as connection:
        encoded = accounts.credentials(connection, "ann@example.com")[1]
    assert not HashingPool(max_waiting=1).needs_rehash(encoded)
