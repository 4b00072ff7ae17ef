"""Whether each part accepts its settings, asked before any part starts."""

from collections.abc import Callable, Iterable, Mapping

from deploy.local import settings as local
from services.auth import settings as auth
from services.notify.settings import NotifySettings
from services.otp import settings as otp
from shared.keys import KeyList
from shared.settings import Environment, SettingsError

# What each composition root reads. The relay reads nothing that the two event workers don't read, too.
READERS: Mapping[str, tuple[Callable[[Environment], object], ...]] = {
    "auth": (auth.AuthSettings.from_env,),
    "auth-worker": (
        auth.WorkerSettings.from_env,
        auth.AuditSettings.from_env,
        lambda env: auth.public_keys_from_env(KeyList(()), env),
    ),
    "otp": (otp.OtpSettings.from_env,),
    "otp-worker": (otp.WorkerSettings.from_env,),
    "notify": (NotifySettings.from_env,),
}


def refuse_faults(environments: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    """Raise deploy.local's SettingsError with all faults that these parts find in these environments, each once."""
    found: dict[str, None] = {}
    for part, environment in environments:
        for read in READERS[part]:
            try:
                read(Environment(environment))
            except SettingsError as error:
                found |= dict.fromkeys(error.faults)
    if found:
        raise local.SettingsError("; ".join(found))
