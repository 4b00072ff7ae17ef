"""python -m services.otp after-restore: what an operator must say, and what it reports."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from services.otp.models import RESTORES, authenticators
from services.otp.rewrapping import require_keys
from services.otp.secrets_box import SecretBox
from shared import journaling
from shared.clock import rfc3339, system_clock
from shared.database import reading
from shared.journal import Entry
from shared.keys import KeyList, encode_key
from shared.messages import RecoveryCodesRegenerated
from shared.restores import RestoreUnfinished, require_finished
from tests.support.otp import ACCOUNT

DECIDED = ("--recovery-codes", "keep", "--auth-report", "-")


@pytest.fixture
def world(of_otp):
    return of_otp.world


@pytest.fixture
def run(of_otp):
    def call(*arguments, report=(), restored=("otp",), **options):
        return of_otp.after_restore(*arguments, restored=restored, stdin=of_otp.others_report(*report), **options)

    return call


def test_the_operator_must_decide_about_backup_codes(run):
    result = run("--auth-report", "-")
    assert result.exit_code == 2
    assert "--recovery-codes" in result.stderr


def test_auth_goes_first(run):
    result = run("--recovery-codes", "keep")
    assert result.exit_code == 2
    assert "--auth-report" in result.stderr


@pytest.mark.parametrize(("decision", "left"), [("keep", 10), ("void", 0)])
def test_it_reports_what_it_found(run, world, taken_at, decision, left):
    world.enrol()
    world.give_recovery_codes()
    lost = {"account_id": "acc_bob", "two_factor": "on", "at": rfc3339(taken_at)}
    result = run("--recovery-codes", decision, "--auth-report", "-", report=[lost])
    assert result.exit_code == 0, result.output
    head, *found, end = (json.loads(line) for line in result.stdout.splitlines())
    assert (head["report"], end) == ("otp", {"end": 2})
    assert {line["account_id"]: line["finding"] for line in found} == {
        ACCOUNT: f"recovery_codes_{'kept' if decision == 'keep' else 'void'}",
        "acc_bob": "two_factor_lost",
    }
    assert world.state()["recovery_codes"]["remaining"] == left


def test_a_dry_run_changes_nothing(run, world):
    world.enrol()
    world.give_recovery_codes()
    world.send_sms()
    result = run("--recovery-codes", "void", "--auth-report", "-", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "that are void: 10" in result.stdout
    assert world.state()["recovery_codes"]["remaining"] == 10
    assert world.redis.keys("otp:sms:*")


def test_redis_alone_takes_no_report_and_touches_no_code(run, world):
    world.enrol()
    world.give_recovery_codes()
    world.send_sms()
    result = run(restored=("redis",))
    assert result.exit_code == 0, result.output
    assert world.redis.keys("otp:sms:*") == []
    assert world.state()["recovery_codes"]["remaining"] == 10
    assert world.verify(world.code()).status_code == 200


def test_after_redis_alone_the_journal_is_applied_and_used_steps_are_refused(run, of_otp, world):
    world.enrol()
    world.give_recovery_codes()
    assert run(restored=("redis",)).exit_code == 0
    note_in_the_gap(of_otp, ACCOUNT, last_accepted_for="spent in the gap")
    done = run(*DECIDED)
    assert done.exit_code == 0, done.output
    assert world.state()["recovery_codes"]["remaining"] == 0
    assert world.verify(world.code()).status_code == 401
    require_finished(of_otp.database, RESTORES)


def test_a_dry_run_says_that_a_restore_is_finished_only_of_what_was_named_before(run):
    assert run(restored=("redis",)).exit_code == 0
    surveyed = run(*DECIDED, "--dry-run")
    assert "is finished" not in surveyed.stdout
    assert "authenticators whose time steps up to now are refused" in surveyed.stdout
    assert "is finished" in run("--dry-run", restored=("redis",)).stdout
    assert run(*DECIDED).exit_code == 0
    assert "is finished" in run(*DECIDED, "--dry-run").stdout


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_an_unfinished_restore_is_not_worked_through_for_fewer_databases(run, of_otp, world, more):
    assert run(*DECIDED, restored=("auth", "otp")).exit_code == 0
    world.sql("UPDATE restores SET finished_at = NULL")
    refused = run("--auth-report", "-", *more, restored=("auth",))
    assert refused.exit_code == 1
    assert "--restored auth --restored otp" in refused.stderr
    with pytest.raises(RestoreUnfinished):
        require_finished(of_otp.database, RESTORES)
    assert run(restored=("redis",)).exit_code == 0
    with pytest.raises(RestoreUnfinished):
        require_finished(of_otp.database, RESTORES)
    assert run(*DECIDED, restored=("auth", "otp")).exit_code == 0
    require_finished(of_otp.database, RESTORES)


def test_auths_database_may_be_restored_after_otps_restore_is_finished(run, of_otp):
    assert run(*DECIDED).exit_code == 0
    lost = {"account_id": "acc_bob", "two_factor": "on", "at": rfc3339(of_otp.taken_at)}
    done = run("--auth-report", "-", report=[lost], restored=("auth",))
    assert done.exit_code == 0, done.output
    assert "two_factor_lost" in done.stdout
    # A run that was broken off may be run again as it was.
    of_otp.world.sql("UPDATE restores SET finished_at = NULL")
    assert run("--auth-report", "-", report=[lost], restored=("auth",)).stdout == done.stdout
    require_finished(of_otp.database, RESTORES)


# --- the keys of the secrets at rest ----------------------------------------------------------------------------------

OF_TODAY = f"s3:{encode_key(b'3' * 32)}"
CHANGED = {"OTP_SECRET_KEYS": OF_TODAY}


@pytest.fixture
def rotated(world):
    """Two accounts of the backup, whose secrets are under s2, which is not in the list of today."""
    for account in (ACCOUNT, "acc_bob"):
        world.enrol(account)
        world.give_recovery_codes(account)


def note_in_the_gap(of_otp, account, **members):
    """A line of the journal about the account's active authenticator, with these members instead of its own."""
    with reading(of_otp.database) as connection:
        row = connection.execute(select(authenticators).where(authenticators.c.account_id == account)).one()
    state = {"authenticators": [journaling.dump_row(row) | members], "recovery_codes": []}
    at = of_otp.taken_at + timedelta(minutes=5)
    of_otp.journal.append([Entry(RecoveryCodesRegenerated.TYPE, account, at, "", state)])


def test_a_key_of_the_backup_that_was_dropped_since_is_named_and_nothing_is_changed(run, world, rotated):
    world.send_sms()
    refused = run(*DECIDED, changed=CHANGED)
    assert refused.exit_code == 1
    assert "OTP_SECRET_KEYS lacks key s2, which holds the secrets of 2 accounts" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert OF_TODAY.partition(":")[2] not in refused.output
    assert world.verify(world.code()).status_code == 200
    assert world.redis.keys("otp:sms:*")
    assert run(*DECIDED).exit_code == 0


def test_a_dry_run_names_the_keys_too(run, rotated):
    surveyed = run(*DECIDED, "--dry-run", changed=CHANGED)
    assert surveyed.exit_code == 0
    assert "OTP_SECRET_KEYS lacks key s2, which holds the secrets of 2 accounts" in surveyed.stdout
    assert "lacks key" not in run(*DECIDED, "--dry-run").stdout


def test_a_key_that_only_the_journal_needs_is_named(run, of_otp, rotated):
    note_in_the_gap(of_otp, ACCOUNT, key_id="s1")
    refused = run(*DECIDED, changed={"OTP_SECRET_KEYS": f"s2:{encode_key(b'2' * 32)}"})
    assert refused.exit_code == 1
    assert "lacks key s1, which holds the secrets of 1 account:" in refused.stderr


@pytest.mark.parametrize("members", [{"key_id": "s3"}, {"status": "REVOKED", "key_id": None, "ciphertext": None}])
def test_a_key_that_the_journal_has_made_needless_is_not_missed(run, of_otp, world, members):
    world.enrol()
    note_in_the_gap(of_otp, ACCOUNT, **members)
    assert run(*DECIDED, changed=CHANGED).exit_code == 0


def test_accounts_whose_key_is_lost_must_enrol_and_otp_starts(run, of_otp, world, rotated):
    note_in_the_gap(of_otp, "acc_bob", key_id="s3")
    done = run(*DECIDED, "--lost-key", "s2", changed=CHANGED)
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"account_id": ACCOUNT, "finding": "two_factor_lost"} in found
    assert {"account_id": "acc_bob", "finding": "two_factor_lost"} not in found
    assert (world.state()["enabled"], world.state("acc_bob")["enabled"]) == (False, True)
    assert world.state()["recovery_codes"]["remaining"] == 0
    require = SecretBox(KeyList.parse(OF_TODAY))
    world.sql("DELETE FROM authenticators WHERE account_id = 'acc_bob'")  # its ciphertext is not that of s3
    require_keys(of_otp.database, require, system_clock)
    assert run(*DECIDED, changed=CHANGED).exit_code == 0


def test_a_key_that_is_in_the_list_is_not_lost(run, world, rotated):
    refused = run(*DECIDED, "--lost-key", "s2")
    assert refused.exit_code == 2
    assert "s2 is in OTP_SECRET_KEYS" in refused.stderr
    assert world.state()["enabled"] is True


def test_keys_are_not_asked_for_where_otps_database_stands(run, world, rotated):
    assert run("--auth-report", "-", restored=("auth",), changed=CHANGED).exit_code == 0
