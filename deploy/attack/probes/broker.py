"""Attacks by a writer of the broker: forged, early, foreign and replayed messages (rows 48, 67)."""

import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from deploy.attack import broker_access
from deploy.attack.inbox import Inbox
from deploy.attack.people import Owner, enrol, expect, operator, prove_phone
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import account_id, change_password, two_factor_is_on
from deploy.attack.support import cooling_reset, status_of
from deploy.attack.watch import Watch, watched
from deploy.portal import wait_for
from shared.clock import rfc3339, system_clock
from shared.ids import new_id
from shared.messages import AUTH, AUTH_EVENTS, OTP, OTP_EVENTS, SMS_CODES, SMS_NOTICES

_ACTS_SECONDS = 6.0


@watched
def forged_events(target: Target, watch: Watch) -> str:
    """Put events on the broker that their sender has not signed."""
    control = target.need_control()
    resets, offs = {}, {}
    for how, signed in broker_access.forgeries(control, AUTH, OTP_EVENTS):
        resets[how] = owner = enrol(target)
        apps = expect(owner.browser.get("/v1/two-factor"), 200)["authenticators"]
        named = {"reset_id": new_id("rst"), "authenticators": [app["id"] for app in apps]}
        event = _event("two_factor.reset_approved", account_id(owner.browser), **named)
        broker_access.publish(control, OTP_EVENTS, signed(event))
    for how, signed in broker_access.forgeries(control, OTP, AUTH_EVENTS):
        offs[how] = owner = enrol(target)
        event = _event("two_factor.disabled", account_id(owner.browser), session_id=None)
        broker_access.publish(control, AUTH_EVENTS, signed(event))
    time.sleep(_ACTS_SECONDS)
    for how, owner in resets.items():
        watch.holds(f"a reset approved with {how} turned 2FA off", not _is_off(owner))
    for how, owner in offs.items():
        watch.holds(f"2FA off in an event with {how} ended the owner's session", not _is_out(owner))
    return "resets approved and 2FA turned off in events without a signature, and with others' keys"


@watched
def early_event(target: Target, watch: Watch) -> str:
    """End a cool-off by an event that arrives early: a forged one, and the genuine one itself."""
    control = target.need_control()
    owner, support = enrol(target), operator(target)
    prove_phone(owner)
    reset = cooling_reset(support, owner)
    event = _event("two_factor.reset_cool_off_ended", account_id(owner.browser), reset_id=reset)
    for _, signed in broker_access.forgeries(control, AUTH, AUTH_EVENTS):
        broker_access.publish(control, AUTH_EVENTS, signed(event))
    watch.holds("a forged event ended a cool-off", not _happens(partial(_cools_no_more, support, reset)))
    lawful = broker_access.waiting_in(control, AUTH_EVENTS, str(event["type"]))
    if lawful is not None and lawful.get("reset_id") == reset:
        broker_access.publish(control, AUTH_EVENTS, lawful)
        watch.holds("the event came early, and ended it", not _happens(partial(_cools_no_more, support, reset)))
    return "events that say that a cool-off is over, seconds after it began"


@watched
def text_without_sender(target: Target, watch: Watch) -> str:
    """Text any number: seal a text with notify's public key, and replay a genuine notice."""
    control, inbox = target.need_control(), target.need_inbox()
    words = "Your account is blocked: https://evil.example"
    numbers = {}
    for how, signed in broker_access.forgeries(control, AUTH, SMS_NOTICES):
        numbers[f"a notice with {how}"] = number = _number()
        order = broker_access.notice_order(broker_access.sealed(control, number, words))
        broker_access.publish(control, SMS_NOTICES, signed(order))
    numbers["a code with notify's key in the name of otp"] = number = _number()
    broker_access.publish(
        control, SMS_CODES, broker_access.leave_code(control, broker_access.sealed(control, number, words))
    )
    owner = enrol(target)
    prove_phone(owner)
    change_password(owner, owner.browser)
    order = wait_for(lambda: broker_access.waiting_in(control, SMS_NOTICES, "send_sms_notice"), seconds=20.0)
    time.sleep(_ACTS_SECONDS)
    sent = {message["to"] for message in inbox.messages()}
    for how, number in numbers.items():
        watch.holds(f"{how} was sent to any number", number not in sent)
    texts = _texts(inbox)
    broker_access.publish(control, SMS_NOTICES, {**order, "id": new_id("msg"), "message_id": new_id("msg")})
    broker_access.publish(control, SMS_NOTICES, order)
    watch.holds("a lawful text was sent again", not _happens(lambda: _texts(inbox) > texts))
    return "own words sealed with notify's public key; a lawful notice played again, as it is and under another id"


def _number() -> str:
    return f"+4915129{secrets.randbelow(10**6):06d}"


def _texts(inbox: Inbox) -> int:
    return sum(message["channel"] == "sms" for message in inbox.messages())


def _event(kind: str, account: str, **members: object) -> dict[str, Any]:
    return {
        "type": kind,
        "version": 1,
        "id": new_id("evt"),
        "occurred_at": rfc3339(system_clock() + timedelta(seconds=1)),
        "account_id": account,
        **members,
    }


def _happens(seen: Callable[[], bool]) -> bool:
    """Whether the effect is seen within the time that an event takes."""
    try:
        return bool(wait_for(seen, seconds=_ACTS_SECONDS, every=0.3))
    except TimeoutError:
        return False


def _is_off(owner: Owner) -> bool:
    """Whether 2FA is off, by the owner's session, or by a new login when that session has ended."""
    if not _is_out(owner):
        return not two_factor_is_on(owner.browser)
    account = owner.account
    answer = expect(owner.target.browser().log_in(account.email, account.password), 200)
    return bool(answer["status"] == "authenticated")


def _is_out(owner: Owner) -> bool:
    return owner.browser.get("/v1/session").status == 401


def _cools_no_more(support: Owner, reset: str) -> bool:
    return status_of(support, reset) not in {"cooling_off", "cancelled"}


PROBES = (
    Probe(48, "forged-events", "Forged and foreign events on the broker", "found here", forged_events),
    Probe(48, "early-event", "An event that ends a cool-off early", "found here", early_event),
    Probe(
        67,
        "text-without-sender",
        "A sealed text without a sender, and one played again",
        "found here",
        text_without_sender,
        alone=True,
    ),
)
