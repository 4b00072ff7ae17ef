"""SQL of teams and accounts."""

from collections.abc import Collection, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from services.auth.domain.account import Account, Role, StoredPassword
from services.auth.models import accounts, teams
from shared import journaling
from shared.database import PlainRead
from shared.email_address import ascii_domain, email_key
from shared.ids import new_id
from shared.phone import PhoneNumber
from shared.texts.languages import LANGUAGES


class EmailTaken(Exception):  # noqa: N818
    """Another account has this address."""


def _prepared_form(encoded: str) -> str:
    """Return what the column ``password_form`` holds beside a hash of the prepared form: a word, and that hash's salt.

    A release that does not know the column replaces the hash alone. The new hash has another salt than the column, so
    the word does not count for it, and the new hash is compared with what was typed.
    """
    salt = encoded.split("$")[-2:][0]  # a damaged hash may have none
    return f"prepared {salt}"


def _form(stored: StoredPassword) -> str | None:
    return _prepared_form(stored.encoded) if stored.is_prepared else None


def _stored_password(row: Any) -> StoredPassword:  # noqa: ANN401 - a row of SQLAlchemy's
    encoded = str(row.password_hash)
    return StoredPassword(encoded, row.password_form == _prepared_form(encoded))


def team_named(connection: Connection, name: str, now: datetime) -> str:
    """The id of the team of this name, made if it is new."""
    found: str | None = connection.execute(select(teams.c.id).where(teams.c.name == name)).scalar()
    if found is None:
        found = new_id("team")
        connection.execute(insert(teams).values(id=found, name=name, created_at=now))
    return found


def team_name(connection: Connection, team_id: str) -> str:
    """The team's name; the team exists."""
    return str(connection.execute(select(teams.c.name).where(teams.c.id == team_id)).scalar_one())


def add(
    connection: Connection, *, team_id: str, email: str, name: str, role: Role, password_hash: str, now: datetime
) -> Account:
    """A new account; ``password_hash`` is the hash of the prepared form. Raises EmailTaken."""
    account_id = new_id("acc")
    try:
        connection.execute(
            insert(accounts).values(
                id=account_id,
                team_id=team_id,
                email=email,
                email_key=email_key(email),
                name=name,
                role=role,
                password_hash=password_hash,
                password_form=_prepared_form(password_hash),
                password_changed_at=now,
                enrollment_prompted=False,
                created_at=now,
            )
        )
    except IntegrityError as error:
        raise EmailTaken(email) from error
    journaling.note(connection, account_id, "account.created", now)
    return _account(connection.execute(select(accounts).where(accounts.c.id == account_id)).one())


# Built once: every login asks them, and building one takes longer than running it.
_BY_ID = PlainRead(select(accounts).where(accounts.c.id == bindparam("account")))
_COLUMNS = tuple(accounts.c.keys())
_BY_EMAIL = select(accounts).where(accounts.c.email_key == bindparam("key"))
_PASSWORD = select(accounts.c.password_hash, accounts.c.password_form).where(accounts.c.id == bindparam("account"))


def by_id(connection: Connection, account_id: str) -> Account | None:
    """The account of this id."""
    row = _BY_ID.one_or_none(connection, account=account_id)
    return None if row is None else _account(SimpleNamespace(**dict(zip(_COLUMNS, row, strict=True))))


_HOLD = PlainRead(select(accounts.c.id).where(accounts.c.id == bindparam("account")).with_for_update(key_share=True))


def hold(connection: Connection, *account_ids: str) -> None:
    """Lock these accounts: other changes, and the ends of their sessions, wait until the transaction ends.

    PostgreSQL locks the rows, always in the same order; new rows that refer to them need not wait (``key_share``). On
    SQLite only one transaction writes at a time anyway.
    """
    if connection.dialect.name == "sqlite":
        return
    for account_id in sorted(set(account_ids)):
        _HOLD.one_or_none(connection, account=account_id)


def by_ids(connection: Connection, account_ids: Collection[str]) -> dict[str, Account]:
    """The accounts of these ids, by id."""
    query = select(accounts).where(accounts.c.id.in_(account_ids))
    return {row.id: _account(row) for row in connection.execute(query)}


def by_email(connection: Connection, email: str) -> Account | None:
    """The account of this address, in any case, its domain in Unicode or in A-labels."""
    row = connection.execute(_BY_EMAIL, {"key": email_key(email)}).one_or_none()
    return None if row is None else _account(row)


def credentials(connection: Connection, email: str) -> tuple[Account, StoredPassword] | None:
    """The account of this address and its password."""
    row = connection.execute(_BY_EMAIL, {"key": email_key(email)}).one_or_none()
    return None if row is None else (_account(row), _stored_password(row))


def password(connection: Connection, account_id: str) -> StoredPassword | None:
    """The stored password of this account."""
    row = connection.execute(_PASSWORD, {"account": account_id}).one_or_none()
    return None if row is None else _stored_password(row)


def set_password_hash(
    connection: Connection, account_id: str, encoded: str, now: datetime, *, is_prepared: bool = True
) -> None:
    """Replace the password by one with this hash, of its prepared form or of what was typed."""
    form = _form(StoredPassword(encoded, is_prepared))
    connection.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(password_hash=encoded, password_form=form, password_changed_at=now)
    )


def renew_password_hash(
    connection: Connection, account_id: str, verified: StoredPassword, renewed: StoredPassword
) -> bool:
    """Store another hash or form of the same password; False when ``verified`` no longer stands (it was changed)."""
    statement = update(accounts).where(accounts.c.id == account_id, accounts.c.password_hash == verified.encoded)
    values = {"password_hash": renewed.encoded, "password_form": _form(renewed)}
    return connection.execute(statement.values(values)).rowcount == 1


def void_passwords(connection: Connection, account_ids: Sequence[str], nobodys_hash: str) -> None:
    """Give these accounts a hash that no password fits, and that takes as long to verify; they need a new password."""
    connection.execute(update(accounts).where(accounts.c.id.in_(account_ids)).values(password_hash=nobodys_hash))


def set_role(connection: Connection, account_id: str, role: Role) -> None:
    """Give the account another role."""
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(role=role))


def of_role(connection: Connection, account_ids: Collection[str], role: Role) -> frozenset[str]:
    """Those of these accounts that have the role."""
    query = select(accounts.c.id).where(accounts.c.id.in_(account_ids), accounts.c.role == role)
    return frozenset(connection.execute(query).scalars())


def set_enrollment_prompt(connection: Connection, account_id: str, *, prompted: bool) -> None:
    """Whether the next sign-in asks to turn 2FA on anew: after a reset, or for an account that became an operator's."""
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(enrollment_prompted=prompted))


def set_language(connection: Connection, account_id: str, language: str, *, only_first: bool = False) -> bool:
    """Set the account's language; with ``only_first``, only if it has none. Returns whether the language changed."""
    changes = accounts.c.language.is_(None) if only_first else accounts.c.language.is_distinct_from(language)
    statement = update(accounts).where(accounts.c.id == account_id, changes).values(language=language)
    return connection.execute(statement).rowcount == 1


def set_pending_phone(connection: Connection, account_id: str, phone: PhoneNumber, binding: str) -> None:
    """Remember a number that is still to be proven; the proven one stays in use until then."""
    connection.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(pending_phone=phone.e164, pending_phone_binding=binding)
    )


def claim_pending_phone(connection: Connection, account_id: str, binding: str, now: datetime) -> bool:
    """Make the pending number the proven one; False when it was replaced meanwhile."""
    statement = (
        update(accounts)
        .where(accounts.c.id == account_id, accounts.c.pending_phone_binding == binding)
        .values(phone=accounts.c.pending_phone, phone_verified_at=now, pending_phone=None, pending_phone_binding=None)
    )
    return connection.execute(statement).rowcount == 1


def clear_pending_phone(connection: Connection, account_id: str) -> None:
    """Forget the number that is still to be proven."""
    statement = update(accounts).where(accounts.c.id == account_id, accounts.c.pending_phone.is_not(None))
    connection.execute(statement.values(pending_phone=None, pending_phone_binding=None))


def clear_phone(connection: Connection, account_id: str) -> bool:
    """Forget both numbers; False when there was none."""
    statement = (
        update(accounts)
        .where(accounts.c.id == account_id, or_(accounts.c.phone.is_not(None), accounts.c.pending_phone.is_not(None)))
        .values(phone=None, phone_verified_at=None, pending_phone=None, pending_phone_binding=None)
    )
    return connection.execute(statement).rowcount == 1


def of_team(connection: Connection, team_id: str, *, after: str, limit: int) -> list[Account]:
    """The team's accounts in the order of their ids, from behind ``after``."""
    query = select(accounts).where(accounts.c.team_id == team_id, accounts.c.id > after).order_by(accounts.c.id)
    return [_account(row) for row in connection.execute(query.limit(limit))]


def other_owners(connection: Connection, account: Account) -> list[Account]:
    """The owners of this account's team, without the account itself."""
    query = select(accounts).where(
        accounts.c.team_id == account.team_id, accounts.c.role == Role.OWNER, accounts.c.id != account.id
    )
    return [_account(row) for row in connection.execute(query.order_by(accounts.c.id))]


def search(connection: Connection, text: str, *, after: str, limit: int) -> list[Account]:
    """Accounts whose address or name contains the text, or whose id it is.

    A domain, and an address with its domain, are found in Unicode and in A-labels. A part of a domain is found in the
    spelling that the account was made with.
    """
    pattern = _containing(text.casefold())
    canonical = email_key(text) if "@" in text else ascii_domain(text)
    query = (
        select(accounts)
        .where(
            or_(
                accounts.c.id == text,
                accounts.c.email_key.like(pattern, escape="!"),
                accounts.c.email_key.like(_containing(canonical or text.casefold()), escape="!"),
                accounts.c.email.ilike(pattern, escape="!"),
                accounts.c.name.ilike(pattern, escape="!"),
            ),
            accounts.c.id > after,
        )
        .order_by(accounts.c.id)
    )
    return [_account(row) for row in connection.execute(query.limit(limit))]


def _containing(text: str) -> str:
    return f"%{text.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"


def with_team_names(connection: Connection) -> list[tuple[Account, str]]:
    """Every account and its team's name, by team and address: the operator's command line asks."""
    query = select(accounts, teams.c.name.label("team_name")).join(teams).order_by(teams.c.name, accounts.c.email_key)
    return [(_account(row), row.team_name) for row in connection.execute(query)]


def _account(row: Any) -> Account:  # noqa: ANN401 - a row of SQLAlchemy's, or one by the same names
    return Account(
        id=row.id,
        team_id=row.team_id,
        email=row.email,
        name=row.name,
        role=Role(row.role),
        phone=PhoneNumber(row.phone) if row.phone else None,
        phone_verified_at=row.phone_verified_at,
        pending_phone=PhoneNumber(row.pending_phone) if row.pending_phone else None,
        pending_phone_binding=row.pending_phone_binding,
        enrollment_prompted=row.enrollment_prompted,
        created_at=row.created_at,
        language=row.language if row.language in LANGUAGES else None,  # a later release may have stored another
    )
