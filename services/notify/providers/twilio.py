"""SMS and calls through Twilio's official client; the only file that imports it.

POST Messages and POST Calls are not idempotent and take no idempotency key, so nothing here repeats a request: a
time-out, or a connection that broke after the request was written, means "maybe sent", and domain/routing.py says what
follows.
"""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from redis import Redis
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers

from services.notify.domain.verdict import Verdict
from services.notify.providers import (
    CallMessage,
    ProviderMisconfigured,
    ProviderUnavailable,
    RecipientRejected,
    SmsMessage,
    transport,
    twiml,
)
from services.notify.providers.twilio_codes import outcome
from services.notify.settings import TwilioSettings
from shared import spoken_codes
from shared.spoken_codes import SpokenCode

SHORTEST_VALIDITY, LONGEST_VALIDITY = 1, 36_000  # seconds; outside of it Twilio answers 90007
# How long it rings, and how long a call lasts at most: Twilio bills by the minute.
RINGS_SECONDS, CALL_SECONDS = 30, 60
# Longer than both, because Twilio puts calls in a line.
_SPOKEN_FOR_SECONDS = 180
_FORM = "application/x-www-form-urlencoded"
_UNREADABLE = "2xx without Twilio's JSON"


class TwilioSms:
    """An SmsProvider; one instance, and with it one connection pool, for each process."""

    name = "twilio"
    idempotent = False

    def __init__(self, settings: TwilioSettings, redis: Redis) -> None:
        self._redis = redis
        self._status_callback_url = settings.status_callback_url
        self._call_from, self._call_url = settings.call_from, settings.call_url
        self._sender: dict[str, Any] = (
            {"messaging_service_sid": settings.messaging_service_sid}
            if settings.messaging_service_sid
            else {"from_": settings.from_number}
        )
        self._client = Client(
            settings.account_sid,
            settings.auth_token.reveal(),
            http_client=_PooledHttp(settings),
        )

    @property
    def makes_calls(self) -> bool:
        """Whether it was told where the gateway answers what follows the keys."""
        return self._call_url is not None

    def send(self, message: SmsMessage) -> str:
        """Send; Twilio's message SID."""
        return _sid_of(
            lambda: self._client.messages.create(to=message.to.e164, body=message.body, **self._options(message))
        )

    def call(self, message: CallMessage) -> str:
        """Call; Twilio's call SID. What Twilio is given first holds nothing of the code (shared/spoken_codes.py).

        Raises RedisError, too.
        """
        script, message_id, to = message.script, message.message_id, message.to.e164
        spoken = SpokenCode(message_id, to, script.keys, twiml.told(script), twiml.refused(script))
        token = spoken_codes.keep(self._redis, spoken, _SPOKEN_FOR_SECONDS)
        answer_url = _with_query(self._call_url or "", message_id=message_id, token=token)
        options: dict[str, Any] = {"time_limit": CALL_SECONDS, "timeout": RINGS_SECONDS}
        if self._status_callback_url:
            options["status_callback"] = _with_query(self._status_callback_url, message_id=message_id)
        return _sid_of(
            lambda: self._client.calls.create(
                to=to, from_=self._call_from, twiml=twiml.opening(script, answer_url), **options
            )
        )

    def _options(self, message: SmsMessage) -> dict[str, Any]:
        options = dict(self._sender)
        options["validity_period"] = min(max(message.valid_for_seconds, SHORTEST_VALIDITY), LONGEST_VALIDITY)
        if self._status_callback_url and message.wants_receipt:
            options["status_callback"] = _with_query(self._status_callback_url, message_id=message.message_id)
        return options


def _sid_of(create: Callable[[], Any]) -> str:
    """What Twilio has created; its SID.

    Every error is raised ``from None``: Twilio's texts quote the number, and a traceback prints what it came from.
    """
    try:
        sent = create()
    except (TwilioRestException, TwilioServiceException) as error:
        raise _refusal(_number(error.status) or 0, _number(error.code)) from None
    except HTTPError as error:
        raise ProviderUnavailable(type(error).__name__, maybe_sent=transport.maybe_sent(error)) from None
    except (ValueError, TypeError, KeyError, AttributeError):  # the client takes any 2xx for Twilio's JSON
        raise ProviderUnavailable(_UNREADABLE, maybe_sent=True) from None
    if not sent.sid:
        raise ProviderUnavailable(_UNREADABLE, maybe_sent=True)
    return str(sent.sid)


class _PooledHttp(HttpClient):  # type: ignore[misc] # twilio ships no types
    """Twilio's transport over one pool, sent to the base URL of the settings, and never repeated.

    The client's own transport pools for four threads more than there are cores, mounts no plain HTTP, reads proxies
    from the environment at every request and logs headers.
    """

    def __init__(self, settings: TwilioSettings) -> None:
        super().__init__(logging.getLogger(__name__), is_async=False)
        self._base_path = urlsplit(settings.api_base_url).path.rstrip("/")
        self._line = transport.Line(settings.api_base_url)
        self._credentials = make_headers(basic_auth=f"{settings.account_sid}:{settings.auth_token.reveal()}")

    def request(
        self,
        method: str,  # noqa: ARG002 - the one that all of ours have
        url: str,
        params: dict[str, object] | None = None,  # noqa: ARG002 - ours have none
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,  # noqa: ARG002 - the one of the settings
        timeout: float | None = None,  # noqa: ARG002 - ours hold for every request
        allow_redirects: bool = False,  # noqa: ARG002, FBT002 - none is followed
    ) -> Response:
        """Send one request: a POST of a form, as all of ours are. Raises urllib3's HTTPError."""
        form = urlencode(data or {}, doseq=True).encode()
        headers = {**(headers or {}), **self._credentials, "Content-Type": _FORM}
        answer = self._line.post(self._target(url), form, headers)
        return Response(answer.status, answer.data.decode("utf-8", "replace"), answer.headers)

    def _target(self, url: str) -> str:
        """The same resource at our base URL; regions and edges are chosen there."""
        asked = urlsplit(url)
        return urlunsplit(("", "", self._base_path + asked.path, asked.query, ""))


def _refusal(status: int, code: int | None) -> ProviderUnavailable | RecipientRejected:
    meaning = outcome(status, code)
    detail = f"twilio {code} (HTTP {status})"
    if meaning.verdict is Verdict.REJECT:
        return RecipientRejected(meaning.reason, detail)
    if meaning.verdict is Verdict.OUR_FAULT:
        return ProviderMisconfigured(detail)
    return ProviderUnavailable(detail, maybe_sent=meaning.verdict is Verdict.MAYBE_SENT)


def _number(value: object) -> int | None:
    """A number of Twilio's answer, which may hold anything."""
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else None


def _with_query(url: str, **members: str) -> str:
    """The URL of a callback with these members in its query, by which the gateway knows the message again."""
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, urlencode(members)]))
    return urlunsplit(parts._replace(query=query))
