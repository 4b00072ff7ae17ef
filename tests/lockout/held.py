"""What somebody holds that opens an account, and what each change ends of it: the table of the design, once more.

It knows nothing of the product's own table, so that a fault in that one shows.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime

SESSION, DEVICE, LOGIN, TEXT, ENROLLMENT, RESET = "session", "device", "login", "text", "enrollment", "reset"


@dataclass(eq=False)
class Held:
    """One thing. ``won_by``: the factor that it rests on. ``device`` and ``session``: what opened it."""

    kind: str
    id: str
    secret: str = ""
    won_by: str = "password"
    device: "Held | None" = None
    session: "Held | None" = None
    login: "Held | None" = None
    ends_at: datetime | None = None
    takes_texts: bool = True
    alive: bool = True

    @property
    def rests_on_sms(self) -> bool:
        """Whether a texted code won it, or won the trust of the device that opened it."""
        return self.won_by == "sms" or (self.device is not None and self.device.won_by == "sms")


@dataclass
class Model:
    """All that was ever held; what has ended stays, to be tried."""

    held: list[Held] = field(default_factory=list)

    def of(self, kind: str, *, alive: bool | None = True) -> list[Held]:
        """All of a kind, dead ones too if ``alive`` is None."""
        return [one for one in self.held if one.kind == kind and alive in {None, one.alive}]

    def add(self, one: Held) -> Held:
        self.held.append(one)
        return one

    def expire(self, now: datetime) -> None:
        """What time ends."""
        for one in self.held:
            one.alive = one.alive and (one.ends_at is None or now < one.ends_at)

    def _end(self, *kinds: str, spare: Held | None = None) -> None:
        for one in self.held:
            if one.kind in kinds and one is not spare:
                one.alive = False

    def password_changed(self, own: Held) -> None:
        self._end(SESSION, DEVICE, LOGIN, TEXT, ENROLLMENT, spare=own)

    def factor_changed(self, own: Held) -> None:
        """A factor was added or removed."""
        self._end(SESSION, DEVICE, LOGIN, TEXT, ENROLLMENT, RESET, spare=own)

    def reset_applied(self) -> None:
        self._end(SESSION, DEVICE, LOGIN, TEXT, ENROLLMENT, RESET)

    def restored(self, parts: Collection[str]) -> None:
        """Some of auth's database, otp's and Redis came back from a backup."""
        self._end(SESSION, LOGIN, TEXT)
        if "otp" in parts:
            self._end(ENROLLMENT)
        if "auth" in parts:
            self._end(DEVICE, RESET)

    def phone_changed(self) -> None:
        """It was removed, or another one took its place."""
        for one in self._resting_on_sms():
            one.alive = False
        self._end(TEXT)
        for login in self.of(LOGIN):
            login.takes_texts = False

    def _resting_on_sms(self) -> Iterator[Held]:
        return (one for one in self.held if one.kind in {SESSION, DEVICE} and one.rests_on_sms)

    def code_accepted(self, login: Held | None, factor: str) -> None:
        """At a login, or at a step-up. A texted code says nothing about a reset."""
        if login is not None:
            login.alive = False
            for text in self.of(TEXT):
                text.alive = text.alive and text.login is not login
        if factor != "sms":
            self._end(RESET)

    def device_ended(self, device: Held) -> None:
        device.alive = False
        for one in self.held:
            if one.kind in {SESSION, LOGIN} and one.device is device:
                self.session_ended(one) if one.kind == SESSION else self.login_ended(one)

    def session_ended(self, session: Held) -> None:
        session.alive = False
        for one in self.of(ENROLLMENT):
            one.alive = one.alive and one.session is not session

    def login_ended(self, login: Held) -> None:
        login.alive = False
        for text in self.of(TEXT):
            text.alive = text.alive and text.login is not login
