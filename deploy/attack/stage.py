"""The deployments that can be attacked: somebody's, one of this machine, or one made for it."""

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from deploy.attack.accounts import AccountSource, read_accounts
from deploy.attack.browser import Browser
from deploy.attack.inbox import Inbox
from deploy.attack.make_accounts import make_accounts
from deploy.attack.pace import Pace
from deploy.attack.probe import Target
from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from deploy.local.ports import free_port
from deploy.local.settings import LocalSettings
from deploy.local.stack import Stack, StackError, find_running, running_stack

# We are the proxy that is trusted: each of our browsers then has an address of its own. With a token (of no account
# anywhere) the gateway checks callbacks, though this stack sends its texts to the development inbox. Tokens
# and ways back are meant for the other service.
SETTINGS: Mapping[str, str] = {
    "TRUSTED_PROXY_COUNT": "1",
    "TWILIO_AUTH_TOKEN": secrets.token_hex(16),
    "SIGN_IN_TARGETS": "/billing",
    "TOKEN_AUDIENCES": "https://billing.example",
}
_CLOCKS_AGREE_SECONDS = 5
_MEMBERS_A_PROBE, _MOST_TEAMS, _MOST_SUPPORT = 8, 12, 48


class StageError(Exception):
    """Nothing can be attacked; the message says what to do."""


@contextmanager
def own_stack(probes: int, *, patient: bool = False) -> Iterator[Target]:
    """A stack with throw-away files and accounts for so many probes. Raises StageError."""
    with tempfile.TemporaryDirectory(prefix="latchkey-attack-") as folder:
        try:
            with running_stack(Path(folder), free_port(5), SETTINGS) as stack:
                yield target_of(stack, probes, client_addresses=True, patient=patient)
        except StackError as error:
            raise StageError(str(error)) from error


def stack_on(var_dir: Path, probes: int, *, client_addresses: bool, patient: bool) -> Target:
    """The stack of this machine that runs on this folder, with new accounts in it. Raises StageError."""
    try:
        stack = find_running(var_dir.resolve())
    except StackError as error:
        raise StageError(str(error)) from error
    if stack is None:
        raise StageError(f"No stack runs on {var_dir}. Start one there: VAR_DIR={var_dir} make run")
    # The environment of this process says nothing of the port that the stack was started on; its own file does.
    port = str(urlsplit(stack.base_url).port)
    settings = LocalSettings.from_env({**stack.settings.environ, "PORT": port})
    return target_of(replace(stack, settings=settings), probes, client_addresses=client_addresses, patient=patient)


def target_of(stack: Stack, probes: int, *, client_addresses: bool, patient: bool) -> Target:
    """A stack of ours, with accounts for so many probes."""
    accounts = make_accounts(
        environment_of("auth", stack.settings, read_keys(stack.settings.keys_file)),
        members=_MEMBERS_A_PROBE * probes,
        teams=min(_MOST_TEAMS, 2 * probes),
        support=min(_MOST_SUPPORT, 3 * probes),
    )
    return Target(
        stack.base_url,
        AccountSource(accounts),
        inbox=Inbox(stack.base_url),
        control=stack,
        client_addresses=client_addresses,
        meter=None if client_addresses else Pace(),
        patient=patient,
    )


def foreign(base_url: str, accounts: Path, *, client_addresses: bool, patient: bool) -> Target:
    """A deployment that we know by its address and by the accounts it has for us. Raises StageError, AccountsError."""
    source = AccountSource(read_accounts(accounts))
    base_url = base_url.rstrip("/")
    try:
        answer = Browser(base_url).get("/v1/time")
        inbox = Inbox(base_url)
        has_inbox = inbox.exists()
    except urllib3.exceptions.HTTPError as error:
        raise StageError(
            f"{base_url} does not answer ({type(error).__name__}). Is that the gateway's address?"
        ) from error
    if answer.status != 200 or not isinstance(answer.body, dict) or "unix_seconds" not in answer.body:
        raise StageError(f"{base_url}/v1/time answers {answer.status}: that is no Latchkey gateway.")
    apart = float(answer.body["unix_seconds"]) - time.time()
    if abs(apart) > _CLOCKS_AGREE_SECONDS:
        raise StageError(
            f"This machine's clock and the deployment's are {apart:.0f} s apart: app codes would be wrong."
        )
    return Target(
        base_url,
        source,
        inbox if has_inbox else None,
        client_addresses=client_addresses,
        meter=None if client_addresses else Pace(),
        patient=patient,
    )
