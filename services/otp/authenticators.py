"""Operators' work on authenticators from the command line: bring them along from elsewhere, move them to a new key."""

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from services.otp import key_uri, sealed_store, store
from services.otp.secrets_box import SecretBox
from services.otp.store import NewAuthenticator
from shared.clock import Clock
from shared.database import reading, writing
from shared.ids import new_id
from shared.problems import Refusal
from shared.secret import Secret


def import_active(
    database: Engine, box: SecretBox, clock: Clock, *, account_id: str, label: str, base32: Secret[str]
) -> str:
    """Make an authenticator that is proven elsewhere active, without recovery codes and without an event; its id.

    Raises ValueError for a secret that is not base32 or too short, two_factor_already_on.
    """
    authenticator_id = new_id("enr")
    sealed = box.seal(key_uri.decode_secret(base32), account_id, authenticator_id)
    new = NewAuthenticator(authenticator_id, account_id, key_uri.clean_label(label), sealed, clock())
    try:
        with writing(database) as connection:
            store.put_active(connection, new)
    except IntegrityError:
        raise Refusal("two_factor_already_on") from None
    return authenticator_id


def reseal(database: Engine, box: SecretBox) -> int:
    """Seal under the newest key what older keys hold, row by row while the service runs; how many rows.

    After it an old key can be taken from the list. Raises Unavailable when a row's key is not in the list any more.
    """
    moved = 0
    with reading(database) as connection:
        rows = sealed_store.list_sealed_under_other_keys(connection, box.newest_key_id)
    for row in rows:
        secret = box.open(row.sealed, row.account_id, row.id)
        with writing(database) as connection:
            moved += sealed_store.replace_sealed(connection, row, box.seal(secret, row.account_id, row.id))
    return moved
