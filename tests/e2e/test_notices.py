"""Equal notices of a few minutes become one, seen where its owner reads it."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from deploy.local.keys import read_keys
from deploy.portal import wait_for
from shared.keys import KeyList
from shared.messages import AUTH, compact, decode
from shared.signed_messages import content, sign
from shared.signing import Signer

pytestmark = pytest.mark.e2e

SUBJECT = "New backup codes were made"
TIMES = 3


@pytest.fixture
def auth_database(stack):
    with closing(sqlite3.connect(stack.var_dir / "auth.sqlite3", timeout=10, isolation_level=None)) as database:
        yield database


def let_go(stack, database, position):
    """Let a message that waits in the outbox go now, as when its minutes are over: its signature names the moment."""
    query = "SELECT queue, document FROM outbox WHERE position = ? AND published_at IS NULL"
    queue, document = database.execute(query, (position,)).fetchone()
    signer = Signer(AUTH, KeyList.parse(read_keys(stack.settings.keys_file)["AUTH_SIGNING_KEYS"]))
    due = datetime.now(UTC) - timedelta(minutes=1)
    signed = compact(sign(decode(content(json.loads(document))), signer, queue, due))
    update = "UPDATE outbox SET document = ?, not_before = ? WHERE position = ?"
    database.execute(update, (signed, f"{due:%Y-%m-%d %H:%M:%S.%f}", position))


def test_three_new_sheets_are_told_at_once_and_once_more_for_all_of_them(stack, make_person, messages, auth_database):
    person = make_person()
    portal = person.enrolled()
    proof = {"password": person.password, "code": person.app.fresh()}
    assert portal.post("/v1/reauthenticate", proof).status == 200  # turning 2FA on has closed the window

    def mails():
        """The mails about new sheets, newest first."""
        return [one["body"] for one in messages() if one["to"] == person.email and one["subject"].startswith(SUBJECT)]

    def waiting():
        """Where the notice for all of the sheets waits."""
        query = "SELECT position FROM notice_series WHERE account_id = ? AND times = ?"
        return auth_database.execute(query, (person.id, TIMES)).fetchone()

    for _ in range(TIMES):
        assert wait_for(lambda: portal.post("/v1/two-factor/recovery-codes").status == 200)
    (position,) = wait_for(waiting, seconds=60)
    (first,) = wait_for(lambda: mails() or None, seconds=60)
    assert "times)" not in first
    let_go(stack, auth_database, position)
    last = wait_for(lambda: mails()[0] if len(mails()) > 1 else None, seconds=60)
    assert f"({TIMES} times)" in last
    assert len(mails()) == 2
