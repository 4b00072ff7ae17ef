"""A steady load: users who sign in with the app, an SMS or a backup code, and now and then with a wrong code.

Each visit is a generator that yields the seconds until it goes on, so that a visit which waits for its SMS or for a
part that is away keeps no thread, and new visits go on coming.
"""

import heapq
import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import urllib3

from deploy.portal import Answer, Portal
from tests.faults.ledger import CUT, NOBODY, Asked, Call, Code, Fate, Ledger, Text
from tests.faults.people import PASSWORD, Person, step_now
from tests.support.twilio_stub import TwilioStub

AWAY = frozenset({503, CUT, NOBODY})
SHORTEST_PAUSE_SECONDS = 0.5
LOOK_SECONDS = 0.2
RESEND_SECONDS = 31.0

Visit = Generator[float, None, None]


@dataclass(frozen=True, slots=True)
class Plan:
    """The mix of a load, and what its users do beyond signing in."""

    totp: float = 0.5
    sms: float = 0.35
    backup: float = 0.15
    wrong_first: float = 0.15
    replay: float = 0.1
    # Ask again for an SMS that did not come in half a minute, as the page offers.
    resend: bool = False
    # Each call over a connection of its own. On a kept one, a call that leaves at the moment in which the server closes
    # it is cut: HTTP/1.1 is made so, and browsers and proxies send it again (RFC 9112 §9.3.1).
    own_connections: bool = False
    # Called with every SMS that was promised.
    on_asked: Callable[[dict[str, Any]], None] | None = None


class Phones:
    """What has come in on the phones, by number."""

    def __init__(self, stub: TwilioStub) -> None:
        self._stub, self._read, self._lock = stub, 0, threading.Lock()
        self._texts: dict[str, list[Text]] = defaultdict(list)

    def texts(self, to: str) -> list[Text]:
        """The texts to a number so far."""
        with self._lock:
            fresh = self._stub.messages[self._read :]
            self._read += len(fresh)
            for message in fresh:
                self._texts[message.to].append(Text(message.to, message.body, message.monotonic))
            return list(self._texts[to])

    def code(self, to: str, reference: str) -> str | None:
        """The code of the text with this reference."""
        bodies = (text.body for text in self.texts(to) if f"(ref {reference})" in text.body)
        return next((body.rpartition("#")[2] for body in bodies), None)


class Crowd:
    """So many users at a time; each begins a visit every ``pace`` seconds, as another person each time."""

    def __init__(
        self,
        base_url: Callable[[], str],
        people: Iterator[Person],
        phones: Phones,
        ledger: Ledger,
        plan: Plan,
        *,
        users: int = 5,
        pace: float = 0.9,
    ) -> None:
        self.ledger = ledger
        self._base_url, self._people, self._phones, self._plan, self._pace = base_url, people, phones, plan, pace
        self._lock, self._stop, self._leave = threading.Lock(), threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(users)]
        self.failures: list[Exception] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, drain_seconds: float) -> None:
        """No new visits; those under way may take that long to come to their end."""
        self._stop.set()
        deadline = time.monotonic() + drain_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._leave.set()
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _run(self, number: int) -> None:
        try:
            self._serve(number)
        except Exception as error:  # noqa: BLE001 - raised again by stop()
            self.failures.append(error)

    def _serve(self, number: int) -> None:
        rng = random.Random(number)
        pool = urllib3.PoolManager(maxsize=2, retries=False, timeout=urllib3.Timeout(10.0))
        ticket = itertools.count()
        waiting: list[tuple[float, int, Visit]] = []
        next_visit = time.monotonic() + self._pace * rng.random()
        while not self._leave.is_set():
            now = time.monotonic()
            if not self._stop.is_set() and now >= next_visit:
                next_visit = max(next_visit + self._pace, now)
                if (person := self._next_person()) is not None:
                    heapq.heappush(waiting, (now, next(ticket), _User(self, pool, person, rng).visit()))
            if waiting and waiting[0][0] <= now:
                _, _, visit = heapq.heappop(waiting)
                pause = next(visit, None)
                if pause is not None:
                    heapq.heappush(waiting, (time.monotonic() + pause, next(ticket), visit))
                continue
            if self._stop.is_set() and not waiting:
                break
            time.sleep(0.02)
        for _, _, visit in waiting:
            visit.close()
        pool.clear()

    def _next_person(self) -> Person | None:
        with self._lock:
            return next(self._people, None)


class _User:
    """One visit of one person."""

    def __init__(self, crowd: Crowd, pool: urllib3.PoolManager, person: Person, rng: random.Random) -> None:
        self._crowd, self._pool, self._person, self._rng = crowd, pool, person, rng
        self._ledger, self._plan, self._phones = crowd.ledger, crowd._plan, crowd._phones
        self._bindings: dict[str, str] = {}

    def visit(self) -> Visit:
        plan = self._plan
        (how,) = self._rng.choices((self._by_app, self._by_sms, self._by_backup), (plan.totp, plan.sms, plan.backup))
        yield from how(wrong_first=self._rng.random() < plan.wrong_first, replay=self._rng.random() < plan.replay)

    def _by_app(self, *, wrong_first: bool, replay: bool) -> Visit:
        challenge = yield from self._challenge()
        if challenge is None:
            return
        if wrong_first:
            yield from self._wrong(challenge)
        step = step_now()
        fate = yield from self._enter(challenge, "totp", self._person.totp(step), last_step=step + 1)
        if fate is Fate.SPENT or fate is None:
            # Used up by a try that nobody answered, or grown old in the outage: the next one must do.
            challenge = yield from self._challenge()
            if challenge is not None:
                step = max(step + 1, step_now())
                yield from self._enter(challenge, "totp", self._person.totp(step), last_step=step + 1)
        elif fate is Fate.PASSED and replay:
            yield from self._replay("totp", self._person.totp(step))

    def _by_backup(self, *, wrong_first: bool, replay: bool) -> Visit:
        challenge = yield from self._challenge()
        if challenge is None:
            return
        if wrong_first:
            yield from self._wrong(challenge)
        fate = yield from self._enter(challenge, "recovery_code", self._person.backup_code)
        if fate is Fate.PASSED and replay:
            yield from self._replay("recovery_code", self._person.backup_code)

    def _by_sms(self, *, wrong_first: bool, replay: bool) -> Visit:
        challenge = asked = None
        while asked is None:
            challenge = yield from self._challenge()
            if challenge is None:
                return
            if wrong_first:
                yield from self._wrong(challenge)
                wrong_first = False
            asked = yield from self._ask(challenge)
            if asked == "refused":
                return
        digits = yield from self._wait_for_text(challenge, asked)
        fate = yield from self._enter(challenge, "sms", digits)
        if fate is Fate.PASSED and replay:
            yield from self._replay("sms", digits)

    def _challenge(self) -> Generator[float, None, str | None]:
        """Password login; None when it is refused, or when it lets in at once."""
        body = {"email": self._person.email, "password": PASSWORD, "transport": "bearer"}
        while True:
            status, answer = self._call("login", "POST", "/v1/login", body)
            if status in AWAY:
                yield _pause(answer)
            elif status == 200 and answer.body["status"] == "second_factor_required":
                challenge = answer.body["challenge"]
                self._bindings[challenge["id"]] = challenge["binding"]
                return str(challenge["id"])
            else:
                if status == 200:
                    self._ledger.let_in_without(self._person.id)
                else:
                    self._refused("password", status)
                return None

    def _ask(self, challenge: str) -> Generator[float, None, Any]:
        """Ask for an SMS: what was promised, None when it must be tried in a new login, "refused"."""
        status, answer = self._call("sms", "POST", f"/v1/login/{challenge}/sms")
        if status == 202:
            body = answer.body
            asked = Asked(self._person.id, self._person.phone, body["message_id"], body["reference"], time.monotonic())
            self._ledger.ask(asked)
            if self._plan.on_asked is not None:
                self._plan.on_asked(body)
            return asked
        if status in AWAY or status == 410:
            yield _pause(answer)
            return None
        self._refused("asking for an SMS", status)
        return "refused"

    def _wait_for_text(self, challenge: str, asked: Asked) -> Generator[float, None, str]:
        code = Code(self._person.id, "sms", "", good=True, fate=Fate.NEVER_CAME)
        references, ask_again_at = [asked.reference], asked.at + RESEND_SECONDS
        self._ledger.code(code)
        while True:
            for reference in references:
                digits = self._phones.code(self._person.phone, reference)
                if digits is not None:
                    self._ledger.codes.remove(code)
                    return digits
            if self._plan.resend and time.monotonic() > ask_again_at:
                again = yield from self._ask(challenge)
                if isinstance(again, Asked):
                    references.append(again.reference)
                ask_again_at = time.monotonic() + RESEND_SECONDS
            yield LOOK_SECONDS

    def _enter(
        self, challenge: str, factor: str, digits: str, *, last_step: int | None = None
    ) -> Generator[float, None, Fate | None]:
        """Enter a good code until it is answered; None when it grew too old to be entered once more."""
        code = self._ledger.code(Code(self._person.id, factor, digits, good=True))
        while True:
            if last_step is not None and step_now() > last_step:
                self._ledger.codes.remove(code)
                return None
            status, answer = self._call("code", "POST", f"/v1/login/{challenge}/verify", {"code": digits})
            code.statuses.append(status)
            if status == 200:
                code.fate = Fate.PASSED
                return code.fate
            if status not in AWAY:
                code.fate = Fate.SPENT if CUT in code.statuses else Fate.REFUSED
                return code.fate
            yield _pause(answer)

    def _wrong(self, challenge: str) -> Visit:
        """A code that is not the app's, nor that of any SMS."""
        near = {self._person.totp(step_now() + offset) for offset in range(-3, 4)}
        digits = next(word for word in iter(lambda: f"{self._rng.randrange(10**6):06d}", "") if word not in near)
        yield from self._enter_bad(challenge, "wrong", digits)

    def _replay(self, factor: str, digits: str) -> Visit:
        """A code that was used, in a new login."""
        challenge = yield from self._challenge()
        if challenge is not None:
            yield from self._enter_bad(challenge, factor + " again", digits)

    def _enter_bad(self, challenge: str, factor: str, digits: str) -> Visit:
        code = self._ledger.code(Code(self._person.id, factor, digits, good=False))
        while True:
            status, answer = self._call("bad code", "POST", f"/v1/login/{challenge}/verify", {"code": digits})
            code.statuses.append(status)
            # Once is enough when it was not answered: each try may count.
            if status not in AWAY or len(code.statuses) > 1:
                return
            yield _pause(answer)

    def _refused(self, what: str, status: int) -> None:
        self._ledger.code(Code(self._person.id, what, "", good=True, statuses=[status], fate=Fate.REFUSED))

    def _call(self, what: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        portal = Portal(self._crowd._base_url(), ip=self._person.ip, pool=self._pool)
        portal.bindings = self._bindings
        at = time.monotonic()
        answer: Answer | None = None
        try:
            headers = {"Connection": "close"} if self._plan.own_connections else {}
            answer = portal.call(method, path, body, **headers)
            status = answer.status
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            status = NOBODY
        except urllib3.exceptions.HTTPError:
            status = CUT
        seconds = time.monotonic() - at
        retry_after = answer.headers.get("Retry-After") if answer is not None else None
        code = answer.code if answer is not None else None
        part = answer.body.get("part") if code is not None else None
        self._ledger.call(Call(what, self._person.id, at, seconds, status, code, retry_after, part))
        return status, answer


def _pause(answer: Answer | None) -> float:
    """As long as the answer asks for; a moment when there was none."""
    asked = answer.headers.get("Retry-After") if answer is not None else None
    return max(SHORTEST_PAUSE_SECONDS, float(asked or 0))
