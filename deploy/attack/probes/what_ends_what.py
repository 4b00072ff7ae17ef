"""What a change of phone, device or second factor ends, and what a weaker factor may change (rows 41, 42, 56)."""

import base64
import json

from deploy.attack.browser import Browser
from deploy.attack.people import Owner, enrol, expect, new_number, prove_phone, sms_code, step_up
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import account_id, change_password, log_in_with, remembered
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

OVER = ("not_authenticated",)
NO_LOGIN = ("invalid_passcode", "challenge_expired")


@watched
def phone_gone(target: Target, watch: Watch) -> str:
    """Use sessions, devices and logins won by a phone after its owner removed or replaced it."""
    for what in ("removed", "replaced"):
        owner = enrol(target)
        prove_phone(owner)
        won = _by_sms(owner, remember=True)
        token = won.device_token
        late, challenge = owner.challenge()
        code = sms_code(owner, late, challenge)
        if what == "removed":
            watch.served("remove the phone", owner.browser.call("DELETE", "/v1/phone"), 204)
        else:
            prove_phone(owner)
        when = f"after the phone was {what}"
        watch.refused(f"a code that was texted before, {when}", late.verify(challenge, code), *NO_LOGIN)
        watch.refused(f"a session won by a texted code, {when}", won.get("/v1/session"), *OVER)
        answer = expect(log_in_with(owner, token), 200)
        watch.holds(
            f"a device remembered by a texted code skips the code {when}",
            answer["status"] == "second_factor_required",
        )
        watch.served(f"the owner's own session {when}", owner.browser.get("/v1/session"))
    return "a texted code, the session and the remembered device of a phone that was removed, and of one replaced"


@watched
def device_ended(target: Target, watch: Watch) -> str:
    """Go on in the session that a remembered device opened, after the owner forgot that device."""
    for what in ("one device", "all devices"):
        owner = enrol(target)
        opened = remembered(owner).browser
        watch.served("the session of a remembered device", opened.get("/v1/session"))
        path = "/v1/trusted-devices"
        if what == "one device":
            for item in expect(owner.browser.get(path), 200)["items"]:
                watch.served("forget a device", owner.browser.call("DELETE", f"{path}/{item['id']}"), 204)
        else:
            watch.served("forget all devices", owner.browser.call("DELETE", path), 204)
        answer = opened.get("/v1/session")
        watch.refused(f"a remembered device's session after the owner forgot {what}", answer, *OVER)
    return "sessions of remembered devices, after one and after all were forgotten"


@watched
def weaker_removes_stronger(target: Target, watch: Watch) -> str:
    """Change factors and phone from a session that a texted code opened; then step up with a texted code."""
    owner = enrol(target)
    prove_phone(owner)
    thief = _by_sms(owner)
    shown = thief.get("/v1/session").body
    watch.holds("a login by SMS opens a step-up window", shown["step_up_until"] is None)
    _changes_nothing(watch, owner, thief, "a session by SMS")
    thief = _by_sms(owner)
    sent = thief.post("/v1/reauthenticate/sms")
    if sent.status == 202:
        code = target.need_inbox().code(str(sent.body["reference"]))
        body = {"password": owner.account.password, "code": code}
        answer = thief.post("/v1/reauthenticate", body)
        watch.served("step up with a texted code", answer)
        watch.holds("a texted code opens the full window", answer.body.get("step_up") == "small")
        _changes_nothing(watch, owner, thief, "the window that a texted code opens")
        return "factors and phone changed by a session by SMS, and in the step-up window that a texted code opens"
    return "factors and phone changed by a session by SMS"


def _changes_nothing(watch: Watch, owner: Owner, thief: Browser, who: str) -> None:
    """Each call that adds or removes a factor or a phone."""
    phone = {"country": "DE", "number": new_number()}
    calls: list[tuple[str, str, object]] = [
        ("POST", "/v1/two-factor/recovery-codes", None),
        ("PUT", "/v1/phone", phone),
        ("PUT", f"/v1/team/{account_id(owner.browser)}/phone", phone),
        ("POST", "/v1/phone/sms", None),
        ("POST", "/v1/phone/call", None),
        ("DELETE", "/v1/phone", None),
        ("POST", "/v1/two-factor/enrollment", None),
        ("DELETE", "/v1/two-factor", None),
    ]
    for method, path, body in calls:
        shown = path if "/team/" not in path else "/v1/team/…/phone"
        watch.refused(f"{method} {shown} in {who}", thief.call(method, path, body), "step_up_required")


@watched
def assurance_that_was(target: Target, watch: Watch) -> str:
    """Read a session's assurance after the second factor that won it was turned off."""
    owner = enrol(target)
    browser = owner.browser
    expect(browser.call("DELETE", "/v1/two-factor"), 204)
    session = expect(browser.get("/v1/session"), 200)
    watch.holds("GET /v1/session says aal2 after 2FA is off", session["assurance"] == "aal1")
    verified = browser.get("/v1/session/verify")
    watch.holds("forward-auth says aal2 after 2FA is off", verified.headers.get("X-Assurance") == "aal1")
    watch.holds("forward-auth lists the app after 2FA is off", "totp" not in verified.headers.get("X-Factors", ""))
    claims = _claims(browser.post("/v1/session/token"))
    watch.holds("a JWT says aal2 after 2FA is off", claims.get("acr") == "aal1")
    watch.holds("a JWT lists two factors after 2FA is off", "mfa" not in str(claims.get("amr")))
    return "the session, forward-auth and a JWT after 2FA was turned off"


def _claims(answer: Answer) -> dict[str, object]:
    """The claims of the JWT, with its signature unchecked."""
    body = str(expect(answer, 200)["token"]).split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


@watched
def old_token(target: Target, watch: Watch) -> str:
    """A copy of the owner's own session token after the change that gave the owner a new one."""
    owner = enrol(target)
    thief = target.browser()
    thief.token = owner.browser.token
    owner = change_password(owner, owner.browser)
    watch.refused("a copy of the token after the password was changed", thief.get("/v1/session"), *OVER)
    watch.served("the owner's own session after it", owner.browser.get("/v1/session"))
    step_up(owner)
    thief.token = owner.browser.token
    expect(owner.browser.call("DELETE", "/v1/two-factor"), 204)
    watch.refused("a copy of the token after 2FA was turned off", thief.get("/v1/session"), *OVER)
    watch.served("the owner's own session after that", owner.browser.get("/v1/session"))
    return "copies of the owner's token from before a new password and before 2FA was turned off"


def _by_sms(owner: Owner, *, remember: bool = False) -> Browser:
    """A session that a texted code opened."""
    browser, challenge = owner.challenge()
    expect(browser.verify(challenge, sms_code(owner, browser, challenge), remember=remember), 200)
    return browser


PROBES = (
    Probe(21, "own-old-token", "A copy of the owner's token that outlives the owner's change", "ASVS 7.2.4", old_token),
    Probe(
        41,
        "phone-gone",
        "A texted code, session or remembered device that outlives its phone",
        "vaultwarden PR 7682",
        phone_gone,
    ),
    Probe(41, "device-ended", "The session of a remembered device that outlives it", "found here", device_ended),
    Probe(
        42,
        "weaker-removes-stronger",
        "A session by SMS that removes the stronger factor",
        "CVE-2026-3429",
        weaker_removes_stronger,
    ),
    Probe(
        56,
        "assurance-that-was",
        "Assurance that says what was true before",
        "RFC 8725 §3.9, GHSA-3q28-qjrv-qr39",
        assurance_that_was,
    ),
)
