"""Renewing the hash of a password that was made with other parameters, or of what was typed (``password_form.py``).

Only a sign-in knows the password that a new hash needs. Hashes of backup codes are not renewed, because a code is spent
when it is first verified.
"""

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.auth import password_form
from services.auth.deps import Deps
from services.auth.domain.account import StoredPassword
from services.auth.store import accounts
from shared.database import writing

log = structlog.get_logger("auth.password_renewal")


def renew(deps: Deps, account_id: str, verified: StoredPassword, password: str) -> None:
    """Renew ``verified``, the stored password that this one matched, if its parameters are old or its form differs.

    The password is the same, so nothing ends and its age stays. The caller does not wait for a hash. When the typed
    password is its own prepared form, as nearly every one is, the hash stays and only the form is written, before the
    caller goes on. A password that OpaqueString refuses keeps the typed form. A renewal that fails (another hash is
    under way, or the database is down) is logged, and the next sign-in tries again.
    """
    prepares = deps.settings.prepares_passwords or verified.is_prepared
    renewable, is_prepared = password_form.to_hash(password, prepares=prepares)
    has_old_parameters = deps.hashing.needs_rehash(verified.encoded)
    if not has_old_parameters and verified.is_prepared == is_prepared:
        return
    if not has_old_parameters and renewable == password:
        _store(deps, account_id, verified, StoredPassword(verified.encoded, is_prepared))
        return

    def store(encoded: str) -> None:
        _store(deps, account_id, verified, StoredPassword(encoded, is_prepared))

    if not deps.hashing.hash_later(renewable, store):
        log.info("password hash not renewed", account_id=account_id, cause="another one is under way")


def _store(deps: Deps, account_id: str, verified: StoredPassword, renewed: StoredPassword) -> None:
    try:
        with writing(deps.database) as connection:
            stored = accounts.renew_password_hash(connection, account_id, verified, renewed)
    except (DBAPIError, PoolTimeoutError) as error:
        log.warning("password hash not renewed", account_id=account_id, cause=type(error).__name__)
        return
    if not stored:
        log.info("password changed before its hash", account_id=account_id)
    elif renewed.encoded == verified.encoded:
        log.info("password form noted", account_id=account_id)
    else:
        log.info("password hash renewed", account_id=account_id)
