"""Operators' work on authenticators from the command line: bring them along from elsewhere."""

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from services.otp import journaled, key_uri, store
from services.otp.secrets_box import SecretBox
from services.otp.store import NewAuthenticator
from shared import journaling
from shared.clock import Clock
from shared.database import writing
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
            journaling.note(connection, account_id, journaled.IMPORTED, new.created_at, "operator:cli")
    except IntegrityError:
        raise Refusal("two_factor_already_on") from None
    return authenticator_id
