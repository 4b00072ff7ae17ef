"""Restores of all stores or of some: they revive nothing that ended, was used or was changed since the backup."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from services.auth import enrollment_words
from shared.database import writing
from tests.lockout.hands import WORD_LIVES, Hands

WHAT = st.sampled_from([("auth", "otp", "redis"), ("auth", "otp"), ("auth",), ("otp",), ("redis",), ("auth", "redis")])


class Restores(Hands):
    """The operator backs up and restores."""

    @rule()
    def back_up(self) -> None:
        self._carry()
        self.stage.backups.take()
        self.mail.backed_up()
        self.wait(1)

    @precondition(lambda self: self.stage.backups.taken_at is not None)
    @rule(parts=WHAT)
    def restore(self, parts: tuple[str, ...]) -> None:
        self._carry()
        self.stage.restore(*parts)
        self.mail.restored(*parts)
        self.model.restored(parts)
        self.tally["restores"] += 1
        if self.must_enrol and "auth" in parts:
            self._new_word()
        if self.is_on:
            self._try_what_was_used(fresh=() if "otp" not in parts else (self._code_now(),))

    def _new_word(self) -> None:
        """Issue another word by the command line, because the restore voided the old one."""
        gateway, now = self.stage.gateway, self.stage.clock.now
        with writing(gateway.database) as connection:
            keys = gateway.settings.digest_keys
            _, self.word = enrollment_words.issue(connection, keys, self.account_id, now, usable_at_once=True)
        self.word_until = now + WORD_LIVES

    def _try_what_was_used(self, fresh: tuple[str, ...]) -> None:
        """Check that the last app code and used backup codes are refused, and that the next app code signs in."""
        login = self._begin()
        for code in (self.app_code, *fresh, *self.spent[-2:]):
            if code:
                said = self._verify(login, code)
                assert said.status_code == 401, (said.status_code, said.json, code)
                self.stage.world.end_windows()
        self._sign_in("totp", remember=False)
