"""Keys of the secrets at rest: moved in batches and on use, counted, missed at start; and whose each secret is."""

import dataclasses
import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import select, update

from services.otp import rewrapping, sealed_store, store
from services.otp.__main__ import main
from services.otp.domain.attempt import Claim
from services.otp.domain.time_step import step_at
from services.otp.key_metrics import COUNT_EVERY_SECONDS, SecretsCollector
from services.otp.models import authenticators
from services.otp.rewrapping import KeyMissing, KeyUse, Place, census, require_keys, rewrap
from services.otp.secrets_box import SecretBox
from services.otp.store import NewAuthenticator
from shared.clock import unix_seconds
from shared.database import reading, writing
from shared.keys import KeyList, encode_key
from shared.secret import Secret
from tests.support.otp import ENVIRONMENT, World, counted_statements

K1, K2, K3 = (f"k{number}:{encode_key(str(number).encode() * 32)}" for number in (1, 2, 3))


def box(*keys: str) -> SecretBox:
    return SecretBox(KeyList.parse(",".join(keys)))


def under(world: World, *keys: str) -> None:
    """From here on, the service has this list."""
    world.deps = dataclasses.replace(world.deps, secret_box=box(*keys))


def key_ids(world: World) -> dict[str, str | None]:
    """The key of each account's secret."""
    with reading(world.database) as connection:
        rows = connection.execute(select(authenticators.c.account_id, authenticators.c.key_id))
        return {row.account_id: row.key_id for row in rows}


def rewrapped(world: World, *keys: str, seen=lambda _count: None) -> rewrapping.Rewrapped:
    return rewrap(world.database, box(*keys), world.clock, seen=seen)


@pytest.fixture
def old(world: World):
    """Three accounts under k1."""
    under(world, K1)
    for account in ("acc_a", "acc_b", "acc_c"):
        world.enrol(account)
    return world


# --- in batches -------------------------------------------------------------------------------------------------------


def test_all_secrets_move_to_the_newest_key_and_still_open(old: World):
    assert rewrapped(old, K2, K1).moved == 3
    assert set(key_ids(old).values()) == {"k2"}
    under(old, K2)
    assert old.verify(old.code(account="acc_a"), account="acc_a").status_code == 200


def test_a_second_run_finds_nothing(old: World):
    rewrapped(old, K2, K1)
    assert rewrapped(old, K2, K1).moved == 0


def test_a_run_that_was_broken_off_goes_on(old: World, monkeypatch):
    monkeypatch.setattr(rewrapping, "ROWS_AT_ONCE", 1)

    class KilledError(Exception):
        pass

    def kill_after_one(count):
        if count:
            raise KilledError

    with pytest.raises(KilledError):
        rewrapped(old, K2, K1, seen=kill_after_one)
    assert sorted(key_ids(old).values()) == ["k1", "k1", "k2"]
    assert rewrapped(old, K2, K1).moved == 2


def test_progress_is_heard_of_up_to_the_last_row(old: World, monkeypatch):
    monkeypatch.setattr(rewrapping, "ROWS_AT_ONCE", 2)
    heard = []
    rewrapped(old, K2, K1, seen=heard.append)
    assert [count for count in heard if count] == [2, 1]


def test_secrets_of_several_old_keys_move(old: World):
    under(old, K2, K1)
    old.enrol("acc_d")
    assert rewrapped(old, K3, K2, K1).moved == 4


def test_a_secret_whose_key_is_missing_is_left(old: World):
    assert rewrapped(old, K3, K2).moved == 0
    assert set(key_ids(old).values()) == {"k1"}


def test_a_row_that_was_used_or_revoked_meanwhile_is_left_as_it_is(old: World):
    """Compare and set: what the batch has read is out of date for two of its rows."""
    with reading(old.database) as connection:
        rows = {row.account_id: row for row in sealed_store.list_under(connection, "k1", after="", limit=9)}
    under(old, K2, K1)
    assert old.verify(old.code(account="acc_a"), account="acc_a").status_code == 200
    assert old.account("DELETE", "two-factor", account="acc_b").status_code == 200
    with writing(old.database) as connection:
        for row in rows.values():
            new = box(K3).seal(Secret(b"x" * 20), row.account_id, row.id)
            assert sealed_store.replace_sealed(connection, row, new) == (row.account_id == "acc_c")
    assert key_ids(old) == {"acc_a": "k2", "acc_b": None, "acc_c": "k3"}


def pending(world: World, account: str, lives: timedelta) -> None:
    sealed = world.deps.secret_box.seal(Secret(b"p" * 20), account, f"enr_{account}")
    new = NewAuthenticator(f"enr_{account}", account, "x", sealed, world.clock())
    with writing(world.database) as connection:
        store.put_pending(connection, new, world.clock() + lives)


def test_an_enrollment_under_way_moves_and_an_abandoned_one_is_forgotten(old: World):
    pending(old, "acc_p", timedelta(minutes=1))
    pending(old, "acc_q", timedelta(minutes=-1))
    result = rewrapped(old, K2, K1)
    assert (result.moved, result.forgotten) == (4, 1)
    assert key_ids(old) == dict.fromkeys(("acc_a", "acc_b", "acc_c", "acc_p"), "k2")


# --- on use -----------------------------------------------------------------------------------------------------------


def test_a_code_that_is_accepted_moves_its_secret_by_the_statement_that_claims_it(old: World):
    under(old, K2, K1)
    old.begin_row("acc_a")
    with counted_statements(old.database) as statements:
        assert old.verify(old.code(account="acc_a"), account="acc_a").status_code == 200
    assert [statement.split()[0] for statement in statements] == ["SELECT", "UPDATE"]
    assert key_ids(old) == {"acc_a": "k2", "acc_b": "k1", "acc_c": "k1"}
    under(old, K2)
    old.clock.turn(seconds=30)
    assert old.verify(old.code(account="acc_a"), account="acc_a").status_code == 200


def test_a_secret_that_was_moved_between_read_and_claim_refuses_no_code(old: World):
    """The claim asks for the step alone."""
    under(old, K2, K1)
    with reading(old.database) as connection:
        stored = store.read_state(connection, "acc_a").authenticator
    secret = old.secrets["acc_a"]
    renewed = old.deps.secret_box.renewed(stored.sealed, secret, "acc_a", stored.id)
    rewrapped(old, K2, K1)
    step = step_at(unix_seconds(old.clock()))
    with writing(old.database) as connection:
        assert store.claim_step(connection, stored.id, step, "login:1", old.clock(), renewed) is Claim.WON
        assert store.claim_step(connection, stored.id, step, "login:2", old.clock(), renewed) is Claim.LOST
        stored = store.read_state(connection, "acc_a").authenticator
    assert box(K2).open(stored.sealed, "acc_a", stored.id) == secret


def test_a_secret_under_the_newest_key_is_not_written_again(old: World):
    with counted_statements(old.database) as statements:
        assert old.verify(old.code(account="acc_a"), account="acc_a").status_code == 200
    assert [statement for statement in statements if "key_id" in statement and "UPDATE" in statement] == []


def test_a_code_that_is_refused_moves_nothing(old: World):
    under(old, K2, K1)
    old.verify(old.wrong_code("acc_a"), account="acc_a")
    assert key_ids(old)["acc_a"] == "k1"


# --- whose secret it is -----------------------------------------------------------------------------------------------


def test_a_secret_that_is_copied_to_another_account_opens_nothing(world: World):
    """Whoever can write to the database puts their own secret in the place of somebody else's."""
    world.enrol("acc_thief")
    world.enrol("acc_ann")
    with writing(world.database) as connection:
        mine = connection.execute(
            select(authenticators.c.key_id, authenticators.c.ciphertext).where(
                authenticators.c.account_id == "acc_thief"
            )
        ).one()
        ann = update(authenticators).where(authenticators.c.account_id == "acc_ann")
        connection.execute(ann.values(key_id=mine.key_id, ciphertext=mine.ciphertext))
    answer = world.verify(world.code(account="acc_thief"))
    assert (answer.status_code, answer.json["part"]) == (503, "authenticator key")


def test_an_authenticator_that_is_handed_to_another_account_opens_nothing(world: World):
    """The whole row changes hands, its id with it."""
    world.enrol("acc_thief")
    with writing(world.database) as connection:
        connection.execute(update(authenticators).values(account_id="acc_ann"))
    assert world.verify(world.code(account="acc_thief")).status_code == 503


def test_a_rotation_does_not_make_a_moved_secret_its_new_owners(old: World):
    with writing(old.database) as connection:
        a, b = (authenticators.c.account_id == account for account in ("acc_a", "acc_b"))
        mine = connection.execute(select(authenticators.c.ciphertext).where(a)).scalar_one()
        connection.execute(update(authenticators).where(b).values(ciphertext=mine))
        victim = connection.execute(select(authenticators.c.id).where(b)).scalar_one()
    result = rewrapped(old, K2, K1)
    assert (result.moved, result.unreadable) == (2, [victim])
    assert key_ids(old)["acc_b"] == "k1"


# --- missing keys, and how many ---------------------------------------------------------------------------------------


def test_each_key_is_counted_with_its_place(old: World, monkeypatch):
    monkeypatch.setattr(sealed_store, "COUNTED_AT_ONCE", 2)
    under(old, K2, K1)
    old.enrol("acc_d")
    assert census(old.database, box(K2, K1)) == [KeyUse("k2", Place.NEWEST, 1), KeyUse("k1", Place.OTHER, 3)]
    assert census(old.database, box(K3, K2)) == [
        KeyUse("k3", Place.NEWEST, 0),
        KeyUse("k2", Place.OTHER, 1),
        KeyUse("k1", Place.MISSING, 3),
    ]


def test_a_key_that_holds_secrets_is_needed(old: World):
    require_keys(old.database, box(K2, K1), old.clock)
    with pytest.raises(KeyMissing, match="lacks key k1"):
        require_keys(old.database, box(K2), old.clock)


def test_another_key_of_the_same_id_is_not_the_one(old: World):
    with pytest.raises(KeyMissing, match="key k1 that is not the one"):
        require_keys(old.database, box(f"k1:{encode_key(b'x' * 32)}"), old.clock)


def test_one_damaged_row_keeps_nobody_from_starting(old: World):
    with writing(old.database) as connection:
        connection.execute(
            update(authenticators).where(authenticators.c.account_id == "acc_a").values(ciphertext=b"x" * 48)
        )
    require_keys(old.database, box(K1), old.clock)


def test_no_key_is_needed_for_what_is_revoked_or_abandoned(old: World):
    for account in ("acc_a", "acc_b", "acc_c"):
        old.account("DELETE", "two-factor", account=account)
    pending(old, "acc_q", timedelta(minutes=-1))
    require_keys(old.database, box(K2), old.clock)
    pending(old, "acc_p", timedelta(minutes=1))
    with pytest.raises(KeyMissing):
        require_keys(old.database, box(K2), old.clock)


def test_counts_and_needs_are_read_from_the_index(world: World):
    with reading(world.database) as connection:
        for query in (
            "SELECT min(key_id) FROM authenticators WHERE key_id > ''",
            "SELECT id FROM authenticators WHERE key_id = 'k1' AND id > '' ORDER BY id LIMIT 5",
        ):
            plan = " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
            assert "USING COVERING INDEX ix_authenticators_key" in plan
            assert "TEMP B-TREE" not in plan


def scraped(registry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_the_gauges_count_what_is_under_old_and_missing_keys_once_a_minute(old: World):
    seconds, registry = [0.0], CollectorRegistry()
    registry.register(SecretsCollector(old.database, box(K2, K1), monotonic=lambda: seconds[0]))
    registry_without = CollectorRegistry()
    registry_without.register(SecretsCollector(old.database, box(K2)))
    names = ("latchkey_otp_secrets_under_old_keys", "latchkey_otp_secrets_without_key")
    assert scraped(registry) == dict(zip(names, (3, 0), strict=True))
    assert scraped(registry_without) == dict(zip(names, (0, 3), strict=True))
    rewrapped(old, K2, K1)
    assert scraped(registry)[names[0]] == 3
    seconds[0] = COUNT_EVERY_SECONDS
    assert scraped(registry)[names[0]] == 0
    seconds[0] *= 2
    old.sql("ALTER TABLE authenticators RENAME TO gone")
    assert scraped(registry) == {}


# --- the commands, and the start --------------------------------------------------------------------------------------


def environment(world: World, *keys: str) -> dict[str, str]:
    url = world.database.url.render_as_string(hide_password=False)
    own = {"OTP_DATABASE_URL": url, "NOTIFY_PUBLIC_KEY": f"n:{encode_key(b'n' * 32)}"}
    return {**ENVIRONMENT, **own, "OTP_SECRET_KEYS": ",".join(keys)}


def keys_command(world: World, *arguments: str, keys: tuple[str, ...]):
    return CliRunner().invoke(main, ["keys", *arguments], env=environment(world, *keys))


def test_rewrap_says_what_it_did_and_status_how_it_stands(old: World):
    before = keys_command(old, "status", "--json", keys=(K2, K1))
    assert json.loads(before.stdout) == [
        {"key_id": "k2", "place": "newest", "secrets": 0},
        {"key_id": "k1", "place": "other", "secrets": 3},
    ]
    done = keys_command(old, "rewrap", keys=(K2, K1))
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"rewrapped": 3, "forgotten": 0})
    assert "rewrapping 3 secrets" in done.stderr
    table = [line.split() for line in keys_command(old, "status", keys=(K2, K1)).stdout.splitlines()]
    assert table == [["KEY", "PLACE", "SECRETS"], ["k2", "newest", "3"], ["k1", "other", "0"]]


def test_a_missing_key_is_said_by_both_and_no_key_is_shown(old: World):
    for arguments, word in ((("status",), "missing"), (("rewrap",), "3 secrets are left under missing key k1")):
        done = keys_command(old, *arguments, keys=(K3, K2))
        assert done.exit_code == 1
        assert word in done.output
        assert K3.partition(":")[2] not in done.output


def test_a_secret_that_does_not_open_is_named(old: World):
    with writing(old.database) as connection:
        row = connection.execute(select(authenticators.c.id).limit(1)).scalar_one()
        connection.execute(update(authenticators).where(authenticators.c.id == row).values(ciphertext=b"x" * 48))
    done = keys_command(old, "rewrap", keys=(K2, K1))
    assert done.exit_code == 1
    assert f"authenticator {row} does not open" in done.stderr


def test_a_database_that_does_not_answer_is_a_sentence(old: World):
    old.sql("ALTER TABLE authenticators RENAME TO gone")
    done = keys_command(old, "rewrap", keys=(K2, K1))
    assert done.exit_code == 1
    assert "the database does not answer" in done.stderr


def started(environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import services.otp.wsgi"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_service_refuses_to_start_without_a_key_that_holds_secrets(old: World):
    assert started(environment(old, K2, K1)).returncode == 0
    refused = started(environment(old, K2))
    assert refused.returncode == os.EX_CONFIG
    assert refused.stderr.strip() == (
        "settings: OTP_SECRET_KEYS lacks key k1, which holds secrets: put it back behind the first key"
    )


def test_a_database_that_is_down_at_the_start_is_the_readiness_checks_to_tell(old: World):
    old.sql("ALTER TABLE authenticators RENAME TO gone")
    done = started(environment(old, K2))
    assert done.returncode == 0
    assert "keys not checked" in done.stderr
