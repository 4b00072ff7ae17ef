"""The story of the portal's help page, chapter by chapter.

The member's account is the one that is played with; the owner's is left alone for the person who tries by hand.
"""

import time
from dataclasses import dataclass
from typing import Any

from deploy import ceremony
from deploy.demo.stage import Stage, code_in
from deploy.local.demo_data import DemoAccount, DemoData
from deploy.portal import STEP_SECONDS, AuthenticatorApp, Portal, wait_for

PHONE = {"country": "DE", "number": "01512 3456789"}
CLOCK_FAST_SECONDS = 150
WRONG_CODES = 5  # after so many in five minutes the next one is not compared


@dataclass(slots=True)
class Story:
    """The people of the story and what they hold."""

    stage: Stage
    base_url: str
    member: DemoAccount
    operators: tuple[DemoAccount, DemoAccount]
    word: str | None = None  # what the operator of the last reset read to the caller

    @classmethod
    def on(cls, demo: DemoData) -> "Story":
        """A story on a running stack."""
        operators = [account for account in demo.accounts if account.role == "support"]
        member = next(account for account in demo.accounts if account.role == "member")
        return cls(Stage(Portal(demo.base_url, patient=True)), demo.base_url, member, (operators[0], operators[1]))

    def play(self) -> None:
        """All chapters. Raises DeviationError at the first thing that goes otherwise."""
        first, second = self.operator_signs_in(0), self.operator_signs_in(1)
        self.clean_slate(first, second)
        portal = Portal(self.base_url, patient=True)
        app, codes = self.turn_it_on(portal)
        self.sign_in_with_the_app(app)
        self.clock_is_wrong(app)
        self.backup_code(codes)
        self.too_many_wrong_codes(first, second, app)
        self.sms(app)
        self.remember_this_device(app)
        new_app = self.lost_phone(first, second, app)
        self.second_operator_and_cancel(first, second)
        self.turn_it_off(new_app)

    # --- before the curtain -----------------------------------------------------------------------------------------

    def operator_signs_in(self, index: int) -> Portal:
        """A support operator, whose second factor is on."""
        operator = self.operators[index]
        app, portal = AuthenticatorApp(operator.totp_secret or ""), Portal(self.base_url, patient=True)
        challenge = self.stage.expect(portal.log_in(operator.email, operator.password), 200)["challenge"]
        answer = portal.verify(challenge["id"], app.fresh())
        if answer.code == "invalid_passcode":  # an earlier run has used this step's code, which is spent
            self.stage.aside("an earlier run has used this code; the operator waits for the next one")
            answer = portal.verify(challenge["id"], app.fresh())
        self.stage.expect(answer, 200)
        return portal

    def lift_the_lock(self, operator: Portal, second: Portal, reason: str) -> None:
        """Lift the account's lock, with ticket and reason; from the fourth time in a day a second operator approves."""
        account = f"/v1/support/accounts/{self.member.id}"
        answer = operator.post(f"{account}/unlock", {"ticket": "DEMO-LOCK", "reason": reason})
        if answer.status == 202:
            self.stage.aside("three unlocks a day are one operator's; this one takes a second operator")
            answer = second.post(f"{account}/unlocks/{answer.body['id']}/approve")
        self.stage.expect(answer, 204)

    def clean_slate(self, operator: Portal, second: Portal) -> None:
        """What an earlier run or a person left behind is put right, the way support would."""
        found = self.stage.expect(operator.get(f"/v1/support/accounts/{self.member.id}"), 200)
        if found["two_factor"]["throttles"] or found["two_factor"]["locked"] or found["password_throttled_until"]:
            self.lift_the_lock(operator, second, "left by an earlier run")
        if found["two_factor"]["enabled"]:
            self.stage.aside("2FA was left on by an earlier run; support resets it first")
            self.reset(operator, second)

    # --- the chapters -----------------------------------------------------------------------------------------------

    def turn_it_on(self, portal: Portal) -> tuple[AuthenticatorApp, list[str]]:
        """Scan, type, Update; then the Backup Codes."""
        stage = self.stage
        stage.chapter("Enable Two-Factor Authentication")
        body = stage.expect(portal.log_in(self.member.email, self.member.password), 200)
        if body["status"] != "authenticated":
            stage.fail("2FA is on already")
        if body["session"]["account"]["phone_hint"]:
            stage.aside("an earlier run left a phone number; it is removed first")
            stage.expect(portal.call("DELETE", "/v1/phone"), 204)
        stage.say(f"{self.member.email} signs in with email and password; 2FA is off, so that is all")
        begun = stage.expect(portal.post("/v1/two-factor/enrollment", {"word": self.word} if self.word else None), 201)
        if "<svg" not in begun["qr_svg"] or not begun["otpauth_uri"].startswith("otpauth://totp/"):
            stage.fail("the QR code or the key URI is missing")
        app = AuthenticatorApp(begun["secret"])
        stage.say(f"The page shows a QR code and the key {begun['secret'][:4]}…; the phone scans it")
        path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
        stage.expect(portal.post(path, {"code": self.wrong_code(app)}), 422, "invalid_passcode")
        if stage.expect(portal.get("/v1/two-factor"), 200)["enabled"]:
            stage.fail("2FA is on although no code has confirmed it")
        stage.say("A wrong code: 2FA stays off")
        codes: list[str] = stage.expect(portal.post(path, {"code": app.fresh()}), 200)["recovery_codes"]
        stage.say(f"The code that the app shows, Update: 2FA is on. {len(codes)} Backup Codes, shown this once")
        stage.inbox("email", "Two-factor authentication")
        stage.say("An email tells the owner that 2FA was turned on")
        return app, codes

    def sign_in_with_the_app(self, app: AuthenticatorApp) -> None:
        """The Authentication Code, once."""
        stage = self.stage
        stage.chapter("Sign in with the Authentication Code")
        portal = Portal(self.base_url, patient=True)
        challenge = self.challenge(portal)
        stage.say("Right password: the page asks for an Authentication Code")
        stage.expect(portal.verify(challenge["id"], self.wrong_code(app)), 401, "invalid_passcode")
        stage.say("A wrong code is refused")
        code = app.fresh(self.tell_wait)
        body = stage.expect(portal.verify(challenge["id"], code), 200)
        stage.say(f"The app's code signs in ({body['session']['assurance']}, factors {body['session']['factors']})")
        other = Portal(self.base_url, patient=True)
        stage.expect(other.verify(self.challenge(other)["id"], code), 401, "invalid_passcode")
        stage.say("The same code a second time, by somebody who looked over the shoulder: refused")

    def clock_is_wrong(self, app: AuthenticatorApp) -> None:
        """The most common failure gets an answer that helps."""
        stage = self.stage
        stage.chapter("A phone whose clock is wrong")
        portal = Portal(self.base_url, patient=True)
        challenge = self.challenge(portal)
        ahead = int(time.time()) + CLOCK_FAST_SECONDS
        first = stage.expect(portal.verify(challenge["id"], app.at(ahead - STEP_SECONDS)), 401, "invalid_passcode")
        if "clock_skew_seconds" in first:
            stage.fail("one code alone must not reveal how far off it is")
        second = stage.expect(portal.verify(challenge["id"], app.at(ahead)), 401, "invalid_passcode")
        skew = second.get("clock_skew_seconds")
        if skew is None or abs(skew - CLOCK_FAST_SECONDS) > 2 * STEP_SECONDS:
            stage.fail(f"the clock coach should say about {CLOCK_FAST_SECONDS} s, and says {skew}")
        stage.say(f"Two codes of a phone that is {CLOCK_FAST_SECONDS} s fast: refused, with the reason: {skew} s fast")

    def backup_code(self, codes: list[str]) -> None:
        """Each lets its owner in once."""
        stage = self.stage
        stage.chapter("Backup Codes")
        portal = Portal(self.base_url, patient=True)
        body = stage.expect(portal.verify(self.challenge(portal)["id"], codes[0]), 200)
        if body["factor"] != "recovery_code":
            stage.fail(f"factor {body['factor']}")
        left = stage.expect(portal.get("/v1/two-factor"), 200)["recovery_codes"]["remaining"]
        stage.say(f"A Backup Code in the same field signs in; {left} are left")
        stage.inbox("email", f"left: {left}")
        stage.say("An email says that one was used and how many are left")
        stage.expect(portal.verify(self.challenge(portal)["id"], codes[0].lower()), 401, "invalid_passcode")
        stage.say("The same Backup Code again, in lower case: refused")

    def too_many_wrong_codes(self, operator: Portal, second: Portal, app: AuthenticatorApp) -> None:
        """Five wrong codes in five minutes: even the right one has to wait, unless support lifts it."""
        stage = self.stage
        stage.chapter("Too many wrong codes")
        portal = Portal(self.base_url, patient=True)
        challenge = self.challenge(portal)
        for _ in range(WRONG_CODES + 1):  # some have been entered above, and the five minutes of those may have ended
            refused = portal.verify(challenge["id"], self.wrong_code(app))
            if refused.status != 401:
                break
        stage.expect(refused, 429, "too_many_requests")
        stage.say(f"That were five wrong codes: come back in {refused.headers['Retry-After']} s, says the API")
        stage.inbox("email", "wrong code")
        stage.say("The owner has had a notice: somebody knows the password and tries codes")
        self.lift_the_lock(operator, second, "the owner mistyped")
        stage.say("Support, who knows it was the owner, lifts the wait, with a ticket and a reason")
        stage.inbox("email", "Support lifted the wait")
        stage.say("The owner is told")

    def sms(self, app: AuthenticatorApp) -> None:
        """Send SMS Code is there once a phone is proven."""
        stage = self.stage
        stage.chapter("Send SMS Code")
        portal = Portal(self.base_url, patient=True)
        challenge = self.challenge(portal)
        stage.expect(portal.post(f"/v1/login/{challenge['id']}/sms"), 409, "sms_unavailable")
        stage.say("Without a cell phone there is no Send SMS Code")
        stage.expect(portal.verify(challenge["id"], app.fresh(self.tell_wait)), 200)
        set_phone = stage.until_allowed(lambda: portal.call("PUT", "/v1/phone", PHONE), 202)
        stage.say(f"Team page: country and number are set; a code goes to {set_phone['phone_hint']}")
        text = stage.inbox("sms", set_phone["reference"])
        stage.expect(portal.post("/v1/phone/verify", {"code": code_in(text)}), 200)
        stage.say(f"The SMS with reference {set_phone['reference']} arrives; its code proves the phone")
        other = Portal(self.base_url, patient=True)
        challenge = self.challenge(other)
        sent = stage.until_allowed(lambda: other.post(f"/v1/login/{challenge['id']}/sms"), 202)
        text = stage.inbox("sms", sent["reference"])
        delivery = wait_for(lambda: self.delivery(other, challenge["id"], {"sent", "delivered"}))
        stage.say(f"Sign in, Send SMS Code: reference {sent['reference']}, delivery {delivery['status']}")
        body = stage.expect(other.verify(challenge["id"], code_in(text)), 200)
        if body["factor"] != "sms":
            stage.fail(f"factor {body['factor']}")
        stage.say("The code from the SMS in the same field signs in")

    def remember_this_device(self, app: AuthenticatorApp) -> None:
        """A ticked box skips the code on this browser for 30 days."""
        stage = self.stage
        stage.chapter("Remember this device for 30 days")
        portal = Portal(self.base_url, patient=True)
        challenge = self.challenge(portal)
        stage.expect(portal.verify(challenge["id"], app.fresh(self.tell_wait), remember=True), 200)
        stage.inbox("email", "remembered for 30 days")
        stage.say("Signed in with the box ticked; an email names the browser")
        body = stage.expect(portal.log_in(self.member.email, self.member.password), 200)
        if body["status"] != "authenticated":
            stage.fail("the remembered device was asked for a code")
        stage.say("The next sign-in on this browser asks for no code")
        stage.expect(portal.post("/v1/two-factor/recovery-codes"), 403, "step_up_required")
        stage.say("What matters asks for it all the same (step-up)")
        devices = stage.expect(portal.get("/v1/trusted-devices"), 200)["items"]
        remembered = next(device["id"] for device in devices if device["trusted_until"])
        stage.expect(portal.call("DELETE", f"/v1/trusted-devices/{remembered}"), 204)
        body = stage.expect(portal.log_in(self.member.email, self.member.password), 200)
        if body["status"] != "second_factor_required":
            stage.fail("a revoked device still skips the code")
        stage.say("The device is revoked from the list: the code is asked for again")

    def lost_phone(self, operator: Portal, second: Portal, app: AuthenticatorApp) -> AuthenticatorApp:
        """Support verifies identity and removes 2FA; the owner signs in and enrols again at once."""
        stage = self.stage
        stage.chapter("Lost phone: support resets 2FA")
        policy = stage.expect(operator.get("/v1/support/reset-policy"), 200)
        stage.say(f"The operator reads the policy: {len(policy['rules'])} rules over {len(policy['checks'])} checks")
        checks = stage.expect(operator.get(f"/v1/support/accounts/{self.member.id}/identity-checks"), 200)["items"]
        for row in checks:
            words_go_to = f", words go to {row['sent_to']}" if row["sent_to"] else ""
            why = "possible" if row["possible"] else f"not possible ({row['why_not']})"
            stage.say(f"{row['check']}: {row['kind']}, {why}{words_go_to}")
        path = f"/v1/support/accounts/{self.member.id}/two-factor-resets"
        nothing = operator.post(path, {"ticket": "T-1000", "reason": "no check was passed"})
        stage.expect(nothing, 422, "identity_checks_insufficient")
        stage.say("Without a passed check the request is refused")
        done = self.reset(operator, second)
        stage.say(f"Words from the phone and photo ID on video: reset {done['status']} by event")
        stage.inbox("sms", "was removed")
        stage.inbox("email", "was removed")
        stage.say("The owner is told on every channel")
        portal = Portal(self.base_url, patient=True)
        body = stage.expect(portal.log_in(self.member.email, self.member.password), 200)
        if body["status"] != "authenticated" or body["session"]["prompts"] != ["enroll_two_factor"]:
            stage.fail(f"after the reset the password signs in and prompts to enrol; got {body}")
        stage.say("The owner signs in with the password and is asked to enrol again")
        stage.expect(portal.post("/v1/two-factor/enrollment"), 422, "enrollment_word_required")
        begun = stage.expect(portal.post("/v1/two-factor/enrollment", {"word": self.word}), 201)
        stage.say("The word that the operator read out lets the caller, and nobody else with the password, enroll")
        if begun["secret"] == app.secret:
            stage.fail("the new key is the old one")
        new_app = AuthenticatorApp(begun["secret"])
        path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
        stage.expect(portal.post(path, {"code": new_app.fresh()}), 200)
        stage.say("A new key, a new code: 2FA is on again")
        return new_app

    def second_operator_and_cancel(self, first: Portal, second: Portal) -> None:
        """The ceremony: a second operator where the policy asks, a cool-off in which the owner can cancel."""
        stage = self.stage
        stage.chapter("Weaker proof: a second operator, a cool-off, and the owner cancels")
        path = f"/v1/support/accounts/{self.member.id}/two-factor-resets"
        reset = ceremony.request(
            first, self.member.id, ("email_code", "billing_details"), self.messages, ticket="T-2002"
        )
        stage.expect(first.post(f"{path}/{reset['id']}/approve"), 409, "same_operator")
        stage.say("Weak proof needs a second operator; the first one's own approval is refused")
        approved = stage.expect(second.post(f"{path}/{reset['id']}/approve"), 202)
        if approved["status"] != "cooling_off":
            stage.fail(f"status {approved['status']}")
        stage.say(f"The second operator approves: cooling off until {approved['cool_off_ends_at']}")
        notice = stage.inbox("email", "/reset/cancel#")
        token = notice["body"].split("/reset/cancel#")[1].split()[0]
        stage.expect(Portal(self.base_url, patient=True).post("/v1/two-factor/resets/cancel", {"token": token}), 204)
        status = stage.expect(first.get(f"/v1/support/two-factor-resets/{reset['id']}"), 200)["status"]
        if status != "cancelled":
            stage.fail(f"status {status}")
        stage.say("The owner, who did not ask for it, cancels from the notice")
        rows = stage.expect(first.get(f"/v1/support/accounts/{self.member.id}/timeline?limit=200"), 200)["items"]
        stage.say(f"Support's timeline has all of it, {len(rows)} entries, the newest: {rows[0]['type']}")

    def turn_it_off(self, app: AuthenticatorApp) -> None:
        """2FA can be turned off by its owner."""
        stage = self.stage
        stage.chapter("Turn it off")
        portal = Portal(self.base_url, patient=True)
        stage.expect(portal.verify(self.challenge(portal)["id"], app.fresh(self.tell_wait)), 200)
        stage.expect(portal.call("DELETE", "/v1/two-factor"), 204)
        stage.inbox("email", "turned off")
        stage.expect(portal.post("/v1/reauthenticate", {"password": self.member.password}), 200)
        stage.expect(portal.call("DELETE", "/v1/phone"), 204)
        body = stage.expect(portal.log_in(self.member.email, self.member.password), 200)
        if body["status"] != "authenticated":
            stage.fail("2FA is still asked for")
        stage.say("The owner turns 2FA off, is told so by email, and signs in with the password alone")

    # --- small parts ------------------------------------------------------------------------------------------------

    def challenge(self, portal: Portal) -> dict[str, Any]:
        """Password login of the member up to the challenge."""
        portal.token = None
        answer = portal.log_in(self.member.email, self.member.password)
        body = self.stage.expect(answer, 200)
        if body["status"] != "second_factor_required":
            self.stage.fail("no second factor was asked for")
        return dict(body["challenge"])

    def wrong_code(self, app: AuthenticatorApp) -> str:
        """Six digits that are none of the codes near now."""
        near = {app.at(int(time.time()) + offset * STEP_SECONDS) for offset in range(-22, 23)}
        return next(code for number in range(1_000_000) if (code := f"{number:06d}") not in near)

    def tell_wait(self, seconds: float) -> None:
        """A code works once; the next one comes within half a minute."""
        self.stage.aside(f"each code works once: the phone shows the next one in {seconds:.0f} s")

    def delivery(self, portal: Portal, challenge_id: str, statuses: set[str]) -> dict[str, Any] | None:
        """The delivery of the challenge's SMS, once it has one of these statuses."""
        shown = self.stage.expect(portal.get(f"/v1/login/{challenge_id}"), 200)["delivery"]
        return shown if shown and shown["status"] in statuses else None

    def messages(self) -> list[dict[str, Any]]:
        """The messages that the development stack "sent", newest first."""
        return list(self.stage.expect(Portal(self.base_url, patient=True).get("/dev/inbox.json"), 200))

    def reset(self, operator: Portal, second: Portal) -> dict[str, Any]:
        """Reset without a wait, follow the reset until it is applied, and keep its word."""
        reset = ceremony.reset_at_once(operator, self.member.id, self.messages, second=lambda: second)
        self.word = reset["enrollment_word"]

        def applied() -> dict[str, Any] | None:
            now = self.stage.expect(operator.get(f"/v1/support/two-factor-resets/{reset['id']}"), 200)
            return now if now["status"] == "applied" else None

        return dict(wait_for(applied, seconds=15))
