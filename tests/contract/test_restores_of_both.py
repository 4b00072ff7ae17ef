"""The commands of auth and otp together: nothing starts between them, and a database that is put back twice is noticed.

Each reads what the other has printed, over two databases and one Redis.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth import resets
from services.auth.domain.reset import EndedBecause
from services.auth.models import RESTORES
from services.auth.resets import ResetRequest
from services.auth.store import resets as store
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from services.otp.tasks import handle
from shared.clock import rfc3339, system_clock
from shared.database import reading, writing
from shared.messages import OTP_EVENTS, TwoFactorResetApproved
from shared.restores import RestoreUnfinished, require_finished
from shared.signed_messages import Gate
from tests.support import auth
from tests.support.auth import fresh
from tests.support.free_port import free_port
from tests.support.signing import VERIFIER, signed

SECOND = timedelta(seconds=1)


@pytest.fixture
def mia(of_auth):
    """2FA is on by the timeline, and otp has nothing."""
    account = auth.make_account(of_auth.deps, "mia@example.com")
    with writing(of_auth.database) as connection:
        timeline.write(connection, account.id, Entry.TWO_FACTOR_ENABLED, of_auth.taken_at - timedelta(minutes=10))
    return account


class Both:
    """The three commands, and a backup of each database."""

    def __init__(self, of_auth, of_otp):
        self.services = {"auth": of_auth, "otp": of_otp}

    def back_up(self):
        for name, service in self.services.items():
            with service.database.connect() as connection:
                connection.exec_driver_sql(f"VACUUM INTO '{self._copy(name)}'")

    def put_back(self, name):
        database = self.services[name].database
        database.dispose()
        for suffix in ("-wal", "-shm"):
            (self.services[name].folder / f"copy.sqlite3{suffix}").unlink(missing_ok=True)
        shutil.copy(self._copy(name), database.url.database)

    def first(self, restored, **options):
        return self.services["auth"].after_restore("--although-newer", restored=restored, **options)

    def second(self, restored, report, **options):
        arguments = ("--recovery-codes=keep", "--auth-report=-")
        return self.services["otp"].after_restore(*arguments, restored=restored, stdin=report, **options)

    def third(self, restored, report, **options):
        return self.services["auth"].after_restore("--otp-report=-", restored=restored, stdin=report, **options)

    def all(self, *restored, **options):
        """What they found."""
        auth_report = self.first(restored, **options)
        assert auth_report.exit_code == 0, auth_report.output
        otp_report = self.second(restored, auth_report.stdout, **options)
        assert otp_report.exit_code == 0, otp_report.output
        found = self.third(restored, otp_report.stdout, **options)
        assert found.exit_code == 0, found.output
        return [json.loads(line)["finding"] for line in found.stdout.splitlines()]

    def _copy(self, name):
        return self.services[name].folder / "backup"


@pytest.fixture
def both(of_auth, of_otp, mia):
    both = Both(of_auth, of_otp)
    both.back_up()
    return both


def start(service, module):
    environment = {"PATH": os.environ["PATH"], **service.settings()}
    if service.name == "auth":
        environment["OTP_VERIFY_KEYS"] = auth.signing.ENVIRONMENT["OTP_VERIFY_KEYS"]
        environment["NOTIFY_VERIFY_KEYS"] = auth.signing.ENVIRONMENT["NOTIFY_VERIFY_KEYS"]
    return subprocess.run(
        [sys.executable, "-c", f"import services.{service.name}.{module}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("module", ["wsgi", "worker"])
def test_auth_starts_only_before_the_first_and_after_the_third_command(both, of_auth, of_otp, module):
    assert start(of_auth, module).returncode == 0
    report = both.first(["auth"]).stdout
    for _ in range(2):
        refused = start(of_auth, module)
        assert refused.returncode == 1
        assert "unfinished: run `python -m services.auth after-restore … --otp-report FILE`" in refused.stderr
        assert "Traceback" not in refused.stderr
        report = both.second(["auth"], report).stdout or report
    assert both.third(["auth"], report).exit_code == 0
    assert start(of_auth, module).returncode == 0


@pytest.mark.parametrize("module", ["wsgi", "worker"])
def test_otp_does_not_start_while_its_command_has_done_half(both, of_otp, module):
    assert both.second(["otp"], both.first(["otp"]).stdout).exit_code == 0
    assert start(of_otp, module).returncode == 0
    of_otp.world.sql("UPDATE restores SET finished_at = NULL")
    refused = start(of_otp, module)
    assert refused.returncode == 1
    assert "run `python -m services.otp after-restore … --auth-report FILE`" in refused.stderr


def test_all_commands_may_be_run_again(both):
    found = both.all("auth", "otp")
    assert found == ["two_factor_lost"]
    assert both.all("auth", "otp") == found


@pytest.mark.parametrize("name", ["auth", "otp"])
def test_a_database_that_is_put_back_twice_while_the_other_stays_needs_an_earlier_time(
    both, of_auth, mia, taken_at, name
):
    assert both.all("auth", "otp") == ["two_factor_lost"]
    both.put_back(name)
    with writing(of_auth.database) as connection:
        connection.exec_driver_sql("UPDATE accounts SET enrollment_prompted = 0")
    refused = both.second([name], both.first([name]).stdout)
    assert refused.exit_code == 1
    assert f"{name}'s database was put back once more" in refused.stderr
    assert "--backup-taken-at" in refused.stderr
    assert "two_factor_lost" in both.all(name, taken_at=taken_at - SECOND)
    assert fresh(of_auth.deps, mia).enrollment_prompted
    require_finished(of_auth.database, RESTORES)


def test_a_redis_that_is_put_back_meanwhile_finishes_no_restore_of_a_database(both, of_auth):
    report = both.first(["auth", "otp"]).stdout
    assert both.first(["redis"]).exit_code == 0
    with pytest.raises(RestoreUnfinished):
        require_finished(of_auth.database, RESTORES)
    report = both.second(["auth", "otp"], report).stdout
    assert "two_factor_lost" in both.third(["auth", "otp"], report).stdout


@pytest.mark.parametrize("restored", [["auth"], ["otp"], ["auth", "otp"]])
def test_a_removal_that_waits_in_the_broker_while_a_database_is_restored_removes_nothing(
    both, of_auth, of_otp, mia, restored
):
    deps, world = of_auth.deps, of_otp.world
    deps.otp.enabled.add(mia.id)
    world.enrol(mia.id)
    asked = ResetRequest("SUP-1042", "Phone lost")
    reset = resets.request_from_command_line(deps, auth.CLIENT, mia, asked).reset
    (approved,) = [one for one in auth.events_in(deps) if isinstance(one, TwoFactorResetApproved)]
    named = tuple(one["id"] for one in world.state(mia.id)["authenticators"])
    both.all(*restored)
    world.clock.now = system_clock()
    waiting = signed(replace(approved, authenticators=named))
    handle(world.worker_deps, Gate(OTP_EVENTS, VERIFIER, world.clock), waiting)
    assert world.state(mia.id)["enabled"] is True
    with reading(of_auth.database) as connection:
        assert store.by_id(connection, reset.id).ended_because is EndedBecause.RESTORED


def test_a_report_of_an_earlier_restore_is_refused(both):
    old = both.second(["auth"], both.first(["auth"]).stdout).stdout
    both.put_back("auth")
    assert both.first(["auth"]).exit_code == 0
    refused = both.third(["auth"], old)
    assert refused.exit_code == 1
    assert "auth's database was put back once more" in refused.stderr


@pytest.mark.parametrize("restored", [["otp"], ["auth"], ["auth", "otp"]])
def test_a_database_that_is_restored_after_redis_alone_is_worked_through_to_the_end(both, of_auth, of_otp, restored):
    for service in (of_auth, of_otp):
        assert service.after_restore(restored=["redis"]).exit_code == 0
    assert "two_factor_lost" in both.all(*restored)
    for service in (of_auth, of_otp):
        require_finished(service.database, RESTORES)
    of_redis_too = json.loads(of_auth.call("restores").stdout.splitlines()[0])
    assert of_redis_too["restored"] == sorted([*restored, "redis"])


@pytest.mark.parametrize(("name", "module"), [("auth", "wsgi"), ("auth", "worker"), ("otp", "wsgi"), ("otp", "worker")])
def test_a_service_that_does_not_start_because_redis_alone_is_unfinished_names_the_command(
    both, taken_at, name, module
):
    service = both.services[name]
    no_redis = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    assert service.after_restore(restored=["redis"], changed=no_redis).exit_code == 1
    refused = start(service, module)
    assert refused.returncode == 1
    command = f"after-restore --backup-taken-at {rfc3339(taken_at)} --restored redis"
    assert f"run `python -m services.{name} {command}`" in refused.stderr
    assert service.call(*command.split()).exit_code == 0
    require_finished(service.database, RESTORES)
