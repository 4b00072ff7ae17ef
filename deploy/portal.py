"""A client of the public API, as the portal's front end or a phone would be: for demo, tests and benchmark."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyotp
import urllib3

STEP_SECONDS = 30
ON_ITS_WAY_SECONDS = 5.0  # how long a code may take to the server, on a busy machine


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and the JSON body of an answer."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: Any

    @property
    def code(self) -> str | None:
        """The problem's code, when it is a problem."""
        return self.body.get("code") if isinstance(self.body, dict) else None


def answer_of(response: urllib3.BaseHTTPResponse) -> Answer:
    """A response as a value: JSON read, anything else as its bytes."""
    is_json = "json" in response.headers.get("Content-Type", "")
    return Answer(response.status, response.headers, json.loads(response.data) if is_json else response.data)


# Not by Retry-After: urllib3 would then also sit out the minutes of a 429.
PATIENCE = urllib3.Retry(
    6,
    connect=0,
    read=0,
    redirect=0,
    status=6,
    status_forcelist={503},
    allowed_methods=None,
    backoff_factor=1.0,
    backoff_max=5.0,
    respect_retry_after_header=False,
    raise_on_status=False,
)


def pages_of(base_url: str) -> str:
    """The URL of this gateway's pages: in development at localhost, because passkeys need a name."""
    return base_url.replace("//127.0.0.1", "//localhost")


class Portal:
    """One client of the gateway; ``token`` is its bearer session, ``ip`` what a trusted proxy would say it is.

    A patient one asks again when a part of the service is busy or down for a moment (503), as a front end would.
    """

    def __init__(
        self, base_url: str, *, ip: str | None = None, pool: urllib3.PoolManager | None = None, patient: bool = False
    ) -> None:
        self.base_url = base_url
        self.token: str | None = None
        self.device_token: str | None = None
        self.bindings: dict[str, str] = {}  # of the logins that this client began
        self._ip = ip
        self._retries = PATIENCE if patient else None
        self._pool = pool or urllib3.PoolManager(maxsize=32, retries=False, timeout=urllib3.Timeout(10.0))

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Call the API with this client's session; any status is an answer."""
        sent = {"Accept": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if self.device_token:
            sent["X-Device-Token"] = self.device_token
        if self._ip:
            sent["X-Forwarded-For"] = self._ip
        if path.startswith("/v1/login/") and (binding := self.bindings.get(path.split("/")[3])):
            sent.setdefault("X-Challenge-Binding", binding)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        answer = answer_of(
            self._pool.request(
                method, self.base_url + path, body=data, headers=sent, redirect=False, retries=self._retries
            )
        )
        # A change of password or second factor gives this session a new token.
        if self.token and (renewed := answer.headers.get("X-Session-Token")):
            self.token = renewed
        return answer

    def get(self, path: str) -> Answer:
        """GET."""
        return self.call("GET", path)

    def post(self, path: str, body: object = None) -> Answer:
        """POST."""
        return self.call("POST", path, body)

    def log_in(self, email: str, password: str) -> Answer:
        """First step of signing in, as a bearer client; keeps the token when that was all."""
        self.token = None
        return self._keep(self.post("/v1/login", {"email": email, "password": password, "transport": "bearer"}))

    def verify(self, challenge_id: str, code: str, *, remember: bool = False) -> Answer:
        """Second step; keeps the session's token, and the device's where this client was not known."""
        return self._keep(self.post(f"/v1/login/{challenge_id}/verify", {"code": code, "remember_device": remember}))

    def _keep(self, answer: Answer) -> Answer:
        if answer.status == 200 and answer.body["status"] == "second_factor_required":
            challenge = answer.body["challenge"]
            self.bindings[challenge["id"]] = challenge["binding"]
        if answer.status == 200 and answer.body["status"] == "authenticated":
            self.token = answer.body["token"]
            self.device_token = answer.body.get("device_token", self.device_token)
        return answer


class AuthenticatorApp:
    """The phone: shows the code of a key, and never the same one twice to the same server."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self._totp = pyotp.TOTP(secret)
        self._last_step = 0

    def at(self, unix_seconds: int) -> str:
        """The code on the display at another time."""
        return self._totp.at(unix_seconds)

    def near(self, steps: int) -> str:
        """The code so many steps from now; showing it uses nothing up."""
        return self._totp.at((int(time.time()) // STEP_SECONDS + steps) * STEP_SECONDS)

    def before(self) -> str:
        """The code of the step before this one: still taken, and it leaves the present one fresh.

        Near the end of a step it waits for the next one: the server would get the code when it is two steps old.
        """
        left = STEP_SECONDS - time.time() % STEP_SECONDS
        if left < ON_ITS_WAY_SECONDS:
            time.sleep(left)
        self._last_step = int(time.time()) // STEP_SECONDS - 1
        return self._totp.at(self._last_step * STEP_SECONDS)

    def fresh(self, on_wait: Callable[[float], object] | None = None) -> str:
        """A code that the server takes (its window is one step each way) and that this phone has not shown before."""
        step = max(int(time.time()) // STEP_SECONDS, self._last_step + 1)
        wait = (step - 1) * STEP_SECONDS - time.time()
        if wait > 0:
            if on_wait:
                on_wait(wait)
            time.sleep(wait + 0.1)
        self._last_step = step
        return self._totp.at(step * STEP_SECONDS)


def wait_for(probe: Callable[[], Any], *, seconds: float = 15.0, every: float = 0.1) -> Any:  # noqa: ANN401
    """The first value of ``probe()`` that is not None or False. Raises TimeoutError with the probe's name."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value is not None and value is not False:
            return value
        if time.monotonic() > deadline:
            message = f"nothing came within {seconds:.0f} s: {getattr(probe, '__doc__', None) or probe}"
            raise TimeoutError(message)
        time.sleep(every)
