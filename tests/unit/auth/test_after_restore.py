"""After a restore: ended sessions stay ended, changes of the gap stand, trust ends, the owners are told."""

from datetime import timedelta

import pytest

from services.auth import after_restore, audit, password_change, sealer, session_store
from services.auth.app import create_app
from services.auth.consequences import Acting
from services.auth.domain.account import Role
from services.auth.store import accounts, devices, timeline
from services.auth.store.timeline import Entry
from shared.clock import unix_seconds
from shared.database import reading, writing
from tests.support.audit import verified
from tests.support.auth import (
    CLIENT,
    OTHER_PHONE,
    PHONE,
    Api,
    add_device,
    end_all,
    fresh,
    notices_in,
    sign_in,
    timeline_of,
    types_of,
)

NEW_PASSWORD = "nine dry badgers hum loudly"


def sessions(deps, account):
    return session_store.sessions_of(deps.redis, account.id)


def trusted(deps, account):
    with reading(deps.database) as connection:
        return devices.count_trusted(connection, account.id, deps.clock())


def change_password(deps, account):
    session, token = sign_in(deps, account)
    password_change.set_new(deps, CLIENT, account, Acting(session, token), NEW_PASSWORD)


def hash_of(deps, account):
    with reading(deps.database) as connection:
        return accounts.password(connection, account.id).encoded


def test_earlier_sessions_and_logins_end_and_a_login_under_way_opens_no_session(deps, ann, backup, work):
    backup.take()
    session, token = sign_in(deps, ann)
    epoch = session_store.epoch(deps.redis, ann.id)
    work()
    assert session_store.find(deps.redis, token) is None
    assert sessions(deps, ann) == []
    assert not session_store.open_session(deps.redis, session, token, epoch=epoch)
    sign_in(deps, ann)


def test_an_epoch_is_beyond_all_that_it_was_before_an_older_redis_was_put_back(deps, ann, backup, work):
    backup.take()
    for _ in range(50):
        end_all(deps, ann)
    was = session_store.epoch(deps.redis, ann.id)
    deps.redis.set(session_store.epoch_key(ann.id), 3)
    work("redis")
    assert session_store.epoch(deps.redis, ann.id) > was


def test_the_epoch_of_an_account_that_only_the_journal_knows_rises_too(deps, backup, work, make_account):
    backup.take()
    new = make_account("zoe@example.com")
    backup.restore()
    deps.redis.delete(session_store.epoch_key(new.id))
    work("auth", "redis")
    assert session_store.epoch(deps.redis, new.id) >= unix_seconds(deps.clock())


def test_a_redis_that_is_restored_again_is_cleared_again_and_another_one_is_left(deps, ann, backup, work):
    backup.take()
    work("redis")
    sign_in(deps, ann)
    work("redis")
    assert len(sessions(deps, ann)) == 1
    deps.redis.delete(*deps.redis.keys("auth:after-restore:*"))
    work("redis")
    assert sessions(deps, ann) == []


def test_a_changed_password_stays_changed(deps, mia, backup, work):
    backup.take()
    before = hash_of(deps, mia)
    change_password(deps, mia)
    after = hash_of(deps, mia)
    backup.restore()
    assert hash_of(deps, mia) == before
    assert (mia.id, "changed_from_journal") in work()
    assert hash_of(deps, mia) == after != before
    (row,) = [row for row in timeline_of(deps, mia) if row.type == "password.changed"]
    assert (row.actor, row.details) == ("owner", {"from_journal": True})


def test_accounts_and_roles_of_the_gap_are_there_again(deps, ann, backup, work, make_account):
    backup.take()
    new = make_account("zoe@example.com", team="Newcomers", phone=PHONE)
    with writing(deps.database) as connection:
        accounts.set_role(connection, ann.id, Role.OWNER)
        timeline.write(connection, ann.id, Entry.ROLE_CHANGED, deps.clock())
    backup.restore()
    work()
    assert fresh(deps, ann).role is Role.OWNER
    assert fresh(deps, new) == new


def test_an_account_whose_address_belongs_to_another_account_is_listed(deps, backup, work, make_account):
    backup.take()
    new = make_account("zoe@example.com")
    backup.restore()
    other = make_account("zoe@example.com")
    found = work()
    assert (new.id, "not_changed_from_journal") in found
    assert fresh(deps, other).email == "zoe@example.com"


def test_what_was_erased_in_the_gap_is_erased_again(deps, chain, ann, backup, work):
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.SIGNED_IN, deps.clock(), ip=CLIENT.ip, browser="Firefox")
    backup.take()
    audit.erase(chain, ann.id, lambda _: None)
    backup.restore()
    assert [row.ip for row in timeline_of(deps, ann)] == [CLIENT.ip]
    work()
    assert [row.ip for row in timeline_of(deps, ann) if row.ip] == []
    assert verified(chain).faults == []


def test_trust_ends_whether_it_was_ended_in_the_gap_or_not(deps, ann, tom, backup, work):
    add_device(deps, ann)
    add_device(deps, tom, "other token")
    backup.take()
    with writing(deps.database) as connection:
        devices.revoke_all(connection, ann.id, deps.clock(), deps.clock())
    backup.restore()
    assert work() >= {(ann.id, "trust_ended"), (tom.id, "trust_ended")}
    assert (trusted(deps, ann), trusted(deps, tom)) == (0, 0)
    assert {one.recipient for one in notices_in(deps)} == {ann.email, tom.email}


def test_a_pending_phone_is_void_and_a_proven_one_stays(deps, ann, backup, work):
    with writing(deps.database) as connection:
        accounts.set_pending_phone(connection, ann.id, OTHER_PHONE, "phb_1")
    backup.take()
    backup.restore()
    assert (ann.id, "pending_phone_void") in work()
    assert (fresh(deps, ann).pending_phone, fresh(deps, ann).phone) == (None, PHONE)


@pytest.mark.parametrize("conflict", ["two_factor_lost", "two_factor_revoked"])
def test_2fa_that_is_lost_or_revoked_ends_in_enrolment_with_a_word_and_a_notice(deps, ann, backup, work, conflict):
    backup.take()
    backup.restore()
    assert fresh(deps, ann).enrollment_prompted is False
    assert (ann.id, conflict) in work("auth", "otp", found=[(ann, conflict)])
    assert fresh(deps, ann).enrollment_prompted is True
    assert types_of(deps, ann)[-1].endswith("_in_restore")
    (notice,) = notices_in(deps)
    assert "set it up again" in notice.body


def test_the_owner_is_told_what_became_of_the_backup_codes(deps, ann, tom, backup, work):
    backup.take()
    backup.restore()
    work(found=[(ann, "recovery_codes_kept"), (tom, "recovery_codes_void")])
    kept, void = notices_in(deps) if notices_in(deps)[0].recipient == ann.email else notices_in(deps)[::-1]
    assert "backup of November 24, 2026, 5:00:00\u202fAM UTC" in kept.body
    assert "make new ones" in kept.body
    assert "no longer work" in void.body


def test_without_a_journal_the_operator_decides_about_passwords(deps, mia, backup, work, hashing):
    backup.take()
    change_password(deps, mia)
    backup.restore()
    nobodys = hashing.hash("nobody knows it")
    found = work(without=True, passwords="void", nobodys_hash=nobodys)
    assert (mia.id, "password_void") in found
    assert hash_of(deps, mia) == nobodys
    assert "contact support" in notices_in(deps)[-1].body


def test_the_chain_says_that_it_was_restored_and_the_lost_anchors_are_explained(deps, chain, ann, backup, work):
    sign_in(deps, ann)
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.SIGNED_IN, deps.clock())
    backup.take()
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.SIGNED_IN, deps.clock())
    lost = sealer.seal_all(chain)
    backup.restore()
    assert verified(chain, {lost.sequence: lost.mac}).faults != []
    work()
    verdict = verified(chain, {lost.sequence: lost.mac})
    assert (verdict.faults, verdict.explained, verdict.unsealed) == ([], 1, 0)
    assert [one.backup_taken_at for one in verdict.restores] == [backup.taken_at]


def test_a_second_run_changes_nothing(deps, chain, ann, backup, work):
    add_device(deps, ann)
    backup.take()
    change_password(deps, ann)
    backup.restore()
    found = work(found=[(ann, "two_factor_lost")])
    sign_in(deps, ann)
    add_device(deps, ann, "new token")
    told, rows = len(notices_in(deps)), len(timeline_of(deps, ann))
    assert work(found=[(ann, "two_factor_lost")]) == found
    assert (len(sessions(deps, ann)), trusted(deps, ann)) == (1, 1)
    assert (len(notices_in(deps)), len(timeline_of(deps, ann))) == (told, rows)
    assert len(verified(chain).restores) == 1


def test_a_run_that_named_too_little_is_completed_by_one_that_names_all(deps, mia, backup, work):
    backup.take()
    change_password(deps, mia)
    after = hash_of(deps, mia)
    backup.restore()
    work("redis")
    assert hash_of(deps, mia) != after
    work("auth", "redis")
    assert hash_of(deps, mia) == after


def test_what_a_restore_that_names_all_finds_is_acted_on_although_the_owner_was_told_before(deps, ann, backup, work):
    add_device(deps, ann)
    backup.take()
    backup.restore()
    assert work("auth") == {(ann.id, "trust_ended")}
    assert work("auth", "otp", found=[(ann, "two_factor_lost")]) == {(ann.id, "two_factor_lost")}
    assert fresh(deps, ann).enrollment_prompted is True
    assert "set it up again" in notices_in(deps)[-1].body


def test_the_first_half_may_be_run_again_before_the_second(deps, chain, ann, backup, begin, work):
    add_device(deps, ann)
    backup.take()
    change_password(deps, ann)
    backup.restore()
    begin()
    begin()
    assert (ann.id, "trust_ended") in work()
    assert types_of(deps, ann).count("password.changed") == 1
    assert len(notices_in(deps)) == 1
    assert len(verified(chain).restores) == 1


def test_the_report_tells_otp_what_the_timeline_says(deps, ann, tom):
    now = deps.clock()
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.TWO_FACTOR_ENABLED, now)
        timeline.write(connection, tom.id, Entry.TWO_FACTOR_ENABLED, now)
        timeline.write(connection, tom.id, Entry.RESET_APPLIED, now + timedelta(minutes=1))
    words = {line["account_id"]: line["two_factor"] for line in after_restore.two_factor_by_timeline(deps)}
    assert words == {ann.id: "on", tom.id: "off"}


def test_a_gateway_that_runs_all_the_same_serves_nobody_until_the_restore_is_finished(deps, chain, backup, begin):
    """It started while the database did not answer."""
    backup.take()
    restore = begin()
    gateway = Api(create_app(deps))
    login = {"email": "ann@example.com", "password": "wrong"}
    for _ in range(2):
        refused = gateway.post("/v1/login", login)
        assert (refused.status_code, refused.json["part"]) == (503, "restore")
    assert gateway.get("/healthz").status_code == 200
    after_restore.complete(deps, chain, restore, [], lambda _: None)
    assert gateway.post("/v1/login", login).status_code == 401
