"""A stack whose parts run apart, as in production, and a run of load over it while something breaks."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from redis import Redis

from deploy import ceremony
from deploy.local.announce import answers_200
from deploy.local.ports import free_port
from deploy.local.programs import web_argv
from deploy.local.stack import Stack, running_stack
from deploy.portal import AuthenticatorApp, Portal
from shared.database import create_database
from tests.faults.aftermath import evidence, left_at_the_broker, look
from tests.faults.ledger import Fault, Figures, Ledger, Row, Stores, Text, figures
from tests.faults.load import Crowd, Phones, Plan
from tests.faults.parts import CODE_WORKERS, PARTS, part, part_environment, start_all
from tests.faults.people import PASSWORD, Person, fill
from tests.support.server import Server
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import Behaviour, TwilioStub

LOOK_SECONDS = 0.3
DRAIN_SECONDS = 45.0
SETTLE_SECONDS = 30.0


@dataclass
class Run:
    """A run under way: what a fault may look at, and where it says when it began, killed and ended."""

    ledger: Ledger
    people: Sequence[Person]
    reserved: Sequence[Person]  # no visitor is one of them
    phones: Phones
    began: float = 0.0
    ended: float = 0.0
    kills: list[float] = field(default_factory=list)
    expected: set[Row] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def begins(self) -> None:
        self.began = time.monotonic()

    def ends(self) -> None:
        self.ended = time.monotonic()


class Support(NamedTuple):
    """The clients of the operator who requests a reset, and of the one who approves it."""

    first: Portal
    second: Portal


@dataclass
class Stage:
    """The running stack and its parts."""

    stack: Stack
    stub: TwilioStub
    parts: dict[str, Server]
    broker: Server
    broker_url: str
    lines: list[Figures]

    def __post_init__(self) -> None:
        environ, var = self.stack.settings.environ, self.stack.var_dir
        self.auth = create_database(environ.get("AUTH_DATABASE_URL") or f"sqlite:///{var}/auth.sqlite3")
        self.otp = create_database(environ.get("OTP_DATABASE_URL") or f"sqlite:///{var}/otp.sqlite3")
        self.state = Redis.from_url(self.stack.settings.redis_url, decode_responses=True)
        self.base_url = self.stack.base_url
        # Their phones show no code twice, whichever fault they come for.
        demo, emails = self.stack.demo, ("support@latchkey.example", "support2@latchkey.example")
        self._operators = {email: AuthenticatorApp(demo.account(email).totp_secret) for email in emails}

    # --- parts --------------------------------------------------------------------------------------------------------

    def kill(self, run: Run, *names: str) -> None:
        """-9."""
        for name in names:
            if name in CODE_WORKERS:
                run.kills.append(time.monotonic())
            self.parts[name].kill()

    def kill_supervised(self, name: str, *, frozen_seconds: float = 0.4) -> None:
        """-9 amid what came in while it was frozen: of otp, auth or the state, which their supervisor restarts."""
        processes = self.stack.processes_of(name)
        for process in processes:
            process.suspend()
        time.sleep(frozen_seconds)
        for process in processes:
            process.kill()

    def start(self, *names: str) -> None:
        start_all([self.parts[name] for name in names])

    def pids(self) -> list[int]:
        """The processes of the parts, as long as they are the ones that were started."""
        return [server._process.pid for server in self.parts.values() if server._process.poll() is None]

    def environment(self, service: str) -> dict[str, str]:
        return part_environment(self.stack, service)

    def wait_until_ready(self, url: str | None = None, seconds: float = 40.0) -> None:
        """Until the gateway's and the verifier's health say so."""
        urls = [f"{url}"] if url else [self.stack.base_url, self.stack.settings.otp_url]
        deadline = time.monotonic() + seconds
        for one in urls:
            while not _answers(one):
                assert time.monotonic() < deadline, f"{one} does not come back"
                time.sleep(0.1)

    # --- a run --------------------------------------------------------------------------------------------------------

    def play(
        self,
        name: str,
        fault: Callable[[Run], None],
        *,
        plan: Plan | None = None,
        before: float = 3.0,
        after: float = 6.0,
        people: int = 220,
        users: int = 5,
        pace: float = 0.9,
        send_seconds: float = 0.0,
        drain: float = DRAIN_SECONDS,
        reserve: int = 0,
    ) -> Figures:
        """Load, the fault in its midst, load again; then wait until all is settled, and count."""
        everybody = fill(self.stack, self.auth, self.otp, people + reserve)
        ledger, first_text = Ledger(), len(self.stub.messages)
        run = Run(ledger, everybody, everybody[people:], Phones(self.stub))
        visitors = iter(everybody[:people])
        crowd = Crowd(lambda: self.base_url, visitors, run.phones, ledger, plan or Plan(), users=users, pace=pace)
        self.stub.default = Behaviour(delay=send_seconds)
        crowd.start()
        try:
            time.sleep(before)
            run.begins()
            fault(run)
            if not run.ended:
                run.ends()
            time.sleep(after)
        finally:
            crowd.stop(drain)
            self.stub.default = Behaviour()
            self.stub.script.clear()
        stores = self._settled(run)
        phones = {person.phone for person in everybody}
        texts = [
            Text(message.to, message.body, message.monotonic)
            for message in self.stub.messages[first_text:]
            if message.to in phones
        ]
        line = figures(name, ledger, texts, stores, Fault(run.began, run.ended, tuple(run.kills), send_seconds))
        line.notes = run.notes + evidence(ledger, stores) + left_at_the_broker(self.broker_url)
        self.lines.append(line)
        return line

    def _settled(self, run: Run) -> Stores:
        """What the databases hold, once everything that must be there is, or time is up."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            stores = self._look(run)
            missing = stores.expected - set(stores.rows)
            if (not missing and not stores.unpublished) or time.monotonic() > deadline:
                # A second effect would follow soon.
                time.sleep(1.0)
                return self._look(run)
            time.sleep(LOOK_SECONDS)

    def _look(self, run: Run) -> Stores:
        accounts = [person.id for person in run.people]
        return look(self.auth, self.otp, self.state, accounts, run.expected, run.ledger.asked)

    # --- one person by hand -------------------------------------------------------------------------------------------

    def begin_login(self, person: Person, base_url: str | None = None) -> tuple[Portal, str]:
        """The owner's client, which asks again when it hears 503 as the crowd does, and the challenge it was given."""
        owner = Portal(base_url or self.base_url, ip=person.ip, patient=True)
        answer = owner.log_in(person.email, PASSWORD)
        assert answer.status == 200, answer.body
        return owner, str(answer.body["challenge"]["id"])

    # --- support ------------------------------------------------------------------------------------------------------

    def support(self) -> Support:
        """Two operators who signed in just now: ten minutes later, they would be asked for a code again."""
        return Support(*(self._operator(email) for email in self._operators))

    def request_reset(self, person: Person, support: Support) -> str:
        """The first operator checks who calls, and requests the reset; its id."""
        inbox = Portal(self.base_url, patient=True)
        checks = ("email_code", "video_id")
        return str(ceremony.request(support.first, person.id, checks, lambda: inbox.get("/dev/inbox.json").body)["id"])

    def approve_reset(self, run: Run, person: Person, reset_id: str, support: Support) -> None:
        """The second operator agrees; then otp's worker takes the person's 2FA off."""
        answer = support.second.post(f"/v1/support/accounts/{person.id}/two-factor-resets/{reset_id}/approve")
        assert answer.status == 202, answer.body
        run.expected.add(Row(person.id, "two_factor.reset_applied", reset_id))

    def reset(self, run: Run, person: Person, support: Support) -> None:
        """Support takes the person's 2FA off."""
        self.approve_reset(run, person, self.request_reset(person, support), support)

    def _operator(self, email: str) -> Portal:
        portal = Portal(self.base_url, ip="10.250.0.1", patient=True)
        challenge = portal.log_in(email, self.stack.demo.account(email).password).body["challenge"]
        answer = portal.verify(challenge["id"], self._operators[email].fresh())
        assert answer.status == 200, answer.body
        return portal


def _answers(url: str) -> bool:
    return answers_200(f"{url}/readyz")


def _is_live(url: str) -> bool:
    return answers_200(f"{url}/healthz")


@contextlib.contextmanager
def staged(
    var_dir: Path, stub: TwilioStub, broker: Server, broker_url: str, lines: list[Figures], settings: Mapping[str, str]
) -> Iterator[Stage]:
    """A stack whose workers and relay are processes of their own."""
    environment = settings_for(stub) | {"SMS_PROVIDERS": "twilio", "BROKER_URL": broker_url} | dict(settings)
    with running_stack(var_dir, free_port(5), environment) as stack:
        for name in ("notify-codes", "background"):
            stack.stop_program(name)
        parts = {name: part(stack, name, broker_url) for name in PARTS}
        try:
            start_all(list(parts.values()))
            stage = Stage(stack, stub, parts, broker, broker_url, lines)
            yield stage
            stage.auth.dispose()
            stage.otp.dispose()
        finally:
            with ThreadPoolExecutor(len(parts)) as threads:
                list(threads.map(Server.stop, parts.values()))


# service -> its app and threads
SERVERS: Mapping[str, tuple[str, int]] = {"auth": ("services.auth.wsgi:app", 8), "otp": ("services.otp.wsgi:app", 4)}


@contextlib.contextmanager
def second_server(stage: Stage, service: str, **more: str) -> Iterator[str]:
    """The URL of one more auth or otp. ``more`` goes into its environment."""
    port, (app, threads) = free_port(), SERVERS[service]
    server = Server(
        name=f"{service}-2",
        argv=web_argv(app, threads, "127.0.0.1", port),
        answers=lambda: _is_live(f"http://127.0.0.1:{port}"),
        log=stage.stack.settings.log_dir / f"{service}-2.log",
        environment=stage.environment(service) | more,
        start_seconds=60.0,
    )
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def second_gateway(stage: Stage, otp_port: int, **more: str) -> contextlib.AbstractContextManager[str]:
    """The URL of one more gateway, which reaches otp on this port."""
    return second_server(stage, "auth", OTP_URL=f"http://127.0.0.1:{otp_port}", **more)
