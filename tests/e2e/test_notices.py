"""Equal notices of a few minutes become one, seen where its owner reads it."""

import sqlite3
from contextlib import closing

import pytest

from deploy.portal import wait_for

pytestmark = pytest.mark.e2e

SUBJECT = "New backup codes were made"
TIMES = 3


@pytest.fixture
def auth_database(stack):
    with closing(sqlite3.connect(stack.var_dir / "auth.sqlite3", timeout=10, isolation_level=None)) as database:
        yield database


def test_three_new_sheets_are_told_at_once_and_once_more_for_all_of_them(make_person, messages, auth_database):
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
    (position,) = wait_for(waiting)
    (first,) = wait_for(mails)
    assert "times)" not in first
    due = "UPDATE outbox SET not_before = '2000-01-01 00:00:00.000000' WHERE position = ? AND published_at IS NULL"
    assert auth_database.execute(due, (position,)).rowcount == 1  # as when the minutes are over
    last = wait_for(lambda: mails()[0] if len(mails()) > 1 else None)
    assert f"({TIMES} times)" in last
    assert len(mails()) == 2
