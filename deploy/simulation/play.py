"""Plays a plan of requests, and keeps what became of each."""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from deploy.simulation.traffic import PURPOSES, Ask, Plan
from deploy.simulation.verifier import TurnedClock, enrol
from services.otp import lane_store, sms_challenge, verification
from services.otp.deps import Deps
from services.otp.domain.attempt import Verify
from services.otp.domain.lane import Lane
from services.otp.domain.passcode import Passcode
from services.otp.domain.purpose import Purpose
from services.otp.limits import SMS_LANE, sms_day_charge
from services.otp.sms_challenge import RequestSms, SmsChallenge
from shared import delivery
from shared.delivery import Claimed
from shared.envelope import open_envelope
from shared.keys import KeyList
from shared.problems import Refusal

# The windows live in Redis by its own clock: where ours is turned, they lose as much of their lives.
_AGE = """
for _, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end
"""


# Pumped sends: those before the first pause, a pause's probes, those between two pauses. Honest ones that were refused:
# until the attack was over, and later.
BEFORE, PROBE, AGAIN, SENT, REFUSED, REFUSED_LATER = "before", "probe", "again", "sent", "refused", "refused later"


@dataclass
class Fate:
    """What became of the requests of one lane."""

    pumped: Counter[str] = field(default_factory=Counter)  # by BEFORE, PROBE, AGAIN, REFUSED
    honest: Counter[str] = field(default_factory=Counter)  # by SENT, REFUSED, REFUSED_LATER
    pauses: int = 0
    healed_after_minutes: float | None = None  # since the attack ended


class Simulation:
    """One plan, played against one verifier. ``clock`` is the one in ``deps``; ``notify_keys`` open its texts."""

    def __init__(self, deps: Deps, clock: TurnedClock, notify_keys: KeyList, plan: Plan) -> None:
        self._deps, self._clock, self._keys, self.plan = deps, clock, notify_keys, plan
        prefixes = {*plan.shares, *plan.pumped_prefixes}
        self.fates = {Lane(*pair): Fate() for pair in itertools.product(PURPOSES, sorted(prefixes))}
        self._begun = clock.now
        self._pauses: dict[Lane, str] = {}
        self._entries: list[tuple[float, int, Ask, str, str]] = []
        self._windows = sms_day_charge(Purpose.LOGIN, deps.sms_daily_cap).keys()
        for lane in self.fates:
            self._windows += [lane_store.paused_key(lane), *lane_store.credited(lane, probe=True)]
            self._windows += lane_store.tallies_with(lane, [True] * len(SMS_LANE))

    def run(self, everybody: Iterable[Ask]) -> None:
        """Let all of them ask, and those who read their text enter its code."""
        for number, ask in enumerate(everybody):
            self._enter_until(ask.at)
            self._turn_to(ask.at)
            sent = self._ask(ask)
            if sent is not None and ask.enters_after is not None:
                code = self._deliver(sent)
                heapq.heappush(self._entries, (ask.at + ask.enters_after, number, ask, sent.message_id, code))
        self._enter_until(float("inf"))

    def _ask(self, ask: Ask) -> SmsChallenge | None:
        fate = self.fates[ask.lane]
        if ask.purpose is Purpose.LOGIN:
            enrol(self._deps, ask.account_id)
        command = RequestSms(ask.account_id, ask.purpose, f"for_{ask.account_id}", ask.phone)
        try:
            sent = sms_challenge.request(self._deps, command)
        except Refusal as refusal:
            if refusal.code != "sms_unavailable":
                raise
            sent = None
        paused = self._is_paused(ask, fate)
        if ask.pumped:
            passed = PROBE if paused else AGAIN if fate.pauses else BEFORE
            fate.pumped[REFUSED if sent is None else passed] += 1
        else:
            refused = REFUSED if ask.at < self.plan.attack[1] else REFUSED_LATER
            fate.honest[refused if sent is None else SENT] += 1
        return sent

    def _is_paused(self, ask: Ask, fate: Fate) -> bool:
        pause_id = self._deps.redis.get(lane_store.paused_key(ask.lane))
        if pause_id is not None and pause_id != self._pauses.get(ask.lane):
            fate.pauses += 1
            fate.healed_after_minutes = None
            self._pauses[ask.lane] = str(pause_id)
        elif pause_id is None and fate.pauses and fate.healed_after_minutes is None:
            fate.healed_after_minutes = (ask.at - self.plan.attack[1]) / 60
        return pause_id is not None

    def _deliver(self, sent: SmsChallenge) -> str:
        claimed = delivery.claim(self._deps.redis, sent.message_id, self._clock.now, sent.deadline)
        assert isinstance(claimed, Claimed)  # noqa: S101 - nobody else sends here
        return open_envelope(self._keys, claimed.text.sealed).body[-6:]

    def _enter_until(self, moment: float) -> None:
        while self._entries and self._entries[0][0] <= moment:
            at, _, ask, _, code = heapq.heappop(self._entries)
            self._turn_to(at)
            command = Verify(ask.account_id, Passcode(code), ask.purpose, f"for_{ask.account_id}")
            verification.verify(self._deps, command)

    def _turn_to(self, at: float) -> None:
        now = self._begun + timedelta(seconds=at)
        passed_ms = int((now - self._clock.now).total_seconds() * 1000)
        if passed_ms > 0:
            self._deps.redis.eval(_AGE, len(self._windows), *self._windows, str(passed_ms))
            self._clock.now = now

    def merged(self, lanes: Iterable[Lane]) -> Fate:
        """What became of all requests of these lanes."""
        merged = Fate()
        for lane in lanes:
            fate = self.fates[lane]
            merged.pumped += fate.pumped
            merged.honest += fate.honest
            merged.pauses += fate.pauses
        return merged
