"""What ends when a row of wrong codes is spent: the known device, or the open session, that spent it.

otp counts the rows and says which one a refused code has spent. An end that was not carried out, because the gateway
was killed, is carried out by the next code, which otp refuses for the same row.
"""

from services.auth import sessions, trusted_devices
from services.auth.deps import Client, Deps
from services.auth.otp_client import CodeRefused, SpentRow
from shared.problems import Refusal


def end(
    deps: Deps,
    client: Client,
    refusal: Refusal,
    account_id: str,
    *,
    device_id: str | None,
    session_id: str | None = None,
) -> bool:
    """End the device or session whose row this refusal reports as spent; whether one of them ended.

    The sessions of a device end with it. Raises store errors.
    """
    rows = refusal.spent_rows if isinstance(refusal, CodeRefused) else frozenset()
    is_device, is_session = SpentRow.DEVICE in rows and device_id, SpentRow.SESSION in rows and session_id
    if is_device:
        trusted_devices.end_spent(deps, client, account_id, is_device)
    if is_session:
        sessions.end_spent(deps, client, account_id, is_session)
    return bool(is_device or is_session)
