"""After a restore: what was spent, used, ended or changed since the backup does not come back."""

from datetime import timedelta

import pytest

from services.otp import after_restore, attempts_store, reset
from services.otp.after_restore import Order
from services.otp.domain.failure_row import FailureRow
from services.otp.domain.reconciliation import Conflict, Held, Told, compare
from services.otp.key_uri import decode_secret
from services.otp.limits import durable_row
from shared.clock import parse_rfc3339
from shared.database import writing
from shared.messages import AuthenticatorsSuspended, TwoFactorResetApproved
from shared.secret import Secret
from tests.support.clock import NOW
from tests.support.otp import ACCOUNT

OTHER = "acc_bob"


def refused(answer):
    return answer.json["code"]


def test_a_spent_backup_code_stays_spent_and_the_others_work(world, backup, work):
    world.enrol()
    codes = world.give_recovery_codes()
    backup.take()
    assert world.verify(codes[0]).status_code == 200
    backup.restore()
    assert work() == {(ACCOUNT, "recovery_codes_kept")}
    assert refused(world.verify(codes[0], binding="chl_2")) == "invalid_passcode"
    assert world.verify(codes[1], binding="chl_3").status_code == 200


def test_without_the_command_the_spent_code_lets_in_again(world, backup):
    """The fault itself: were this refused anyway, the test above would show nothing."""
    world.enrol()
    codes = world.give_recovery_codes()
    backup.take()
    used = world.code()
    assert world.verify(codes[0]).status_code == world.verify(used, binding="chl_2").status_code == 200
    backup.restore()
    assert world.verify(codes[0], binding="chl_3").status_code == 200
    assert world.verify(used, binding="chl_4").status_code == 200


def test_a_spent_code_is_not_accepted_again_where_it_was_entered(world, backup, work):
    world.enrol()
    codes = world.give_recovery_codes()
    backup.take()
    assert world.verify(codes[0]).status_code == 200
    backup.restore()
    work()
    assert refused(world.verify(codes[0])) == "invalid_passcode"


def test_codes_issued_before_the_backup_are_void_if_the_operator_says_so_and_later_codes_are_not(world, backup, work):
    world.enrol()
    old = world.give_recovery_codes()
    world.enrol(OTHER)
    world.give_recovery_codes(OTHER)
    backup.take()
    new = world.give_recovery_codes(OTHER)
    backup.restore()
    assert work(keep=False) == {(ACCOUNT, "recovery_codes_void")}
    assert refused(world.verify(old[0])) == "invalid_passcode"
    assert world.verify(new[0], account=OTHER).status_code == 200


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_time_steps_up_to_now_are_refused_and_the_next_one_is_not(world, backup, work, offset):
    world.enrol()
    backup.take()
    code = world.code(offset)
    backup.restore()
    work()
    assert refused(world.verify(code)) == "invalid_passcode"
    world.clock.turn(seconds=60)
    assert world.verify(world.code(), binding="chl_2").status_code == 200


def test_what_was_turned_on_or_off_in_the_gap_stays_so(world, backup, work):
    world.enrol()
    backup.take()
    assert world.account("DELETE", "two-factor", {}).status_code == 200
    enrolled = world.account("POST", "enrollments", {"label": "bob"}, account=OTHER).json
    secret = decode_secret(Secret(enrolled["secret"]))
    path = f"enrollments/{enrolled['enrollment_id']}/confirm"
    codes = world.account("POST", path, {"code": world.code(secret=secret)}, account=OTHER).json["recovery_codes"]
    backup.restore()
    assert world.state()["enabled"] is True
    assert world.state(OTHER)["enabled"] is False
    work()
    assert world.state()["enabled"] is False
    assert world.state(OTHER)["enabled"] is True
    assert world.verify(codes[0], account=OTHER).status_code == 200
    world.clock.turn(seconds=60)
    assert world.verify(world.code(secret=secret), account=OTHER, binding="chl_2").status_code == 200


def test_what_was_suspended_as_stolen_in_the_gap_stays_suspended(world, backup, work):
    world.enrol()
    (authenticator,) = world.state()["authenticators"]
    backup.take()
    stolen = AuthenticatorsSuspended(
        id="evt_1",
        occurred_at=world.clock(),
        account_id=ACCOUNT,
        reset_id="rst_1",
        authenticators=[authenticator["id"]],
    )
    reset.suspend(world.worker_deps, stolen)
    backup.restore()
    work()
    world.clock.turn(seconds=60)
    assert world.verify(world.code()).status_code != 200


def test_pending_enrolments_and_texted_codes_are_void(world, backup, work):
    world.enrol()
    begun = world.account("POST", "enrollments", {"label": "bob"}, account=OTHER).json
    assert world.send_sms().status_code == 202
    assert world.redis.keys("otp:sms:*")
    assert world.redis.keys("notify:sealed:*")
    backup.take()
    world.clock.turn(minutes=-10)
    work()
    assert world.redis.keys("otp:sms:*") == world.redis.keys("notify:sealed:*") == []
    answer = world.account("POST", f"enrollments/{begun['enrollment_id']}/confirm", {"code": "123456"}, account=OTHER)
    assert refused(answer) == "enrollment_expired"


@pytest.mark.parametrize(("in_sql", "in_redis"), [(40, 7), (7, 40)])
def test_the_row_of_failures_is_the_higher_of_the_two(world, backup, work, in_sql, in_redis):
    world.enrol()
    failed = [(ACCOUNT, {FailureRow.ALL: in_sql, FailureRow.STRANGERS: in_sql}, world.clock())]
    with writing(world.database) as connection:
        attempts_store.add_failures(connection, failed)
    backup.take()
    keys = [durable_row(row, ACCOUNT).keys()[0] for row in (FailureRow.ALL, FailureRow.STRANGERS)]
    for key in keys:
        world.redis.set(key, in_redis)
    work("otp", "redis")
    assert refused(world.verify(world.wrong_code())) == "invalid_passcode"
    assert world.redis.mget(keys) == ["41", "41"]
    world.settle()
    assert (world.state()["consecutive_failures"], world.state()["strangers_failures"]) == (41, 41)


def test_a_second_run_changes_nothing(world, backup, work):
    world.enrol()
    codes = world.give_recovery_codes()
    backup.take()
    backup.restore()
    found = work()
    world.clock.turn(seconds=60)
    world.verify(codes[0])
    world.send_sms()
    live = world.redis.keys("otp:sms:*")
    assert work() == found
    assert world.redis.keys("otp:sms:*") == live
    world.settle()
    assert world.verify(world.code(), binding="chl_2").status_code == 200


def test_a_redis_that_is_put_back_once_more_is_cleared_once_more(world, backup, work):
    world.enrol()
    backup.take()
    work("redis")
    world.send_sms()
    world.redis.delete(*world.redis.keys("otp:after-restore:*"))
    work("redis")
    assert world.redis.keys("otp:sms:*") == []


def test_a_run_that_was_broken_off_goes_on(world, backup, work, journal):
    world.enrol()
    codes = world.give_recovery_codes()
    backup.take()
    world.verify(codes[0])
    backup.restore()

    def breaks_off(_rows):
        raise ZeroDivisionError

    order = Order(
        backup.taken_at, frozenset({"otp"}), keep_recovery_codes=True, entries=journal.read().entries, told={}
    )
    with pytest.raises(ZeroDivisionError):
        after_restore.carry_out(world.worker_deps, order, breaks_off)
    work()
    assert refused(world.verify(codes[0], binding="chl_2")) == "invalid_passcode"


def test_what_the_timeline_says_is_off_is_revoked_and_what_is_gone_is_listed(world, backup, work):
    world.enrol()
    world.give_recovery_codes()
    backup.take()
    told = {ACCOUNT: Told(is_on=False, at=world.clock()), OTHER: Told(is_on=True, at=world.clock())}
    found = work("otp", entries=[], told=told)
    assert {(ACCOUNT, "two_factor_revoked"), (OTHER, "two_factor_lost")} <= found
    assert world.state()["enabled"] is False
    assert world.recovery_hashes() == []


def enrolled_by(world, account):
    """Enrol as the owner does; what auth's timeline then says."""
    begun = world.account("POST", "enrollments", {"label": "ann"}, account=account).json
    code = world.code(secret=decode_secret(Secret(begun["secret"])))
    answer = world.account("POST", f"enrollments/{begun['enrollment_id']}/confirm", {"code": code}, account=account)
    assert answer.status_code == 200, answer.json
    (event,) = [one for one in world.events() if one.get("authenticator_id") == begun["enrollment_id"]]
    return Told(is_on=True, at=parse_rfc3339(event["occurred_at"]))


def test_an_authenticator_that_was_replaced_in_the_gap_does_not_come_back(world, backup, work):
    enrolled_by(world, ACCOUNT)
    backup.take()
    assert world.account("DELETE", "two-factor", {}).status_code == 200
    told = enrolled_by(world, ACCOUNT)
    backup.restore()
    assert world.state()["enabled"] is True
    assert (ACCOUNT, "two_factor_revoked") in work("otp", entries=[], told={ACCOUNT: told})
    assert world.state()["enabled"] is False
    assert world.recovery_hashes() == []


def test_an_authenticator_of_before_the_backup_stays_with_its_newer_codes_and_so_does_an_imported_one(
    world, backup, work
):
    told = enrolled_by(world, ACCOUNT)
    world.enrol(OTHER)
    world.clock.turn(minutes=10)
    codes = world.give_recovery_codes()
    backup.take()
    assert {kind for _, kind in work("otp", entries=[], told={ACCOUNT: told})} == {"recovery_codes_kept"}
    assert world.verify(codes[0]).status_code == 200
    assert world.state(OTHER)["enabled"] is True


def test_what_was_enrolled_and_revoked_in_a_gap_that_auth_has_lost_is_listed(world, backup, work):
    backup.take()
    enrolled_by(world, ACCOUNT)
    world.clock.turn(minutes=10)
    (authenticator,) = world.state()["authenticators"]
    ids = {"account_id": ACCOUNT, "reset_id": "rst_1", "authenticators": [authenticator["id"]]}
    reset.apply(world.worker_deps, TwoFactorResetApproved(id="evt_1", occurred_at=world.clock(), **ids))
    assert work("auth", entries=[], told={}) == {(ACCOUNT, "two_factor_lost")}


EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
ALMOST = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("told", "held", "conflict"),
    [
        (None, Held(None, None), None),
        (None, Held(NOW, None), None),
        (None, Held(NOW, LATER), None),
        (None, Held(None, EARLIER), None),
        (None, Held(None, LATER), Conflict.LOST),
        (Told(is_on=True, at=NOW), Held(NOW, None), None),
        (Told(is_on=True, at=NOW), Held(NOW - ALMOST, None), None),
        (Told(is_on=True, at=NOW), Held(LATER, NOW), None),
        (Told(is_on=True, at=NOW), Held(EARLIER, None), Conflict.REVOKED),
        (Told(is_on=True, at=NOW), Held(None, None), Conflict.LOST),
        (Told(is_on=True, at=NOW), Held(None, EARLIER), Conflict.LOST),
        (Told(is_on=True, at=NOW), Held(None, LATER), Conflict.LOST),
        (Told(is_on=False, at=NOW), Held(None, None), None),
        (Told(is_on=False, at=NOW), Held(None, NOW), None),
        (Told(is_on=False, at=NOW), Held(None, LATER), Conflict.LOST),
        (Told(is_on=False, at=NOW), Held(EARLIER, None), Conflict.REVOKED),
        (Told(is_on=False, at=NOW), Held(LATER, None), None),
    ],
)
def test_the_newer_word_counts(told, held, conflict):
    assert compare(told, held, backup_taken_at=NOW) is conflict
