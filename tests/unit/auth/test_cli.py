import json
import sys

import pytest
from click.testing import CliRunner
from sqlalchemy import insert

from services.auth import __main__ as cli
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from services.auth.models import BOX
from services.auth.store import accounts
from shared import outbox
from shared.database import opened, reading, writing
from shared.hashing import HashingPool
from shared.messages import OTP_EVENTS, TwoFactorResetApproved, compact, encode
from shared.signed_messages import Gate
from tests.support.auth import (
    ENVIRONMENT,
    NOW,
    PASSWORD,
    timeline_of,
)
from tests.support.names import NAMES
from tests.support.signing import VERIFIER

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
        account, stored = accounts.credentials(connection, "ANN@example.com")
    assert account.id == made["id"]
    assert hashing.verify(stored.encoded, PASSWORD)


@pytest.fixture
def with_digest_keys(run, monkeypatch):
    monkeypatch.setenv("AUTH_DIGEST_KEYS", ENVIRONMENT["AUTH_DIGEST_KEYS"])


def test_a_new_operator_gets_a_word_that_enrols(run, with_digest_keys, deps, api):
    made = json.loads(run(*[arg.replace("member", "support") for arg in CREATE], stdin=PASSWORD + "\n").stdout)
    with reading(deps.database) as connection:
        operator = accounts.by_id(connection, made["id"])
    body = {"word": made["enrollment_word"]}
    assert api(operator, Factor.PASSWORD).post("/v1/two-factor/enrollment", body).status_code == 201


@pytest.mark.parametrize("by", ["id", "email"])
def test_a_new_word_is_issued_by_command_and_recorded(run, with_digest_keys, deps, api, make_account, by):
    olga = make_account("olga@latchkey.example", role=Role.SUPPORT)
    issued = json.loads(run("accounts", "enrollment-word", getattr(olga, by)).stdout)
    assert (issued["id"], issued["email"]) == (olga.id, olga.email)
    (row,) = timeline_of(deps, olga)
    assert (row.type, row.actor) == ("enrollment_word.issued", "operator:cli")
    assert issued["enrollment_word"] not in str(row)
    body = {"word": issued["enrollment_word"]}
    assert api(olga, Factor.PASSWORD).post("/v1/two-factor/enrollment", body).status_code == 201


def test_a_word_for_nobody_is_refused(run, with_digest_keys):
    result = run("accounts", "enrollment-word", "nobody@example.com")
    assert result.exit_code == 1
    assert "nobody@example.com" in result.stderr


def test_a_word_takes_the_digest_keys(run, monkeypatch, sam):
    monkeypatch.delenv("AUTH_DIGEST_KEYS", raising=False)
    result = run("accounts", "enrollment-word", sam.email)
    assert result.exit_code == 2
    assert "AUTH_DIGEST_KEYS" in result.stderr


def test_the_team_is_made_once(run, database):
    run(*CREATE, stdin=PASSWORD + "\n")
    run(*[arg.replace("ann@", "bob@") for arg in CREATE], stdin=PASSWORD + "\n")
    with reading(database) as connection:
        assert len({account.team_id for account, _ in accounts.with_team_names(connection)}) == 1


def test_an_account_is_made_with_the_prepared_form_of_its_password(run, database, hashing):
    run(*CREATE, stdin="sieben nasse O\u0308tter jonglieren\n")
    with reading(database) as connection:
        _, stored = accounts.credentials(connection, "ann@example.com")
    assert stored.is_prepared
    assert hashing.verify(stored.encoded, "sieben nasse Ötter jonglieren")


def test_a_password_with_a_control_character_is_refused_with_the_reason(run):
    result = run(*CREATE, stdin="seven wet otters\tjuggle\n")
    assert result.exit_code == 1
    assert "control characters" in result.stderr


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


def test_an_address_is_taken_in_every_spelling_of_its_domain(run):
    for spelling, exit_code in (("bücher", 0), ("xn--bcher-kva", 1), ("BÜCHER", 1)):
        arguments = [arg.replace("@example.com", f"@{spelling}.example") for arg in CREATE]
        assert run(*arguments, stdin=PASSWORD + "\n").exit_code == exit_code


def test_an_address_that_no_mail_reaches_is_refused_with_the_reason(run):
    result = run(*[arg.replace("ann@", "jörg@") for arg in CREATE], stdin=PASSWORD + "\n")
    assert result.exit_code == 2
    assert "ASCII characters" in " ".join(result.stderr.split())


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
        ("--name", "Ann\u202elive"),
        ("--name", "Ann\nBob"),
        ("--team", "Acme\u2028Ltd"),
        ("--team", "\u00a0\u200d"),
    ],
)
def test_wrong_usage_is_exit_2(run, option, value):
    arguments = CREATE.copy()
    arguments[arguments.index(option) + 1] = value
    assert run(*arguments, stdin=PASSWORD + "\n").exit_code == 2


@pytest.mark.parametrize("option", ["--name", "--team"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_may_have_joiners_and_blanks_that_do_not_break(run, database, option, name):
    arguments = CREATE.copy()
    arguments[arguments.index(option) + 1] = name
    assert run(*arguments, stdin=PASSWORD + "\n").exit_code == 0
    (row,) = json.loads(run("accounts", "list", "--json").stdout)
    assert row[option.removeprefix("--")] == name


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


def test_the_module_is_runnable():
    restoring = {"after-restore", "restores", "journal"}
    assert cli.main.commands.keys() == {"migrate", "accounts", "audit", "sign-outbox", *restoring}
    assert "services.auth.__main__" in sys.modules


def test_the_hash_has_the_parameters_of_the_portal(run, database):
    run(*CREATE, stdin=PASSWORD + "\n")
    with reading(database) as connection:
        encoded = accounts.credentials(connection, "ann@example.com")[1].encoded
    assert not HashingPool(max_waiting=1).needs_rehash(encoded)


def test_what_an_earlier_release_recorded_unsigned_is_signed_by_a_command(run, deps, monkeypatch):
    message = TwoFactorResetApproved(id="msg_1", occurred_at=NOW, account_id="acc_1", reset_id="rst_1")
    with writing(deps.database) as connection:
        row = {"queue": OTP_EVENTS, "document": compact(encode(message)), "recorded_at": NOW}
        connection.execute(insert(BOX.outbox), row)
    result = run("sign-outbox")
    assert result.exit_code == 2
    assert "AUTH_SIGNING_KEYS" in result.output
    monkeypatch.setenv("LATCHKEY_ENV", "development")
    monkeypatch.setenv("AUTH_SIGNING_KEYS", ENVIRONMENT["AUTH_SIGNING_KEYS"])
    assert [run("sign-outbox").output for _ in range(2)] == [
        "1 messages were signed and are published\n",
        "0 messages were signed and are published\n",
    ]
    with reading(deps.database) as connection:
        [row] = outbox.pending(connection, BOX, NOW, 10)
    assert Gate(OTP_EVENTS, VERIFIER, lambda: NOW).open(row.document) == message


def test_a_reset_from_the_command_line_needs_the_gateways_settings(run):
    result = run("accounts", "reset-two-factor", "sue@latchkey.example", "--ticket", "T-1", "--reason", "lost")
    assert result.exit_code == 2
    assert "OTP_URL" in result.output


@pytest.mark.parametrize(("option", "value"), [("--ticket", " "), ("--reason", ""), ("--ticket", "T" * 101)])
def test_a_reset_from_the_command_line_takes_a_ticket_and_a_reason(run, option, value):
    said = {"--ticket": "T-1", "--reason": "lost", option: value}
    result = run(
        "accounts", "reset-two-factor", "sue@latchkey.example", *(text for pair in said.items() for text in pair)
    )
    assert result.exit_code == 2
    assert f"{option.removeprefix('--')} must be 1 to" in result.stderr
