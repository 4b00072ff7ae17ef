"""What a migration makes of rows that are there."""

from alembic import command
from sqlalchemy import text

from shared import migrations
from shared.database import opened, writing


def test_who_was_locked_before_there_were_two_locks_was_locked_everywhere(tmp_path):
    """And has been told: not told again, nor unlocked."""
    with opened(f"sqlite:///{tmp_path / 'otp.sqlite3'}") as database, writing(database) as connection:
        command.upgrade(migrations._config("otp", connection), "0004")
        connection.execute(
            text(
                "INSERT INTO verification_states (account_id, consecutive_failures, locked_at) VALUES"
                " ('acc_locked', 100, '2026-11-24 05:00:00.000000'), ('acc_free', 3, NULL)"
            )
        )
        command.upgrade(migrations._config("otp", connection), "head")
        query = text("SELECT account_id, locked_at, locked_everywhere_at FROM verification_states ORDER BY 1")
        rows = [tuple(row) for row in connection.execute(query)]
    when = "2026-11-24 05:00:00.000000"
    assert rows == [("acc_free", None, None), ("acc_locked", when, when)]
