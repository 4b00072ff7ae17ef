"""Codes by SMS: sent twice, meant for something else, bought in masses, and reported by a stranger (27, 30, 31, 32)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlencode

from deploy.attack.browser import Browser
from deploy.attack.inside import frozen, publish_again
from deploy.attack.people import Owner, enrol, expect, new_number, prove_phone
from deploy.attack.probe import Probe, Target
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, wait_for
from shared.clock import parse_rfc3339

COPIES = 20
CALLBACK = "/v1/callbacks/twilio/status"
# Asks what a call says after its keys. Nobody has a token but the provider that calls.
CALLBACK_OF_CALLS = "/v1/callbacks/twilio/call"
_SECONDS = 40.0
_LAST_USEFUL_SEND = timedelta(seconds=30)


# --- row 27 -----------------------------------------------------------------------------------------------------------


@watched
def delivered_twice(target: Target, watch: Watch) -> str:
    """The broker hands one order out many times: at one moment, after it was carried out, late, after a crash."""
    control, inbox = target.need_control(), target.need_inbox()
    owner = enrol(target)
    prove_phone(owner)
    browser, challenge = owner.challenge()
    with frozen(control.processes_of("notify-codes")):
        sent = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
        deadline = parse_rfc3339(sent["expires_at"]) - _LAST_USEFUL_SEND
        publish_again(control, sent["message_id"], deadline, COPIES)
    inbox.text(sent["reference"])
    publish_again(control, sent["message_id"], deadline, COPIES)
    _wait_behind(target)
    arrived = _count(target, sent["reference"])
    watch.holds(f"one order delivered {2 * COPIES + 1} times sent {arrived} SMS", arrived == 1, 2 * COPIES)

    browser, challenge = owner.challenge()
    with frozen(control.processes_of("notify-codes")):
        late = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
        expect(browser.verify(challenge, owner.recovery_codes.pop()), 200)
    publish_again(control, late["message_id"], deadline, COPIES)
    _wait_behind(target)
    arrived = _count(target, late["reference"])
    watch.holds("a code was sent after its login was over", arrived == 0, COPIES)

    other = enrol(target)
    prove_phone(other)
    browser, challenge = other.challenge()
    workers = control.processes_of("notify-codes")
    with frozen(workers):
        last = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
        for worker in workers:
            worker.kill()
    inbox.text(last["reference"])
    _wait_behind(target)
    arrived = _count(target, last["reference"])
    watch.holds(f"an order that met a crash sent {arrived} SMS", arrived == 1)
    return f"{COPIES} copies at one moment, {COPIES} after it was sent, {COPIES} after the login, and a killed worker"


def _wait_behind(target: Target) -> None:
    """Until an order is carried out that was put on the queue after all others."""
    marker = enrol(target)
    prove_phone(marker)


def _count(target: Target, reference: str) -> int:
    messages = target.need_inbox().messages()
    return sum(message["channel"] == "sms" and reference in message["body"] for message in messages)


# --- row 30 -----------------------------------------------------------------------------------------------------------


@watched
def other_purpose(target: Target, watch: Watch) -> str:
    """A code that is good, entered where it was not asked for."""
    inbox, owner = target.need_inbox(), enrol(target)
    prove_phone(owner)
    password = owner.account.password
    browser, first = owner.challenge()
    for_login = inbox.code(expect(browser.post(f"/v1/login/{first}/sms"), 202)["reference"])
    sent = expect(owner.browser.call("PUT", "/v1/phone", {"country": "DE", "number": new_number()}), 202)
    for_phone = inbox.code(sent["reference"])
    other, second = owner.challenge()

    def steps_up(code: str) -> Answer:
        return owner.browser.post("/v1/reauthenticate", {"password": password, "code": code})

    def proves_phone(code: str) -> Answer:
        return owner.browser.post("/v1/phone/verify", {"code": code})

    for what, answer in (
        ("a phone's code signs in", browser.verify(first, for_phone)),
        ("a login's code answers another login", other.verify(second, for_login)),
        ("a login's code steps up", steps_up(for_login)),
        ("a phone's code steps up", steps_up(for_phone)),
        ("a login's code proves a phone", proves_phone(for_login)),
        ("the app's code proves a phone", proves_phone(owner.app.fresh())),
    ):
        watch.refused(what, answer, "invalid_passcode")
    _ids_for_others(watch, owner, browser, first)
    watch.served("the login's code where it was asked for", browser.verify(first, for_login))
    watch.served("the phone's code where it was asked for", proves_phone(for_phone))
    another = target.copy_of(browser)
    watch.refused("a challenge that was used", another.verify(first, owner.recovery_codes[0]), "challenge_expired")
    return "live SMS and app codes of login, step-up and phone in each other's places; a challenge's id as a session"


def _ids_for_others(watch: Watch, owner: Owner, browser: Browser, challenge: str) -> None:
    bearer = owner.target.browser()
    bearer.token = challenge
    watch.refused("a challenge's id as a session", bearer.get("/v1/session"), "not_authenticated")
    answer = browser.post("/v1/two-factor/resets/cancel", {"token": challenge})
    watch.refused("a challenge's id as a reset's token", answer, "not_found")


# --- row 32 -----------------------------------------------------------------------------------------------------------


@watched
def forged_callback(target: Target, watch: Watch) -> str:
    """A stranger reports what became of an SMS; then the provider does, and its word is played again."""
    owner = enrol(target) if target.inbox is not None else None
    message_id, browser, challenge = "sms_000000000000000000000000", target.browser(), ""
    if owner is not None:
        prove_phone(owner)
        browser, challenge = owner.challenge()
        sent = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
        message_id = sent["message_id"]
        owner.target.need_inbox().text(sent["reference"])
    token = None if target.control is None else target.control.settings.environ.get("TWILIO_AUTH_TOKEN")
    url, other = _url(target, message_id), _url(target, "sms_111111111111111111111111")
    call = f"{target.base_url}{CALLBACK_OF_CALLS}?message_id={message_id}&token={secrets.token_urlsafe(32)}"
    form = {"MessageSid": "SM" + "0" * 32, "MessageStatus": "failed", "ErrorCode": "30003"}
    forged = {
        "no signature": None,
        "an empty signature": "",
        "a random signature": base64.b64encode(secrets.token_bytes(20)).decode(),
        "a signature with another key": signature(secrets.token_hex(16), url, form),
        "a signature with an empty key": signature("", url, form),
    }
    if token is not None:
        forged |= {
            "another message's signature": signature(token, other, form),
            "another status's signature": signature(token, url, {**form, "MessageStatus": "sent"}),
            "the signature of fewer members": signature(token, url, {"MessageSid": form["MessageSid"]}),
            "the signature without the query": signature(token, url.partition("?")[0], form),
        }
    for what, value in forged.items():
        watch.refused(what, _report(target, url, form, value), "invalid_signature")
        watch.refused(f"{what}, to a call", _report(target, call, {**form, "Digits": "00"}, value), "invalid_signature")
    if owner is None:
        return f"{len(forged)} forged callbacks for an unknown message"
    before = _status(browser, challenge)
    watch.holds(f"a forged callback made the delivery {before!r}", before == "sent")
    if watch.holes:
        return f"{len(forged)} forged callbacks"
    if token is None:
        return f"{len(forged)} forged callbacks (the provider's own need TWILIO_AUTH_TOKEN of a stack of this machine)"

    told = {**form, "MessageStatus": "delivered", "ErrorCode": ""}
    genuine = [(told, signature(token, url, told)), (form, signature(token, url, form))]
    watch.served("the provider's callback", _report(target, url, *genuine[0]), 204)
    wait_for(lambda: _status(browser, challenge) == "delivered", seconds=_SECONDS)
    for body, value in genuine * 3:
        watch.served("a callback that is played again", _report(target, url, body, value), 204)
    _wait_for_a_receipt(target, token)
    after = _status(browser, challenge)
    watch.holds(f"a callback played again made the delivery {after!r}", after == "delivered", len(genuine) * 3)
    return f"{len(forged)} forged callbacks, a genuine one, and six that come late or again"


def signature(token: str, url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature as Twilio's documents have it: HMAC-SHA1 over the URL and the members in their order."""
    text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


def _url(target: Target, message_id: str) -> str:
    return f"{target.base_url}{CALLBACK}?message_id={message_id}"


def _report(target: Target, url: str, form: Mapping[str, str], value: str | None) -> Answer:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if value is not None:
        headers["X-Twilio-Signature"] = value
    path = url.removeprefix(target.base_url)
    return target.browser().raw("POST", path, urlencode(form).encode(), headers)


def _status(browser: Browser, challenge: str) -> str:
    return str(expect(browser.get(f"/v1/login/{challenge}"), 200)["delivery"]["status"])


def _wait_for_a_receipt(target: Target, token: str) -> None:
    """Until a callback has taken effect that came after all others."""
    owner = enrol(target)
    prove_phone(owner)
    browser, challenge = owner.challenge()
    sent = expect(browser.post(f"/v1/login/{challenge}/sms"), 202)
    target.need_inbox().text(sent["reference"])
    url, form = _url(target, sent["message_id"]), {"MessageStatus": "delivered"}
    expect(_report(target, url, form, signature(token, url, form)), 204)
    wait_for(lambda: _status(browser, challenge) == "delivered", seconds=_SECONDS)


PROBES = (
    Probe(
        27,
        "delivered-twice",
        "A task delivered twice, late or after a crash: at most one SMS, none after its end, none lost",
        "kombu#337, celery#5306",
        delivered_twice,
        alone=True,
    ),
    Probe(30, "other-purpose", "A code of one purpose used for another", "fxa's purpose rule", other_purpose),
    Probe(
        32,
        "forged-callback",
        "A forged delivery callback, or one that is played again",
        "Twilio: X-Twilio-Signature",
        forged_callback,
    ),
)
