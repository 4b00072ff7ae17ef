"""Operators' command line: ``python -m services.auth migrate``, ``accounts …`` and ``audit …`` (audit_commands.py).

Exit codes: 0 done, 1 refused (the reason is on stderr), 2 wrong usage or settings.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import click
from marshmallow import ValidationError, validate
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine

from services.auth import consequences, enrollment_words, journaled, notices, password_form, password_strength
from services.auth.audit_commands import audit_group
from services.auth.console import faults
from services.auth.deps import WorkerDeps
from services.auth.domain.account import Account, Role
from services.auth.domain.consequences import Change
from services.auth.domain.notice_texts import Kind
from services.auth.models import BOX
from services.auth.otp_client import OtpClient
from services.auth.reset_commands import reset_two_factor
from services.auth.restore_commands import after_restore_command, journal_group, list_restores
from services.auth.settings import AccountSettings, AuthSettings, database_url_from_env
from services.auth.store import accounts, timeline
from services.auth.store.timeline import Entry
from shared import migrations, outbox
from shared.clock import system_clock
from shared.database import opened, reading, writing
from shared.email_address import why_not_mailable, with_ascii_domain
from shared.hashing import HashingPool
from shared.keys import KeyList
from shared.messages import AUTH
from shared.names import is_name
from shared.problems import Unavailable
from shared.redis_client import connect
from shared.settings import Environment
from shared.signing import Signer

_ROLES = click.Choice([role.value for role in Role])
_NAME_MAX = 200
_COLUMNS = ("id", "email", "role", "team", "name")


@click.group()
def main() -> None:
    """Accounts, tables and audit of the gateway. Settings come from the environment; see services/auth/README.md."""


@main.command()
def migrate() -> None:
    """Bring the database up to date; a second run changes nothing."""
    with faults():
        migrations.upgrade("auth", database_url_from_env())


@main.command("sign-outbox")
@click.option("--again", "minutes", default=60, show_default=True, help="Of what was published, these last minutes.")
def sign_outbox(*, minutes: int) -> None:
    """Sign what an earlier release left unsigned in the outbox, or a dropped key has signed; the relay publishes it."""
    with faults(), _database() as database:
        env = Environment()
        keys = env.keys("AUTH_SIGNING_KEYS")
        env.done()
        since = system_clock() - timedelta(minutes=minutes)
        with writing(database) as connection:
            count = outbox.sign_anew(connection, BOX, Signer(AUTH, keys), since)
    click.echo(f"{count} messages were signed and are published")


main.add_command(audit_group)
main.add_command(after_restore_command)
main.add_command(list_restores)
main.add_command(journal_group)


@main.group("accounts")
def accounts_group() -> None:
    """Make, list and change accounts."""


accounts_group.add_command(reset_two_factor)


def _email(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    address = value.strip()
    if reason := why_not_mailable(address):
        raise click.BadParameter(reason)
    try:
        validate.Email()(with_ascii_domain(address))
    except ValidationError:
        raise click.BadParameter("not an email address") from None
    return address


def _text(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not is_name(value, _NAME_MAX):
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
        encoded = _hash_of_new_password([email, name, team])
        digest_keys = _digest_keys() if role == Role.SUPPORT else None
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
            made = {"id": account.id, "email": account.email, "role": account.role, "team": team}
            if digest_keys is not None:
                made["enrollment_word"] = _issue_word(connection, digest_keys, account, now)
    click.echo(json.dumps(made))


@accounts_group.command("enrollment-word")
@click.argument("account", metavar="ACCOUNT_ID_OR_EMAIL")
def enrollment_word(account: str) -> None:
    """Print a one-time word that lets an account without 2FA turn it on; the word before it is void.

    Operators always need one, owners only after a reset. Read it to the person whose identity you have checked. While
    a reset is under way, its own word stays, and replaces this one when the reset is applied.
    """
    with faults(), _database() as database:
        digest_keys = _digest_keys()
        with writing(database) as connection:
            found = _found(connection, account)
            word = _issue_word(connection, digest_keys, found, system_clock())
    click.echo(json.dumps({"id": found.id, "email": found.email, "enrollment_word": word}))


def _issue_word(connection: Connection, digest_keys: KeyList, account: Account, now: datetime) -> str:
    word_id, word = enrollment_words.issue(connection, digest_keys, account.id, now, usable_at_once=True)
    actor = timeline.operator("cli")
    timeline.write(connection, account.id, Entry.ENROLLMENT_WORD_ISSUED, now, actor=actor, word_id=word_id)
    return word


def _digest_keys() -> KeyList:
    env = Environment()
    keys = env.keys("AUTH_DIGEST_KEYS")
    env.done()
    return keys


def _found(connection: Connection, id_or_email: str) -> Account:
    account = accounts.by_id(connection, id_or_email) or accounts.by_email(connection, id_or_email)
    if account is None:
        raise click.ClickException(f"there is no account {id_or_email!r}")
    return account


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
    """Give an account another role. All that it has open ends: it was made for the old role. The owner is told.

    The console stays closed to a new operator until they have turned 2FA on with a one-time word. `reset-two-factor`
    removes the 2FA that they have, and prints the word. A demotion ends that duty.
    """
    with faults(), _database() as database:
        deps, otp = _deps_and_otp(database)
        with reading(database) as connection:
            found = _found(connection, account)
        with _outages_reported(found):
            before = give_role(deps, otp, found, Role(role))
    if before.role == role:
        click.echo(f"{found.email} is {role} already; the role is unchanged, its sessions have ended")
        return
    click.echo(f"{found.email}: {before.role} -> {role}; its sessions have ended")
    if before.is_promoted_by(Role(role)):
        click.echo(
            "The console stays closed to them until they turn two-factor authentication on with a one-time word.\n"
            f"To remove theirs and print the word: accounts reset-two-factor {found.email} --ticket ... --reason ..."
        )


def give_role(deps: WorkerDeps, otp: OtpClient, account: Account, role: Role) -> Account:
    """Set the role, end what the account has open, tell its owner, and return the account as it was before.

    A role that the account has already is not recorded or told again. What is open ends again, because an earlier run
    may have failed before it ended everything. Raises RedisError, Unavailable.
    """
    with consequences.changing(deps, Change.ROLE_SET, account.id, otp=otp) as changing:
        connection, now = changing.connection, changing.now
        before = accounts.by_id(connection, account.id) or account  # another command may have changed the role
        if before.role is role:
            return before
        accounts.set_role(connection, account.id, role)
        facts = {"before": before.role, "after": role, **enrollment_words.follow_role(connection, before, role)}
        timeline.write(connection, account.id, Entry.ROLE_CHANGED, now, actor=timeline.operator("cli"), **facts)
        notices.tell(connection, deps, account, Kind.ROLE_CHANGED, now, role=role)
    return before


@accounts_group.command("set-password")
@click.argument("account", metavar="ACCOUNT_ID_OR_EMAIL")
def set_password(account: str) -> None:
    """Give an account a new password, read as `create` reads it. All that it has open ends. The owner is told.

    For an account whose password `after-restore --passwords void` has made void, once its owner is identified.
    """
    with faults(), _database() as database:
        deps, otp = _deps_and_otp(database)
        with reading(database) as connection:
            found = _found(connection, account)
        encoded = _hash_of_new_password([found.email, found.name])
        with _outages_reported(found):
            give_password(deps, otp, found, encoded)
    click.echo(f"{found.email}: the password is changed; its sessions have ended")


def give_password(deps: WorkerDeps, otp: OtpClient, account: Account, encoded: str) -> None:
    """Set the password's hash, end what the account has open, and tell its owner. Raises RedisError, Unavailable."""
    with consequences.changing(deps, Change.PASSWORD_SET_BY_MAIL, account.id, otp=otp) as changing:
        connection, now = changing.connection, changing.now
        accounts.set_password_hash(connection, account.id, encoded, now)
        timeline.write(connection, account.id, Entry.PASSWORD_CHANGED, now, actor=timeline.operator("cli"))
        notices.tell(connection, deps, account, Kind.PASSWORD_CHANGED, now, ip="-", browser="support")


def _hash_of_new_password(about: list[str]) -> str:
    password = _read_password()
    strength = password_strength.assess(password, about)
    if not strength.acceptable:
        raise click.ClickException(f"the password is too weak. {strength.advice}".rstrip())
    return HashingPool(max_waiting=1, threads=1, patience_seconds=60).hash(password_form.must_prepare(password))


def _deps_and_otp(database: Engine) -> tuple[WorkerDeps, OtpClient]:
    settings = AuthSettings.from_env()
    signer = Signer(AUTH, settings.signing_keys)
    deps = WorkerDeps(settings, database, connect(settings.stores.state_url), system_clock, signer)
    return deps, OtpClient(settings.otp_url, settings.otp_api_key)


@contextmanager
def _outages_reported(account: Account) -> Iterator[None]:
    """Tell the operator to run the command again when Redis or otp does not answer in the block."""
    try:
        yield
    except (RedisError, Unavailable) as error:
        part = error.reason if isinstance(error, Unavailable) else "Redis"
        raise click.ClickException(
            f"{part} does not answer ({type(error).__name__}). {account.email} may be unchanged, and its sessions may"
            " live on: run the command again until it succeeds"
        ) from error


def _read_password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("no password: give it as one line on standard input")
    return line


@contextmanager
def _database() -> Iterator[Engine]:
    settings = AccountSettings.from_env()
    with opened(settings.database_url) as database:
        journaled.keep(database, settings.journal, system_clock)
        yield database


if __name__ == "__main__":
    main()
