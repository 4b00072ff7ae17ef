"""Operators' command line: ``python -m services.auth migrate``, ``accounts …`` and ``audit …`` (audit_commands.py).

Exit codes: 0 done, 1 refused (the reason is on stderr), 2 wrong usage or settings.
"""

import json
import sys
from contextlib import AbstractContextManager

import click
from marshmallow import ValidationError, validate
from redis.exceptions import RedisError
from sqlalchemy import Engine

from services.auth import password_strength, session_store
from services.auth.audit_commands import audit_group
from services.auth.console import faults
from services.auth.domain.account import Account, Role
from services.auth.settings import database_url_from_env
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import migrations
from shared.clock import system_clock
from shared.database import opened, reading, writing
from shared.hashing import HashingPool
from shared.redis_client import connect
from shared.settings import Environment, StoreSettings

_ROLES = click.Choice([role.value for role in Role])
_EMAIL_MAX, _NAME_MAX = 254, 200
_COLUMNS = ("id", "email", "role", "team", "name")


@click.group()
def main() -> None:
    """Accounts, tables and audit of the gateway. Settings come from the environment; see services/auth/README.md."""


@main.command()
def migrate() -> None:
    """Bring the database up to date; a second run changes nothing."""
    with faults():
        migrations.upgrade("auth", database_url_from_env())


main.add_command(audit_group)


@main.group("accounts")
def accounts_group() -> None:
    """Make, list and change accounts."""


def _email(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        validate.Length(max=_EMAIL_MAX)(value)
        return validate.Email()(value.strip())
    except ValidationError:
        raise click.BadParameter("not an email address") from None


def _text(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value.strip() or len(value) > _NAME_MAX or not value.isprintable():
        raise click.BadParameter(f"{parameter.name} must be 1 to {_NAME_MAX} printable characters")
    return value.strip()


@accounts_group.command("create")
@click.option("--email", required=True, callback=_email)
@click.option("--role", required=True, type=_ROLES)
@click.option("--team", required=True, callback=_text, help="The team's name; made if it is new.")
@click.option("--name", required=True, callback=_text, help="The person's name.")
def create(email: str, role: str, team: str, name: str) -> None:
    """Make an account. The password is asked for, or read as one line from standard input."""
    with faults(), _database() as database:
        password = _read_password()
        strength = password_strength.assess(password, [email, name, team])
        if not strength.acceptable:
            raise click.ClickException(f"the password is too weak. {strength.advice}".rstrip())
        encoded = HashingPool(max_waiting=1, threads=1, patience_seconds=60).hash(password)
        now = system_clock()
        with writing(database) as connection:
            account = accounts.add(
                connection,
                team_id=accounts.team_named(connection, team, now),
                email=email,
                name=name,
                role=Role(role),
                password_hash=encoded,
                now=now,
            )
    click.echo(json.dumps({"id": account.id, "email": account.email, "role": account.role, "team": team}))


@accounts_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array in place of the table.")
def list_accounts(*, as_json: bool) -> None:
    """Show every account."""
    with faults(), _database() as database, reading(database) as connection:
        rows = [
            {"id": account.id, "email": account.email, "role": account.role, "team": team, "name": account.name}
            for account, team in accounts.with_team_names(connection)
        ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    widths = {column: max([len(column), *(len(row[column]) for row in rows)]) for column in _COLUMNS}
    for row in [{column: column for column in _COLUMNS}, *rows]:
        click.echo("  ".join(row[column].ljust(widths[column]) for column in _COLUMNS).rstrip())


@accounts_group.command("set-role")
@click.argument("account", metavar="ACCOUNT_ID_OR_EMAIL")
@click.argument("role", type=_ROLES)
def set_role(account: str, role: str) -> None:
    """Give an account another role. Its sessions end: what they show and sign was made for the old role."""
    with faults(), _database() as database:
        env = Environment()
        stores = StoreSettings.read(env)
        env.done()
        with writing(database) as connection:
            found = accounts.by_id(connection, account) or accounts.by_email(connection, account)
            if found is None:
                raise click.ClickException(f"there is no account {account!r}")
            accounts.set_role(connection, found.id, Role(role))
            timeline.write(
                connection,
                found.id,
                Entry.ROLE_CHANGED,
                system_clock(),
                actor=timeline.operator("cli"),
                before=found.role,
                after=role,
            )
        _end_sessions(stores, found)
    click.echo(f"{found.email}: {found.role} -> {role}; its sessions have ended")


def _end_sessions(stores: StoreSettings, account: Account) -> None:
    try:
        session_store.end_all(connect(stores.state_url), account.id)
    except RedisError as error:
        raise click.ClickException(
            f"the role is changed, but Redis does not answer ({type(error).__name__}), so sessions of {account.email}"
            " live on: run the command again"
        ) from error


def _read_password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("no password: give it as one line on standard input")
    return line


def _database() -> AbstractContextManager[Engine]:
    return opened(database_url_from_env())


if __name__ == "__main__":
    main()
