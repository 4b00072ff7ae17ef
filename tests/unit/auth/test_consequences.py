"""What ends what: each row of the table against everything that an account can have open.

The rows are carried out by the real use cases and events; a row whose use case comes with later work (LATER) is applied
by itself. What is still open is asked of the stores and of otp, never of the code that ends it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from services.auth import (
    __main__ as command_line,
)
from services.auth import (
    challenge_store,
    consequences,
    enrollment_words,
    events,
    identity_checks,
    password_change,
    phone,
    session_store,
    sessions,
    step_up,
    trusted_devices,
    two_factor,
    unlocks,
)
from services.auth.consequences import Acting
from services.auth.domain.account import Account, Role
from services.auth.domain.consequences import CONSEQUENCES, Change, Own, Scope, Tells
from services.auth.domain.identity_checks import CheckStatus
from services.auth.domain.reset import OPEN_STATUSES, ReasonKind, Status
from services.auth.domain.session import AssuranceLevel, Factor
from services.auth.store import devices
from services.auth.store import enrollment_words as word_store
from services.auth.store import identity_checks as check_store
from services.auth.store import resets as reset_store
from shared.database import reading, writing
from shared.messages import (
    AuthenticatorEnrolled,
    Message,
    RecoveryCodeSpent,
    RecoveryCodesRegenerated,
    TwoFactorDisabled,
    TwoFactorResetApplied,
)
from tests.support import auth, ceremony
from tests.support.auth import CLIENT, OTHER_PHONE, PHONE, add_device, fresh, notices_in, sign_in
from tests.support.ceremony import COOL_OFF
from tests.support.sign_in import challenge

PASSWORD, TOTP, SMS, BACKUP, DEVICE = (
    Factor.PASSWORD,
    Factor.TOTP,
    Factor.SMS,
    Factor.RECOVERY_CODE,
    Factor.TRUSTED_DEVICE,
)
# Each kind of session: how it was won, what had won the trust of its device, and whether it rests on SMS.
SESSIONS = {
    "app": ((PASSWORD, TOTP), None, False),
    "backup code": ((PASSWORD, BACKUP), None, False),
    "sms": ((PASSWORD, SMS), None, True),
    "device by app": ((PASSWORD, DEVICE), TOTP, False),
    "device by sms": ((PASSWORD, DEVICE), SMS, True),
    "device of an earlier release": ((PASSWORD, DEVICE), None, True),
}
DEVICES = {"app": (TOTP, False), "sms": (SMS, True), "earlier release": (None, True)}
# otp ends the row of strangers in the transaction of the change itself.
ENDED_BY_OTP = {Change.UNLOCKED, Change.RESET_APPLIED}
ENDING = "that which ends"  # the session and the device that the owner ends


@dataclass
class Mia:
    """An account with all that can be open, the session that orders the change, and an operator who is at work on it.

    ``texts``: purpose and binding of each live code, and who has requested it. ``checks``: an identity check that
    waits, and one that was passed. ``word``: usable for enrolling.
    """

    account: Account
    operator: Account
    own: Acting
    sessions: dict[str, Acting]
    devices: dict[str, str]
    challenges: dict[str, str]
    texts: dict[tuple[str, str], str]
    reset_id: str
    checks: list[str]
    word: str


def with_small_window(deps, acting):
    """The session with both windows open, the full one and the one of a texted code."""
    return Acting(
        session_store.step_up(deps.redis, acting.session, acting.token, deps.clock(), (PASSWORD, SMS)), acting.token
    )


@pytest.fixture
def mia_with_all(deps, stranger, mia, otp, sam):
    reset = ceremony.request_reset(deps, sam, mia, COOL_OFF)
    known = {name: add_device(deps, mia, name, won_by=factor) for name, (factor, _) in DEVICES.items()}
    known[ENDING] = add_device(deps, mia, ENDING, won_by=TOTP, trusted=False)
    opened = {
        name: Acting(*sign_in(deps, mia, *factors, device_id=trust and f"dev_{name}", trust_factor=trust))
        for name, (factors, trust, _) in SESSIONS.items()
    }
    opened[ENDING] = Acting(*sign_in(deps, mia, device_id=known[ENDING]))
    usual = add_device(deps, mia, "usual", won_by=TOTP, trusted=False)
    own = with_small_window(deps, Acting(*sign_in(deps, mia, PASSWORD, TOTP, device_id=usual)))
    opened["app"] = with_small_window(deps, opened["app"])
    waiting = {"stranger's": challenge(stranger, mia), ENDING: challenge(stranger, mia, device_token=ENDING)}
    for challenge_id in waiting.values():
        assert stranger.post(f"/v1/login/{challenge_id}/sms").status_code == 202
    step_up.send_code(deps, CLIENT, mia, own.session)
    step_up.send_code(deps, CLIENT, mia, opened[ENDING].session)
    phone.set_phone(deps, CLIENT, mia, opened[ENDING], "DE", OTHER_PHONE.e164)
    of_ending = fresh(deps, mia).pending_phone_binding
    phone.resend(deps, CLIENT, fresh(deps, mia), own)
    texts = {
        ("login", waiting["stranger's"]): "stranger's",
        ("step_up", own.session.id): "own",
        ("step_up", opened[ENDING].session.id): ENDING,
        ("phone_verification", of_ending): ENDING,
        ("phone_verification", fresh(deps, mia).pending_phone_binding): "own",
    }
    otp.pending[mia.id] = opened[ENDING].session.id
    otp.strangers_failures[mia.id] = 60
    begun = [
        identity_checks.begin(deps, CLIENT, ceremony.at_console(deps, sam), mia.id, name, evidence).id
        for name, evidence in (("email_code", None), ("video_id", ceremony.SEEN))
    ]
    with writing(deps.database) as connection:
        keys = deps.settings.digest_keys
        word_id, word = enrollment_words.issue(connection, keys, mia.id, deps.clock(), usable_at_once=False)
        word_store.make_usable(connection, word_id, deps.clock())
    return Mia(mia, sam, own, opened, known, waiting, texts, reset.id, begun, word)


def _apply(change: Change) -> Callable:
    """Apply the row to the account without its use case."""

    def apply(deps, mia):
        acting = None if CONSEQUENCES[change].own is Own.ENDS else mia.own
        with consequences.changing(deps, change, mia.account.id, acting=acting, otp=deps.otp) as changing:
            pass
        return changing.acting

    return apply


def _reported(deps, mia, kind: type[Message], **members) -> None:
    """What otp reports of the change, in the session that ordered it."""
    events.handle(deps, kind(id="evt_c", occurred_at=deps.clock(), account_id=mia.account.id, **members))


def _confirm(deps, mia):
    deps.otp.pending[mia.account.id] = mia.own.session.id
    deps.otp.expect(mia.account.id, "enrollment", f"enr_{mia.account.id}", "424242")
    _, own = two_factor.confirm(deps, mia.account, mia.own, f"enr_{mia.account.id}", "424242", "en")
    enrolled = {"authenticator_id": f"enr_{mia.account.id}", "session_id": own.session.id}
    _reported(deps, mia, AuthenticatorEnrolled, **enrolled)
    return own


def _disable(deps, mia):
    own = two_factor.disable(deps, mia.account, mia.own)
    _reported(deps, mia, TwoFactorDisabled, session_id=own.session.id)
    return own


def _renew_recovery_codes(deps, mia):
    two_factor.regenerate_recovery_codes(deps, mia.account, mia.own, None)
    _reported(deps, mia, RecoveryCodesRegenerated)
    return mia.own


def _recovery_code_accepted(deps, mia):
    own = _code_accepted(BACKUP)(deps, mia)
    _reported(deps, mia, RecoveryCodeSpent, remaining=9)
    return own


def _unlock(deps, mia):
    operator = ceremony.at_console(deps, mia.operator)
    unlocks.request(deps, CLIENT, operator, mia.account.id, ticket="SUP-1", reason="Locked out")
    return mia.own


def _reset_applied(deps, mia):
    event = TwoFactorResetApplied(
        id="evt_r", occurred_at=deps.clock(), account_id=mia.account.id, reset_id=mia.reset_id
    )
    deps.otp.end(mia.account.id, [], codes=True, enrollments=True)  # as otp does in the reset's transaction
    with writing(deps.database) as connection:
        reset_store.move(connection, mia.reset_id, OPEN_STATUSES, Status.APPROVED)
    events.handle(deps, event)


def _replace_phone(deps, mia):
    phone.set_phone(deps, CLIENT, mia.account, mia.own, "DE", OTHER_PHONE.e164)
    phone.verify(deps, CLIENT, fresh(deps, mia.account), mia.own, "424242")
    return mia.own


def _code_accepted(factor: Factor) -> Callable:
    def accept(deps, mia):
        deps.otp.expect(mia.account.id, "step_up", mia.own.session.id, factor=factor)
        proven = step_up.reauthenticate(deps, CLIENT, mia.account, mia.own, password=auth.PASSWORD, code="424242")
        return Acting(proven, mia.own.token)

    return accept


BY: dict[Change, Callable] = {
    Change.PASSWORD_CHANGED: lambda deps, mia: password_change.set_new(
        deps, CLIENT, mia.account, mia.own, "nine dry badgers hum softly"
    )[1],
    Change.PASSWORD_SET_BY_MAIL: lambda deps, mia: command_line.give_password(
        deps, deps.otp, mia.account, auth.PASSWORD_HASH
    ),
    Change.FACTOR_ADDED: _confirm,
    Change.FACTOR_REMOVED: _disable,
    Change.RESET_APPLIED: _reset_applied,
    Change.RECOVERY_CODES_RENEWED: _renew_recovery_codes,
    Change.CODE_ACCEPTED: _code_accepted(TOTP),
    Change.RECOVERY_CODE_ACCEPTED: _recovery_code_accepted,
    Change.PHONE_REMOVED: lambda deps, mia: phone.remove(deps, CLIENT, mia.account, mia.own) or mia.own,
    Change.PHONE_REPLACED: _replace_phone,
    Change.DEVICE_ENDED: lambda deps, mia: (
        trusted_devices.revoke(deps, CLIENT, mia.own, mia.devices[ENDING]) or mia.own
    ),
    Change.SESSION_ENDED: lambda deps, mia: (
        sessions.end(deps, CLIENT, mia.own, mia.sessions[ENDING].session.id) and mia.own
    ),
    Change.STRANGERS_LET_TRY: lambda deps, mia: two_factor.let_strangers_try(deps, CLIENT, mia.own) or mia.own,
    Change.ROLE_SET: lambda deps, mia: command_line.give_role(deps, deps.otp, mia.account, Role.SUPPORT) and None,
    Change.UNLOCKED: _unlock,
}
# What these end is checked, and not whom they tell: no use case makes them.
LATER = {
    Change.ADDRESS_CHANGED,
    Change.ADDRESS_TAKEN_BACK,
    Change.OWNERSHIP_HANDED_OVER,
    Change.TEAM_POLICY_CHANGED,
    Change.ACCOUNT_CLOSED,
}


def test_every_change_has_a_row_and_a_use_case_or_is_listed_as_later_work():
    assert set(CONSEQUENCES) == set(Change)
    assert sorted([*BY, *LATER]) == sorted(Change)


def ends(scope: Scope, *, by_sms: bool, ending: bool) -> bool:
    """Whether a thing of this kind is within the scope. A scope that is none of these has no answer here."""
    return {Scope.NONE: False, Scope.ALL: True, Scope.BY_SMS: by_sms, Scope.ITS_OWN: ending}[scope]


@pytest.mark.parametrize("change", Change)
def test_what_a_change_ends_ends_and_all_else_lives_on(deps, mia_with_all, otp, clock, change):
    mia, row = mia_with_all, CONSEQUENCES[change]
    if change is Change.FACTOR_ADDED:
        otp.enabled.discard(mia.account.id)
    told_before = len(notices_in(deps))
    own = BY.get(change, _apply(change))(deps, mia)
    _check_sessions(deps, mia, row, change)
    _check_own(deps, mia, row, own)
    _check_devices(deps, mia, row, change)
    _check_logins(deps, mia, row, change)
    _check_otp(deps, mia, row, change)
    _check_support(deps, mia, row, change)
    if change in BY:
        _check_told(deps, mia, row, notices_in(deps)[told_before:])
    with reading(deps.database) as connection:
        is_open = reset_store.open_of(connection, mia.account.id) is not None
    assert is_open == (ReasonKind.LOST not in row.resets and change is not Change.RESET_APPLIED)


def _check_sessions(deps, mia, row, change):
    for name, acting in mia.sessions.items():
        by_sms = name != ENDING and SESSIONS[name][2]
        # It does not say on which device it was opened, so it may be the one that ends.
        ending = name == ENDING or (change is Change.DEVICE_ENDED and name == "device of an earlier release")
        live = session_store.find(deps.redis, acting.token)
        assert (live is None) == ends(row.sessions, by_sms=by_sms, ending=ending), (change, name)
        if live is not None:
            assert not set(live.factors) & set(row.lost), (change, name)
            assert (live.stepped_up_at is None) == (row.windows is Scope.ALL), (change, name)
            if name == "app":
                assert (live.small_step_up_at is None) == (row.windows in {Scope.ALL, Scope.BY_SMS}), change


def _check_own(deps, mia, row, own):
    old = session_store.find(deps.redis, mia.own.token)
    if row.own is Own.ENDS:
        assert own is None
        assert old is None
        return
    live = session_store.find(deps.redis, own.token)
    assert live is not None
    assert (own.token != mia.own.token) == (old is None) == (row.own is Own.NEW_TOKEN)
    assert not set(live.factors) & set(row.lost)
    assert (live.stepped_up_at is None) == (row.windows is Scope.ALL)
    assert (live.small_step_up_at is None) == (row.windows in {Scope.ALL, Scope.BY_SMS})
    if TOTP in row.lost:
        assert live.assurance is AssuranceLevel.AAL1


def _check_devices(deps, mia, row, change):
    for name in mia.devices:
        by_sms = name != ENDING and DEVICES[name][1]
        with reading(deps.database) as connection:
            gone = devices.by_tokens(connection, mia.account.id, [name], deps.clock()) is None
        assert gone == ends(row.trust, by_sms=by_sms, ending=name == ENDING), (change, name)


def _check_logins(deps, mia, row, change):
    epoch = session_store.epoch(deps.redis, mia.account.id)
    for name, challenge_id in mia.challenges.items():
        found = challenge_store.get(deps.redis, challenge_id)
        void = found is None or found.epoch != epoch
        its_own = row.logins is Scope.ITS_OWN and change is Change.DEVICE_ENDED and name == ENDING
        assert void == (row.logins is Scope.ALL or its_own), (change, name)
        if not void:
            assert found.offers_sms == (row.logins is not Scope.BY_SMS), (change, name)


def _check_otp(deps, mia, row, change):
    live = {(purpose, binding) for _, purpose, binding in deps.otp.live_sms.values()}
    session_ends = row.sessions is Scope.ITS_OWN
    for text, requested_by in mia.texts.items():
        gone = row.codes is Scope.ALL or (session_ends and requested_by == ENDING)
        assert (text not in live) == gone, (change, text)
    if change not in ENDED_BY_OTP:
        assert (mia.account.id not in deps.otp.strangers_failures) == row.strangers, change
    pending_ends = row.enrollments is Scope.ALL or session_ends
    if change is not Change.FACTOR_ADDED:
        assert (mia.account.id not in deps.otp.pending) == pending_ends, change


def _check_support(deps, mia, row, change):
    """What support has opened: identity checks and enrolment words."""
    with reading(deps.database) as connection:
        found = [check_store.by_id(connection, check_id).status for check_id in mia.checks]
    ended = row.sessions is Scope.ALL
    assert found == ([CheckStatus.ENDED] * 2 if ended else [CheckStatus.PENDING, CheckStatus.PASSED]), change
    with writing(deps.database) as connection:
        keys, now, life = deps.settings.digest_keys, deps.clock(), timedelta(days=1)
        opens = enrollment_words.spend(connection, keys, mia.account.id, "ses_new", mia.word, now, life)
    # The words of a reset take the place of earlier ones.
    assert opens == (not row.words and change is not Change.RESET_APPLIED), change


def _check_told(deps, mia, row, notices):
    """Check that each recipient is told once, and the owner once more when a reset has ended."""
    account = fresh(deps, mia.account)
    owner = [account.email, *([account.phone.e164] if account.phone else [])]
    of = {Tells.NOBODY: [], Tells.OWNER: owner, Tells.OWNER_AND_OLD_PHONE: {*owner, PHONE.e164}}
    expected = Counter(of[row.tells])
    if ReasonKind.LOST in row.resets:
        expected.update(owner)
    assert Counter(notice.recipient for notice in notices) == expected
