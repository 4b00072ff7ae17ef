"""One attacker's client: a cookie jar, a session or none, and an address of its own where that is possible."""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Protocol
from urllib.parse import urlencode

import urllib3

from deploy.portal import PATIENCE, Answer, Portal, answer_of

_SECONDS = 20.0
BINDING_HEADER = "X-Challenge-Binding"
CHALLENGE_COOKIES = ("latchkey_challenge", "__Host-latchkey_challenge")
# Twenty logins at once are more than a gateway hashes side by side; the others hear 503 and come again.
_PATIENCE = PATIENCE.new(total=8, status=8, backoff_factor=0.2, backoff_max=3.0, backoff_jitter=0.2)


def _completes_login(path: str, answer: Answer) -> bool:
    """Whether this gives the try of the login's password back."""
    is_login = path == "/v1/login" or (path.startswith("/v1/login/") and path.endswith("/verify"))
    return is_login and answer.status == 200 and bool(answer.body["status"] == "authenticated")


class Meter(Protocol):
    """Who is told of each call before it is made, and of one that cost nothing after it."""

    def count(self, method: str, path: str) -> None:
        """May raise, and then the call is not made."""

    def give_back(self, method: str, path: str) -> None:
        """The call cost nothing."""


class Browser(Portal):
    """A client that also keeps cookies, and can send what no decent client would."""

    def __init__(
        self, base_url: str, *, ip: str | None = None, patient: bool = True, meter: Meter | None = None
    ) -> None:
        # A pool of its own: no connection is shared, as between strangers.
        pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=urllib3.Timeout(_SECONDS))
        super().__init__(base_url, ip=ip, pool=pool)
        self._retries = _PATIENCE if patient else None
        self._meter = meter
        self.ip = ip
        self.cookies: dict[str, str] = {}

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Call the API with this client's session and cookies; any status is an answer."""
        if self.cookies:
            headers.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if self._meter is None:
            return self._keep_cookies(super().call(method, path, body, **headers))
        self._meter.count(method, path)
        answer = super().call(method, path, body, **headers)
        if _completes_login(path, answer):
            self._meter.give_back("POST", "/v1/login")
        return self._keep_cookies(answer)

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send exactly these bytes and headers (besides Host and the length), with nothing of this client's own.

        Its address is the exception, unless the headers bring one: without it all tries would come from one client.
        """
        own = {"X-Forwarded-For": self.ip} if self.ip else {}
        sent = {**own, **(headers or {})}
        if self._meter is not None:
            self._meter.count(method, path)
        response = self._pool.request(method, self.base_url + path, body=body, headers=sent, redirect=False)
        return self._keep_cookies(answer_of(response))

    def keep_login_in_cookies(self, challenge: str) -> None:
        """Hold the binding of this login as a browser does, for its pages."""
        self.cookies.update(dict.fromkeys(CHALLENGE_COOKIES, self.bindings[challenge]))

    def form(self, path: str, fields: Mapping[str, str]) -> Answer:
        """Post a form, as a browser without scripts does; cookies and the page's own origin go along."""
        return self.submit("POST", path, fields)

    def submit(self, method: str, path: str, fields: Mapping[str, str]) -> Answer:
        """Send a form with any method."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.base_url}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return self.raw(method, path, urlencode(fields).encode(), headers)

    def _keep_cookies(self, answer: Answer) -> Answer:
        for line in answer.headers.getlist("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return answer
