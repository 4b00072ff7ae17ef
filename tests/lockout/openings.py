"""What is open for an account, and what ends it: its owner, support and fate in any order, over the gateway's HTTP.

After each step everything that was ever held is tried: it opens exactly what the model says (held.py). Budgets are
left to the other machine (machine.py), so their windows are emptied before each step.
"""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from services.auth.app import create_app
from shared.ids import new_id
from tests.lockout.hands import ENROLLMENT_LIVES, Caller
from tests.lockout.held import DEVICE, ENROLLMENT, LOGIN, RESET, SESSION, TEXT, Model
from tests.lockout.mail import Mail
from tests.lockout.restores import Restores
from tests.support.auth import PASSWORD

ANY = st.integers(0, 1000)
FACTORS = st.sampled_from(["totp", "totp", "sms", "recovery_code"])


class Openings(Restores):
    """One account and three operators."""

    @initialize()
    def begin(self) -> None:
        stage = self.stage
        account = stage.begin()
        self.account_id, self.email = account.id, account.email
        self.caller, self.mail, self.model = Caller(create_app(stage.gateway)), Mail(stage), Model()
        self.is_on, self.has_phone, self.word, self.must_enrol = True, True, "", False
        self.number = -1  # the rules set none like it
        self.secret, self.app_code, self.spent, self.confirmed = None, "", [], []
        self.codes = [code.format() for code, _ in stage.sheet]
        self.password = PASSWORD
        self.operators = [self._operator(name) for name in ("sam", "kim", "pat")]
        self.wait(8 * 86_400)  # phone and address are old enough for the checks of a reset
        self.tally["sequences"] += 1
        # Something of each kind is open from the start.
        self._sign_in("totp", remember=False)
        self._sign_in("sms", remember=True)
        self._sign_in("recovery_code", remember=True)
        self._text(self._begin())

    # --- the owner ----------------------------------------------------------------------------------------------------

    @rule(factor=FACTORS, remember=st.booleans())
    def sign_in(self, factor: str, remember: bool) -> None:
        self._sign_in(factor, remember=remember)

    @rule()
    def begin_a_login(self) -> None:
        if self.is_on:
            self._begin()

    @precondition(lambda self: self.model.of(LOGIN))
    @rule(which=ANY)
    def text_a_code(self, which: int) -> None:
        login = self._one(LOGIN, which)
        self.wait(31)
        if not login.alive or self._state_of(login) == "gone":
            return
        self._text(login)

    @precondition(lambda self: self.model.of(TEXT, alive=None))
    @rule(which=ANY)
    def enter_a_text(self, which: int) -> None:
        """A code that was texted at some time: it opens what it was for, or nothing."""
        text = self._one(TEXT, which, alive=None)
        login = text.login
        assert login is not None
        said = self._verify(login, text.secret)
        opens = text.alive and login.alive
        assert (said.status_code == 200) == opens, (said.status_code, said.json, text)
        if opens:
            self._signed_in(login, said.json, "sms", remember=False)

    @precondition(lambda self: self.model.of(DEVICE, alive=None))
    @rule(which=ANY)
    def come_with_a_device(self, which: int) -> None:
        """A browser that was remembered at some time skips the code while it is trusted, and not after."""
        device = self._one(DEVICE, which, alive=None)
        body = {"email": self.email, "password": self.password, "transport": "bearer", "device_token": device.secret}
        said = self._ok("POST", "/v1/login", body)
        skips = said["status"] == "authenticated"
        assert skips == (device.alive or not self.is_on), (said["status"], device)
        if skips:
            self._hold_session(said, "trusted_device" if self.is_on else "password", device if device.alive else None)

    @precondition(lambda self: self._own())
    @rule(which=ANY)
    def change_the_password(self, which: int) -> None:
        own = self._stepped_up(which)
        current, self.password = self.password, f"seven wet otters juggle {new_id('pw').lower()}"
        self._change("POST", "/v1/password", own, {"current_password": current, "new_password": self.password})
        self.model.password_changed(own)

    @precondition(lambda self: self._own() and self.is_on)
    @rule(which=ANY)
    def turn_off(self, which: int) -> None:
        own = self._stepped_up(which)
        self._change("DELETE", "/v1/two-factor", own, status=204)
        self.is_on = False
        own.won_by, own.device = "password", None
        self.model.factor_changed(own)

    @precondition(lambda self: self.model.of(SESSION) and not self.is_on)
    @rule(which=ANY)
    def begin_an_enrolment(self, which: int) -> None:
        """After a reset it takes the word that the caller got."""
        own = self._stepped_up(which)
        if self.must_enrol:
            said = self.caller.call("POST", "/v1/two-factor/enrollment", token=own.secret)
            assert said.json["code"] == "enrollment_word_required", said.json
            if self.stage.clock.now >= self.word_until:
                return
        body = {"word": self.word} if self.must_enrol else None
        begun = self._ok("POST", "/v1/two-factor/enrollment", body, token=own.secret, status=201)
        for one in self.model.of(ENROLLMENT):
            one.alive = False
        self._hold(ENROLLMENT, begun["enrollment_id"], begun["secret"], session=own, lives=ENROLLMENT_LIVES)

    @precondition(lambda self: self.model.of(ENROLLMENT, alive=None))
    @rule(which=ANY)
    def confirm_an_enrolment(self, which: int) -> None:
        one = self._one(ENROLLMENT, which, alive=None)
        assert one.session is not None
        opens = one.alive and one.session.alive and not self.is_on
        path = f"/v1/two-factor/enrollment/{one.id}/confirm"
        code = self._code_of(one.secret)
        said = self.caller.call("POST", path, {"code": code}, token=one.session.secret)
        if said.status_code == 200 and not opens:  # the answer of a minute ago, told again
            assert (self.is_on, said.json["recovery_codes"]) == (True, self.confirmed), one
            self._renewed(one.session, said)
            return
        assert (said.status_code == 200) == opens, (said.status_code, said.json, one)
        if opens:
            self._renewed(one.session, said)
            self.is_on, self.secret, self.must_enrol = True, one.secret, False
            self.app_code, self.spent = code, []
            self.confirmed = said.json["recovery_codes"]
            self.codes = list(self.confirmed)
            self.model.factor_changed(one.session)

    @precondition(lambda self: self._own() and self.is_on)
    @rule(which=ANY)
    def make_new_backup_codes(self, which: int) -> None:
        own, old = self._stepped_up(which), self.codes[-1:]
        said = self._change("POST", "/v1/two-factor/recovery-codes", own)
        self.codes = list(said.json["recovery_codes"])
        self.spent += old
        for code in old:
            login = self._begin()
            refused = self._verify(login, code)
            assert refused.status_code == 401, "a code of the old sheet"

    @precondition(lambda self: self._own() and self.has_phone)
    @rule(which=ANY)
    def remove_the_phone(self, which: int) -> None:
        own = self._stepped_up(which)
        self._change("DELETE", "/v1/phone", own, status=204)
        self.has_phone = False
        self.model.phone_changed()

    @precondition(lambda self: self._own() and self.is_on)
    @rule(which=ANY, number=st.integers(0, 10**6))
    def set_a_phone(self, which: int, number: int) -> None:
        own = self._stepped_up(which)
        self.wait(31)
        body = {"country": "DE", "number": f"0151 2{number:07}"}
        if self.has_phone and number == self.number:  # it is proven already, and nothing changes
            self._ok("PUT", "/v1/phone", body, token=own.secret)
            return
        sent = self._ok("PUT", "/v1/phone", body, token=own.secret, status=202)
        code = self.stage.passcode(sent["message_id"])
        self._ok("POST", "/v1/phone/verify", {"code": code}, token=own.secret)
        had, self.has_phone, self.number = self.has_phone, True, number
        if had:
            self.model.phone_changed()

    @precondition(lambda self: len(self.model.of(SESSION)) > 1 and not self.must_enrol)
    @rule(which=ANY, other=ANY)
    def end_a_session(self, which: int, other: int) -> None:
        own, ended = self._one(SESSION, which), self._one(SESSION, other)
        self._ok("DELETE", f"/v1/sessions/{ended.id}", token=own.secret, status=204)
        self.model.session_ended(ended)

    @precondition(lambda self: self.model.of(SESSION) and self.model.of(DEVICE) and not self.must_enrol)
    @rule(which=ANY)
    def forget_devices(self, which: int) -> None:
        own = self._one(SESSION, which)
        self._ok("DELETE", "/v1/trusted-devices", token=own.secret, status=204)
        for device in self.model.of(DEVICE):
            self.model.device_ended(device)
        for session in self.model.of(SESSION):  # each client that has signed in is known, remembered or not
            self.model.session_ended(session)

    # --- support and fate ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.is_on and self.has_phone and not self.model.of(RESET))
    @rule(approved=st.booleans())
    def support_resets(self, approved: bool) -> None:
        """Words to the phone and a video call; then whatever the policy asks for."""
        base, sam = f"/v1/support/accounts/{self.account_id}", self._console(0)
        begun = self.caller.call("POST", f"{base}/identity-checks", {"check": "phone_code"}, token=sam)
        if begun.status_code == 409:  # the phone is too new
            self.tally["no reset: " + str(begun.json.get("why_not"))] += 1
            return
        assert begun.status_code == 201, begun.json
        words = self.mail.words(self.account_id)
        self._ok("POST", f"{base}/identity-checks/{begun.json['id']}/verify", {"code": words}, token=sam)
        self._ok(
            "POST", f"{base}/identity-checks", {"check": "video_id", "evidence": "ID card, seen"}, token=sam, status=201
        )
        asked = {"ticket": "T-1", "reason": "Phone lost"}
        reset = self._ok("POST", f"{base}/two-factor-resets", asked, token=sam, status=202)
        one = self._hold(RESET, reset["id"], reset["enrollment_word"])
        if reset["status"] == "awaiting_approval" and approved:
            path = f"{base}/two-factor-resets/{one.id}/approve"
            self._ok("POST", path, token=self._console(1), status=202)
        self.tally["resets"] += 1

    @precondition(lambda self: self.model.of(RESET) and self.model.of(SESSION))
    @rule(which=ANY)
    def cancel_the_reset(self, which: int) -> None:
        own, reset = self._one(SESSION, which), self._one(RESET, 0)
        said = self.caller.call("DELETE", f"/v1/two-factor/resets/{reset.id}", token=own.secret)
        if said.status_code == 204:
            reset.alive = False

    @rule()
    def support_unlocks(self) -> None:
        """Ends nothing."""
        body = {"ticket": "T-2", "reason": "Locked out"}
        said = self.caller.call("POST", f"/v1/support/accounts/{self.account_id}/unlock", body, token=self._console(0))
        assert said.status_code in {202, 204}, said.json

    @rule(seconds=st.sampled_from([31, 301, 601, 3601, 86_401, 3 * 86_400 + 60]))
    def time_passes(self, seconds: int) -> None:
        self.wait(seconds)

    # --- what must be so, whatever happened ---------------------------------------------------------------------------

    @invariant()
    def nothing_else_is_open(self) -> None:
        """Each thing that was ever held opens what the model says."""
        if not hasattr(self, "model"):
            return
        self.tally["steps"] += 1
        self._carry()
        self.model.expire(self.stage.clock.now)
        for session in self.model.of(SESSION, alive=None):
            said = self.caller.call("GET", "/v1/session", token=session.secret)
            assert (said.status_code == 200) == session.alive, (said.status_code, session)
            if session.alive and not self.is_on:
                assert said.json["assurance"] == "aal1", "2FA is off, and a session says otherwise"
        for login in self.model.of(LOGIN, alive=None):
            assert (self._state_of(login) == "waits") == login.alive, login
        for reset in self.model.of(RESET, alive=None):
            is_open = self.mail.reset_status(reset.id) in {"awaiting_approval", "cooling_off", "approved"}
            assert is_open == reset.alive, (self.mail.reset_status(reset.id), reset)
        self.tally["tried"] += len(self.model.held)
