"""The commands over one account, with otp running.

After set-role and set-password all that the account has open has ended, in otp too, or the command has failed.
"""

import pytest
from click.testing import CliRunner

from services.auth import __main__ as cli
from services.auth import session_store
from services.auth.domain.account import Role
from services.auth.domain.reset import Status
from services.auth.store import accounts, devices, resets
from shared.database import reading
from shared.keys import encode_key
from shared.messages import AuthenticatorsSuspended
from tests.support import auth
from tests.support.auth import PASSWORD, PHONE, add_device, events_in, fresh, notices_in, sign_in, timeline_of
from tests.support.free_port import free_port
from tests.support.otp import API_KEY

NEW_PASSWORD = "nine dry badgers hum loudly"
COMMANDS = {
    "set-role": (("owner",), ""),
    "set-password": ((), NEW_PASSWORD + "\n"),
}


@pytest.fixture
def world(of_otp):
    return of_otp.world


@pytest.fixture
def deps(of_auth):
    return of_auth.deps


@pytest.fixture
def ann(deps, pool):
    return auth.make_account(deps, "ann@example.com", phone=PHONE, password_hash=pool.hash(PASSWORD))


@pytest.fixture
def run(of_auth, served, world, monkeypatch):
    for name in ("STATE_REDIS_URL", "BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    api_keys = f"a1:{encode_key(API_KEY)}"
    for name, value in {**of_auth.settings(), "OTP_URL": served(world.app), "OTP_API_KEYS": api_keys}.items():
        monkeypatch.setenv(name, value)

    def run(command, account, *arguments):
        more, stdin = COMMANDS.get(command, ((), ""))
        return CliRunner().invoke(cli.main, ["accounts", command, account, *(arguments or more)], input=stdin)

    return run


@pytest.mark.parametrize("by", ["id", "email"])
def test_set_role_is_audited_and_ends_sessions(run, deps, ann, by):
    sign_in(deps, ann)
    result = run("set-role", getattr(ann, by), "support")
    assert result.exit_code == 0, result.output
    assert fresh(deps, ann).role is Role.SUPPORT
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor, row.details) == (
        "role.changed",
        "operator:cli",
        {"before": "member", "after": "support", "must_enroll": True},
    )
    assert session_store.sessions_of(deps.redis, ann.id) == []


def test_set_role_says_what_a_new_operator_must_do_and_prints_nothing_of_it_for_others(run, ann):
    owner, support, again = (run("set-role", ann.id, role).output for role in ("owner", "support", "support"))
    assert f"accounts reset-two-factor {ann.email}" in support
    assert "reset-two-factor" not in owner + again
    assert "the role is unchanged" in again
    assert "the role is unchanged" not in owner + support


def test_set_role_ends_trust_and_tells_the_owner(run, deps, ann):
    add_device(deps, ann)
    assert run("set-role", ann.id).exit_code == 0
    with reading(deps.database) as connection:
        assert devices.count_trusted(connection, ann.id, deps.clock()) == 0
    assert {notice.recipient for notice in notices_in(deps)} == {PHONE.e164, ann.email}
    assert "the role Owner" in notices_in(deps)[-1].body
    assert events_in(deps) == []


def test_set_password_is_audited_and_ends_sessions(run, deps, ann, pool):
    sign_in(deps, ann)
    result = run("set-password", ann.email)
    assert result.exit_code == 0, result.output
    with reading(deps.database) as connection:
        encoded = accounts.password(connection, ann.id).encoded
    assert pool.verify(encoded, NEW_PASSWORD)
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.actor) == ("password.changed", "operator:cli")
    assert session_store.sessions_of(deps.redis, ann.id) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_otp_makes_no_change_for_a_session_that_the_command_has_ended(run, deps, world, ann, command):
    """A call that the gateway had passed to otp before the command would turn on the caller's app."""
    session, _ = sign_in(deps, ann)
    begun = world.account("POST", "enrollments", {"label": "ann", "session_id": session.id}, account=ann.id).json
    assert run(command, ann.id).exit_code == 0
    for path, body, code in (
        ("enrollments", {"label": "ann"}, "session_ended"),
        (f"enrollments/{begun['enrollment_id']}/confirm", {"code": "000000"}, "enrollment_expired"),
    ):
        answer = world.account("POST", path, {**body, "session_id": session.id}, account=ann.id)
        assert answer.json["code"] == code


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("setting", "scheme", "part"), [("OTP_URL", "http", "otp"), ("REDIS_URL", "redis", "Redis")])
def test_while_a_part_is_down_the_command_changes_nothing_and_says_so(
    run, deps, ann, pool, monkeypatch, command, setting, scheme, part
):
    monkeypatch.setenv(setting, f"{scheme}://127.0.0.1:{free_port()}")
    result = run(command, ann.id)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {part} does not answer")
    assert "run the command again" in result.stderr
    assert fresh(deps, ann).role is Role.MEMBER
    with reading(deps.database) as connection:
        assert pool.verify(accounts.password(connection, ann.id).encoded, PASSWORD)


@pytest.mark.parametrize("setting", ["REDIS_URL", "OTP_URL"])
def test_set_role_needs_the_gateways_settings_before_it_changes_anything(run, deps, ann, monkeypatch, setting):
    monkeypatch.delenv(setting)
    result = run("set-role", ann.id)
    assert result.exit_code == 2
    assert setting in result.stderr
    assert fresh(deps, ann).role is Role.MEMBER


def test_set_role_refuses_an_unknown_account(run):
    result = run("set-role", "nobody@example.com")
    assert result.exit_code == 1
    assert "nobody@example.com" in result.stderr


def test_set_password_refuses_a_weak_password(run, deps, ann, monkeypatch):
    monkeypatch.setitem(COMMANDS, "set-password", ((), "password1234\n"))
    assert run("set-password", ann.email).exit_code == 1
    assert timeline_of(deps, ann) == []


@pytest.mark.parametrize(
    ("options", "reason_kind", "is_suspended", "ended_by"),
    [
        ([], "lost", False, ("recovery_code", "totp")),
        (["--reason-kind", "stolen"], "stolen", True, ("recovery_code",)),
    ],
)
def test_no_code_of_a_stolen_factor_ends_its_reset_from_the_command_line(
    run, deps, world, ann, options, reason_kind, is_suspended, ended_by
):
    world.enrol(ann.id)
    result = run("reset-two-factor", ann.email, "--ticket", "T-1", "--reason", "phone gone", *options)
    assert result.exit_code == 0, result.output
    with reading(deps.database) as connection:
        reset = resets.open_of(connection, ann.id)
    assert (reset.reason_kind, reset.status) == (reason_kind, Status.APPROVED)
    *suspended, approved = events_in(deps)
    assert [type(event) for event in suspended] == [AuthenticatorsSuspended] * is_suspended
    assert approved.ended_by == ended_by
