"""The phones of our accounts: what a development stack "sent"."""

import re
from typing import Any

from deploy.attack.browser import Browser
from deploy.portal import wait_for

_PATH = "/dev/inbox.json"


class Inbox:
    """The development inbox of a deployment."""

    def __init__(self, base_url: str) -> None:
        self._reader = Browser(base_url)

    def exists(self) -> bool:
        """Whether the deployment shows one; production doesn't."""
        answer = self._reader.get(_PATH)
        return answer.status == 200 and isinstance(answer.body, list)

    def messages(self) -> list[dict[str, Any]]:
        """All that is kept, newest first: channel, to, subject, body, sent_at, message_id."""
        answer = self._reader.get(_PATH)
        return list(answer.body) if answer.status == 200 else []

    def text(self, reference: str, *, seconds: float = 40.0) -> str:
        """The SMS with this reference. Raises TimeoutError when none comes."""

        def arrived() -> str | None:
            """The SMS."""
            bodies = [str(message["body"]) for message in self.messages() if message["channel"] == "sms"]
            return next((body for body in bodies if reference in body), None)

        return str(wait_for(arrived, seconds=seconds, every=0.2))

    def code(self, reference: str) -> str:
        """The code of that SMS: its last line is ``@host #code``. Raises TimeoutError."""
        match = re.search(r"#([0-9]{6})\Z", self.text(reference).rstrip())
        if match is None:
            raise TimeoutError("the SMS has no code in its last line")
        return match.group(1)
