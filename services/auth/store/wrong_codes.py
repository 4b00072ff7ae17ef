"""SQL of the wrong codes that follow a right password: how many an account has had."""

from sqlalchemy import Connection

from services.auth.models import wrong_codes as table
from shared.dialects import insert_for


def count(connection: Connection, account_id: str) -> int:
    """Count one more in one statement; returns the account's total, which no success and no time lowers."""
    first = insert_for(connection, table).values(account_id=account_id, total=1)
    counted = first.on_conflict_do_update(index_elements=[table.c.account_id], set_={"total": table.c.total + 1})
    return int(connection.execute(counted.returning(table.c.total)).scalar_one())
