"""Which environment each part runs in: its own keys, the addresses of the others, and nobody else's secrets."""

from collections.abc import Mapping

from deploy.local.keys import KEYS
from deploy.local.settings import LocalSettings

# A part gets the keys it needs and no others: a hole in the courier must not open the verifier's secrets.
SERVICE_KEYS: Mapping[str, tuple[str, ...]] = {
    "auth": ("OTP_API_KEYS", "AUTH_DIGEST_KEYS", "JWT_SIGNING_KEYS", "NOTIFY_PUBLIC_KEY"),
    "otp": ("OTP_API_KEYS", "OTP_SECRET_KEYS", "OTP_DIGEST_KEYS", "NOTIFY_PUBLIC_KEY"),
    "notify": ("NOTIFY_PRIVATE_KEYS",),
    # One process for several parts has the keys of each; see deploy.local.background.
    "background": ("AUTH_AUDIT_KEYS", "NOTIFY_PUBLIC_KEY", "NOTIFY_PRIVATE_KEYS"),
    "redis": (),
    "launcher": (),
}


def environment_of(service: str, settings: LocalSettings, keys: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of `service`.

    What the caller's environment holds passes through, and wins over the development defaults; only keys don't:
    they come from the keys file, so that a second run reads what the first one wrote.
    """
    var = settings.var_dir
    defaults = {
        "AUTH_DATABASE_URL": f"sqlite:///{var}/auth.sqlite3",
        "OTP_DATABASE_URL": f"sqlite:///{var}/otp.sqlite3",
        "PUBLIC_ORIGIN": f"http://127.0.0.1:{settings.port}",
        # Long enough to cancel by hand, short enough to see the end of it.
        "RESET_COOL_OFF_SECONDS": "20",
        "SMS_PROVIDERS": "console",
        "EMAIL_PROVIDER": "console",
        "PYTHONUNBUFFERED": "1",
    }
    fixed = {
        "LATCHKEY_ENV": "development",
        "REDIS_URL": settings.redis_url,
        "OTP_URL": settings.otp_url,
        "VAR_DIR": str(var),
    }
    passed = {name: value for name, value in settings.environ.items() if name not in KEYS and value != ""}
    own = {name: keys[name] for name in SERVICE_KEYS[service]}
    if service == "otp":
        # It hashes now and then only; without this, glibc keeps argon2's 19 MiB of each thread for good.
        defaults["MALLOC_MMAP_THRESHOLD_"] = "1048576"
    environment = {**defaults, **passed, **fixed, **own}
    for owner, name in (("auth", "AUTH_DATABASE_URL"), ("otp", "OTP_DATABASE_URL")):
        if service not in {owner, "background"}:
            del environment[name]
    return environment
