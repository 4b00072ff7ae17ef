"""The reset ceremony over the public API, as operator and caller play it together on a development stack.

Demo, attack probes and tests share it. The caller's words are read from the messages that the stack "sent".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from deploy.portal import Answer, wait_for

SEEN = "Photo ID with the name of the account, seen live"
_WORDS = re.compile(r"(?:Your words:|read these two words to the operator:)\s+([a-z]+ [a-z]+)[.\s]")
_ARRIVAL_SECONDS = 40.0

Messages = Callable[[], Iterable[Mapping[str, Any]]]  # each with ``to`` and ``body``


class Caller(Protocol):
    """A signed-in client: Portal or Browser."""

    def get(self, path: str) -> Answer:
        """Read."""

    def post(self, path: str, body: object = None) -> Answer:
        """Write."""


class CeremonyError(RuntimeError):
    """A step of the ceremony was refused."""


def pass_check(operator: Caller, account_id: str, check: str, messages: Messages) -> None:
    """Begin a check and pass it: with the words that were sent, or with evidence."""
    path = f"/v1/support/accounts/{account_id}/identity-checks"
    if check in {"video_id", "billing_details"}:
        _expect(operator.post(path, {"check": check, "evidence": SEEN}), 201)
        return
    rows = _expect(operator.get(path), 200)["items"]
    sent_to = str(next(row["sent_to"] for row in rows if row["check"] == check))
    before = set(_words(messages, sent_to))
    begun = _expect(operator.post(path, {"check": check}), 201)

    def arrived() -> str | None:
        """The words of this check. Their texts are twelve in ten minutes at most, for an account."""
        return next((words for words in _words(messages, sent_to) if words not in before), None)

    words = wait_for(arrived, seconds=_ARRIVAL_SECONDS, every=0.2)
    _expect(operator.post(f"{path}/{begun['id']}/verify", {"code": words}), 200)


def request(
    operator: Caller,
    account_id: str,
    checks: Iterable[str],
    messages: Messages,
    *,
    ticket: str = "T-1001",
    reason: str = "Phone lost",
) -> dict[str, Any]:
    """Pass these checks and request the reset that they allow; the answer holds the enrollment word."""
    for check in checks:
        pass_check(operator, account_id, check, messages)
    path = f"/v1/support/accounts/{account_id}/two-factor-resets"
    return dict(_expect(operator.post(path, {"ticket": ticket, "reason": reason}), 202))


def reset_at_once(
    operator: Caller, account_id: str, messages: Messages, *, second: Callable[[], Caller], ticket: str = "T-1001"
) -> dict[str, Any]:
    """Reset without a wait: alone where the account has a verified phone, else approved by a second operator."""
    rows = _expect(operator.get(f"/v1/support/accounts/{account_id}/identity-checks"), 200)["items"]
    has_phone = next(row["possible"] for row in rows if row["check"] == "phone_code")
    checks = ("phone_code", "video_id") if has_phone else ("email_code", "video_id")
    reset = request(operator, account_id, checks, messages, ticket=ticket)
    if reset["status"] == "awaiting_approval":
        path = f"/v1/support/accounts/{account_id}/two-factor-resets/{reset['id']}/approve"
        _expect(second().post(path), 202)
    return reset


def _words(messages: Messages, sent_to: str) -> list[str]:
    """The words in the messages to this recipient: an address, or a phone that is known by its last four digits."""
    known_by = sent_to if "@" in sent_to else sent_to[-4:]
    return [
        match.group(1)
        for message in messages()
        if str(message["to"]).endswith(known_by) and (match := _WORDS.search(str(message["body"])))
    ]


def _expect(answer: Answer, status: int) -> Any:  # noqa: ANN401 - JSON
    if answer.status != status:
        raise CeremonyError(f"expected {status}, got {answer.status}: {answer.body}")
    return answer.body
