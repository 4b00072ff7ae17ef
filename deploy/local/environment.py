"""Which environment each part runs in: its own keys, the addresses of the others, and nobody else's secrets."""

from collections.abc import Mapping

from deploy.access.users import AUTH, BACKGROUND, NOTIFY, OPERATOR, OTP
from deploy.local.keys import KEYS
from deploy.local.settings import LocalSettings

# A part gets the keys it needs and no others: a hole in the courier must not open the verifier's secrets.
SERVICE_KEYS: Mapping[str, tuple[str, ...]] = {
    "auth": (
        "AUTH_SIGNING_KEYS",
        "OTP_API_KEYS",
        "AUTH_DIGEST_KEYS",
        "JWT_SIGNING_KEYS",
        "NOTIFY_PUBLIC_KEY",
        "AUTH_JOURNAL_KEYS",
    ),
    "otp": (
        "OTP_SIGNING_KEYS",
        "OTP_API_KEYS",
        "OTP_SECRET_KEYS",
        "OTP_DIGEST_KEYS",
        "NOTIFY_PUBLIC_KEY",
        "OTP_JOURNAL_KEYS",
    ),
    "notify": ("NOTIFY_PRIVATE_KEYS", "NOTIFY_SIGNING_KEYS", "AUTH_VERIFY_KEYS", "OTP_VERIFY_KEYS"),
    # One process for several parts has the keys of each; see deploy.local.background.
    "background": (
        *("AUTH_AUDIT_KEYS", "NOTIFY_PUBLIC_KEY", "NOTIFY_PRIVATE_KEYS"),
        *("AUTH_SIGNING_KEYS", "OTP_SIGNING_KEYS", "NOTIFY_SIGNING_KEYS"),
        *("AUTH_VERIFY_KEYS", "OTP_VERIFY_KEYS", "NOTIFY_VERIFY_KEYS"),
        *("AUTH_JOURNAL_KEYS", "OTP_JOURNAL_KEYS"),
    ),
    # A person's commands after a restore: the keys of both services that they need, and Redis as the operator.
    "after-restore": (
        *("AUTH_AUDIT_KEYS", "NOTIFY_PUBLIC_KEY", "AUTH_SIGNING_KEYS", "OTP_SIGNING_KEYS", "OTP_SECRET_KEYS"),
        *("AUTH_JOURNAL_KEYS", "OTP_JOURNAL_KEYS"),
    ),
    "redis": (),
    "launcher": (),
    "announce": (),
}

# Every process is a user of its own in Redis; the launcher's commands run as the operator.
REDIS_USERS: Mapping[str, str] = {user.name: user.name for user in (AUTH, OTP, NOTIFY, BACKGROUND)}


def environment_of(service: str, settings: LocalSettings, keys: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of `service`.

    What the caller's environment holds passes through, and wins over the development defaults; only keys don't:
    they come from the keys file, so that a second run reads what the first one wrote.
    """
    var = settings.var_dir
    defaults = {
        "AUTH_DATABASE_URL": f"sqlite:///{var}/auth.sqlite3",
        "OTP_DATABASE_URL": f"sqlite:///{var}/otp.sqlite3",
        "AUTH_JOURNAL": f"{var}/auth.journal",
        "OTP_JOURNAL": f"{var}/otp.journal",
        "PUBLIC_ORIGIN": f"http://127.0.0.1:{settings.port}",
        # Long enough to cancel by hand, short enough to see the end of it.
        "RESET_COOL_OFF_SECONDS": "20",
        "RESET_LONG_COOL_OFF_SECONDS": "30",
        # Accounts of a development stack are minutes old, and are reset again and again.
        "RESET_SETTLED_SECONDS": "0",
        "RESET_CODE_LOGIN_SECONDS": "0",
        "RESET_BETWEEN_SECONDS": "0",
        "RESET_AFTER_CANCEL_SECONDS": "2",
        "SMS_PROVIDERS": "console",
        "EMAIL_PROVIDER": "console",
        "PYTHONUNBUFFERED": "1",
    }
    fixed = {
        "LATCHKEY_ENV": "development",
        "REDIS_URL": settings.redis_url_as(REDIS_USERS.get(service, OPERATOR)),
        "OTP_URL": settings.otp_url,
        "VAR_DIR": str(var),
    }
    passed = {name: value for name, value in settings.environ.items() if name not in KEYS and value != ""}
    own = {name: keys[name] for name in SERVICE_KEYS[service]}
    if service == "otp":
        # It hashes now and then only; without this, glibc keeps argon2's 19 MiB of each thread for good.
        defaults["MALLOC_MMAP_THRESHOLD_"] = "1048576"
    metrics_ports = {"auth": settings.metrics_port, "otp": settings.otp_metrics_port}
    if service in metrics_ports:
        fixed["METRICS_PORT"] = str(metrics_ports[service])
    environment = {**defaults, **passed, **fixed, **own}
    if service == "announce" and settings.redis_is_embedded:
        del environment["REDIS_URL"]  # it reads the settings as the launcher does, and the launcher got no REDIS_URL
    for owner in ("auth", "otp"):
        if service not in {owner, "background", "after-restore"}:
            del environment[f"{owner.upper()}_DATABASE_URL"], environment[f"{owner.upper()}_JOURNAL"]
    return environment
