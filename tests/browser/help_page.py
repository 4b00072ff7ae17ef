"""The help page's nine steps, in its order and words, and the record of a run that plays them."""

from dataclasses import dataclass
from pathlib import Path

HELP_PAGE = """
1. Sign in with email and password; with 2FA on, the page asks for an **Authentication Code**.
2. **Enable Two-Factor Authentication** is a toggle: scan the QR code or type the key into an authenticator app
   (Google Authenticator, Duo Mobile), enter the code it shows, click **Update**. Only then is 2FA on.
3. Then a list of **Backup Codes** is offered once, to save; each lets the user in once without the phone.
4. The one Authentication Code field takes the app's six digits, a code received by SMS, or a backup code.
5. **Remember this device for 30 days**: a ticked box skips the code on that browser for 30 days.
6. **Send SMS Code** is shown only when the user has a cell phone; country code and phone are set on the
   **Team** page.
7. Lost phone: a backup code, the saved secret key, or Support, who verifies identity and removes 2FA; the user
   then signs in and enrols again at once.
8. Wrong clock is the most common failure: the product must tell the user that the clock is off and by how much,
   instead of a bare "wrong code".
9. It is free for every user, and it can be turned off by its owner.
"""
# Each step's words, and what its picture is called.
STEPS = tuple(
    zip(
        HELP_PAGE.replace("\n   ", " ").strip().splitlines(),
        (
            *("1-sign-in", "2-enable", "3-backup-codes", "4-one-field", "5-remember"),
            *("6-phone", "7-lost-phone", "8-wrong-clock", "9-turn-off"),
        ),
        strict=True,
    )
)


@dataclass
class Record:
    """The pictures of one run, a step each. A step that is left out or out of order fails the run."""

    folder: Path
    shown: int = 0

    def show(self, name, page, focus=None):
        """Take the picture of a step: the page from its top, or from the part that ``focus`` names."""
        words, expected = STEPS[self.shown]
        assert name == expected, f"the run shows {name}, and the help page says: {words}"
        page.emulate_media(reduced_motion="reduce")
        page.evaluate("scrollTo(0, 0)")
        if focus:
            margin = 12
            page.evaluate("distance => scrollTo(0, distance)", page.locator(focus).bounding_box()["y"] - margin)
        page.screenshot(path=self.folder / f"{name}.png")
        self.shown += 1

    def left(self):
        """What the help page says and the run did not show."""
        return [words for words, _ in STEPS[self.shown :]]
