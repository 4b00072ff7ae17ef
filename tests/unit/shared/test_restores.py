"""What a message gives is void once a database that it rests on was set back after it was recorded."""

from datetime import timedelta

import pytest
from sqlalchemy import MetaData, create_engine

from shared import restores
from shared.messages import (
    AUTH,
    OTP,
    ROUTES,
    AuthenticatorEnrolled,
    RecoveryCodeSpent,
    TwoFactorResetApproved,
)
from shared.restores import VOID_AFTER_RESTORE_OF
from tests.support.clock import NOW

TABLES = restores.restore_tables(MetaData())
COMMON = {"id": "evt_1", "account_id": "acc_1"}
MAKE = {
    TwoFactorResetApproved: {"reset_id": "rst_1"},
    AuthenticatorEnrolled: {"authenticator_id": "enr_1"},
    RecoveryCodeSpent: {"remaining": 9},
}


@pytest.fixture
def connection():
    engine = create_engine("sqlite://")
    TABLES.restores.metadata.create_all(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def is_void(connection):
    def ask(kind, at=NOW):
        return restores.is_void(connection, TABLES, kind(occurred_at=at, **COMMON, **MAKE[kind]))

    return ask


def set_back(connection, *parts, at=NOW + timedelta(minutes=5)):
    restores.begin(connection, TABLES, at - timedelta(hours=1), {"restored": list(parts)}, at)


def test_the_table_decides_about_every_message():
    assert set(VOID_AFTER_RESTORE_OF) == set(ROUTES)


@pytest.mark.parametrize("parts", [["auth"], ["otp"], ["redis"], ["auth", "otp", "redis"]])
@pytest.mark.parametrize("kind", MAKE)
def test_a_message_of_before_is_void_where_its_row_names_a_database_that_was_set_back(connection, is_void, kind, parts):
    set_back(connection, *parts)
    assert is_void(kind) == bool(VOID_AFTER_RESTORE_OF[kind].intersection(parts))


def test_a_message_of_the_moment_at_which_the_restore_began_is_of_before(connection, is_void):
    set_back(connection, OTP, at=NOW)
    assert is_void(AuthenticatorEnrolled, NOW)
    assert not is_void(AuthenticatorEnrolled, NOW + timedelta(microseconds=1))


@pytest.mark.parametrize("kind", MAKE)
def test_a_message_of_after_is_never_void(connection, is_void, kind):
    set_back(connection, AUTH, OTP)
    assert not is_void(kind, NOW + timedelta(minutes=6))


def test_an_earlier_restore_counts_after_a_later_one_of_redis(connection, is_void):
    set_back(connection, OTP)
    set_back(connection, "redis", at=NOW + timedelta(days=1))
    assert is_void(AuthenticatorEnrolled)
    assert not is_void(AuthenticatorEnrolled, NOW + timedelta(hours=1))


def test_a_restore_that_is_not_finished_counts(connection, is_void):
    set_back(connection, OTP)
    assert [one.finished_at for one in restores.all_of(connection, TABLES)] == [None]
    assert is_void(AuthenticatorEnrolled)
