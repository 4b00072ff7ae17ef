"""What a send must pass: its owner's budgets, then the guards against SMS pumping. One round trip counts for all.

Whoever pumps rotates accounts, phones and addresses; what stays is the range that earns. So sends are counted by
prefix and purpose (a lane), weighed by who makes them, and compared with the codes of that lane that came back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import structlog

from services.otp import lane_store
from services.otp.deps import Deps
from services.otp.domain import conversion
from services.otp.domain.conversion import Evidence, ProbeRound
from services.otp.domain.lane import Lane
from services.otp.domain.purpose import PURPOSES_BY_SMS
from services.otp.limits import (
    SMS_LANE,
    SMS_PROBE,
    SMS_PROBES_NEEDED,
    SMS_RESEND,
    call_charges,
    send_charges,
    sms_day_charge,
)
from services.otp.sms_store import LivePasscode, Slot, parse
from shared import budgets
from shared.budgets import Charge, Taken
from shared.channel import Channel
from shared.ids import new_id
from shared.phone import PhoneNumber
from shared.problems import Refusal

log = structlog.get_logger("otp.sms")


class Cause(StrEnum):
    """Why no code can be sent though its owner did nothing wrong; the page has words for each."""

    DESTINATION = "destination"
    TODAY = "today"


_DETAILS: Mapping[Cause, str] = {
    Cause.DESTINATION: (
        "Codes by SMS to numbers like this one are paused for now. "
        "Use your authenticator app or a backup code, or try again later."
    ),
    Cause.TODAY: "No more codes can be sent by SMS today. Use your authenticator app or a backup code.",
}


@dataclass(frozen=True, slots=True)
class Permit:
    """The send is counted. ``live``: the passcodes of its slot that live already, newest first.

    ``probe``: its lane is paused, and this one tries whether it may go on. ``weighed``: whether the breaker counts it,
    in each row of SMS_LANE.
    """

    phone: str
    prefix: str
    live: list[LivePasscode]
    probe: bool
    weighed: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class _Charges:
    """All that a send is counted against."""

    person: tuple[Charge, ...]
    prefix: tuple[Charge, ...]
    day: Charge
    calls: tuple[Charge, ...]
    probe: Charge

    @classmethod
    def of(cls, deps: Deps, slot: Slot, phone: str, lane: Lane, *, device_known: bool, channel: Channel) -> "_Charges":
        return cls(
            person=(
                Charge(SMS_RESEND, f"{slot.account_id}:{slot.name}"),
                *send_charges(slot.purpose, slot.account_id, phone, device_known=device_known),
            ),
            prefix=tuple(Charge(row.rate, lane.subject) for row in SMS_LANE),
            day=sms_day_charge(slot.purpose, deps.sms_daily_cap),
            calls=_calls(deps, slot, phone, device_known=device_known) if channel is Channel.CALL else (),
            probe=Charge(SMS_PROBE, lane.subject, only_while=lane_store.paused_key(lane)),
        )

    def counted(self, *, probe: bool) -> tuple[Charge, ...]:
        """Those of a send that went out."""
        return (*self.person, *self.prefix, self.day, *self.calls, *((self.probe,) if probe else ()))


def _calls(deps: Deps, slot: Slot, phone: str, *, device_known: bool) -> tuple[Charge, Charge]:
    return call_charges(slot.purpose, phone, deps.sms_daily_cap, device_known=device_known)


def take(deps: Deps, slot: Slot, phone: PhoneNumber, *, device_known: bool, channel: Channel = Channel.SMS) -> Permit:
    """Count a send to this phone; one that is refused is counted nowhere. A known device pays from rows of its own.

    A call pays what a text pays, and the rows of calls besides.

    Raises too_many_requests (its owner asked too often), sms_unavailable (its lane or the day is spent).
    """
    digest, lane = deps.digest_keys.newest.mac("phone", phone.e164), Lane.of(slot.purpose, phone)
    charges = _Charges.of(deps, slot, digest, lane, device_known=device_known, channel=channel)
    everything = charges.counted(probe=True)
    weighing = lane_store.weighing(lane, slot.account_id, digest)
    taken = budgets.take(deps.redis, *everything, read=[slot.key, *lane_store.state_keys(lane)], weighing=weighing)
    weighed = tuple(tally.is_added for tally in taken.weighed)
    waits = dict(zip(everything, taken.waits, strict=True))
    sends = dict(zip(everything, taken.counts, strict=True))
    if wait := max(waits[charge] for charge in charges.person):
        raise Refusal("too_many_requests", retry_after_seconds=wait)

    state = lane_store.read_state(taken.read[1:])
    if state.pause_id is None:
        evidence = [
            Evidence(row.rule, tally.sum, verified)
            for row, tally, verified in zip(SMS_LANE, taken.weighed, state.verified, strict=True)
        ]
        if conversion.outrun(evidence):
            _pause(deps, lane, evidence)
            _uncount(deps, taken, charges.counted(probe=False))
            budgets.unweigh(deps.redis, lane_store.tallies_with(lane, weighed), weighing.senders)
            raise _unavailable(Cause.DESTINATION, 0)
    elif conversion.healed(ProbeRound(state.probes_verified, SMS_PROBES_NEEDED)):
        # Not the lane's: its counts end with the pause, and what others have counted anew since is theirs.
        _uncount(deps, taken, (*charges.person, charges.day, *charges.calls))
        if lane_store.resume(deps.redis, lane, state.pause_id):
            log.warning("sms resumed", prefix=lane.prefix, purpose=lane.purpose)
        return take(deps, slot, phone, device_known=device_known, channel=channel)

    if wait := max(waits[charge] for charge in (*charges.prefix, charges.probe)):
        raise _unavailable(Cause.DESTINATION, wait)
    if wait := max(waits[charge] for charge in (charges.day, *charges.calls)):
        raise _unavailable(Cause.TODAY, wait)
    _report_spent(deps, sends[charges.day])
    live = parse(taken.read[0], deps.clock())
    return Permit(digest, lane.prefix, live, probe=state.pause_id is not None, weighed=weighed)


def give_back(deps: Deps, slot: Slot, passcode: LivePasscode) -> None:
    """Uncount a send that did not happen after all. Raises RedisError."""
    lane = Lane(slot.purpose, passcode.prefix)
    known, channel = passcode.device_known, passcode.channel
    charges = _Charges.of(deps, slot, passcode.phone, lane, device_known=known, channel=channel)
    budgets.refund(deps.redis, *charges.counted(probe=passcode.probe))
    senders = lane_store.senders(slot.account_id, passcode.phone)
    budgets.unweigh(deps.redis, lane_store.tallies_with(lane, passcode.weighed), senders)


def _pause(deps: Deps, lane: Lane, evidence: Iterable[Evidence]) -> None:
    if lane_store.pause(deps.redis, lane, new_id("pau"), deps.clock()):
        counts = [f"{seen.verified} of {seen.sends}" for seen in evidence]
        log.warning("sms paused", prefix=lane.prefix, purpose=lane.purpose, verified=counts)


def _uncount(deps: Deps, taken: Taken, charges: tuple[Charge, ...]) -> None:
    if taken.allowed:
        budgets.refund(deps.redis, *charges)


def _report_spent(deps: Deps, sends: int) -> None:
    """Once for each purpose that has no more sends today: the count passes each mark once."""
    for purpose in PURPOSES_BY_SMS:
        if sends == sms_day_charge(purpose, deps.sms_daily_cap).rate.windows[0].max:
            log.warning("sms of the day spent", purpose=purpose, sends=sends)


def _unavailable(cause: Cause, wait_seconds: int) -> Refusal:
    return Refusal(
        "sms_unavailable",
        detail=_DETAILS[cause],
        retry_after_seconds=wait_seconds or None,
        reason=cause,
        extra={"cause": cause},
    )
