"""The audit chain over a database, rows in it, and who may break it."""

import pytest
from sqlalchemy import text

from services.auth.sealer import AuditDeps
from services.auth.settings import AuditSettings
from services.auth.store import timeline
from services.auth.store.timeline import Entry, operator, team_owner
from shared.database import writing
from shared.settings import Environment
from tests.support import auth
from tests.support.audit import DAY
from tests.support.auth import CLIENT, NOW


@pytest.fixture
def keys():
    return AuditSettings.from_env(Environment(auth.ENVIRONMENT)).audit_keys


@pytest.fixture
def audit_deps(database, keys, clock):
    return AuditDeps(database, keys, clock)


@pytest.fixture
def write(deps):
    def add(account, entry=Entry.SIGNED_IN, *, at=None, ip=CLIENT.ip, actor=timeline.OWNER, **details):
        with writing(deps.database) as connection:
            timeline.write(connection, account.id, entry, at or deps.clock(), actor=actor, ip=ip, **details)

    return add


@pytest.fixture
def unguarded(database):
    """SQL of somebody who owns the database: the triggers are off for it."""

    def run(*statements):
        with writing(database) as connection:
            triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
            for name, _ in triggers:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.exec_driver_sql(statement)
            for _, sql in triggers:
                connection.exec_driver_sql(sql)

    return run


@pytest.fixture
def people(write, ann, sam, owner, tom):
    """Rows of Ann's, of what an operator and a team's owner did to Ann, of Tom's, and one without personal data."""
    write(ann, browser="Firefox", session_id="ses_1")
    write(ann, Entry.SUPPORT_VIEWED, actor=operator(sam.id), what="account")
    write(ann, Entry.PHONE_PENDING, actor=team_owner(owner.id), phone_hint="•• 89")
    write(tom, browser="Chrome")
    write(ann, Entry.SMS_DELIVERY, ip=None, actor=timeline.SYSTEM, status="sent")


@pytest.fixture
def aged(write, clock, ann):
    """Ten rows, one a day; the last is of today."""
    for age in range(9, -1, -1):
        write(ann, at=NOW - age * DAY, number=age)
