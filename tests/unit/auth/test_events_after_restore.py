"""After a restore: an event of before it is recorded, told and ends what it ended, and gives nothing."""

from datetime import timedelta

import pytest

from services.auth import enrollment_words, events, resets
from services.auth.domain.reset import EndedBecause, ReasonKind, Status
from services.auth.resets import ResetRequest
from services.auth.store import accounts, devices, timeline
from services.auth.store import resets as store
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from shared.messages import (
    AuthenticatorEnrolled,
    AuthenticatorsReinstated,
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
)
from tests.support import ceremony
from tests.support.auth import CLIENT, add_device, events_in, fresh, notices_in, types_of
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE

OF_OTP = [("otp",), ("auth", "otp"), ("auth", "otp", "redis")]
MEMBERS = {
    AuthenticatorEnrolled: {"authenticator_id": "enr_9"},
    RecoveryCodeSpent: {"remaining": 9},
    SecondFactorLocked: {"consecutive_failures": 100},
    SmsDeliveryChanged: {"message_id": "sms_1", "status": "sent"},
    NoticeNotSent: {"message_id": "msg_1", "channel": "sms"},
}


@pytest.fixture
def event(clock, ann):
    """An event about Ann that is recorded at this moment."""

    def make(kind, **members):
        return kind(id="evt_1", occurred_at=clock(), account_id=ann.id, **(MEMBERS.get(kind, {}) | members))

    return make


@pytest.fixture
def restored(backup, work, clock):
    """A restore of these; nothing of the databases was lost in it."""

    def run(*parts, **options):
        backup.taken_at = clock()
        clock.turn(hours=1)
        found = work(*parts, **options)
        clock.turn(minutes=2)
        return found

    return run


def must_enrol(deps, account):
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, account.id, prompted=True)


def of_id(deps, reset):
    with reading(deps.database) as connection:
        return store.by_id(connection, reset.id)


def trusted(deps, account):
    with reading(deps.database) as connection:
        return devices.count_trusted(connection, account.id, deps.clock())


def opened(deps, operator, account):
    """A reset that is approved at once, and its word."""
    ceremony.pass_checks(deps, operator, account, IMMEDIATE)
    asked = ResetRequest("SUP-1042", "Phone lost", ReasonKind.LOST)
    return resets.request(deps, CLIENT, ceremony.at_console(deps, operator), account.id, asked)


def has_usable_word(deps, account, word, clock):
    with writing(deps.database) as connection:
        keys, life = deps.settings.digest_keys, timedelta(hours=24)
        return enrollment_words.spend(connection, keys, account.id, "ses_1", word, clock(), life)


@pytest.mark.parametrize("parts", OF_OTP)
@pytest.mark.parametrize(
    "kind",
    [AuthenticatorEnrolled, TwoFactorDisabled, RecoveryCodeSpent, RecoveryCodesRegenerated, SecondFactorLocked],
)
def test_what_happened_before_a_restore_is_recorded_and_told(deps, ann, event, restored, parts, kind):
    late = event(kind)
    restored(*parts)
    told = len(notices_in(deps))
    events.handle(deps, late)
    assert types_of(deps, ann)[-1] in {kind.TYPE, "two_factor.enabled"}
    assert len(notices_in(deps)) == told + 2


@pytest.mark.parametrize("parts", OF_OTP)
def test_what_became_of_a_text_is_recorded(deps, ann, event, restored, parts):
    late = event(SmsDeliveryChanged)
    restored(*parts)
    events.handle(deps, late)
    assert types_of(deps, ann)[-1] == "sms.delivery_changed"


@pytest.mark.parametrize("kind", [AuthenticatorEnrolled, TwoFactorDisabled, TwoFactorResetApplied])
def test_a_change_of_before_ends_trust_of_before_where_otp_alone_was_restored(deps, ann, event, restored, kind, clock):
    add_device(deps, ann, "t1", at=clock())
    late = event(kind, **({"reset_id": "rst_x"} if kind is TwoFactorResetApplied else {}))
    restored("otp")
    add_device(deps, ann, "t2", at=clock())
    events.handle(deps, late)
    assert trusted(deps, ann) == 1


@pytest.mark.parametrize("parts", OF_OTP)
def test_an_enrolment_that_otp_may_have_lost_lets_nobody_enrol_by_password_alone(deps, ann, event, restored, parts):
    must_enrol(deps, ann)
    enrolled = event(AuthenticatorEnrolled)
    restored(*parts)
    events.handle(deps, enrolled)
    assert fresh(deps, ann).enrollment_prompted


def test_an_enrolment_that_otp_may_have_lost_leaves_the_account_owing_one(deps, ann, event, restored, clock):
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.RESET_APPLIED, clock())
    clock.turn(minutes=1)
    enrolled = event(AuthenticatorEnrolled)
    restored("otp")
    events.handle(deps, enrolled)
    assert types_of(deps, ann)[-2:] == ["two_factor.enabled", "two_factor.lost_in_restore"]
    with reading(deps.database) as connection:
        assert enrollment_words.owes_enrollment(connection, fresh(deps, ann))


@pytest.mark.parametrize("parts", [("auth",), ("redis",)])
def test_an_enrolment_that_otp_still_has_answers_the_prompt(deps, ann, event, restored, parts):
    must_enrol(deps, ann)
    enrolled = event(AuthenticatorEnrolled)
    restored(*parts)
    events.handle(deps, enrolled)
    assert not fresh(deps, ann).enrollment_prompted


@pytest.mark.parametrize("conflict", ["two_factor_lost", "two_factor_revoked"])
def test_an_enrolment_of_before_answers_no_prompt_of_a_2fa_that_the_restore_did_not_find(
    deps, ann, event, restored, conflict
):
    enrolled = event(AuthenticatorEnrolled)
    restored("auth", found=[(ann, conflict)])
    events.handle(deps, enrolled)
    assert fresh(deps, ann).enrollment_prompted


@pytest.mark.parametrize("parts", OF_OTP)
def test_a_removal_of_before_asks_for_an_enrolment_and_gives_no_words(deps, ann, sam, event, restored, parts, clock):
    reset = opened(deps, sam, ann)
    applied = event(TwoFactorResetApplied, reset_id=reset.reset.id)
    restored(*parts)
    events.handle(deps, applied)
    assert fresh(deps, ann).enrollment_prompted
    assert types_of(deps, ann)[-1] == "two_factor.reset_applied"
    assert of_id(deps, reset.reset).status is Status.ENDED
    assert not has_usable_word(deps, ann, reset.enrollment_word, clock)


def test_a_removal_of_before_answers_no_prompt_although_2fa_was_turned_on_after_it(deps, ann, event, restored, clock):
    applied = event(TwoFactorResetApplied, reset_id="rst_x")
    clock.turn(minutes=1)
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.TWO_FACTOR_ENABLED, clock())
    restored("auth", "otp", found=[(ann, "two_factor_lost")])
    events.handle(deps, applied)
    assert fresh(deps, ann).enrollment_prompted


@pytest.mark.parametrize("parts", OF_OTP)
@pytest.mark.parametrize("kind", [AuthenticatorEnrolled, TwoFactorDisabled])
def test_a_change_of_before_ends_a_reset_and_accepts_no_stolen_app_again(deps, ann, sam, event, restored, parts, kind):
    reset = ceremony.request_reset(deps, sam, ann, COOL_OFF_BY_TWO, ReasonKind.STOLEN)
    changed = event(kind)
    restored(*parts)
    events.handle(deps, changed)
    assert of_id(deps, reset).status is Status.ENDED
    assert not any(isinstance(one, AuthenticatorsReinstated) for one in events_in(deps))


@pytest.mark.parametrize("parts", OF_OTP)
def test_a_removal_that_found_nothing_before_a_restore_accepts_no_stolen_app_again(
    deps, ann, sam, event, restored, parts
):
    reset = ceremony.request_reset(deps, sam, ann, IMMEDIATE, ReasonKind.STOLEN)
    must_enrol(deps, ann)
    nothing = event(TwoFactorResetFoundNothing, reset_id=reset.id)
    restored(*parts, found=[(ann, "two_factor_lost")])
    events.handle(deps, nothing)
    assert fresh(deps, ann).enrollment_prompted
    assert not any(isinstance(one, AuthenticatorsReinstated) for one in events_in(deps))


@pytest.mark.parametrize(
    ("parts", "goes_on"), [(("otp",), True), (("redis",), True), (("auth",), False), (("auth", "otp"), False)]
)
def test_a_cool_off_that_began_before_a_restore_ends_as_the_row_of_its_reset_says(
    deps, ann, sam, restored, parts, goes_on, clock
):
    reset = ceremony.request_reset(deps, sam, ann, COOL_OFF)
    (ended,) = [one for one in events_in(deps) if isinstance(one, TwoFactorResetCoolOffEnded)]
    restored(*parts)
    clock.turn(hours=1)
    events.handle(deps, ended)
    assert (of_id(deps, reset).status is Status.APPROVED) == goes_on
    assert any(isinstance(one, TwoFactorResetApproved) for one in events_in(deps)) == goes_on


@pytest.mark.parametrize(
    ("parts", "because"),
    [(("otp",), EndedBecause.NOT_APPROVED_IN_TIME), (("auth",), EndedBecause.RESTORED)],
)
def test_an_approval_that_was_due_before_a_restore_lapses_as_the_row_of_its_reset_says(
    deps, ann, sam, restored, parts, because, clock
):
    reset = ceremony.request_reset(deps, sam, ann, COOL_OFF_BY_TWO)
    (lapsed,) = [one for one in events_in(deps) if isinstance(one, TwoFactorResetApprovalLapsed)]
    restored(*parts)
    clock.turn(hours=72)
    events.handle(deps, lapsed)
    assert of_id(deps, reset).ended_because is because


def test_an_enrolment_after_a_restore_answers_the_prompt(deps, ann, event, restored):
    restored("auth", "otp")
    must_enrol(deps, ann)
    events.handle(deps, event(AuthenticatorEnrolled))
    assert not fresh(deps, ann).enrollment_prompted
