"""The answers of changes, sealed in Redis, for the minute in which the session that made one may repeat its call.

A change may be done and its answer lost, because the caller gave up or was killed. An answer is kept inside the
transaction of the change, before its commit. So a reader must check in SQL whether the change was committed, for
instance whether the sheet of backup codes is there.
"""

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime

from redis import Redis

from services.otp.domain.sealed import Sealed
from services.otp.domain.session_id import session_of
from services.otp.limits import REPEATABLE_FOR
from services.otp.secrets_box import SecretBox
from shared.clock import parse_rfc3339, rfc3339
from shared.problems import Unavailable
from shared.secret import Secret

_LIFE_MS = int(REPEATABLE_FOR.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one session. ``proof``: what a repeat must bring again, such as the code; it is not stored."""

    account_id: str
    session_id: str
    name: str
    proof: str = field(default="", repr=False)

    @property
    def key(self) -> str:
        """The key of its answer in Redis. A session that got another token may still repeat its call."""
        return f"otp:answer:{self.account_id}:{session_of(self.session_id)}:{self.name}"

    @property
    def belongs_to(self) -> str:
        """The associated data of its sealed answer, besides the account; it never equals an authenticator's id."""
        return f"answer\n{session_of(self.session_id)}\n{self.name}\n{self.proof}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Backup codes and the id of their sheet; a call that makes no sheet answers with neither.

    ``replaced``: the id of the sheet that it replaces. While that one stands, the change was not committed.
    ``event_id``: the event that reports the change, where the caller is told.
    """

    sheet_id: str | None = None
    recovery_codes: tuple[str, ...] = field(default=(), repr=False)
    replaced: str | None = None
    event_id: str | None = None


def keep(redis: "Redis", box: SecretBox, call: Call, answer: Answer, now: datetime) -> None:
    """Keep the answer, sealed for this call. Raises RedisError."""
    members = {
        "sheet_id": answer.sheet_id,
        "replaced": answer.replaced,
        "event_id": answer.event_id,
        "codes": answer.recovery_codes,
        "until": rfc3339(now + REPEATABLE_FOR),
    }
    sealed = box.seal(Secret(json.dumps(members).encode()), call.account_id, call.belongs_to)
    kept = {"key_id": sealed.key_id, "ciphertext": base64.b64encode(sealed.ciphertext).decode()}
    redis.set(call.key, json.dumps(kept), px=_LIFE_MS)


def find(redis: "Redis", box: SecretBox, call: Call, now: datetime) -> Answer | None:
    """The answer that was kept for this call; None also when the proof differs. Raises RedisError."""
    kept = redis.get(call.key)
    if kept is None:
        return None
    members = json.loads(kept)
    sealed = Sealed(members["key_id"], base64.b64decode(members["ciphertext"]))
    try:
        opened = json.loads(box.open(sealed, call.account_id, call.belongs_to).reveal())
    except Unavailable:  # sealed for another proof, or under a key that was taken away meanwhile
        return None
    if parse_rfc3339(opened["until"]) <= now:
        return None
    return Answer(opened["sheet_id"], tuple(opened["codes"]), opened.get("replaced"), opened.get("event_id"))
