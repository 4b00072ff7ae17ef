"""The command line of otp: ``python -m services.otp --help``."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

import click
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.otp import authenticators, journaled
from services.otp.domain.totp import RECOMMENDED_SECRET_BITS
from services.otp.key_uri import decode_secret
from services.otp.models import outbox as outbox_tables
from services.otp.restore_commands import after_restore_command, journal_group
from services.otp.rewrapping import Place, census, left_behind, rewrap
from services.otp.secrets_box import SecretBox
from shared import migrations, outbox
from shared.clock import system_clock
from shared.database import opened, writing
from shared.journaling import from_environment
from shared.messages import OTP
from shared.names import is_name
from shared.problems import Refusal
from shared.secret import Secret
from shared.settings import Environment, SettingsError
from shared.signing import Signer

SETTINGS_FAULT = 2
_ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")  # what a path of the HTTP API can name
_LABEL_MAX = 128  # as the column and the HTTP API have it


@click.group()
def main() -> None:
    """Latchkey's verifier."""


@main.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    env = Environment()
    url = Secret(env.database_url("OTP_DATABASE_URL"))
    env.done()
    migrations.upgrade("otp", url.reveal())


@main.command("sign-outbox")
@click.option("--again", "minutes", default=60, show_default=True, help="Of what was published, these last minutes.")
def sign_outbox(*, minutes: int) -> None:
    """Sign what an earlier release left unsigned in the outbox, or a dropped key has signed; the relay publishes it."""
    env = Environment()
    url, keys = Secret(env.database_url("OTP_DATABASE_URL")), env.keys("OTP_SIGNING_KEYS")
    env.done()
    with opened(url.reveal()) as database, writing(database) as connection:
        since = system_clock() - timedelta(minutes=minutes)
        count = outbox.sign_anew(connection, outbox_tables, Signer(OTP, keys), since)
    click.echo(f"{count} messages were signed and are published")


main.add_command(after_restore_command)
main.add_command(journal_group)


@main.group("authenticators")
def authenticators_group() -> None:
    """Authenticators."""


@authenticators_group.command("import")
@click.option("--account-id", required=True, help="The account that it belongs to.")
@click.option("--label", required=True, help="What its owner knows it by.")
def import_authenticator(account_id: str, label: str) -> None:
    """Make an active authenticator of the base32 secret on stdin."""
    env = Environment()
    url, keys, journal = (
        Secret(env.database_url("OTP_DATABASE_URL")),
        env.keys("OTP_SECRET_KEYS"),
        from_environment(env, "otp"),
    )
    env.done()
    if not is_name(label, _LABEL_MAX):
        raise click.ClickException(f"a label has 1 to {_LABEL_MAX} printable characters")
    if not _ACCOUNT_ID.match(account_id):
        raise click.ClickException("an account id has 1 to 80 letters, digits, '_' and '-'")
    base32 = Secret(sys.stdin.readline(1024).strip())
    try:
        if len(decode_secret(base32).reveal()) * 8 < RECOMMENDED_SECRET_BITS:
            click.echo(f"note: the secret is shorter than {RECOMMENDED_SECRET_BITS} bits (RFC 4226 §4)", err=True)
        with opened(url.reveal()) as database:
            journaled.keep(database, journal, system_clock)
            authenticator_id = authenticators.import_active(
                database, SecretBox(keys), system_clock, account_id=account_id, label=label, base32=base32
            )
    except (ValueError, Refusal) as error:
        raise click.ClickException(error.detail if isinstance(error, Refusal) else str(error)) from None
    click.echo(json.dumps({"authenticator_id": authenticator_id, "account_id": account_id}))


@main.group("keys")
def keys_group() -> None:
    """The keys of the secrets at rest (OTP_SECRET_KEYS). docs/keys.md has the whole rotation."""


@keys_group.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def key_status(*, as_json: bool) -> None:
    """How many secrets each key holds. Exit status 1 when a key is missing that holds some."""
    with _secrets() as (database, box):
        uses = census(database, box)
    if as_json:
        click.echo(json.dumps([asdict(use) for use in uses]))
    else:
        click.echo(f"{'KEY':<34}{'PLACE':<10}SECRETS")
        for use in uses:
            click.echo(f"{use.key_id:<34}{use.place:<10}{use.secrets}")
    if any(use.place is Place.MISSING for use in uses):
        sys.exit(1)


@keys_group.command("rewrap")
def rewrap_secrets() -> None:
    """Seal under the newest key what older keys hold; broken off, it goes on from there when it is called again.

    Call it when every process has the new list. Then an older key may be dropped.
    """
    with _secrets() as (database, box):
        waiting = sum(use.secrets for use in left_behind(database, box) if use.place is Place.OTHER)
        # On stderr, and nowhere but on a terminal: stdout is the result's.
        with click.progressbar(length=waiting, label=f"rewrapping {waiting} secrets", file=sys.stderr) as bar:
            result = rewrap(database, box, system_clock, seen=bar.update)
        left = [use for use in left_behind(database, box) if use.secrets]
    click.echo(json.dumps({"rewrapped": result.moved, "forgotten": result.forgotten}))
    faults = [f"{use.secrets} secrets are left under {use.place} key {use.key_id}" for use in left]
    faults += [f"authenticator {row} does not open: was it moved, or damaged?" for row in result.unreadable]
    if faults:
        raise click.ClickException("; ".join(faults))


@contextmanager
def _secrets() -> Iterator[tuple[Engine, SecretBox]]:
    env = Environment()
    url, keys = Secret(env.database_url("OTP_DATABASE_URL")), env.keys("OTP_SECRET_KEYS")
    env.done()
    try:
        with opened(url.reveal()) as database:
            yield database, SecretBox(keys)
    except (DBAPIError, PoolTimeoutError) as error:
        kind = type(error).__name__
        raise click.ClickException(f"the database does not answer ({kind}); call it again, it goes on") from None


if __name__ == "__main__":
    try:
        main(prog_name="python -m services.otp")
    except SettingsError as fault:
        click.echo(str(fault), err=True)
        sys.exit(SETTINGS_FAULT)
