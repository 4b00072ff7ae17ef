"""Messages that no task could act on, kept in the state Redis until a person has looked at them.

``python -m shared.dead_letters list | show | replay | drop`` is that person's command (``make dead-letters``).
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from shared.clock import Clock, parse_rfc3339, rfc3339, system_clock, unix_milliseconds
from shared.lua import LuaScript
from shared.messages import UnreadableMessage
from shared.problems import Unavailable
from shared.settings import Environment, SettingsError, StoreSettings

if TYPE_CHECKING:
    from shared.queueing import Publisher

MOST_KEPT = 1000  # then the oldest one makes room
# Four times what any message of ours can be: a flood of foreign ones must not fill Redis.
LONGEST_DOCUMENT = 64 * 1024

_LETTERS, _ORDER = "dead_letters", "dead_letters:order"

# A message that is delivered again, because its acknowledgement was lost, is the same letter.
_KEEP = LuaScript("""
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 'NX', ARGV[3], ARGV[1])
local over = redis.call('ZRANGE', KEYS[2], 0, -1 - tonumber(ARGV[4]))
for _, id in ipairs(over) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
return over
""")

log = structlog.get_logger("dead_letters")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it was received: ``document`` is its JSON text, or whatever stood in its place.

    ``task`` is the name that it came with, None when it was no task at all; ``reason`` says why nobody acted on it.
    """

    id: str
    at: datetime
    queue: str
    task: str | None
    reason: str
    document: str

    @property
    def content(self) -> object:
        """What the document says; the text itself when it isn't JSON."""
        try:
            return json.loads(self.document)
        except (ValueError, RecursionError):
            return self.document


class DeadLetters:
    """The list. Every method raises RedisError: a message is acknowledged only when its letter is kept."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock

    def keep(self, *, queue: str, task: str | None, document: str, reason: str, source_id: str | None) -> None:
        """Add a message. ``source_id`` is the broker's id of it: the same message twice is one letter."""
        letter_id = hashlib.sha256(f"{queue}\n{source_id}\n{document}".encode(errors="backslashreplace")).hexdigest()[
            :12
        ]
        at = self._clock()
        fields = {
            "at": rfc3339(at),
            "queue": queue,
            "task": task,
            "reason": reason[:500],
            "document": document[:LONGEST_DOCUMENT],
        }
        over = _KEEP.run(
            self._redis, [_LETTERS, _ORDER], [letter_id, json.dumps(fields), unix_milliseconds(at), MOST_KEPT]
        )
        # Neither task nor document: whoever made them up would write our log.
        log.error("message set aside", letter=letter_id, queue=queue, reason=reason[:500])
        for lost in over:
            log.error("dead letter dropped: there are too many", letter=lost)

    def all(self) -> list[Letter]:
        """Every letter, oldest first."""
        order = cast("list[str]", self._redis.zrange(_ORDER, 0, -1))
        return self._read(order) if order else []

    def find(self, letter_id: str) -> Letter | None:
        """The letter of this id."""
        return next(iter(self._read([letter_id])), None)

    def drop(self, letter_id: str) -> None:
        """Forget a letter; one that is gone already stays so."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hdel(_LETTERS, letter_id)
            pipeline.zrem(_ORDER, letter_id)
            pipeline.execute()

    def count(self) -> int:
        """How many there are."""
        return self._redis.hlen(_LETTERS)

    def _read(self, ids: list[str]) -> list[Letter]:
        values = cast("list[str | None]", self._redis.hmget(_LETTERS, ids))
        return [_letter(letter_id, value) for letter_id, value in zip(ids, values, strict=True) if value]


def _letter(letter_id: str, value: str) -> Letter:
    fields: dict[str, Any] = json.loads(value)
    return Letter(id=letter_id, **(fields | {"at": parse_rfc3339(fields["at"])}))


def replay(letters: DeadLetters, publisher: "Publisher", letter: Letter) -> None:
    """Publish the document to its queue again, as the task that it came as, else as the queue's own; then forget it.

    A worker that still can't act on it makes a new letter of it. Raises Unavailable("broker"), UnreadableMessage when
    there is no such queue, RedisError; the letter is kept then.
    """
    publisher.publish_to(letter.queue, letter.content, task=letter.task)
    letters.drop(letter.id)


# --- the command ------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shared.dead_letters",
        description="Messages that no task could act on. Addresses: STATE_REDIS_URL and BROKER_URL, or REDIS_URL.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all of them, oldest first")
    show = commands.add_parser("show", help="one of them, with what it says")
    show.add_argument("ids", metavar="ID", nargs=1)
    for name, what in (
        ("replay", "publish to their queue again: when the fault is mended, or workers know the new version"),
        ("drop", "forget them"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("ids", metavar="ID", nargs="*")
        command.add_argument("--all", action="store_true", help="every letter that there is now")
    return parser


def main(arguments: list[str]) -> int:
    """0; 1 when a letter is unknown or a store does not answer (the reason is on stderr); 2 for usage and settings."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command in {"replay", "drop"} and bool(options.ids) == options.all:
        parser.error(f"{options.command} what? Either IDs or --all.")
    env = Environment()
    stores = StoreSettings.read(env)
    try:
        env.done()
    except SettingsError as error:
        return _say(str(error), code=2)
    # Celery costs half a second, and only a replay needs it.
    from shared.queueing import Publisher, make_celery  # noqa: PLC0415
    from shared.redis_client import connect  # noqa: PLC0415

    letters = DeadLetters(connect(stores.state_url), system_clock)
    try:
        if options.command == "list":
            return _list(letters.all())
        chosen = letters.all() if getattr(options, "all", False) else [letters.find(one) for one in options.ids]
        unknown = [one for one, letter in zip(options.ids, chosen, strict=False) if letter is None]
        if unknown:
            return _say(f"no such dead letter: {', '.join(unknown)}; nothing was done", code=1)
        found = [letter for letter in chosen if letter is not None]
        if options.command == "show":
            return _show(found[0])
        if options.command == "drop":
            return _drop(letters, found)
        return _replay(letters, Publisher(make_celery("dead-letters", stores.broker_url)), found)
    except RedisError as error:
        return _say(f"the state Redis does not answer ({type(error).__name__})", code=1)


def _list(letters: list[Letter]) -> int:
    if not letters:
        sys.stdout.write("no dead letters\n")
        return 0
    rows = [("ID", "AT", "QUEUE", "TASK", "REASON")]
    rows += [(one.id, rfc3339(one.at)[:19] + "Z", one.queue, one.task or "-", one.reason) for one in letters]
    sys.stdout.write(table(rows))
    sys.stdout.write("\nshow ID, replay ID ... or --all, drop ID ... or --all\n")
    return 0


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Columns as wide as what stands in them; what a terminal would act on is written out."""
    clean = [
        tuple("".join(one if one.isprintable() else repr(one)[1:-1] for one in cell) for cell in row) for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in clean)
    return "\n".join(lines) + "\n"


def _show(letter: Letter) -> int:
    fields = asdict(letter) | {"at": rfc3339(letter.at), "document": letter.content}
    sys.stdout.write(json.dumps(fields, indent=2) + "\n")
    return 0


def _drop(letters: DeadLetters, chosen: list[Letter]) -> int:
    for letter in chosen:
        letters.drop(letter.id)
        sys.stdout.write(f"{letter.id} dropped\n")
    return 0


def _replay(letters: DeadLetters, publisher: "Publisher", chosen: list[Letter]) -> int:
    for letter in chosen:
        try:
            replay(letters, publisher, letter)
        except Unavailable:
            return _say(f"{letter.id} is kept: the broker does not take it", code=1)
        except UnreadableMessage as error:
            return _say(f"{letter.id} is kept: {error}", code=1)
        sys.stdout.write(f"{letter.id} replayed to {letter.queue}\n")
    return 0


def _say(text: str, *, code: int) -> int:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
