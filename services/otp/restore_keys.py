"""Which keys of the secrets at rest a restore needs and the list of today lacks."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection

from services.otp import journaled, sealed_store
from services.otp.models import ACTIVE
from shared.journal import Entry


def lacking(connection: Connection, entries: Iterable[Entry], key_ids: Collection[str]) -> Mapping[str, int]:
    """How many accounts' active secrets will be under each key that is not in ``key_ids``, once these are applied.

    An entry replaces what the database has of its account (``journaled.put_back``). ``rewrap`` writes no entry, so an
    entry can name an older key than the database does.
    """
    held: dict[str, set[str]] = {}
    for key_id in sealed_store.key_ids(connection):
        if key_id not in key_ids:
            for account_id in sealed_store.active_under(connection, key_id):
                held.setdefault(account_id, set()).add(key_id)
    for entry in entries:
        if entry.kind in journaled.STATES:
            active = [row for row in entry.state["authenticators"] if row["status"] == ACTIVE]
            held[entry.account_id] = {row["key_id"] for row in active} - set(key_ids)
    return Counter(key_id for theirs in held.values() for key_id in theirs)
