"""The drill of docs/restore.md: PostgreSQL and Redis are set back to a backup, and nothing comes back."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import urllib3

from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from deploy.local.ports import free_port
from deploy.local.redis_server import answers_ping
from deploy.local.settings import ROOT
from deploy.local.stack import running_stack
from deploy.portal import AuthenticatorApp, Portal, wait_for
from shared.clock import rfc3339
from tests.e2e.conftest import Person, new_person
from tests.support.postgres import binaries

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROGRAMS = ("auth", "otp", "background", "notify-codes")
NEW_PASSWORD = "nine dry badgers hum"


@dataclass
class Drill:
    """A running stack, its backup, and the commands of the runbook."""

    stack: object
    urls: dict
    folder: object
    taken_at: str = ""
    verified: str = ""

    def back_up(self):
        self.taken_at = rfc3339(datetime.now(UTC))
        for name in ("auth", "otp"):
            self.postgres("pg_dump", "-Fc", "-f", str(self.folder / name), self.database(name))
        time.sleep(1.5)  # Redis syncs each second
        shutil.copytree(self.redis_folder, self.folder / "redis")

    def stop(self):
        for program in PROGRAMS:
            self.stack.stop_program(program)

    def start(self):
        for program in ("otp", "auth", "background", "notify-codes"):
            self.stack.start_program(program)
        wait_for(self.is_ready, seconds=60, every=1)

    def is_ready(self):
        try:
            return new_portal(self.stack).get("/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def restore_databases(self):
        for name in ("auth", "otp"):
            self.postgres("dropdb", "--force", self.database(name))
            self.postgres("createdb", self.database(name))
            self.postgres("pg_restore", "-d", self.database(name), str(self.folder / name))

    def put_redis_back(self):
        self.stack.stop_program("redis")
        shutil.rmtree(self.redis_folder)
        shutil.copytree(self.folder / "redis", self.redis_folder)
        self.stack.start_program("redis")
        wait_for(lambda: answers_ping(self.stack.settings.redis_port, 0.2) or None, seconds=20)

    @property
    def redis_folder(self):
        return self.stack.var_dir / "redis" / "appendonlydir"

    def database(self, name):
        return self.urls[f"{name.upper()}_DATABASE_URL"].rpartition("/")[2]

    def postgres(self, program, *arguments):
        port = self.urls["AUTH_DATABASE_URL"].rpartition("/")[0].rpartition(":")[2]
        bin_dir = binaries(pip_first=False)
        where = ["-h", "127.0.0.1", "-p", port, "-U", "latchkey"]
        subprocess.run([bin_dir / program, *where, *arguments], check=True, capture_output=True)

    def command(self, service, *arguments, stdin="", code=0):
        environment = environment_of("after-restore", self.stack.settings, read_keys(self.stack.settings.keys_file))
        done = subprocess.run(
            [sys.executable, "-m", f"services.{service}", *arguments],
            cwd=ROOT,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout

    def what(self, *restored):
        return ["after-restore", "--backup-taken-at", self.taken_at, *(f"--restored={name}" for name in restored)]

    @property
    def anchors(self):
        return str(self.folder / "anchors")

    def after_restore(self, *restored):
        what = self.what(*restored)
        auth_report = self.command("auth", *what)
        if set(restored) == {"redis"}:
            self.command("otp", *what)
            return {}
        otp_report = self.command("otp", *what, "--recovery-codes=keep", "--auth-report", "-", stdin=auth_report)
        lines = self.command("auth", *what, "--otp-report", "-", stdin=otp_report).splitlines()
        found = {}
        for line in map(json.loads, lines):
            found.setdefault(line["account_id"], set()).add(line["finding"])
        return found


def new_portal(stack):
    return Portal(stack.base_url, patient=True)


class Patient(Person):
    """Asks again where a busy machine has no time to hash."""

    def portal(self):
        return Portal(self.base_url, ip=self.ip, patient=True)

    def enrolled(self):
        """With a new code for each try: the one of before is too old after a few."""
        portal = self.signed_in()
        begun = portal.post("/v1/two-factor/enrollment").body
        self.app = AuthenticatorApp(begun["secret"])
        path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
        hasty = Portal(self.base_url, ip=self.ip)
        hasty.token = portal.token

        def confirm():
            answer = hasty.post(path, {"code": self.app.before()})
            hasty.token = answer.headers.get("X-Session-Token", hasty.token)
            return answer if answer.status == 200 else None

        self.codes = wait_for(confirm, seconds=60, every=1).body["recovery_codes"]
        return hasty


@pytest.fixture(scope="module")
def drill(tmp_path_factory, postgres, databases):
    if not postgres[0].answers():
        postgres[0].start()
    urls = {f"{name.upper()}_DATABASE_URL": databases.new(f"{name}_drill") for name in ("auth", "otp")}
    settings = {"TRUSTED_PROXY_COUNT": "1", **urls}
    with running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings) as stack:
        yield Drill(stack, urls, tmp_path_factory.mktemp("backup"))


def is_live(portal):
    return portal.get("/v1/session").status == 200


def just_signed_in(person):
    """By a backup code: that opens the step-up window."""
    portal = person.portal()
    assert portal.verify(person.challenge(portal), person.codes[-1]).status == 200
    return portal


def try_code(person, code):
    portal = person.portal()
    return portal.verify(person.challenge(portal), code)


@dataclass
class People:
    """Who they are, and the clients that they had when the backup was taken."""

    ann: Person  # spends a backup code and an app code, and signs out
    bob: Person  # changes the password
    cyd: Person  # turns 2FA on
    dan: Person  # turns 2FA off
    fay: Person  # takes back the trust of a browser
    clients: dict
    browser: Portal
    used: str = ""
    owner: Portal | None = None


@pytest.fixture(scope="module")
def people(drill):
    """All that happens before the backup."""
    ann, bob, cyd, dan, fay = (Patient(**vars(new_person(drill.stack, "member", "Drill"))) for _ in range(5))
    clients = {"ann": ann.enrolled(), "dan": dan.enrolled(), "fay": fay.enrolled()}
    clients |= {"bob": bob.signed_in(), "cyd": cyd.signed_in()}
    browser = fay.portal()
    assert browser.verify(fay.challenge(browser), fay.codes[0], remember=True).status == 200
    wait_for(lambda: "two_factor.enabled" in timeline_of(drill, dan), seconds=30)
    return People(ann, bob, cyd, dan, fay, clients, browser)


@pytest.fixture(scope="module")
def restored(drill, people):
    """The backup, the changes of the gap, and the restore as the runbook has it; what was found."""
    drill.back_up()
    ann, clients = people.ann, people.clients
    people.used = ann.app.fresh()
    assert try_code(ann, people.used).status == 200
    assert try_code(ann, ann.codes[0]).status == 200
    assert clients["ann"].post("/v1/logout").status == 204
    body = {"current_password": people.bob.password, "new_password": NEW_PASSWORD}
    changed = clients["bob"].post("/v1/password", body)
    assert changed.status == 200, changed.body
    people.cyd.enrolled()
    assert just_signed_in(people.dan).call("DELETE", "/v1/two-factor").status == 204
    assert just_signed_in(people.fay).call("DELETE", "/v1/trusted-devices").status == 204
    for person, entry in ((people.cyd, "enabled"), (people.dan, "disabled")):
        wait_for(lambda who=person, what=entry: f"two_factor.{what}" in timeline_of(drill, who), seconds=30)
    drill.command("auth", "audit", "verify", "--anchors", drill.anchors)
    drill.stop()
    drill.restore_databases()
    drill.put_redis_back()
    surveyed = drill.command("auth", *drill.what("auth"), "--dry-run")
    assert "apply from the journal: 1 x password.changed" in surveyed
    found = drill.after_restore("auth", "otp", "redis")
    drill.verified = drill.command("auth", "audit", "verify", "--anchors", drill.anchors)
    drill.start()
    return found


def test_the_lawful_restore_is_no_tampering(drill, restored):
    assert f"backup of {drill.taken_at}" in drill.verified
    assert "lost in a restore" in drill.verified


def test_spent_codes_and_used_steps_are_refused_and_the_others_let_in(people, restored):
    ann = people.ann
    assert try_code(ann, people.used).code == "invalid_passcode"
    assert try_code(ann, ann.codes[0]).code == "invalid_passcode"
    people.owner = ann.portal()
    assert people.owner.verify(ann.challenge(people.owner), ann.codes[1]).status == 200


def test_no_session_or_trust_of_before_lives(people, restored):
    assert [name for name, client in people.clients.items() if is_live(client)] == []
    fay = people.fay
    assert people.browser.log_in(fay.email, fay.password).body["status"] == "second_factor_required"
    assert "trust_ended" in restored[fay.id]


def test_changes_of_the_gap_stand(people, restored):
    bob, cyd, dan = people.bob, people.cyd, people.dan
    assert bob.portal().log_in(bob.email, bob.password).code == "invalid_credentials"
    assert bob.portal().log_in(bob.email, NEW_PASSWORD).body["status"] == "authenticated"
    assert try_code(cyd, cyd.codes[0]).status == 200
    assert dan.portal().log_in(dan.email, dan.password).body["status"] == "authenticated"
    assert not any("two_factor_lost" in kinds for kinds in restored.values())


def test_the_owners_are_told(drill, people, restored):
    assert "recovery_codes_kept" in restored[people.ann.id]
    wait_for(lambda: told(drill.stack, people.ann.email), seconds=30)


def test_a_second_run_changes_nothing_and_a_restore_of_redis_alone_works(drill, people, restored):
    drill.stop()
    assert drill.after_restore("auth", "otp", "redis") == restored
    drill.start()
    assert is_live(people.owner)
    drill.stop()
    drill.put_redis_back()  # and with it the session that Ann has ended
    drill.after_restore("redis")
    drill.start()
    assert not is_live(people.clients["ann"])


def timeline_of(drill, person):
    rows = drill.command("auth", "audit", "export", "--since", "2020-01-01", "--account", person.id)
    return [json.loads(line)["type"] for line in rows.splitlines()]


def told(stack, email):
    portal = new_portal(stack)
    items = portal.get("/dev/inbox.json").body
    return any("restored" in json.dumps(item) and email in json.dumps(item) for item in items) or None
