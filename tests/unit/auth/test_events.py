from dataclasses import replace
from datetime import timedelta

import pytest
from celery import Celery
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import event

from services.auth import events, session_store, tasks
from services.auth.domain.reset import Status
from services.auth.domain.session import WITHOUT_SECOND_FACTOR, Factor
from services.auth.store import accounts, devices, timeline
from services.auth.store import resets as store
from services.auth.store.timeline import Entry
from shared.brokers import VISIBILITY_TIMEOUT_SECONDS
from shared.database import reading, writing
from shared.messages import (
    AUTH_EVENTS,
    QUEUES,
    ROUTES,
    AuthenticatorEnrolled,
    NoticeNotSent,
    RecoveryCodeSpent,
    RecoveryCodesRegenerated,
    SecondFactorLocked,
    SmsDeliveryChanged,
    TwoFactorDisabled,
    TwoFactorResetApplied,
    TwoFactorResetApprovalLapsed,
    TwoFactorResetApproved,
    TwoFactorResetCoolOffEnded,
    TwoFactorResetFoundNothing,
    UnreadableMessage,
)
from shared.queueing import RETRY_SECONDS
from shared.signed_messages import Gate
from tests.support import auth, ceremony
from tests.support.auth import (
    NOW,
    PHONE,
    add_device,
    end_all,
    events_in,
    fresh,
    notices_in,
    sign_in,
    timeline_of,
    types_of,
)
from tests.support.ceremony import COOL_OFF, IMMEDIATE, IMMEDIATE_BY_TWO
from tests.support.signing import VERIFIER, signed


@pytest.fixture
def gate(clock):
    return Gate(AUTH_EVENTS, VERIFIER, clock)


LATER = NOW + timedelta(seconds=5)


@pytest.fixture
def reset_of(deps, ann, sam):
    return lambda checks: ceremony.request_reset(deps, sam, ann, checks).id


def trusted(deps, account, at=NOW):
    return add_device(deps, account, f"t{at}", at=at)


def trusted_count(deps, account):
    with reading(deps.database) as connection:
        return devices.count_trusted(connection, account.id, deps.clock())


def status_of(deps, reset_id):
    with reading(deps.database) as connection:
        return store.by_id(connection, reset_id).status


def live(deps, account):
    return {session.id for session in session_store.sessions_of(deps.redis, account.id)}


def one_of_each(account_id, reset_id="rst_x"):
    common = {"occurred_at": LATER, "account_id": account_id}
    return [
        AuthenticatorEnrolled(id="evt_1", authenticator_id="enr_1", **common),
        TwoFactorDisabled(id="evt_2", **common),
        RecoveryCodeSpent(id="evt_3", remaining=9, **common),
        RecoveryCodesRegenerated(id="evt_4", **common),
        SecondFactorLocked(id="evt_5", consecutive_failures=100, **common),
        TwoFactorResetCoolOffEnded(id="evt_6", reset_id=reset_id, **common),
        TwoFactorResetApplied(id="evt_7", reset_id=reset_id, **common),
        SmsDeliveryChanged(id="evt_8", message_id="sms_1", status="sent", **common),
        TwoFactorResetApprovalLapsed(id="evt_9", reset_id=reset_id, **common),
        TwoFactorResetFoundNothing(id="evt_10", reset_id=reset_id, **common),
        NoticeNotSent(id="evt_11", message_id="msg_1", channel="sms", **common),
    ]


def test_every_event_on_our_queue_has_a_handler():
    assert {kind for kind, queues in ROUTES.items() if AUTH_EVENTS in queues} == set(events.HANDLERS)


@pytest.mark.parametrize("index", range(11))
def test_an_event_delivered_twice_acts_once(deps, ann, index):
    message = one_of_each(ann.id)[index]
    events.handle(deps, message)
    rows, notices = timeline_of(deps, ann), notices_in(deps)
    events.handle(deps, message)
    assert timeline_of(deps, ann) == rows
    assert notices_in(deps) == notices


@pytest.mark.parametrize("index", range(11))
def test_an_event_about_nobody_is_dropped(deps, index):
    events.handle(deps, one_of_each("acc_nobody")[index])
    assert events_in(deps) == notices_in(deps) == []


@pytest.mark.parametrize(
    ("index", "type_", "words"),
    [
        (0, "two_factor.enabled", "turned on"),
        (1, "two_factor.disabled", "turned off"),
        (2, "recovery_code.spent", "Codes left: 9."),
        (3, "recovery_codes.regenerated", "new sheet"),
        (4, "second_factor.locked", "wrong codes in a row"),
        (6, "two_factor.reset_applied", "removed two-factor"),
    ],
)
def test_the_owner_is_told_on_every_channel(deps, ann, index, type_, words):
    events.handle(deps, one_of_each(ann.id)[index])
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.at) == (type_, LATER)
    sms, email = notices_in(deps)
    assert (sms.recipient, email.recipient) == (PHONE.e164, ann.email)
    assert words in email.body
    assert sms.expires_at == email.expires_at == LATER + timedelta(hours=24)


@pytest.mark.parametrize(
    ("scope", "subject"),
    [("new_browsers", "Codes are locked in new browsers"), ("everywhere", "Codes are locked for your account")],
)
def test_the_owner_is_told_where_codes_are_locked(deps, ann, scope, subject):
    events.handle(
        deps,
        SecondFactorLocked(id="evt_5", occurred_at=LATER, account_id=ann.id, consecutive_failures=60, scope=scope),
    )
    assert [notice.subject for notice in notices_in(deps)] == [None, subject]
    assert timeline_of(deps, ann)[0].details == {"consecutive_failures": 60, "scope": scope}


def test_what_became_of_an_sms_is_recorded_without_a_notice(deps, ann):
    events.handle(deps, one_of_each(ann.id)[7])
    (row,) = timeline_of(deps, ann)
    assert row.type == "sms.delivery_changed"
    assert row.details == {"message_id": "sms_1", "status": "sent", "reason": None, "provider": None}
    assert notices_in(deps) == []


@pytest.mark.parametrize("kind", [AuthenticatorEnrolled, TwoFactorDisabled])
def test_a_change_of_2fa_ends_what_was_signed_in_before_but_for_the_one_that_made_it(deps, ann, clock, kind):
    own, _ = sign_in(deps, ann)
    sign_in(deps, ann)
    trusted(deps, ann)
    clock.turn(seconds=10)
    after, _ = sign_in(deps, ann)
    trusted(deps, ann, clock())
    extra = {"authenticator_id": "enr_1"} if kind is AuthenticatorEnrolled else {}
    events.handle(deps, kind(id="evt_1", occurred_at=LATER, account_id=ann.id, session_id=own.id, **extra))
    assert live(deps, ann) == {own.id, after.id}
    assert trusted_count(deps, ann) == 1


@pytest.mark.parametrize("seconds", [4, 6])
def test_a_late_event_closes_the_windows_that_were_opened_before_the_change(deps, ann, clock, seconds):
    session, token = sign_in(deps, ann, stepped_up=False)
    assert session_store.step_up(deps.redis, session, token, NOW + timedelta(seconds=seconds), (Factor.TOTP,))
    clock.turn(seconds=60)
    enrolled = {"authenticator_id": "enr_1", "session_id": session.id}
    events.handle(deps, AuthenticatorEnrolled(id="evt_1", occurred_at=LATER, account_id=ann.id, **enrolled))
    is_open = session_store.find(deps.redis, token).stepped_up_at is not None
    assert is_open == (NOW + timedelta(seconds=seconds) > LATER)


def test_the_session_that_turned_2fa_off_shows_no_second_factor_and_no_trust_of_before(deps, ann):
    session, token = sign_in(deps, ann, Factor.PASSWORD, Factor.TRUSTED_DEVICE, trust_factor=Factor.TOTP)
    disabled = TwoFactorDisabled(id="evt_1", occurred_at=LATER, account_id=ann.id, session_id=session.id)
    events.handle(deps, disabled)
    found = session_store.find(deps.redis, token)
    assert found == session.reduced(WITHOUT_SECOND_FACTOR).without_windows()


def test_a_reset_ends_a_login_under_way(deps, ann):
    epoch = session_store.epoch(deps.redis, ann.id)
    events.handle(deps, one_of_each(ann.id)[6])
    assert session_store.epoch(deps.redis, ann.id) > epoch


def test_a_reset_that_is_delivered_again_ends_no_login_begun_since(deps, ann):
    message = one_of_each(ann.id)[6]
    events.handle(deps, message)
    epoch = session_store.epoch(deps.redis, ann.id)
    events.handle(deps, message)
    assert session_store.epoch(deps.redis, ann.id) == epoch
    events.handle(deps, replace(message, id="evt_another"))
    assert session_store.epoch(deps.redis, ann.id) > epoch


def test_a_reset_whose_ending_failed_ends_logins_when_it_comes_again(deps, ann, redis_server):
    epoch = session_store.epoch(deps.redis, ann.id)
    redis_server.connected = False
    with pytest.raises(RedisConnectionError):
        events.handle(deps, one_of_each(ann.id)[6])
    redis_server.connected = True
    events.handle(deps, one_of_each(ann.id)[6])
    assert session_store.epoch(deps.redis, ann.id) > epoch


def test_the_event_of_what_the_gateway_did_itself_ends_no_login_begun_since(deps, ann):
    enrolled = one_of_each(ann.id)[0]
    end_all(deps, ann, cause=enrolled.authenticator_id)
    epoch = session_store.epoch(deps.redis, ann.id)
    events.handle(deps, enrolled)
    assert session_store.epoch(deps.redis, ann.id) == epoch


@pytest.mark.parametrize("index", [0, 1])
def test_the_event_of_what_the_gateway_could_not_do_ends_logins_too(deps, ann, index):
    epoch = session_store.epoch(deps.redis, ann.id)
    events.handle(deps, one_of_each(ann.id)[index])
    assert session_store.epoch(deps.redis, ann.id) > epoch


@pytest.mark.parametrize("index", [2, 3, 4, 5, 7, 8, 9])
def test_other_events_end_nothing(deps, ann, index):
    session, _ = sign_in(deps, ann)
    trusted(deps, ann)
    events.handle(deps, one_of_each(ann.id)[index])
    assert live(deps, ann) == {session.id}
    assert trusted_count(deps, ann) == 1


def test_enrolling_answers_the_prompt(deps, ann):
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, ann.id, prompted=True)
    events.handle(deps, one_of_each(ann.id)[0])
    assert not fresh(deps, ann).enrollment_prompted


# --- resets -----------------------------------------------------------------------------------------------------------


def test_the_end_of_the_cool_off_approves(deps, reset_of, ann, clock):
    reset_id = reset_of(COOL_OFF)
    (ended,) = events_in(deps)
    clock.turn(hours=1)
    events.handle(deps, ended)
    events.handle(deps, ended)
    assert status_of(deps, reset_id) is Status.APPROVED
    approved = [message for message in events_in(deps) if isinstance(message, TwoFactorResetApproved)]
    assert [(message.account_id, message.reset_id) for message in approved] == [(ann.id, reset_id)]
    assert timeline_of(deps, ann)[-1].actor == "system"
    with reading(deps.database) as connection:
        assert store.by_id(connection, reset_id).approved_at == clock()


def test_a_cancelled_reset_stays_cancelled_when_its_cool_off_ends(deps, api, reset_of, ann):
    reset_id = reset_of(COOL_OFF)
    (ended,) = events_in(deps)
    api(ann).delete(f"/v1/two-factor/resets/{reset_id}")
    events.handle(deps, ended)
    assert status_of(deps, reset_id) is Status.CANCELLED
    assert not any(isinstance(message, TwoFactorResetApproved) for message in events_in(deps))


def test_an_applied_reset_shuts_everything_and_asks_to_enrol_again(deps, reset_of, ann, clock):
    reset_id = reset_of(IMMEDIATE)
    sign_in(deps, ann)
    sign_in(deps, ann)
    trusted(deps, ann)
    events.handle(deps, TwoFactorResetApplied(id="e", occurred_at=LATER, account_id=ann.id, reset_id=reset_id))
    assert live(deps, ann) == set()
    assert trusted_count(deps, ann) == 0
    assert fresh(deps, ann).enrollment_prompted
    assert status_of(deps, reset_id) is Status.APPLIED
    with reading(deps.database) as connection:
        assert store.by_id(connection, reset_id).applied_at == LATER


def test_an_applied_reset_that_comes_late_leaves_what_came_after_it(deps, reset_of, ann, clock):
    reset_id = reset_of(IMMEDIATE)
    clock.turn(seconds=10)
    session, _ = sign_in(deps, ann)
    enrolled = AuthenticatorEnrolled(
        id="e1", occurred_at=clock(), account_id=ann.id, authenticator_id="enr_1", session_id=session.id
    )
    events.handle(deps, enrolled)
    events.handle(deps, TwoFactorResetApplied(id="e2", occurred_at=LATER, account_id=ann.id, reset_id=reset_id))
    assert live(deps, ann) == {session.id}
    assert not fresh(deps, ann).enrollment_prompted


def test_applied_without_our_approval_is_still_told(deps, reset_of, ann):
    reset_id = reset_of(IMMEDIATE_BY_TWO)
    sign_in(deps, ann)
    events.handle(deps, TwoFactorResetApplied(id="e", occurred_at=LATER, account_id=ann.id, reset_id=reset_id))
    assert status_of(deps, reset_id) is Status.AWAITING_APPROVAL
    assert live(deps, ann) == set()
    assert any("removed two-factor" in notice.body for notice in notices_in(deps))


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_crash_in_the_transaction_leaves_the_event_to_be_handled(deps, ann):
    message = one_of_each(ann.id)[0]

    def break_down(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO outbox"):
            raise KeyboardInterrupt

    event.listen(deps.database, "before_cursor_execute", break_down)
    with pytest.raises(KeyboardInterrupt):
        events.handle(deps, message)
    event.remove(deps.database, "before_cursor_execute", break_down)
    assert types_of(deps, ann) == []
    events.handle(deps, message)
    assert types_of(deps, ann) == ["two_factor.enabled"]
    assert len(notices_in(deps)) == 2


@pytest.mark.parametrize("document", [None, [], {}, {"type": "bogus", "version": 1}, {"type": "two_factor.disabled"}])
def test_what_nobody_can_read_is_refused(deps, gate, document):
    with pytest.raises(UnreadableMessage):
        tasks.handle(deps, gate, document)
    assert events_in(deps) == []


def test_what_is_for_somebody_else_is_refused(deps, gate, ann):
    message = TwoFactorResetApproved(id="e", occurred_at=NOW, account_id=ann.id, reset_id="rst_1")
    with pytest.raises(UnreadableMessage, match="nobody here"):
        tasks.handle(deps, gate, signed(message, AUTH_EVENTS))
    assert types_of(deps, ann) == []


def test_the_task_has_the_name_that_the_queue_is_served_by_and_retries_for_ever(deps, gate, ann):
    celery = Celery("test", set_as_current=False)
    tasks.register_tasks(celery, deps, gate)
    task = celery.tasks[QUEUES[AUTH_EVENTS]]
    assert task.max_retries is None
    assert task.acks_late
    assert RETRY_SECONDS < VISIBILITY_TIMEOUT_SECONDS / 5
    task(signed(one_of_each(ann.id)[1]))
    assert types_of(deps, ann) == ["two_factor.disabled"]


def test_a_store_that_is_down_leaves_the_event_for_later(deps, gate, ann, redis_server):
    redis_server.connected = False
    with pytest.raises(RedisConnectionError):
        tasks.handle(deps, gate, signed(one_of_each(ann.id)[0]))
    assert types_of(deps, ann) == []
    redis_server.connected = True
    tasks.handle(deps, gate, signed(one_of_each(ann.id)[0]))
    assert types_of(deps, ann) == ["two_factor.enabled"]


def test_an_entry_is_looked_for_after_the_moment_only(deps, ann):
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.TWO_FACTOR_ENABLED, NOW)
        assert not timeline.happened_since(connection, ann.id, Entry.TWO_FACTOR_ENABLED, NOW)
        assert timeline.happened_since(connection, ann.id, Entry.TWO_FACTOR_ENABLED, NOW - timedelta(seconds=1))
        assert not timeline.happened_since(connection, ann.id, Entry.SIGNED_IN, NOW - timedelta(seconds=1))


def test_the_worker_needs_no_key_of_others():
    from services.auth.settings import WorkerSettings
    from shared.settings import Environment

    needed = {
        "LATCHKEY_ENV",
        "AUTH_DATABASE_URL",
        "REDIS_URL",
        "AUTH_SIGNING_KEYS",
        "NOTIFY_PUBLIC_KEY",
        "PUBLIC_ORIGIN",
    }
    WorkerSettings.from_env(Environment({name: auth.ENVIRONMENT[name] for name in needed}))


def test_a_notice_over_budget_becomes_an_entry_of_the_timeline(deps, ann):
    common = {"account_id": ann.id, "occurred_at": LATER}
    events.handle(deps, NoticeNotSent(id="evt_1", message_id="msg_1", channel="sms", **common))
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor) == ("notice.not_sent", "system")
    assert row.details == {"message_id": "msg_1", "channel": "sms"}
    assert notices_in(deps) == []
