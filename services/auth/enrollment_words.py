"""One-time words that let an account enrol a second factor: for operators, and for owners after a reset.

A password alone must not enrol an authenticator on such an account. The operator of the command line, or the support
operator of a reset, reads the word to the person whose identity was checked. Only a keyed digest is stored.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from services.auth import limits
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.phrases import new_phrase, normalise
from services.auth.domain.reset import Status
from services.auth.domain.session import Session
from services.auth.store import accounts, resets, timeline
from services.auth.store import enrollment_words as store
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import writing
from shared.ids import new_id
from shared.keys import Key, KeyList
from shared.problems import Refusal

WORDS = 3
# The detail of ROLE_CHANGED that says: the account became an operator's, and owes an enrolment since.
PROMOTION = "must_enroll"
_REMOVED = frozenset({Entry.RESET_APPLIED, Entry.TWO_FACTOR_LOST, Entry.TWO_FACTOR_REVOKED})
_SWITCHED = frozenset({Entry.TWO_FACTOR_ENABLED, Entry.TWO_FACTOR_DISABLED})


def issue(
    connection: Connection, digest_keys: KeyList, account_id: str, now: datetime, *, usable_at_once: bool
) -> tuple[str, str]:
    """Make a word for the account: its id and the word, which is shown this once.

    A word that is not usable at once waits for ``activate``; until then an earlier word of the account stays usable. A
    word that is usable at once voids the usable one, and spares the word of a reset that is not applied yet. The
    account is held, because ``activate`` at the same time would leave two usable words, and neither would enrol.
    """
    accounts.hold(connection, account_id)
    word_id, word = new_id("enw"), new_phrase(WORDS)
    digest = _digest(digest_keys.newest, account_id, word)
    usable_from = now if usable_at_once else None
    store.add(connection, word_id=word_id, account_id=account_id, digest=digest, now=now, usable_from=usable_from)
    if usable_at_once:
        store.remove_others(connection, account_id, word_id, usable_only=True)
    return word_id, word


def activate(connection: Connection, account_id: str, word_id: str, now: datetime) -> None:
    """Start the word's life (ENROLLMENT_WORD_LIFE_SECONDS from ``now``) and void every other word of the account.

    A word that was removed meanwhile voids nothing. The caller holds the account.
    """
    if store.make_usable(connection, word_id, now):
        store.remove_others(connection, account_id, word_id)


def spend(
    connection: Connection,
    digest_keys: KeyList,
    account_id: str,
    session_id: str,
    word: str,
    now: datetime,
    life: timedelta,
) -> bool:
    """Use the word in this session; False when it is wrong, expired or void.

    The word is valid until 2FA is on, so an owner who closed the browser too early signs in again and goes on. Five
    wrong tries void it. The try is counted before the word is compared, so parallel guesses never exceed five. The
    caller commits the transaction whatever the reply is.
    """
    usable_after = now - life
    if not store.count_attempt(connection, account_id, usable_after):
        return False
    digests = [_digest(key, account_id, normalise(word)) for key in digest_keys]
    return store.claim(connection, account_id, session_id, digests, now, usable_after)


def require(deps: Deps, client: Client, account: Account, session: Session, word: str | None) -> None:
    """Let the session begin an enrolment: at once where the account owes no word, else for the right word.

    Raises Refusal enrollment_word_required, invalid_enrollment_word, too_many_requests; Unavailable.
    """
    if not account.needs_enrollment_word(after_reset=deps.settings.enrollment_word_required):
        return
    if deps.otp.state(account.id).enabled:
        raise Refusal("two_factor_already_on")
    if word is None:
        raise Refusal("enrollment_word_required")
    budgets.take(deps.redis, Charge(limits.ENROLLMENT_WORD, account.id)).require()
    now, life = deps.clock(), timedelta(seconds=deps.settings.enrollment_word_life_seconds)
    with writing(deps.database) as connection:
        is_right = spend(connection, deps.settings.digest_keys, account.id, session.id, word, now, life)
        entry = Entry.ENROLLMENT_WORD_SPENT if is_right else Entry.ENROLLMENT_WORD_REFUSED
        timeline.write(connection, account.id, entry, now, ip=client.ip, session_id=session.id)
    if not is_right:
        raise Refusal("invalid_enrollment_word")


def owes_enrollment(connection: Connection, account: Account) -> bool:
    """Whether the account must still enrol, by its timeline: 2FA was removed and not turned on again since.

    An operator who was promoted must also have used a word since then. The earlier second factor may be a thief's,
    because the password alone enrolled it. A promotion by an earlier release does not count: its entry has no
    PROMOTION, so operators of that time keep the console.
    """
    newest = timeline.newest_of(connection, [account.id], _REMOVED | _SWITCHED).get(account.id)
    if newest is not None and newest[0] in _REMOVED:
        return True
    if account.role is not Role.SUPPORT:
        return False
    promoted_at = timeline.last_with(connection, account.id, Entry.ROLE_CHANGED, PROMOTION)
    if promoted_at is None:
        return False
    at = timeline.latest(connection, account.id, [Entry.ENROLLMENT_WORD_SPENT, Entry.TWO_FACTOR_ENABLED], promoted_at)
    spent_at, enabled_at = at.get(Entry.ENROLLMENT_WORD_SPENT), at.get(Entry.TWO_FACTOR_ENABLED)
    return spent_at is None or enabled_at is None or enabled_at < spent_at


def follow_role(connection: Connection, account: Account, role: Role) -> dict[str, Any]:
    """Set or end the prompt to enrol for an account that gets this role; return the details for its timeline entry.

    A new operator must enrol anew, because the password alone may have enrolled the second factor. A demotion ends that
    duty. The prompt then stays for an account whose 2FA a reset has removed, or is about to remove.
    """
    if account.is_promoted_by(role):
        accounts.set_enrollment_prompt(connection, account.id, prompted=True)
        return {PROMOTION: True}
    if account.role is Role.SUPPORT and account.enrollment_prompted:
        owes = owes_enrollment(connection, replace(account, role=role)) or _is_reset_approved(connection, account)
        accounts.set_enrollment_prompt(connection, account.id, prompted=owes)
    return {}


def closes_console(connection: Connection, account: Account) -> bool:
    """Whether the account must enrol before it uses the console, although 2FA is on.

    An approved reset that is not applied yet sets the prompt too, and alone it does not close the console.
    """
    return account.enrollment_prompted and (
        owes_enrollment(connection, account) or not _is_reset_approved(connection, account)
    )


def _is_reset_approved(connection: Connection, account: Account) -> bool:
    reset = resets.open_of(connection, account.id)
    return reset is not None and reset.status is Status.APPROVED


def _digest(key: Key, account_id: str, word: str) -> str:
    return key.mac("enrollment_word", account_id, word)
