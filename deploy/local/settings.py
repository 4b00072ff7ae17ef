"""What `make run` reads from the environment; no other module of this package looks there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.access.users import OPERATOR
from deploy.local.files import READY
from deploy.local.keys import LOCAL_REDIS, read_keys, redis_password

ROOT = Path(__file__).resolve().parents[2]

# Systems hand out ports from 32768 (Linux) or 49152 (macOS) up to outgoing connections. A server port below those is
# never taken by somebody's client, so a stopped stack finds its ports free again.
DEFAULT_PORT = 8080
HIGHEST_PORT = 65535


class SettingsError(Exception):
    """A setting that can't be used; the message names it and says what would do."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """One stack: where it listens, where it keeps its files, and the environment it was started in."""

    var_dir: Path
    host: str
    port: int
    otp_port: int
    redis_port: int
    metrics_port: int
    otp_metrics_port: int
    given_redis_url: str | None
    given_broker_url: str | None
    environ: Mapping[str, str] = field(repr=False)
    root: Path = ROOT

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "LocalSettings":
        """Read PORT, OTP_PORT, REDIS_PORT, METRICS_PORT, OTP_METRICS_PORT, HOST, VAR_DIR, REDIS_URL and BROKER_URL.

        Raises SettingsError, naming the setting, for what is no port, one port for two things, or an impossible folder.
        """
        environ = dict(os.environ if environ is None else environ)
        port = _port(environ, "PORT", DEFAULT_PORT)
        otp_port = _port(environ, "OTP_PORT", port + 1)
        redis_port = _port(environ, "REDIS_PORT", port + 2)
        metrics_port = _port(environ, "METRICS_PORT", port + 3)
        otp_metrics_port = _port(environ, "OTP_METRICS_PORT", port + 4)
        given_redis = environ.get("REDIS_URL", "").strip()
        ports = {"PORT": port, "OTP_PORT": otp_port, "METRICS_PORT": metrics_port, "OTP_METRICS_PORT": otp_metrics_port}
        ports |= {} if given_redis else {"REDIS_PORT": redis_port}
        if len(set(ports.values())) != len(ports):
            named = ", ".join(f"{name}={number}" for name, number in ports.items())
            message = f"{named} must be different ports."
            raise SettingsError(message)
        # Relative to the checkout, not to where the caller stands: the children must find the same folder.
        var_dir = (ROOT / (environ.get("VAR_DIR", "").strip() or "var")).resolve()
        if any(text in str(var_dir) for text in (" ;", " #", "\n")):
            message = (
                f"VAR_DIR={str(var_dir)!r} can't be used: what follows ' ;' or ' #' is a comment to the supervisor."
            )
            raise SettingsError(message)
        return cls(
            var_dir=var_dir,
            host=environ.get("HOST", "").strip() or "127.0.0.1",
            port=port,
            otp_port=otp_port,
            redis_port=redis_port,
            metrics_port=metrics_port,
            otp_metrics_port=otp_metrics_port,
            given_redis_url=given_redis or None,
            given_broker_url=environ.get("BROKER_URL", "").strip() or None,
            environ=environ,
        )

    @property
    def redis_is_embedded(self) -> bool:
        """Whether the stack runs a Redis of its own."""
        return self.given_redis_url is None

    @property
    def redis_url(self) -> str:
        """The state Redis, as the operator, who may do everything."""
        return self.redis_url_as(OPERATOR)

    def redis_url_as(self, user: str) -> str:
        """The state Redis as one of its users. A server of your own has one URL for all processes.

        The password comes from the keys file. Before the first start there is no such file, and no password.
        """
        if self.given_redis_url is not None:
            return self.given_redis_url
        secret = read_keys(self.keys_file).get(LOCAL_REDIS) if self.keys_file.exists() else None
        login = f"{user}:{redis_password(secret, user)}@" if secret else ""
        return f"redis://{login}127.0.0.1:{self.redis_port}/0"

    @property
    def broker_url(self) -> str:
        """The broker, as the operator."""
        return self.broker_url_as(OPERATOR)

    def broker_url_as(self, user: str) -> str:
        """The broker as one of its users."""
        return self.given_broker_url or self.redis_url_as(user)

    @property
    def redis_users_file(self) -> Path:
        """The users of the stack's own Redis, written anew at each start."""
        return self.var_dir / "redis" / "users.acl"

    @property
    def connect_host(self) -> str:
        """Where a client on this machine reaches the gateway, also when that listens on every address."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound

    @property
    def base_url(self) -> str:
        """The gateway's URL for a client on this machine."""
        host = f"[{self.connect_host}]" if ":" in self.connect_host else self.connect_host
        return f"http://{host}:{self.port}"

    @property
    def otp_url(self) -> str:
        """The verifier's URL; it never listens on anything but loopback."""
        return f"http://127.0.0.1:{self.otp_port}"

    @property
    def metrics_urls(self) -> Mapping[str, str]:
        """Where each service shows its metrics, on loopback."""
        ports = {"auth": self.metrics_port, "otp": self.otp_metrics_port}
        return {service: f"http://127.0.0.1:{port}/metrics" for service, port in ports.items()}

    @property
    def log_dir(self) -> Path:
        """One log file for each program."""
        return self.var_dir / "log"

    @property
    def keys_file(self) -> Path:
        """The development keys."""
        return self.var_dir / "keys.env"

    @property
    def demo_file(self) -> Path:
        """What was seeded, for people and scripts."""
        return self.var_dir / "demo.json"

    @property
    def lock_file(self) -> Path:
        """Locked for as long as a stack runs on this folder."""
        return self.var_dir / "run.lock"

    @property
    def ready_file(self) -> Path:
        """There once every part of the running stack has answered."""
        return self.var_dir / READY

    @property
    def conf_file(self) -> Path:
        """The supervisor's configuration, written anew at each start."""
        return self.var_dir / "supervisord.conf"


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "").strip() or str(default)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST_PORT:
        return int(text)
    message = f"{name}={text!r} is not a port: a whole number from 1 to {HIGHEST_PORT} is, best below 32768."
    raise SettingsError(message)
