"""The table as RabbitMQ definitions (3.10 or later): users, their rights, and all exchanges, queues and bindings.

The definitions declare everything before a service starts, so no service needs the right to declare or delete what
others use. Each queue has an exchange of its own, and the rights of a user name the exchanges. A right to a shared
exchange would be a right to all its queues, because RabbitMQ checks routing keys only in part. It checks the key of
a message when it is published, and the keys in CC and BCC from 4.0 on. It checks no key with which an alternate or
dead-letter exchange passes a message on.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.access.users import User
from shared.brokers import (
    LONGEST_COUNTDOWN_SECONDS,
    QUEUE_ARGUMENTS,
    exchange_of,
    waiting_arguments,
    waiting_queue,
)
from shared.messages import QUEUES

VHOST = "/"
WAITS = range(1, LONGEST_COUNTDOWN_SECONDS + 1)
NOTHING = "^$"
# Where the previous release publishes: the exchange of all queues, and the first exchange of Celery's delayed delivery.
PREVIOUS_EXCHANGE, PREVIOUS_DELAYS = "latchkey", "celery_delayed_27"


def render(users: Sequence[User], passwords: Mapping[str, str], *, for_upgrade: bool = False) -> str:
    """The definitions as JSON; ``passwords`` by the user's name.

    ``for_upgrade``: also grant the rights of the previous release, for as long as its processes run.
    """
    on_broker = [user for user in users if user.on_broker]
    document = {
        "vhosts": [{"name": VHOST}],
        "users": [_user(user, passwords[user.name]) for user in on_broker],
        "permissions": [permissions_of(user, for_upgrade=for_upgrade) for user in on_broker],
        "topic_permissions": [row for user in on_broker for row in topics_of(user)],
        "exchanges": [_exchange(exchange_of(queue)) for queue in QUEUES],
        "queues": [one for queue in QUEUES for one in _queues(queue)],
        "bindings": [one for queue in QUEUES for one in _bindings(queue)],
    }
    return json.dumps(document, indent=1) + "\n"


def permissions_of(user: User, *, for_upgrade: bool = False) -> dict[str, str]:
    """What a user may configure, write and read. It may create only the queues of its worker's pings and replies."""
    pings = [rf"(.*\.)?{re.escape(user.name)}\.pidbox"] if user.takes else []
    writes = [*(re.escape(exchange_of(queue)) for queue in user.publishes_to), *pings]
    if for_upgrade:
        writes += [PREVIOUS_EXCHANGE, *([PREVIOUS_DELAYS] if user.takes else [])]
    return {
        "user": user.name,
        "vhost": VHOST,
        "configure": _one_of(pings),
        "write": _one_of(writes),
        "read": _one_of([*(re.escape(queue) for queue in user.takes), *pings]),
    }


def topics_of(user: User) -> Iterator[dict[str, str]]:
    """The routing keys that a user may publish under. A worker reads from the key which queue a message was for."""
    for queue in user.publishes_to:
        keys = _one_of([re.escape(key) for key in (queue, *(waiting_queue(queue, seconds) for seconds in WAITS))])
        yield {"user": user.name, "vhost": VHOST, "exchange": exchange_of(queue), "write": keys, "read": NOTHING}


def _one_of(patterns: Sequence[str]) -> str:
    return f"^({'|'.join(patterns)})$" if patterns else NOTHING


def _user(user: User, password: str) -> dict[str, Any]:
    # The salt comes from the password, so that the same table makes the same file; a password is 144 random bits.
    salt = hashlib.sha256(f"{user.name}:{password}".encode()).digest()[:4]
    digest = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    return {
        "name": user.name,
        "password_hash": digest,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": [],
        "limits": {},
    }


def _exchange(name: str) -> dict[str, Any]:
    rest = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    return {"name": name, "vhost": VHOST, "type": "topic", **rest}


def _queue(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "vhost": VHOST, "durable": True, "auto_delete": False, "arguments": arguments}


def _queues(queue: str) -> Iterator[dict[str, Any]]:
    yield _queue(queue, dict(QUEUE_ARGUMENTS))
    for seconds in WAITS:
        yield _queue(waiting_queue(queue, seconds), waiting_arguments(queue, seconds))


def _bindings(queue: str) -> Iterator[dict[str, Any]]:
    for name in (queue, *(waiting_queue(queue, seconds) for seconds in WAITS)):
        names = {"source": exchange_of(queue), "destination": name, "destination_type": "queue"}
        yield {**names, "vhost": VHOST, "routing_key": name, "arguments": {}}
