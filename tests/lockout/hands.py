"""How the second machine acts: a client of the gateway, and the calls that several of its rules make."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from services.auth.domain.account import Role
from services.otp.key_uri import decode_secret
from shared.ids import new_id
from shared.secret import Secret
from tests.lockout.held import DEVICE, LOGIN, SESSION, TEXT, Held, Model
from tests.lockout.mail import Mail
from tests.lockout.stage import Stage
from tests.support import auth

LOGIN_LIVES, TEXT_LIVES, SESSION_LIVES = timedelta(minutes=10), timedelta(minutes=5), timedelta(hours=12)
ENROLLMENT_LIVES, DEVICE_LIVES, WORD_LIVES = timedelta(minutes=10), timedelta(days=30), timedelta(hours=24)


class Caller:
    """A bearer client: it follows new tokens, and keeps what binds its logins."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def call(self, method: str, path: str, body: object = None, *, token: str = "", **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items() if value}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        return self._app.test_client().open(path, method=method, json=body, headers=sent)


class Hands(RuleBasedStateMachine):
    """What the rules act with; ``begin`` of the machine sets it up."""

    stage: ClassVar[Stage]
    tally: ClassVar[Counter] = Counter()

    caller: Caller
    mail: Mail
    model: Model
    account_id: str
    email: str
    password: str
    is_on: bool
    has_phone: bool
    number: int
    must_enrol: bool
    word: str
    word_until: datetime
    secret: str | None
    codes: list[str]
    spent: list[str]
    confirmed: list[str]
    app_code: str
    operators: list[str]

    def _operator(self, name: str) -> str:
        gateway, address = self.stage.gateway, f"{new_id(name).lower()}@example.com"
        operator = auth.make_account(gateway, address, role=Role.SUPPORT, team="Support")
        self.stage.world.enrol(operator.id)
        return operator.id

    def wait(self, seconds: float) -> None:
        self.stage.clock.now += timedelta(seconds=seconds)
        if hasattr(self, "model"):
            self._carry()
            self.model.expire(self.stage.clock.now)

    def _carry(self) -> None:
        """Events go to and fro until all is quiet; a reset that was applied took everything with it."""
        self.stage.world.end_windows()
        applied = self.mail.carry(self.account_id)
        if applied is not None:
            reset = next(one for one in self.model.held if one.id == applied)
            assert reset.alive, "a reset was applied that had ended"
            self.is_on, self.must_enrol = False, True
            self.word, self.word_until = reset.secret, self.stage.clock.now + WORD_LIVES
            self.model.reset_applied()
            self.tally["resets applied"] += 1

    def _code_of(self, base32: str) -> str:
        return self.stage.world.code(secret=decode_secret(Secret(base32)))

    def _console(self, number: int) -> str:
        account = auth.fresh(self.stage.gateway, self.mail.account(self.operators[number]))
        return auth.sign_in(self.stage.gateway, account)[1]

    def _own(self) -> bool:
        """Whether somebody can change something: there is a session, and a code for the step-up."""
        can_prove = bool(self.codes) if self.is_on else not self.must_enrol
        return bool(self.model.of(SESSION)) and can_prove

    def _one(self, kind: str, which: int, *, alive: bool | None = True) -> Held:
        held = self.model.of(kind, alive=alive)
        return held[which % len(held)]

    def _hold(self, kind: str, held_id: str, secret: str, *, lives: timedelta | None = None, **more: Any) -> Held:
        ends_at: datetime | None = self.stage.clock.now + lives if lives else None
        return self.model.add(Held(kind, held_id, secret, ends_at=ends_at, **more))

    def _ok(self, method: str, path: str, body: object = None, *, token: str = "", status: int = 200) -> Any:
        said = self.caller.call(method, path, body, token=token)
        assert said.status_code == status, (method, path, said.status_code, said.json)
        return said.json

    def _change(self, method: str, path: str, own: Held, body: object = None, *, status: int = 200) -> Any:
        said = self.caller.call(method, path, body, token=own.secret)
        assert said.status_code == status, (method, path, said.status_code, said.json)
        self._renewed(own, said)
        return said

    def _renewed(self, own: Held, said: Any) -> None:
        own.secret = said.headers.get("X-Session-Token", own.secret)

    def _begin(self) -> Held:
        body = {"email": self.email, "password": self.password, "transport": "bearer"}
        said = self._ok("POST", "/v1/login", body)["challenge"]
        login = self._hold(LOGIN, said["id"], said["binding"], lives=LOGIN_LIVES)
        login.takes_texts = self.has_phone
        return login

    def _state_of(self, login: Held) -> str:
        said = self.caller.call("GET", f"/v1/login/{login.id}", X_Challenge_Binding=login.secret)
        return "waits" if said.status_code == 200 else "gone"

    def _verify(self, login: Held, code: str, *, remember: bool = False) -> Any:
        body = {"code": code, "remember_device": remember}
        return self.caller.call("POST", f"/v1/login/{login.id}/verify", body, X_Challenge_Binding=login.secret)

    def _text(self, login: Held) -> Held | None:
        said = self.caller.call("POST", f"/v1/login/{login.id}/sms", X_Challenge_Binding=login.secret)
        assert (said.status_code == 202) == login.takes_texts, (said.status_code, said.json, login)
        if said.status_code != 202:
            return None
        code = self.stage.passcode(said.json["message_id"])
        for text in [text for text in self.model.of(TEXT) if text.login is login][:-1]:
            text.alive = False  # the current one and the one before it are taken
        return self._hold(TEXT, said.json["message_id"], code, login=login, lives=TEXT_LIVES)

    def _sign_in(self, factor: str, *, remember: bool) -> None:
        if not self.is_on:
            body = {"email": self.email, "password": self.password, "transport": "bearer"}
            self._hold_session(self._ok("POST", "/v1/login", body), "password", None)
            return
        login = self._begin()
        code = self._code(factor, login)
        if code is None:
            return
        said = self._verify(login, code, remember=remember)
        assert said.status_code == 200, (factor, said.status_code, said.json)
        self._signed_in(login, said.json, factor, remember=remember)

    def _code(self, factor: str, login: Held) -> str | None:
        """A right code of this kind; None where there is none."""
        if factor == "sms":
            text = self._text(login) if login.takes_texts else None
            return text.secret if text else None
        if factor == "recovery_code":
            return self._backup_code() if self.codes else None
        self.wait(61)
        self.app_code = self._code_now()
        return self.app_code

    def _code_now(self) -> str:
        """What the owner's app shows."""
        return self._code_of(self.secret) if self.secret else self.stage.world.code(account=self.account_id)

    def _backup_code(self) -> str:
        self.spent.append(self.codes.pop())
        return self.spent[-1]

    def _signed_in(self, login: Held, said: Any, factor: str, *, remember: bool) -> None:
        self.model.code_accepted(login, factor)
        device = None
        if remember and "device_token" in said:
            device = self._hold(DEVICE, "", said["device_token"], won_by=factor, lives=DEVICE_LIVES)
        self._hold_session(said, factor, device)

    def _hold_session(self, said: Any, factor: str, device: Held | None) -> None:
        session = said["session"]
        self._hold(SESSION, session["id"], said["token"], won_by=factor, device=device, lives=SESSION_LIVES)

    def _stepped_up(self, which: int) -> Held:
        """A session of the owner's with the full window open."""
        own = self._one(SESSION, which)
        body: dict[str, object] = {"password": self.password}
        if self.is_on:
            body["code"] = self._backup_code()
        self._ok("POST", "/v1/reauthenticate", body, token=own.secret)
        if self.is_on:
            self.model.code_accepted(None, "recovery_code")
        return own
