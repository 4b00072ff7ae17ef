"""Renewing the hash of a password when the parameters have changed since it was made.

Only a sign-in knows the password that a new hash needs. Hashes of backup codes are not renewed, because a code is spent
when it is first verified.
"""

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.auth.deps import Deps
from services.auth.store import accounts
from shared.database import writing

log = structlog.get_logger("auth.password_renewal")


def renew(deps: Deps, account_id: str, verified: str, password: str) -> None:
    """Hash the password anew if ``verified``, the hash that it matched, has old parameters. The caller does not wait.

    The password is the same, so nothing ends and its age stays. A hash that is not renewed (another one is under way,
    or the database is down) is logged, and the next sign-in renews it.
    """
    if not deps.hashing.needs_rehash(verified):
        return

    def store(renewed: str) -> None:
        try:
            with writing(deps.database) as connection:
                stored = accounts.renew_password_hash(connection, account_id, verified, renewed)
        except (DBAPIError, PoolTimeoutError) as error:
            log.warning("password hash not renewed", account_id=account_id, cause=type(error).__name__)
            return
        log.info("password hash renewed" if stored else "password changed before its hash", account_id=account_id)

    if not deps.hashing.hash_later(password, store):
        log.info("password hash not renewed", account_id=account_id, cause="another one is under way")
