"""The gateway's door to otp: answers as values, outages as 503. How they travel is otp_line's."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import quote

from services.auth.otp_line import PATIENCE, Line, LineDown, Patience
from shared.channel import Channel
from shared.clock import Clock, parse_rfc3339
from shared.keys import Key, encode_key
from shared.problems import PROBLEMS, Refusal, Unavailable
from shared.texts.languages import DEFAULT_LANGUAGE

SESSIONS_A_CALL, LONGEST_LABEL = 100, 128  # as otp's schema has it
Purpose = Literal["login", "step_up", "phone_verification"]


@dataclass(frozen=True, slots=True)
class TwoFactorState:
    """What otp knows of an account.

    ``reset_needed``: otp would refuse an unlock. ``suspended``: what is on was stolen, and a reset of it is under way.
    ``pending_until``: how long the session for which it was asked may confirm the enrollment that it has begun.
    ``strangers_failures``: wrong codes in a row from browsers that the account does not know.
    """

    enabled: bool
    locked: bool
    locked_everywhere: bool
    consecutive_failures: int
    authenticators: list[dict[str, Any]]
    recovery_codes_remaining: int
    recovery_codes_created_at: str | None
    reset_needed: bool
    suspended: bool
    pending_until: str | None = None
    strangers_failures: int = 0

    @property
    def is_live(self) -> bool:
        """Whether a second factor is on and was not stolen. A login asks for a code of a stolen one, too."""
        return self.enabled and not self.suspended


@dataclass(frozen=True, slots=True)
class Verified:
    """A code was right and is spent."""

    factor: str


@dataclass(frozen=True, slots=True)
class Throttle:
    """What is tried for this purpose is not looked at before ``until``."""

    purpose: str
    until: datetime


class SpentRow(StrEnum):
    """A row of failures that ends something in auth once it is spent; otp has more of them."""

    DEVICE = "device"
    SESSION = "session"


class CodeRefused(Refusal):
    """otp refused a code, or did not compare it because a row of failures is spent.

    ``reason``, ``recent_failures`` and ``spent_rows`` are the gateway's; no caller sees them (ASVS 6.3.8).
    """

    def __init__(
        self,
        *,
        reason: str | None,
        recent_failures: int | None,
        spent_rows: Collection[str] = (),
        code: str = "invalid_passcode",
        **members: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(code, reason=reason, **members)
        self.recent_failures = recent_failures
        self.spent_rows = frozenset(row for row in SpentRow if row in spent_rows)


class OtpClient:
    """Calls otp's internal API. Every method raises Refusal as otp gave it, or Unavailable("otp").

    ``clock``: the Redis server's, which all processes agree on; commands have none.
    """

    def __init__(self, base_url: str, api_key: Key, clock: Clock | None = None, patience: Patience = PATIENCE) -> None:
        authorization = f"Bearer {encode_key(api_key.material.reveal())}"
        self._headers = {"Authorization": authorization, "Content-Type": "application/json"}
        self._line = Line(base_url, self._headers, clock, patience)

    def state(self, account_id: str, session_id: str | None = None) -> TwoFactorState:
        """Whether 2FA is on, and how; with a session, whether an enrollment of its waits to be confirmed."""
        query = _in_session(session_id) if session_id else ""
        answer = self._call("GET", f"/accounts/{account_id}/two-factor{query}")
        return TwoFactorState(
            enabled=answer["enabled"],
            locked=answer["locked"],
            locked_everywhere=answer["locked_everywhere"],
            consecutive_failures=answer["consecutive_failures"],
            authenticators=answer["authenticators"],
            recovery_codes_remaining=answer["recovery_codes"]["remaining"],
            recovery_codes_created_at=answer["recovery_codes"]["created_at"],
            reset_needed=answer.get("reset_needed", False),  # otp of the previous release does not send these
            suspended=answer.get("suspended", False),
            pending_until=answer.get("pending_until"),
            strangers_failures=answer.get("strangers_failures", 0),
        )

    def those_on(self, account_ids: Collection[str]) -> frozenset[str]:
        """Those of these accounts, a page at most, whose 2FA is on."""
        answer = self._call("POST", "/accounts-with-two-factor", {"account_ids": list(account_ids)})
        return frozenset(answer["account_ids"])

    def verify(
        self, account_id: str, code: str, purpose: Purpose, binding: str, device_id: str | None = None
    ) -> Verified:
        """Spend a code. Raises Refusal invalid_passcode, too_many_requests, second_factor_locked, two_factor_off."""
        body = {"code": code, "purpose": purpose, "binding": binding}
        if device_id is not None:
            body["device_id"] = device_id
        return Verified(self._call("POST", f"/accounts/{account_id}/verifications", body)["factor"])

    def begin_enrollment(self, account_id: str, label: str, session_id: str) -> dict[str, Any]:
        """A pending authenticator: its secret, key URI and QR code. It ends with the session.

        A long label is cut at its end, as apps do, because the beginning of an address tells accounts apart.
        """
        body = {"label": label[:LONGEST_LABEL], "session_id": session_id}
        return dict(self._call("POST", f"/accounts/{account_id}/enrollments", body))

    def show_enrollment(self, account_id: str, session_id: str) -> dict[str, Any]:
        """The pending authenticator that this session has begun, as begin_enrollment gave it."""
        return dict(self._call("GET", f"/accounts/{account_id}/enrollments{_in_session(session_id)}"))

    def cancel_enrollment(self, account_id: str, session_id: str) -> None:
        """End the pending authenticator that this session has begun, if there is one."""
        self._call("DELETE", f"/accounts/{account_id}/enrollments", {"session_id": session_id})

    def confirm_enrollment(self, account_id: str, enrollment_id: str, code: str, session_id: str) -> list[str]:
        """Turn 2FA on; the recovery codes, which otp shows this once."""
        path = f"/accounts/{account_id}/enrollments/{quote(enrollment_id, safe='')}/confirm"
        body = {"code": code, "session_id": session_id}
        codes: list[str] = self._call("POST", path, body, hashes=True)["recovery_codes"]
        return codes

    def disable(self, account_id: str, session_id: str, *, only_repeat: bool = False) -> str | None:
        """Turn 2FA off; with ``only_repeat`` change nothing, and succeed only if this session did so a moment ago.

        Returns the id of the event that reports it; an otp of an earlier release returns none.
        """
        body: dict[str, Any] = {"session_id": session_id}
        if only_repeat:
            body["only_repeat"] = True
        document = self._call("DELETE", f"/accounts/{account_id}/two-factor", body) or {}
        event_id: str | None = document.get("event_id")
        return event_id

    def regenerate_recovery_codes(self, account_id: str, session_id: str, idempotency_key: str | None) -> list[str]:
        """Make a new sheet; the old one is void. With a key, a repeat by the same session gets the same sheet."""
        body: dict[str, Any] = {"session_id": session_id}
        if idempotency_key is not None:
            body["idempotency_key"] = idempotency_key
        path = f"/accounts/{account_id}/recovery-codes"
        codes: list[str] = self._call("POST", path, body, hashes=True)["recovery_codes"]
        return codes

    def end(
        self,
        account_id: str,
        session_ids: Sequence[str],
        *,
        codes: bool = False,
        enrollments: bool = False,
        strangers: bool = False,
    ) -> None:
        """End what these sessions have begun, and refuse their calls that are still under way.

        ``codes``: all texted codes of the account as well; ``enrollments``: all that wait to be confirmed;
        ``strangers``: the row of failures from browsers that the account does not know. An account may have more
        sessions than one call takes, so they go in batches; each may be repeated.
        """
        for first in range(0, max(1, len(session_ids)), SESSIONS_A_CALL):
            ids = list(session_ids[first : first + SESSIONS_A_CALL])
            body: dict[str, Any] = {"session_ids": ids, "codes": codes, "enrollments": enrollments}
            if strangers:  # otp of the previous release does not know the member
                body["strangers"] = True
            self._call("POST", f"/accounts/{account_id}/endings", body)

    def create_sms_challenge(
        self,
        account_id: str,
        purpose: Purpose,
        binding: str,
        phone: str,
        device_id: str | None = None,
        *,
        channel: Channel = Channel.SMS,
        language: str = DEFAULT_LANGUAGE,
    ) -> dict[str, Any]:
        """Mint a passcode and seal its text for notify; ids and times come back, never the code.

        ``language``: the text is written, or the call speaks, in this language.
        """
        body = {"purpose": purpose, "binding": binding, "phone": phone}
        if device_id is not None:
            body["device_id"] = device_id
        # otp of the previous release sends English texts only, and refuses members that it does not know.
        if channel is not Channel.SMS:
            body["channel"] = channel
        if language != DEFAULT_LANGUAGE:
            body["language"] = language
        return dict(self._call("POST", f"/accounts/{account_id}/sms-challenges", body))

    def withdraw_sms_challenge(self, account_id: str, message_id: str, purpose: Purpose, binding: str) -> None:
        """Undo create_sms_challenge: the message could not be published."""
        path = f"/accounts/{account_id}/sms-challenges/{message_id}"
        self._call("DELETE", path, {"purpose": purpose, "binding": binding})

    def attempts(self, account_id: str, *, limit: int, cursor: str | None = None) -> dict[str, Any]:
        """The verification attempts of an account, newest first."""
        query = f"?limit={limit}" + (f"&cursor={quote(cursor)}" if cursor else "")
        return dict(self._call("GET", f"/accounts/{account_id}/attempts{query}"))

    def throttles(self, account_id: str) -> list[Throttle]:
        """Which of the account's budgets of tries are spent."""
        answer = self._call("GET", f"/accounts/{account_id}/throttles")
        return [Throttle(one["purpose"], parse_rfc3339(one["until"])) for one in answer["items"]]

    def unlock(self, account_id: str) -> None:
        """Lift the hard stop."""
        self._call("POST", f"/accounts/{account_id}/unlock", {})

    def close(self) -> None:
        """Let go of this thread's connection."""
        self._line.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, *, hashes: bool = False) -> Any:  # noqa: ANN401 - JSON
        sent = b"" if body is None else json.dumps(body).encode()
        try:
            status, data = self._line.exchange(method, path, sent, hashes=hashes)
            document = json.loads(data) if data else None
        except (LineDown, ValueError) as error:
            raise Unavailable("otp") from error
        if status < 400:
            return document
        raise _refusal(status, document)


def _in_session(session_id: str) -> str:
    return f"?session_id={quote(session_id, safe='')}"


def _refusal(status: int, document: Any) -> Refusal:  # noqa: ANN401 - JSON
    """otp's problem as our own; a caller never sees a 401 that means *our* key is wrong."""
    code = document.get("code") if isinstance(document, dict) else None
    if status >= 500 or code not in PROBLEMS or code == "not_authenticated":
        retry_after = document.get("retry_after") if isinstance(document, dict) else None
        return Unavailable("otp", retry_after_seconds=retry_after or 2)
    if code == "session_ended":
        return Refusal("not_authenticated")
    members = {
        "detail": document.get("detail"),
        "retry_after_seconds": document.get("retry_after"),
        "extra": {name: value for name, value in document.items() if name not in _NOT_EXTRA},
    }
    if code in {"invalid_passcode", "second_factor_locked"}:
        return CodeRefused(
            code=code,
            reason=document.get("reason"),
            recent_failures=document.get("recent_failures"),
            spent_rows=document.get("spent_rows", ()),  # otp of the previous release does not send it
            **members,
        )
    return Refusal(code, **members)


_NOT_EXTRA = frozenset(
    {"type", "title", "status", "detail", "code", "retry_after", "reason", "recent_failures", "spent_rows"}
)
