"""What travels between the services in one process: events to and fro, and the words in a notice."""

import json
import re
from datetime import datetime

from sqlalchemy import select

from services.auth import events
from services.auth.domain.account import Account
from services.auth.models import BOX
from services.auth.store import accounts
from services.auth.store import resets as reset_store
from services.otp.models import outbox as otp_box
from services.otp.tasks import HANDLERS as OTP_HANDLERS
from shared.database import reading
from shared.envelope import open_envelope
from shared.messages import SendEmailNotice, SendSmsNotice, TwoFactorResetApplied
from shared.outbox import OutboxTables
from tests.lockout.stage import Stage
from tests.support.auth import NOTIFY_PRIVATE_KEYS
from tests.support.signing import message_in


class Mail:
    """Carries what is due and was not carried before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._carried = {(box, position) for box in (0, 1) for position, _, _ in self._rows(box)}
        self._words = ""
        self._carried_before_backup: set[tuple[int, int]] = set()

    def backed_up(self) -> None:
        """What was carried by now stands in the backup as such."""
        self._carried_before_backup = set(self._carried)

    def restored(self, *parts: str) -> None:
        """In these databases' outboxes, what came after the backup has other messages in its places."""
        for box, name in enumerate(("auth", "otp")):
            if name in parts:
                self._carried = {one for one in self._carried if one[0] != box}
                self._carried |= {one for one in self._carried_before_backup if one[0] == box}

    def carry(self, account_id: str) -> str | None:
        """Until all is quiet; the id of a reset of this account that was applied meanwhile."""
        applied = None
        moved = True
        while moved:
            moved = False
            self._stage.world.deps.recorder.flush()
            for box in (0, 1):
                for position, document, not_before in self._rows(box):
                    if (box, position) in self._carried or (not_before and not_before > self._stage.clock.now):
                        continue
                    self._carried.add((box, position))
                    moved = True
                    message = message_in(json.loads(document))
                    if isinstance(message, TwoFactorResetApplied) and message.account_id == account_id:
                        applied = message.reset_id
                    self._deliver(message)
        return applied

    def _deliver(self, message: object) -> None:
        if isinstance(message, SendSmsNotice | SendEmailNotice):
            body = open_envelope(NOTIFY_PRIVATE_KEYS, message.sealed).body
            found = re.search(r"[Yy]our words: ([a-z]+ [a-z]+)", body)
            self._words = found.group(1) if found else self._words
            return
        handler = OTP_HANDLERS.get(type(message))  # type: ignore[arg-type]
        if handler is not None:
            handler(self._stage.world.worker_deps, message)
        else:
            events.handle(self._stage.gateway, message)  # type: ignore[arg-type]

    def words(self, account_id: str) -> str:
        """The words that were texted last."""
        self.carry(account_id)
        return self._words

    def reset_status(self, reset_id: str) -> str:
        """Where a reset stands; a restore may have lost it."""
        with reading(self._stage.gateway.database) as connection:
            found = reset_store.by_id(connection, reset_id)
        return "" if found is None else str(found.status)

    def account(self, account_id: str) -> Account:
        """As it stands now."""
        with reading(self._stage.gateway.database) as connection:
            found = accounts.by_id(connection, account_id)
        assert found is not None
        return found

    def _rows(self, box: int) -> list[tuple[int, str, datetime | None]]:
        tables: OutboxTables = (BOX, otp_box)[box]
        database = (self._stage.gateway.database, self._stage.world.database)[box]
        columns = tables.outbox.c
        query = select(columns.position, columns.document, columns.not_before).order_by(columns.position)
        query = query.where(columns.published_at.is_(None))  # a restore withdraws some
        with reading(database) as connection:
            return [(row.position, row.document, row.not_before) for row in connection.execute(query)]
