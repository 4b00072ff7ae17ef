"""The table of users: one for each process, with the keys and queues that it needs and no others.

The servers' files, the secrets of Compose and `make run` are generated from it (redis_acl.py, rabbitmq.py), and
tests/contract/test_access.py and tests/real/test_rabbitmq_access.py hold servers against it.
"""

from dataclasses import dataclass

from shared.messages import AUTH_EVENTS, EMAIL_NOTICES, OTP_EVENTS, QUEUES, SMS_CODES, SMS_NOTICES, SMS_RECEIPTS


@dataclass(frozen=True, slots=True)
class User:
    """A user of both servers. ``owns``, ``reads`` and ``writes`` are patterns of keys in the state Redis.

    ``takes`` and ``puts`` are queues. A process puts its own messages back, so it may put on each queue that it takes
    from. ``on_broker`` is false for a process that has no broker. ``scans``: it may list the names of all keys, which
    hold ids and digests, because `after-restore` may run as this user and deletes keys by pattern.
    """

    name: str
    what: str
    owns: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    puts: tuple[str, ...] = ()
    on_broker: bool = True
    scans: bool = False

    @property
    def publishes_to(self) -> tuple[str, ...]:
        """Every queue that it may put a message on."""
        return tuple(dict.fromkeys((*self.takes, *self.puts)))


# shared/dead_letters.py, shared/queues.py
LETTERS, CANARIES = ("dead_letters", "dead_letters:order"), "canaries"
# shared/delivery.py: what otp leaves for notify, and what auth shows of it.
DELIVERY, UNSENT = "notify:delivery:*", "notify:unsent"
SPOKEN = "notify:spoken:*"  # shared/spoken_codes.py: what a call says after its keys, taken once
LEFT_FOR_NOTIFY = ("notify:sealed:*", DELIVERY, UNSENT)
# shared/sending_budgets.py: the day's count of texts, to which codes and notices add.
TEXTS_OF_DAY = "budget:otp.sms.day:*"
# What a worker writes besides its tasks: dead letters and canaries.
OF_WORKERS = (*LETTERS, CANARIES)
SEEN_BY_WORKERS = (UNSENT, "dead_letters:order", CANARIES)
INBOX = "dev:inbox"  # shared/dev_inbox.py; nothing is there in production

AUTH = User(
    "auth",
    "the gateway",
    owns=("auth:*", "budget:auth.*", SPOKEN),
    reads=(DELIVERY, UNSENT, CANARIES, INBOX),
    puts=(SMS_CODES, SMS_RECEIPTS),
)
AUTH_WORKER = User(
    "auth-worker",
    "auth's event worker",
    owns=("auth:*", "budget:auth.*"),
    reads=SEEN_BY_WORKERS,
    writes=OF_WORKERS,
    takes=(AUTH_EVENTS,),
    scans=True,
)
OTP = User("otp", "the verifier", owns=("otp:*", "budget:otp.*"), writes=LEFT_FOR_NOTIFY, on_broker=False)
OTP_WORKER = User(
    "otp-worker",
    "otp's event worker",
    owns=("otp:*", "budget:otp.*"),
    reads=SEEN_BY_WORKERS,
    writes=(*LEFT_FOR_NOTIFY, *OF_WORKERS),
    takes=(OTP_EVENTS,),
    scans=True,
)
NOTIFY = User(
    "notify",
    "the courier of codes and notices",
    owns=("notify:*", "budget:notify.*", TEXTS_OF_DAY, INBOX),
    reads=SEEN_BY_WORKERS,
    writes=OF_WORKERS,
    takes=(SMS_CODES, SMS_RECEIPTS, SMS_NOTICES, EMAIL_NOTICES),
    puts=(AUTH_EVENTS,),
)
# Dead letters are shown and replayed as this user, so it owns the list, and may put on every queue.
RELAY = User("relay", "the relay of both outboxes", owns=LETTERS, reads=(UNSENT, CANARIES), puts=tuple(QUEUES))

SERVICES = (AUTH, AUTH_WORKER, OTP, OTP_WORKER, NOTIFY, RELAY)


def together(name: str, what: str, *users: User) -> User:
    """Make one user with the rights of several, for several parts in one process."""

    def all_of(attribute: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one for user in users for one in getattr(user, attribute)))

    return User(
        name,
        what,
        owns=all_of("owns"),
        reads=all_of("reads"),
        writes=all_of("writes"),
        takes=all_of("takes"),
        puts=all_of("puts"),
    )


# deploy/local/background.py
BACKGROUND = together("background", "`make run`: all that nobody waits for", AUTH_WORKER, OTP_WORKER, NOTIFY, RELAY)

# A person, or `make run` itself: everything.
OPERATOR = "operator"
# The server's own health check: PING and nothing else, without a password.
HEALTH = "health"
