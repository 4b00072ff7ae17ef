"""The whole stack over real processes, once for the session; each test signs in as accounts of its own."""

import json
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field

import pytest

from deploy.local.environment import environment_of
from deploy.local.keys import read_keys
from deploy.local.ports import free_port
from deploy.local.settings import ROOT
from deploy.local.stack import running_stack
from deploy.portal import AuthenticatorApp, Portal, wait_for
from tests.support.invented import invented
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import TwilioStub

PHONE_NOTICE = "the phone for your codes is now"


def _unless_away(answer):
    return None if answer.status == 503 else answer


@dataclass
class Person:
    """An account made through the command line, and what its owner holds."""

    base_url: str
    id: str
    email: str
    password: str
    ip: str
    enrollment_word: str | None = None
    app: AuthenticatorApp | None = None
    codes: list[str] = field(default_factory=list)

    def portal(self) -> Portal:
        """A client of this person's, from an address of its own (the stack trusts one proxy)."""
        return Portal(self.base_url, ip=self.ip)

    def signed_in(self) -> Portal:
        """A client that has signed in, with whatever that takes."""
        portal = self.portal()
        answer = portal.log_in(self.email, self.password)
        if answer.body["status"] == "second_factor_required":
            answer = portal.verify(answer.body["challenge"]["id"], self.app.fresh())
        assert answer.status == 200, answer.body
        return portal

    def enrolled(self) -> Portal:
        """Turn 2FA on; the client that did."""
        portal = self.signed_in()
        word = {"word": self.enrollment_word} if self.enrollment_word else None
        begun = portal.post("/v1/two-factor/enrollment", word).body
        self.app = AuthenticatorApp(begun["secret"])
        path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
        # The code of the step before: the one of now stays fresh for the test.
        code = self.app.before()
        # A stack that has just begun may have no sheet ready, and ten hashes may take longer than the gateway waits.
        # The same call made again has the same sheet.
        answer = wait_for(lambda: _unless_away(portal.post(path, {"code": code})), seconds=40)
        assert answer.status == 200, answer.body
        self.codes = answer.body["recovery_codes"]
        return portal

    def challenge(self, portal: Portal) -> str:
        """Password login up to the challenge's id."""
        answer = portal.log_in(self.email, self.password)
        assert answer.body["status"] == "second_factor_required", answer.body
        return answer.body["challenge"]["id"]

    def proven_phone(self, portal: Portal, inbox, number: str = "01512 3456789") -> None:
        """Set a phone and prove it. Turning 2FA on has closed the step-up window, so it may take a code more."""
        if portal.get("/v1/session").body["step_up"] != "full":
            proof = {"password": self.password, "code": self.app.fresh()}
            assert portal.post("/v1/reauthenticate", proof).status == 200
        sent = portal.call("PUT", "/v1/phone", {"country": "DE", "number": number})
        assert sent.status == 202, sent.body
        told = inbox.count(PHONE_NOTICE)
        assert portal.post("/v1/phone/verify", {"code": inbox.code(sent.body["reference"])}).status == 200
        # The notice goes to the same provider: it must not take the answer that a test has prepared for a code.
        wait_for(lambda: inbox.count(PHONE_NOTICE) > told)


class Inbox:
    """The texts that the provider's stub has taken."""

    def __init__(self, stub):
        self.stub = stub

    def text(self, reference: str) -> str:
        """The text with this reference; waits for it."""
        return wait_for(lambda: next((body for body in self.bodies() if reference in body), None), seconds=30)

    def bodies(self) -> list[str]:
        """All of them."""
        return [message.body for message in self.stub.messages]

    def count(self, reference: str) -> int:
        """How many texts with this reference were taken."""
        return sum(reference in body for body in self.bodies())

    def code(self, reference: str) -> str:
        """The code of that text."""
        return self.text(reference).splitlines()[-1].split("#")[1]


@pytest.fixture(scope="session")
def stub():
    with TwilioStub() as stub:
        yield stub


@pytest.fixture(scope="session")
def stack(tmp_path_factory, stub):
    port = free_port(5)
    settings = {
        **settings_for(stub),
        "RESET_COOL_OFF_SECONDS": "4",
        "RESET_LONG_COOL_OFF_SECONDS": "4",
        "TWILIO_STATUS_CALLBACK_URL": f"http://127.0.0.1:{port}/v1/callbacks/twilio/status",
    }
    with running_stack(tmp_path_factory.mktemp("var"), port, settings) as running:
        assert running.base_url == f"http://127.0.0.1:{port}"
        yield running


@pytest.fixture(scope="module")
def console_stack(tmp_path_factory):
    """As `make run` starts it: codes and notices land in the development inbox."""
    with running_stack(tmp_path_factory.mktemp("var"), free_port(5)) as running:
        yield running


@pytest.fixture
def messages(stack):
    """What was mailed: mails go to the development inbox here, and texts to the provider's stub."""
    reader = Portal(stack.base_url, patient=True)
    return lambda: reader.get("/dev/inbox.json").body


@pytest.fixture
def inbox(stub):
    yield Inbox(stub)
    stub.script.clear()


@pytest.fixture
def make_person(stack):
    def make(role: str = "member", team: str = "Tests") -> Person:
        return new_person(stack, role, team)

    return make


def new_person(stack, role: str, team: str) -> Person:
    somebody, password = invented(), "correct horse " + secrets.token_hex(6)
    environment = environment_of("auth", stack.settings, read_keys(stack.settings.keys_file))
    made = subprocess.run(
        [
            *(sys.executable, "-m", "services.auth", "accounts", "create", "--email", somebody.email, "--role", role),
            *("--team", team, "--name", somebody.name),
        ],
        input=password + "\n",
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    account = json.loads(made.stdout.splitlines()[-1])
    ip = f"10.{secrets.randbelow(255)}.{secrets.randbelow(255)}.{secrets.randbelow(255)}"
    return Person(stack.base_url, account["id"], somebody.email, password, ip, account.get("enrollment_word"))


@pytest.fixture
def operator(stack):
    """A signed-in support operator of the seed, in a session of its own."""
    return _operator(stack, "support@latchkey.example")


@pytest.fixture
def second_operator(stack):
    return _operator(stack, "support2@latchkey.example")


# Their writes need a step-up window, which a sign-in opens for ten minutes.
_WINDOW_SECONDS = 8 * 60
_sessions: dict[str, tuple[float, Portal]] = {}


def _operator(stack, email: str) -> Portal:
    account = stack.demo.account(email)
    signed_in_at, portal = _sessions.get(email, (0.0, None))
    if portal is None or time.monotonic() - signed_in_at > _WINDOW_SECONDS:
        portal = Portal(stack.base_url, ip="10.99.0.1")
        challenge = portal.log_in(account.email, account.password).body["challenge"]
        answer = portal.verify(challenge["id"], AuthenticatorApp(account.totp_secret).fresh())
        assert answer.status == 200, answer.body
        _sessions[email] = time.monotonic(), portal
    return portal
