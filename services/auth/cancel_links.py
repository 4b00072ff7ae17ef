"""The links in notices: each cancels one reset, or the checks that would lead to one. Mail and text have one each.

While the reset of a stolen factor is open, no text has a link, and no link from an earlier text cancels anything.
The thief of the phone has those texts.
"""

from datetime import datetime

from sqlalchemy import Connection

from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.domain.notice_texts import Phrase
from services.auth.domain.reset import ReasonKind
from services.auth.store import resets as store
from services.auth.store.resets import CancelLink
from shared.problems import Refusal


def add(
    connection: Connection,
    deps: Deps,
    account: Account,
    now: datetime,
    *,
    reset_id: str | None = None,
    check_id: str | None = None,
) -> dict[str, str | Phrase]:
    """Add the links of one notice, and return the values with which its mail and its text say how to cancel."""

    def url(*, is_texted: bool) -> str:
        token = store.add_cancel_link(
            connection, account.id, now, reset_id=reset_id, check_id=check_id, is_texted=is_texted
        )
        # A fragment, because it reaches no server's log.
        return f"{deps.settings.public_origin}/reset/cancel#{token}"

    is_stolen = _stolen_reset_is_open(connection, account)
    by_mail = url(is_texted=False)
    by_text = Phrase(("cancel_by_other_means",)) if is_stolen else Phrase(("cancel_it",), {"url": url(is_texted=True)})
    return {"cancel_url": by_mail, "cancel_by_text": by_text}


def refuse_texted(connection: Connection, account: Account, link: CancelLink) -> None:
    """Refuse a texted link while the reset of a stolen factor is open. Raises Refusal texted_link."""
    if link.is_texted and _stolen_reset_is_open(connection, account):
        raise Refusal("texted_link")


def _stolen_reset_is_open(connection: Connection, account: Account) -> bool:
    reset = store.open_of(connection, account.id)
    return reset is not None and reset.reason_kind is ReasonKind.STOLEN
