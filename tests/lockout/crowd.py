"""Owners and strangers at many accounts: their browsers, their addresses, and their calls over the gateway's HTTP.

Each call is held against the tables (tables.py), which predict its answer.
"""

import dataclasses
import functools
import json
from collections import Counter
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select

from services.auth import unlocks
from services.auth.app import create_app
from services.auth.deps import Client
from services.auth.domain.account import Account
from services.auth.models import BOX
from services.otp import recovery_code_store
from shared.database import reading, writing
from shared.envelope import open_envelope
from shared.hashing import HashingPool
from shared.ids import new_id
from shared.messages import SendEmailNotice
from shared.problems import Refusal
from tests.lockout.stage import Stage
from tests.lockout.tables import (
    ALL_AT_MOST,
    GUESSING,
    IN,
    NEEDS_CODE,
    TOO_MANY,
    UNLOCKS,
    Address,
    Device,
    Login,
    Standing,
    Tables,
)
from tests.support import auth
from tests.support.auth import NOTIFY_PRIVATE_KEYS, PASSWORD
from tests.support.ceremony import at_console
from tests.support.clock import NOW
from tests.support.signing import message_in

# The owners' networks are among the strangers', so that these can spend what the owners would need.
ADDRESSES = {
    "shop": Address("203.0.113.5", "203.0.113.5"),
    "shop in IPv6": Address("::ffff:203.0.113.5", "203.0.113.5"),
    "far": Address("198.51.100.9", "198.51.100.9"),
    "flat": Address("2001:db8:1:1::a", "2001:db8:1", "2001:db8:1:1"),
    "flat, again": Address("2001:db8:1:1:ffff::b", "2001:db8:1", "2001:db8:1:1"),
    "next door": Address("2001:db8:1:2::c", "2001:db8:1", "2001:db8:1:2"),
    "upstairs": Address("2001:db8:1:ff03::d", "2001:db8:1", "2001:db8:1:ff03"),
    "other town": Address("2001:db8:2:1::e", "2001:db8:2", "2001:db8:2:1"),
}
HOME_ADDRESS, PHONE_ADDRESS = ADDRESSES["flat"], ADDRESSES["shop"]
LEAKED, PLAIN = ("ann", "ben", "cem", "dia", "eva", "fay"), ("tom", "ida")  # 2FA and known passwords; no 2FA
HOME, PHONE, NEW, STRANGER = "home", "phone", "new", "stranger"
WRONG_BACKUP_CODE = "0AAA-BBBB-CCCC-DDDD"
_TOLD = "Somebody entered your right password and then wrong codes"


class PoolWithoutRenewal(HashingPool):
    """It leaves the cheap hashes as they are, or each further sign-in would cost a real one."""

    def needs_rehash(self, encoded: str) -> bool:
        return False


@functools.cache
def _pool() -> PoolWithoutRenewal:
    """One for all sequences, because each has threads."""
    return PoolWithoutRenewal(max_waiting=16, patience_seconds=60)


class Browser:
    """A cookie browser, or a bearer client that keeps its device tokens, those that have ended too."""

    def __init__(self, app: Any, *, has_cookies: bool) -> None:
        self._client, self.has_cookies = app.test_client(use_cookies=has_cookies), has_cookies
        self.device_tokens: dict[str, str] = {}
        self.token = ""

    def call(self, method: str, path: str, body: object, address: Address, binding: str = "") -> Any:
        headers = {"X-Challenge-Binding": binding} if binding else {}
        if self.token and not path.startswith("/v1/login"):
            headers["Authorization"] = f"Bearer {self.token}"
        environ = {"REMOTE_ADDR": address.ip}
        return self._client.open(path, method=method, json=body, headers=headers, environ_overrides=environ)


class Crowd:
    """Six accounts whose passwords have leaked, and two without 2FA whose passwords nobody else knows."""

    def __init__(self, stage: Stage, floor: int, tally: Counter) -> None:
        self.stage, self.tally = stage, tally
        stage.begin()
        settings = dataclasses.replace(stage.gateway.settings, guessing_floor=floor)
        self.gateway = dataclasses.replace(stage.gateway, settings=settings, hashing=_pool())
        with writing(self.gateway.database) as connection:
            connection.execute(delete(BOX.outbox))
        self._app = create_app(self.gateway)
        self.tables = Tables(lambda: stage.clock.now, floor)
        self.accounts: dict[str, Account] = {}
        self.backup_codes: dict[str, list[str]] = {}
        for name in (*LEAKED, *PLAIN):
            self._open_account(name)
        self.browsers = {HOME: Browser(self._app, has_cookies=True), PHONE: Browser(self._app, has_cookies=False)}
        self.logins: dict[tuple[str, str], tuple[Login, str]] = {}  # by account and client, with its binding
        self._last_step: dict[str, datetime] = {}
        self._named_so_far, self._seen = 0, 0  # new clients, and the last position of the outbox
        self._mails: Counter[str] = Counter()

    def _open_account(self, name: str) -> None:
        address = f"{new_id(name).lower()}@example.com"
        account = auth.make_account(self.stage.gateway, address, password_hash=self.stage.password_hash)
        self.accounts[name] = account
        self.tables.accounts[name] = Standing(has_two_factor=name in LEAKED)
        if name in LEAKED:
            self.stage.world.enrol(account.id)
            with writing(self.stage.world.database) as connection:
                recovery_code_store.replace_recovery_codes(connection, account.id, self.stage.sheet, NOW)
            self.backup_codes[name] = [code.format() for code, _ in self.stage.sheet]

    def wait(self, seconds: float) -> None:
        self.stage.clock.now += timedelta(seconds=seconds)

    # --- calls ----------------------------------------------------------------------------------------------------

    def enter_password(self, name: str, client: str, address: Address, *, right: bool = True) -> tuple[str, int]:
        """What was said, and after how many seconds to come again."""
        browser, device = self._browser(client), self.tables.device(name, client)
        was_braked, begun_at = self.tables.brake.is_on, self.stage.clock.now
        body: dict[str, object] = {"email": self.accounts[name].email, "password": PASSWORD if right else "no " + name}
        if not browser.has_cookies:
            body |= {"transport": "bearer", "device_token": browser.device_tokens.get(name)}
        answer = browser.call("POST", "/v1/login", body, address)
        expected = self.tables.password(name, self._named(client), address, right=right)
        said, wait = self._said(answer)
        assert said == expected, (name, client, address, said, expected)
        if browser.has_cookies and said in {IN, NEEDS_CODE}:  # its cookie binds it to the last login alone
            self.logins = {key: login for key, login in self.logins.items() if key[1] != client}
        if said == IN:
            self._signed_in(name, browser, answer, device)
        elif said == NEEDS_CODE:
            challenge = answer.json["challenge"]
            assert challenge["one_try"] == (was_braked and device is None), (challenge, self.tables.brake.ends_at)
            login = Login(challenge["id"], name, device, begun_at, address, self.tables.is_counted)
            self.logins[name, client] = login, challenge.get("binding", "")
        return said, wait

    def enter_code(self, name: str, client: str, address: Address, code: str, *, right: bool) -> tuple[str, int]:
        """At the login under way, or at a new one if that is over."""
        under_way = self.logins.get((name, client))
        if under_way is None or not self.tables.is_open(under_way[0]):
            said, wait = self.enter_password(name, client, address)
            if said != NEEDS_CODE:
                return said, wait
        (login, binding), browser = self.logins[name, client], self._browser(client)
        answer = browser.call("POST", f"/v1/login/{login.id}/verify", {"code": code}, address, binding)
        named, is_digits = self._named(client), code.isdigit()
        expected = self.tables.code(login, named, address, is_digits=is_digits, right=right)
        said, wait = self._said(answer)
        assert said == expected, (name, client, address, code, said, expected, self.tables.accounts[name])
        if said == IN:
            del self.logins[name, client]
            self.stage.world.deps.recorder.flush()  # a tenth of a second later its try is given back
            self._signed_in(name, browser, answer, login.device)
        return said, wait

    def guess(self, name: str, address: Address, client: str = STRANGER) -> tuple[str, int]:
        """A wrong code; a right password before it, if it takes one."""
        wrong = self.stage.world.wrong_code(self.accounts[name].id)
        return self.enter_code(name, client, address, wrong, right=False)

    def own(self, name: str, client: str, address: Address, *, by_backup_code: bool = False) -> str:
        """The owner signs in: with the password and, where 2FA is on, a right code."""
        if not self.tables.accounts[name].has_two_factor:
            return self.enter_password(name, client, address)[0]
        if by_backup_code:
            code = self.backup_codes[name][0]
        else:
            last = self._last_step.get(name)
            if last is not None:  # the app shows another code by then
                self.wait(max(0.0, 31 - (self.stage.clock.now - last).total_seconds()))
            code = self.stage.world.code(account=self.accounts[name].id)
        said, _ = self.enter_code(name, client, address, code, right=True)
        if said == IN:
            self._last_step[name] = self.stage.clock.now
            if by_backup_code:
                self.backup_codes[name].remove(code)
        return said

    def forget(self, name: str, client: str, address: Address) -> None:
        """Log out of the session that was opened last, and have this browser forgotten."""
        browser = self.browsers[client]
        body = {"forget_browser": True, "device_token": browser.device_tokens.get(name)}
        answer = browser.call("POST", "/v1/logout", body, address)
        assert answer.status_code == 204, answer.json
        browser.token = ""
        self.tables.ends(name, client)

    def held_out(self, client: str, address: Address) -> dict[str, tuple[int | None, list[str]]]:
        """As the account page of the session that was opened last says it: for how many seconds, and what lifts it."""
        answer = self.browsers[client].call("GET", "/v1/two-factor", None, address)
        assert answer.status_code == 200, answer.json
        now = self.stage.clock.now
        return {
            hold["what"]: (
                None if hold["until"] is None else round((datetime.fromisoformat(hold["until"]) - now).total_seconds()),
                hold["lifted_by"],
            )
            for hold in answer.json["held_out"]
        }

    def unlock(self, name: str) -> None:
        """By support: three a day, and no hundred wrong codes in a row."""
        standing, row = self.tables.accounts[name], (UNLOCKS, name)
        asked = {"ticket": "T-1", "reason": "locked out"}
        console, operator = Client("192.0.2.1", "console"), at_console(self.gateway, self.stage.operator)
        needs_reset, waiting = standing.lifted + standing.all >= ALL_AT_MOST, None
        with pytest.raises(Refusal, match="reset_needed") if needs_reset else nullcontext():
            waiting = unlocks.request(self.gateway, console, operator, self.accounts[name].id, **asked)
        if needs_reset:
            return
        assert (waiting is None) == self.tables.ledger.take(row)
        if waiting is None:
            self.tables.unlocked(name)
            self.tally["unlocked"] += 1

    # --- what comes of them ---------------------------------------------------------------------------------------

    def read_mail(self) -> Counter[str]:
        """The mails that tell of wrong codes, by account."""
        columns = BOX.outbox.c
        query = select(columns.position, columns.document).where(columns.position > self._seen)
        with reading(self.gateway.database) as connection:
            rows = connection.execute(query.order_by(columns.position)).all()
        names = {account.id: name for name, account in self.accounts.items()}
        for position, document in rows:
            self._seen, message = position, message_in(json.loads(document))
            if isinstance(message, SendEmailNotice):
                envelope = open_envelope(NOTIFY_PRIVATE_KEYS, message.sealed)
                self._mails[names[envelope.account_id]] += _TOLD in envelope.body
        return self._mails

    def _browser(self, client: str) -> Browser:
        return self.browsers.get(client) or Browser(self._app, has_cookies=False)

    def _named(self, client: str) -> str:
        """A new browser keeps no token, so each sign-in makes another one known."""
        if client in self.browsers:
            return client
        self._named_so_far += 1
        return f"{client} {self._named_so_far}"

    def _said(self, answer: Any) -> tuple[str, int]:
        self.tally["calls"] += 1
        if answer.status_code == 200:
            return (IN if answer.json["status"] == "authenticated" else NEEDS_CODE), 0
        wait = int(answer.headers.get("Retry-After", 0))
        said = str(answer.json["code"])
        if said == TOO_MANY:
            said = answer.json.get("cause", said)
        self.tally[said] += 1
        assert (said in {TOO_MANY, GUESSING}) == (wait > 0), (wait, answer.json)
        return said, wait

    @staticmethod
    def _signed_in(name: str, browser: Browser, answer: Any, device: Device | None) -> None:
        browser.token = answer.json.get("token", "")
        if browser.has_cookies:  # several owners share it, so each account has a cookie of its own there
            assert any("device" in cookie for cookie in answer.headers.getlist("Set-Cookie")), (name, device)
            return
        assert ("device_token" in answer.json) == (device is None), (name, "a known client gets no other token", device)
        if device is None:
            browser.device_tokens[name] = answer.json["device_token"]
