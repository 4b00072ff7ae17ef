"""The command line of otp: ``python -m services.otp --help``."""

import json
import re
import sys

import click

from services.otp import authenticators
from services.otp.domain.totp import RECOMMENDED_SECRET_BITS
from services.otp.key_uri import decode_secret
from services.otp.secrets_box import SecretBox
from shared import migrations
from shared.clock import system_clock
from shared.database import opened
from shared.problems import Refusal
from shared.secret import Secret
from shared.settings import Environment, SettingsError

SETTINGS_FAULT = 2
_ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")  # what a path of the HTTP API can name


@click.group()
def main() -> None:
    """Latchkey's verifier."""


@main.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    env = Environment()
    url = env.secret("OTP_DATABASE_URL")
    env.done()
    migrations.upgrade("otp", url.reveal())


@main.group("authenticators")
def authenticators_group() -> None:
    """Authenticators."""


@authenticators_group.command("import")
@click.option("--account-id", required=True, help="The account that it belongs to.")
@click.option("--label", required=True, help="What its owner knows it by.")
def import_authenticator(account_id: str, label: str) -> None:
    """Make an active authenticator of the base32 secret on stdin."""
    env = Environment()
    url, keys = env.secret("OTP_DATABASE_URL"), env.keys("OTP_SECRET_KEYS")
    env.done()
    if not _ACCOUNT_ID.match(account_id):
        raise click.ClickException("an account id has 1 to 80 letters, digits, '_' and '-'")
    base32 = Secret(sys.stdin.readline(1024).strip())
    try:
        if len(decode_secret(base32).reveal()) * 8 < RECOMMENDED_SECRET_BITS:
            click.echo(f"note: the secret is shorter than {RECOMMENDED_SECRET_BITS} bits (RFC 4226 §4)", err=True)
        with opened(url.reveal()) as database:
            authenticator_id = authenticators.import_active(
                database, SecretBox(keys), system_clock, account_id=account_id, label=label, base32=base32
            )
    except (ValueError, Refusal) as error:
        raise click.ClickException(error.detail if isinstance(error, Refusal) else str(error)) from None
    click.echo(json.dumps({"authenticator_id": authenticator_id, "account_id": account_id}))


@authenticators_group.command()
def reseal() -> None:
    """Seal all secrets under the newest key of OTP_SECRET_KEYS; then an older key may be taken from the list."""
    env = Environment()
    url, keys = env.secret("OTP_DATABASE_URL"), env.keys("OTP_SECRET_KEYS")
    env.done()
    try:
        with opened(url.reveal()) as database:
            moved = authenticators.reseal(database, SecretBox(keys))
    except Refusal:
        raise click.ClickException("a secret is sealed under a key that OTP_SECRET_KEYS does not hold") from None
    click.echo(json.dumps({"resealed": moved}))


if __name__ == "__main__":
    try:
        main(prog_name="python -m services.otp")
    except SettingsError as fault:
        click.echo(str(fault), err=True)
        sys.exit(SETTINGS_FAULT)
