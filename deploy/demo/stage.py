"""How the story is told, and how it ends on the first deviation."""

import re
import time
from typing import Any, NoReturn

from deploy.portal import Answer, Portal, wait_for

MERGED_SECONDS = 360.0  # services/auth/limits.py: five minutes, and half a minute to go out
PATIENCE_SECONDS = 700  # the longest budget that an earlier run can have used up is ten minutes


class DeviationError(Exception):
    """The product did something else than the story says."""


class Stage:
    """Prints the steps and checks them."""

    def __init__(self, portal: Portal) -> None:
        self._inbox_reader = portal
        self._step = 0
        self._read = {message["message_id"] for message in portal.get("/dev/inbox.json").body}

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        print(f"\n{title}", flush=True)

    def say(self, text: str) -> None:
        """One step, done and checked."""
        self._step += 1
        print(f"  {self._step:>2}. {text}", flush=True)

    def aside(self, text: str) -> None:
        """A remark."""
        print(f"      … {text}", flush=True)

    def fail(self, text: str) -> NoReturn:
        """The story ends here."""
        raise DeviationError(text)

    def expect(self, answer: Answer, status: int, code: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """The body of an answer that must have this status (and problem code)."""
        if answer.status != status or (answer.code != code and code is not None):
            wanted = f"{status} {code or ''}".strip()
            self.fail(f"expected {wanted}, got {answer.status}: {answer.body}")
        return answer.body

    def until_allowed(self, call: Any, status: int) -> Any:  # noqa: ANN401 - a call and its JSON
        """Repeat a call that an earlier run's budget refuses, as long as a person would wait."""
        started = time.monotonic()
        while True:
            answer: Answer = call()
            if answer.status != 429 or time.monotonic() - started > PATIENCE_SECONDS:
                return self.expect(answer, status)
            seconds = int(answer.headers["Retry-After"])
            self.aside(f"an earlier run has used up this budget; the API says to come back in {seconds} s")
            time.sleep(seconds + 0.5)

    def inbox(self, channel: str, text: str) -> dict[str, Any]:
        """The newest message in the development inbox that holds ``text`` and wasn't read yet; waits for it."""

        def look() -> dict[str, Any] | None:
            for message in self._inbox_reader.get("/dev/inbox.json").body:
                shown = f"{message['subject'] or ''}\n{message['body']}"
                if message["channel"] == channel and text in shown and message["message_id"] not in self._read:
                    self._read.add(message["message_id"])
                    return dict(message)
            return None

        try:
            found = wait_for(look)
        except TimeoutError:
            self.aside("equal notices of five minutes are told as one; this one waits if an earlier play had it, too")
            try:
                found = wait_for(look, seconds=MERGED_SECONDS)
            except TimeoutError:
                self.fail(f"no {channel} with {text!r} came to the inbox")
        return dict(found)


def code_in(message: dict[str, Any]) -> str:
    """The code in the last line of an SMS, ``@host #code`` (WICG origin-bound one-time codes)."""
    match = re.search(r"^@\S+ #([0-9]{6})\Z", message["body"].splitlines()[-1])
    if match is None:
        raise DeviationError(f"the SMS does not end with @host #code: {message['body']!r}")
    return match.group(1)
