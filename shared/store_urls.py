"""URLs of Redis, brokers and PostgreSQL: their forms, what a client could not read, what is too weak for production."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from redis.connection import parse_url as parse_redis_url

from shared.secret import Secret

SENTINEL_PORT = 26379
REDIS_SCHEMES = ("redis", "rediss", "sentinel")
RABBITMQ_SCHEMES = ("amqp", "amqps")
TLS_SCHEMES = frozenset({"rediss", "amqps"})
# The ``ssl`` parameters that a URL may have: TLS_FILES say whom we trust and who we are, CHECKING leaves a check on.
# Any other one can turn a check off, or allow a weak protocol or cipher, so TLS with it counts as none.
TLS_FILES = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"})
CHECKING = {"ssl_cert_reqs": {"required"}, "ssl_check_hostname": {"true", "True", "yes", "1"}}
POSTGRES_CHECKS = "verify-full"  # the one sslmode that checks the server's certificate and its name
NO_TLS = (
    "must use TLS off loopback in production and leave its checks on, or PRIVATE_NETWORK must say that its network is "
    "private"
)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Sentinels, which know the master of some Redis servers: ``sentinel://[user:password@]host[:port],…/MASTER[/DB]``.

    User and password are those of the master.
    """

    hosts: tuple[tuple[str, int], ...]
    master: str
    db: int
    username: str | None
    password: Secret[str] | None

    @classmethod
    def parse(cls, url: str) -> "Sentinels":
        """Parse a sentinel URL. Raises ValueError when it is not of that form; the message shows no value."""
        try:
            return cls._parse(url)
        except ValueError:
            # Its own words could hold a piece of a password that was not quoted.
            raise ValueError("must be sentinel://[user:password@]host[:port],…/MASTER[/DB]") from None

    @classmethod
    def _parse(cls, url: str) -> "Sentinels":
        # One host at a time: urlsplit reads a wrong `hostname` and `port` from several, and newer Pythons refuse
        # brackets behind the first one.
        scheme, _, rest = url.partition("://")
        authority, _, path = rest.partition("/")
        user, at, hosts = authority.rpartition("@")
        parts, addresses = urlsplit(f"//{user}{at}/{path}"), [urlsplit(f"//{host}") for host in hosts.split(",")]
        master, _, db = parts.path.strip("/").partition("/")
        if scheme != "sentinel" or not master or not all(one.hostname for one in addresses):
            raise ValueError
        return cls(
            hosts=tuple((one.hostname or "", one.port or SENTINEL_PORT) for one in addresses),
            master=master,
            db=int(db or 0),
            username=unquote(parts.username) if parts.username else None,
            password=Secret(unquote(parts.password)) if parts.password else None,
        )


def require_readable(scheme: str, url: str) -> None:
    """Raise ValueError at the start for a URL that a client could not read; the message shows no value."""
    if scheme == "sentinel":
        Sentinels.parse(url)
        return
    try:
        for address in url.split(";") if scheme in RABBITMQ_SCHEMES else [url]:
            parts = urlsplit(address)
            # Read, because it is only then that a port is looked at: what follows a "/" or "#" that stands unquoted in
            # a password makes one of the password's beginning, and a client's own words would show it.
            _ = parts.port, parts.hostname
        if scheme in REDIS_SCHEMES:
            parse_redis_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError(
            f"must be {scheme}://[user:password@]host[:port][/…]; what is special in a password is percent-encoded"
        ) from None


def weaknesses(url: str, *, private: bool) -> list[str]:
    """What is wrong with a readable URL in production, in words that show no value.

    ``private``: the network is ours alone, so TLS is not needed. A password is always needed: without one any user of
    the machine, and any process on the network, can make sessions or order resets.
    """
    scheme = url.partition("://")[0]
    servers = list(_servers(scheme, url))
    faults = []
    if not all(server.has_password for server in servers):
        faults.append("must hold a password in production")
    if not private and not all(server.is_checked or is_loopback(server.host) for server in servers):
        faults.append(NO_TLS)
    return faults


def database_weaknesses(url: str, *, private: bool) -> list[str]:
    """What is wrong with a PostgreSQL URL in production, in words that show no value.

    libpq's own default checks nothing, so a URL that does not name the ``sslmode`` does not pass.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
        query = parse_qs(parts.query, keep_blank_values=True)
        named = [host for name in ("host", "hostaddr") for text in query.get(name, ()) for host in text.split(",")]
        hosts = [host if host.startswith("/") else urlsplit(f"//{host}").hostname for host in named]
    except ValueError:
        return ["must be postgresql+psycopg://user:password@host[:port]/database; what is special is percent-encoded"]
    if parts.hostname is not None:
        hosts.append(parts.hostname)
    # A path is a socket of this machine. A service of pg_service.conf may be anywhere.
    inside = "service" not in query and all(is_loopback(host) or (host or "").startswith("/") for host in hosts)
    if private or inside or query.get("sslmode") == [POSTGRES_CHECKS]:
        return []
    return [f"{NO_TLS} (for PostgreSQL: sslmode={POSTGRES_CHECKS} and sslrootcert)"]


def user_of(url: str) -> str | None:
    """The user that a readable URL names; of several servers, the first one's."""
    if url.startswith("sentinel://"):
        return Sentinels.parse(url).username
    name = urlsplit(url.split(";", maxsplit=1)[0]).username
    return unquote(name) if name else None


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _Server:
    """One server of a URL. ``is_checked``: the URL uses TLS that checks the server's certificate and its name."""

    host: str | None
    has_password: bool
    is_checked: bool


def _servers(scheme: str, url: str) -> Iterator[_Server]:
    if scheme == "sentinel":
        sentinels = Sentinels.parse(url)
        for host, _ in sentinels.hosts:
            yield _Server(host, sentinels.password is not None, is_checked=False)
    elif scheme in RABBITMQ_SCHEMES:
        for address in url.split(";"):
            parts = urlsplit(address)
            yield _Server(parts.hostname, bool(parts.password), _is_checked(address))
    else:
        options = parse_redis_url(url)  # type: ignore[no-untyped-call]
        yield _Server(options.get("host", "localhost"), bool(options.get("password")), _is_checked(url))


def _is_checked(url: str) -> bool:
    parts = urlsplit(url)
    query = parse_qs(parts.query, keep_blank_values=True)
    doubtful = {name for name in query if "ssl" in name.casefold() and name not in TLS_FILES}
    return parts.scheme in TLS_SCHEMES and all(set(query[name]) <= CHECKING.get(name, set()) for name in doubtful)
