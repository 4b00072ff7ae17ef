"""The gateway in one process, over a temporary SQLite file, any Redis, a clock that tests turn and an otp in memory."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from nacl.public import PrivateKey
from sqlalchemy import select
from werkzeug.test import TestResponse

from services.auth import session_store
from services.auth.deps import Client, Deps
from services.auth.domain.account import Account, Role
from services.auth.domain.session import Factor, Session
from services.auth.limits import REPEATABLE_FOR
from services.auth.models import BOX
from services.auth.otp_client import CodeRefused, Throttle, TwoFactorState, Verified
from services.auth.session_store import Order
from services.auth.settings import AuthSettings
from services.auth.store import accounts, devices, timeline
from services.auth.store.devices import Device
from services.otp.domain.session_id import session_of
from shared.channel import Channel
from shared.clock import rfc3339
from shared.database import reading, writing
from shared.envelope import Envelope, open_envelope
from shared.ids import new_id, new_token
from shared.keys import KeyList, encode_key
from shared.messages import Message, SendEmailNotice, SendSmsNotice
from shared.outbox import pending
from shared.phone import PhoneNumber
from shared.problems import Refusal, Unavailable
from shared.settings import Environment
from tests.support import signing
from tests.support.clock import NOW, TurnedClock
from tests.support.signing import message_in

CLIENT = Client("192.0.2.7", "Firefox on Linux")
PHONE, OTHER_PHONE = PhoneNumber("+4915123456789"), PhoneNumber("+4915123456780")
NOTIFY_PRIVATE_KEY = bytes(range(1, 33))
NOTIFY_PRIVATE_KEYS = KeyList.parse(f"n1:{encode_key(NOTIFY_PRIVATE_KEY)}")
ENVIRONMENT = {
    "LATCHKEY_ENV": "development",
    "AUTH_DATABASE_URL": "sqlite://",
    "REDIS_URL": "redis://127.0.0.1:1",
    "OTP_URL": "http://127.0.0.1:1",
    "OTP_API_KEYS": f"a1:{encode_key(b'a' * 32)}",
    "AUTH_DIGEST_KEYS": f"d1:{encode_key(b'd' * 32)}",
    "AUTH_AUDIT_KEYS": f"c1:{encode_key(b'c' * 32)}",
    "JWT_SIGNING_KEYS": f"j1:{encode_key(b'j' * 32)}",
    "NOTIFY_PUBLIC_KEY": f"n1:{encode_key(bytes(PrivateKey(NOTIFY_PRIVATE_KEY).public_key))}",
    "AUTH_SIGNING_KEYS": signing.ENVIRONMENT["AUTH_SIGNING_KEYS"],
    "PUBLIC_ORIGIN": "http://portal.example:8080",
    "TRUSTED_PROXY_COUNT": "0",
    "RESET_COOL_OFF_SECONDS": "3600",
    "RESET_LONG_COOL_OFF_SECONDS": "10800",
    # Tests make accounts a moment before they reset them.
    "RESET_SETTLED_SECONDS": "0",
    "RESET_CODE_LOGIN_SECONDS": "0",
    # Tests turn the clock by hours; those of the idle time have a setting of their own.
    "SESSION_IDLE_SECONDS": "43200",
    "SMS_COUNTRIES": "DE,US,CA",
    "TWILIO_AUTH_TOKEN": "twilio-token",
}
PASSWORD = "seven wet otters juggle"
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$no$password"


def settings(**changes: str) -> AuthSettings:
    return AuthSettings.from_env(Environment({**ENVIRONMENT, **changes}))


@dataclass
class ListPublisher:
    """A broker that remembers; ``down`` refuses like a broken one."""

    messages: list[Message] = field(default_factory=list)
    down: bool = False

    def publish(self, message: Message) -> None:
        if self.down:
            raise Unavailable("broker")
        self.messages.append(message)


@dataclass
class FakeOtp:
    """otp behind OtpClient's methods. Codes are what a test puts into ``codes``.

    Each works once, and for a minute again for the same purpose and binding, unless its codes have ended since.
    """

    clock: TurnedClock
    enabled: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    reset_needed: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    throttled: dict[str, list[Throttle]] = field(default_factory=dict)
    strangers_failures: dict[str, int] = field(default_factory=dict)
    spent_rows: list[str] = field(default_factory=list)  # what each refused code says that it has spent
    refused_as: str = "invalid_passcode"
    recovery_codes: dict[str, int] = field(default_factory=dict)
    codes: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)  # -> code, factor
    live_sms: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # message id -> account, purpose, binding
    accepted: dict[tuple[str, str, str], tuple[str, str, datetime]] = field(default_factory=dict)  # -> code, factor, at
    pending: dict[str, str] = field(default_factory=dict)  # account -> the session that began its enrollment
    enrollments: dict[str, dict[str, Any]] = field(default_factory=dict)  # by account, as they were shown
    ended_sessions: set[str] = field(default_factory=set)
    sent_to: list[str] = field(default_factory=list)
    called_in: list[str | None] = field(default_factory=list)  # the language of each code; None for one by text
    texted_in: list[str | None] = field(default_factory=list)  # the language of each code; None for one by call
    tried_from: list[str | None] = field(default_factory=list)  # the known devices whose codes were verified
    sent_for: list[str | None] = field(default_factory=list)  # the known devices that asked
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # oldest first
    refusal: Refusal | None = None
    lists_refusal: Refusal | None = None
    pages_read: list[int] = field(default_factory=list)  # the limit of each page of attempts
    ending_refusal: Refusal | None = None
    unlock_refusal: Refusal | None = None
    unlock_answer: Refusal | None = None  # what the gateway gets in place of the answer to an unlock that was done
    after_state: Callable[[], object] | None = None  # what happens elsewhere, once
    before_unlock: Callable[[], object] | None = None
    after_unlock: Callable[[], object] | None = None
    after_verify: Callable[[], object] | None = None  # what happens elsewhere while the answer is on its way
    after_minting: Callable[[], object] | None = None  # so, too, once
    after_end: Callable[[], object] | None = None  # so, too, once

    def _answer(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def _happen_once(self, name: str) -> None:
        happens = getattr(self, name)
        setattr(self, name, None)
        if happens is not None:
            happens()

    def go_down(self) -> None:
        self.refusal = Unavailable("otp")

    def expect(self, account_id: str, purpose: str, binding: str, code: str = "424242", factor: str = "sms") -> str:
        self.codes[account_id, purpose, binding] = (code, factor)
        return code

    def state(self, account_id: str, session_id: str | None = None) -> TwoFactorState:
        self._answer()
        self._happen_once("after_state")
        enabled = account_id in self.enabled
        return TwoFactorState(
            enabled=enabled,
            locked=account_id in self.locked,
            locked_everywhere=account_id in self.locked,
            consecutive_failures=100 if account_id in self.locked else 0,
            authenticators=[{"id": "enr_1", "kind": "TOTP", "label": "phone"}] if enabled else [],
            recovery_codes_remaining=self.recovery_codes.get(account_id, 10 if enabled else 0),
            recovery_codes_created_at=rfc3339(NOW) if enabled else None,
            reset_needed=account_id in self.reset_needed,
            suspended=enabled and account_id in self.suspended,
            pending_until=None if enabled else self._pending_until(account_id, session_id),
        )

    def those_on(self, account_ids: Collection[str]) -> frozenset[str]:
        self._answer()
        if self.lists_refusal is not None:
            raise self.lists_refusal
        return frozenset(self.enabled) & frozenset(account_ids)

    def verify(self, account_id: str, code: str, purpose: str, binding: str, device_id: str | None = None) -> Verified:
        self._answer()
        self.tried_from.append(device_id)
        key, now = (account_id, purpose, binding), self.clock()
        if key in self.codes and self.codes[key][0] == code:
            self.accepted[key] = (*self.codes.pop(key), now)
        expected = self.accepted.get(key)
        if expected is None or expected[0] != code or now >= expected[2] + REPEATABLE_FOR:
            raise CodeRefused(reason="wrong", recent_failures=1, spent_rows=self.spent_rows, code=self.refused_as)
        if self.after_verify is not None:
            self.after_verify()
        return Verified(expected[1])

    def end(
        self,
        account_id: str,
        session_ids: Sequence[str],
        *,
        codes: bool = False,
        enrollments: bool = False,
        strangers: bool = False,
    ) -> None:
        self._answer()
        if self.ending_refusal is not None:
            raise self.ending_refusal
        self.ended_sessions.update(session_ids)
        if strangers:
            self.strangers_failures.pop(account_id, None)
        if enrollments or session_of(self.pending.get(account_id) or "") in self.ended_sessions:
            self.pending.pop(account_id, None)
        for message_id, (owner, purpose, binding) in list(self.live_sms.items()):
            if owner == account_id and (codes or binding.partition(".")[0] in session_ids):
                del self.live_sms[message_id]
                self.codes.pop((owner, purpose, binding), None)
        for owner, purpose, binding in list(self.accepted):
            ends = owner == account_id and (codes or binding.partition(".")[0] in session_ids)
            if ends and purpose != "phone_verification":
                del self.accepted[owner, purpose, binding]
        self._happen_once("after_end")

    def _refuse_ended(self, session_id: str) -> None:
        if {session_id, session_of(session_id)} & self.ended_sessions:
            raise Refusal("not_authenticated")

    def begin_enrollment(self, account_id: str, label: str, session_id: str) -> dict[str, Any]:
        self._answer()
        self._refuse_ended(session_id)
        if account_id in self.enabled:
            raise Refusal("two_factor_already_on")
        self.pending[account_id] = session_id
        self.enrollments[account_id] = {
            "enrollment_id": f"enr_{account_id}",
            "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
            "otpauth_uri": f"otpauth://totp/Latchkey:{label}",
            "qr_svg": "<svg/>",
            "expires_at": rfc3339(self.clock() + timedelta(minutes=10)),
        }
        return self.enrollments[account_id]

    def _pending_until(self, account_id: str, session_id: str | None) -> str | None:
        begun_by = session_of(self.pending.get(account_id) or "")
        mine = session_id is not None and begun_by == session_of(session_id)
        return self.enrollments[account_id]["expires_at"] if mine else None

    def show_enrollment(self, account_id: str, session_id: str) -> dict[str, Any]:
        self._answer()
        if self._pending_until(account_id, session_id) is None:
            raise Refusal("enrollment_expired")
        return self.enrollments[account_id]

    def cancel_enrollment(self, account_id: str, session_id: str) -> None:
        self._answer()
        self._refuse_ended(session_id)
        if self._pending_until(account_id, session_id) is not None:
            del self.pending[account_id]

    def confirm_enrollment(self, account_id: str, enrollment_id: str, code: str, session_id: str) -> list[str]:
        self._answer()
        self._refuse_ended(session_id)
        if enrollment_id != f"enr_{account_id}" or session_of(self.pending.get(account_id, session_id)) != session_of(
            session_id
        ):
            raise Refusal("enrollment_expired")
        if self.codes.pop((account_id, "enrollment", enrollment_id), (None, None))[0] != code:
            raise CodeRefused(reason="wrong", recent_failures=1)
        self.enabled.add(account_id)
        return ["0000-0000-0000-0000"] * 10

    def disable(self, account_id: str, session_id: str, *, only_repeat: bool = False) -> str | None:
        self._answer()
        if only_repeat:
            raise Refusal("two_factor_already_on" if account_id in self.enabled else "two_factor_off")
        self._refuse_ended(session_id)
        if account_id not in self.enabled:
            raise Refusal("two_factor_off")
        self.enabled.remove(account_id)
        return "evt_disabled"

    def regenerate_recovery_codes(self, account_id: str, session_id: str, idempotency_key: str | None) -> list[str]:
        self._answer()
        self._refuse_ended(session_id)
        if account_id not in self.enabled:
            raise Refusal("two_factor_off")
        return ["1111-1111-1111-1111"] * 10

    def create_sms_challenge(
        self,
        account_id: str,
        purpose: str,
        binding: str,
        phone: str,
        device_id: str | None = None,
        *,
        channel: Channel = Channel.SMS,
        language: str = "en",
    ) -> dict[str, Any]:
        self._answer()
        self.called_in.append(language if channel is Channel.CALL else None)
        self.texted_in.append(language if channel is Channel.SMS else None)
        message_id = new_id("sms")
        self.live_sms[message_id] = (account_id, purpose, binding)
        self.sent_to.append(phone)
        self.sent_for.append(device_id)
        self.expect(account_id, purpose, binding)
        self._happen_once("after_minting")
        now = self.clock()
        return {
            "message_id": message_id,
            "reference": "BCDF",
            "phone_hint": PhoneNumber(phone).masked(),
            "expires_at": rfc3339(now + timedelta(minutes=5)),
            "resend_after": rfc3339(now + timedelta(seconds=30)),
            "deadline": rfc3339(now + timedelta(minutes=4, seconds=30)),
        }

    def withdraw_sms_challenge(self, account_id: str, message_id: str, purpose: str, binding: str) -> None:
        self._answer()
        assert self.live_sms.pop(message_id, None) in {None, (account_id, purpose, binding)}
        self.codes.pop((account_id, purpose, binding), None)

    def add_attempt(self, account_id: str, at: datetime, outcome: str = "rejected", **members: Any) -> None:
        rows = self.history.setdefault(account_id, [])
        rows.append({"id": f"att_{len(rows) + 1}", "at": rfc3339(at), "outcome": outcome, **members})

    def attempts(self, account_id: str, *, limit: int, cursor: str | None = None) -> dict[str, Any]:
        self._answer()
        self.pages_read.append(limit)
        rows = self.history.get(account_id, [])
        end = len(rows) if cursor is None else int(cursor) - 1
        items = list(reversed(rows[max(0, end - limit) : end]))
        return {"items": items, "next_cursor": items[-1]["id"][4:] if end > limit else None}

    def unlock(self, account_id: str) -> None:
        self._answer()
        if self.before_unlock is not None:
            self.before_unlock()
        if self.unlock_refusal is not None:
            raise self.unlock_refusal
        self.locked.discard(account_id)
        self.throttled.pop(account_id, None)
        if self.after_unlock is not None:
            self.after_unlock()
        if self.unlock_answer is not None:
            raise self.unlock_answer

    def throttles(self, account_id: str) -> list[Throttle]:
        self._answer()
        return self.throttled.get(account_id, [])

    def ping(self) -> None:
        self._answer()


BINDINGS: dict[str, str] = {}  # of challenges: every caller is the client that began the login, unless it says not


@dataclass
class Api:
    """The gateway's HTTP as one caller sees it."""

    app: Any
    token: str | None = None
    session: Session | None = None

    def call(self, method: str, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        headers = dict(kwargs.pop("headers", {}))
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if path.startswith("/v1/login/") and (binding := BINDINGS.get(path.split("/")[3])):
            headers.setdefault("X-Challenge-Binding", binding)
        answer = self.app.test_client().open(path, method=method, json=body, headers=headers, **kwargs)
        if path == "/v1/login" and answer.status_code == 200 and "challenge" in answer.json:
            given = answer.json["challenge"]
            cookie = re.search(r"latchkey_challenge=([^;]+)", answer.headers.get("Set-Cookie", ""))
            BINDINGS[given["id"]] = cookie[1] if cookie else given["binding"]
        if self.token is not None and "X-Session-Token" in answer.headers:
            self.token = answer.headers["X-Session-Token"]
        return answer

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.call("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        return self.call("POST", path, body, **kwargs)

    def put(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        return self.call("PUT", path, body, **kwargs)

    def delete(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        return self.call("DELETE", path, body, **kwargs)


def make_account(
    deps: Deps,
    email: str,
    *,
    role: Role = Role.MEMBER,
    team: str = "Example Ltd",
    phone: PhoneNumber | None = None,
    password_hash: str = PASSWORD_HASH,
) -> Account:
    """An account as the command line would make it; ``phone`` is proven."""
    now = deps.clock()
    with writing(deps.database) as connection:
        account = accounts.add(
            connection,
            team_id=accounts.team_named(connection, team, now),
            email=email,
            name=email.partition("@")[0].title(),
            role=role,
            password_hash=password_hash,
            now=now,
        )
        if phone is not None:
            accounts.set_pending_phone(connection, account.id, phone, "phb_seed")
            accounts.claim_pending_phone(connection, account.id, "phb_seed", now)
    return fresh(deps, account)


def fresh(deps: Deps, account: Account) -> Account:
    """The account as it stands now."""
    with reading(deps.database) as connection:
        found = accounts.by_id(connection, account.id)
    assert found is not None
    return found


def sign_in(
    deps: Deps,
    account: Account,
    *factors: Factor,
    stepped_up: bool = True,
    device_id: str | None = None,
    trust_factor: Factor | None = None,
) -> tuple[Session, str]:
    """A live session without the login; with password and TOTP unless said otherwise."""
    now, times = deps.clock(), deps.settings.session_times
    session = Session(
        id=new_id("ses"),
        account_id=account.id,
        factors=factors or (Factor.PASSWORD, Factor.TOTP),
        transport="bearer",
        authenticated_at=now,
        stepped_up_at=now if stepped_up else None,
        expires_at=now + min(times.idle, times.life),
        ends_at=now + times.life,
        ip=CLIENT.ip,
        user_agent=CLIENT.browser,
        signed_in_with=factors or (Factor.PASSWORD, Factor.TOTP),
        device_id=device_id,
        trust_factor=trust_factor,
    )
    token = new_token()
    epoch = session_store.epoch(deps.redis, account.id)
    assert session_store.open_session(deps.redis, session, token, epoch=epoch)
    return session, token


def end_all(deps: Deps, account: Account, **members: Any) -> list[str]:
    """End every session and every login of the account, as some change would; the sessions that ended."""
    order = Order(at=deps.clock(), logins=True, all_sessions=True, **members)
    return list(session_store.end(deps.redis, account.id, order).session_ids)


def end_one(deps: Deps, account: Account, session: Session) -> None:
    """End one session and nothing else."""
    session_store.end(deps.redis, account.id, Order(at=deps.clock(), session_ids=(session.id,)))


def add_device(
    deps: Deps,
    account: Account,
    token: str = "t",  # noqa: S107
    *,
    trusted: bool = True,
    won_by: Factor | None = Factor.TOTP,
    at: datetime | None = None,
) -> str:
    """A device that the account knows; its id."""
    now = at or deps.clock()
    until = now + timedelta(days=30) if trusted else None
    device = Device(new_id("dev"), account.id, "x", now, now, until, won_by)
    with writing(deps.database) as connection:
        devices.add(connection, device, token)
    return device.id


def outbox(deps: Deps) -> list[Message]:
    """What is recorded, due or not, in order."""
    with reading(deps.database) as connection:
        rows = pending(connection, BOX, datetime.max.replace(tzinfo=UTC), 1000)
    return [message_in(row.document) for row in rows]


def not_before(deps: Deps) -> list[datetime | None]:
    """When each recorded message is due."""
    with reading(deps.database) as connection:
        return list(connection.execute(select(BOX.outbox.c.not_before).order_by(BOX.outbox.c.position)).scalars())


def events_in(deps: Deps) -> list[Message]:
    """The recorded messages that are no notices."""
    return [message for message in outbox(deps) if not isinstance(message, SendSmsNotice | SendEmailNotice)]


def notices_in(deps: Deps) -> list[Envelope]:
    """The recorded notices, opened as notify would."""
    return [
        open_envelope(NOTIFY_PRIVATE_KEYS, message.sealed)
        for message in outbox(deps)
        if isinstance(message, SendSmsNotice | SendEmailNotice)
    ]


def timeline_of(deps: Deps, account: Account) -> list[timeline.TimelineRow]:
    """Oldest first."""
    with reading(deps.database) as connection:
        return timeline.newest(connection, account.id, before=None, limit=1000)[::-1]


def types_of(deps: Deps, account: Account) -> list[str]:
    return [row.type for row in timeline_of(deps, account)]
