"""The command that resets 2FA without a ceremony, for operators' accounts where two other operators cannot be had.

It asks for no identity check, because its caller already holds the keys of the gateway. It leaves the same row,
timeline and notices as any other reset.
"""

import json

import click

from services.auth import resets
from services.auth.console import faults, said
from services.auth.deps import Client, Deps
from services.auth.domain.reset import ReasonKind
from services.auth.otp_client import OtpClient
from services.auth.resets import ResetRequest
from services.auth.settings import AuthSettings
from services.auth.store import accounts
from shared.clock import system_clock
from shared.database import opened, reading
from shared.hashing import HashingPool
from shared.messages import AUTH
from shared.problems import Refusal, Unavailable
from shared.queueing import SigningPublisher, make_celery
from shared.redis_client import connect
from shared.signing import Signer


@click.command("reset-two-factor")
@click.argument("account", metavar="ACCOUNT_ID_OR_EMAIL")
@click.option("--ticket", required=True, callback=said(100))
@click.option("--reason", required=True, callback=said(1000))
@click.option(
    "--reason-kind",
    type=click.Choice([kind.value for kind in ReasonKind]),
    default=ReasonKind.LOST.value,
    show_default=True,
    help="What became of the app. A code of a stolen one does not end the reset before otp's worker applies it.",
)
def reset_two_factor(account: str, ticket: str, reason: str, reason_kind: str) -> None:
    """Remove an account's 2FA at once, and print the one-time word with which its owner turns it on again.

    Needs the gateway's environment, and otp. Check the person's identity first; the owner is told on every channel.
    """
    with faults():
        settings = AuthSettings.from_env()
        with opened(settings.database_url) as database:
            signer = Signer(AUTH, settings.signing_keys)
            deps = Deps(
                settings=settings,
                database=database,
                redis=connect(settings.stores.state_url),
                otp=OtpClient(settings.otp_url, settings.otp_api_key),
                publisher=SigningPublisher(make_celery("auth", settings.stores.broker_url), signer),
                hashing=HashingPool(max_waiting=1, threads=1),
                clock=system_clock,
                signer=signer,
            )
            with reading(database) as connection:
                found = accounts.by_id(connection, account) or accounts.by_email(connection, account)
            if found is None:
                raise click.ClickException(f"there is no account {account!r}")
            try:
                opened_reset = resets.request_from_command_line(
                    deps, Client("command line", ""), found, ResetRequest(ticket, reason, ReasonKind(reason_kind))
                )
            except Unavailable:
                raise
            except Refusal as refusal:
                raise click.ClickException(refusal.detail) from refusal
    click.echo(
        json.dumps(
            {
                "id": found.id,
                "email": found.email,
                "reset_id": opened_reset.reset.id,
                "enrollment_word": opened_reset.enrollment_word,
            }
        )
    )
