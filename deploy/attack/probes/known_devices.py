"""A known device in a public place: seen, ended, and with no more guesses than its own (row 64)."""

from datetime import timedelta

from deploy.attack.browser import Browser
from deploy.attack.inside import end_windows, have_failed, leave_unused
from deploy.attack.people import Owner, enrol, expect, step_up
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import account_id, remembered
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer

# What a deployment promises (otp's README, "Rows of failures"; auth's README, "Known devices").
OF_A_DEVICE, OF_STRANGERS, WINDOW, KNOWN_DAYS = 10, 60, 5, 90
WORD = "/v1/two-factor/wrong-codes"


@watched
def cafe_browser(target: Target, watch: Watch) -> str:
    """Sign in once in a cafe's browser; then a stranger guesses there, at the login and in the session left open."""
    control, owner = target.need_control(), enrol(target)
    own_id, cafe, usual = account_id(owner.browser), _known(owner), _known(owner)
    listed = _devices(owner)
    watch.holds("a browser that has signed in is on no list", len(listed) == 2)

    proof = {"password": owner.account.password}
    for code in owner.wrong_codes(WINDOW + 1):
        cafe.post("/v1/reauthenticate", {**proof, "code": code})
    answer = usual.post("/v1/reauthenticate", {**proof, "code": owner.app.fresh()})
    watch.holds(f"another session's wrong codes hold out the owner's: {answer.code}", answer.status == 200, WINDOW + 1)

    for round_of_codes in _in_windows(owner.wrong_codes(OF_A_DEVICE)):
        answers = [_guess(owner, cafe, code) for code in round_of_codes]
        end_windows(control, own_id)
    watch.served("the last guess", answers[-1], 401)
    left = [device["id"] for device in _devices(owner)]
    watch.holds(f"{OF_A_DEVICE} wrong codes in a row, and the browser is still known", len(left) < 2, OF_A_DEVICE)
    watch.refused("the session that the browser had opened", cafe.get("/v1/session"), "not_authenticated")

    answer = _guess(owner, usual, owner.app.fresh())
    watch.holds(f"the owner's usual browser is refused: {answer.code}", answer.status == 200)
    answer = owner.guess(owner.recovery_codes.pop())
    watch.holds(f"a backup code is refused: {answer.code}", answer.status == 200)
    step_up(owner)
    return f"{OF_A_DEVICE} wrong codes in a browser that is known, and {WINDOW} in a session left open there"


@watched
def stale_browser(target: Target, watch: Watch) -> str:
    """Come back to a browser that the owner told to forget, and to one that nobody used for three months."""
    owner = enrol(target)
    cafe = _known(owner, remember=True)
    kept = dict(cafe.cookies)
    watch.served("log out", cafe.post("/v1/logout", {"forget_browser": True}), 204)
    cafe.cookies = {**kept}
    again = expect(_password(owner, cafe), 200)
    watch.holds("a browser that was forgotten at logout skips the code", again["status"] != "authenticated")
    watch.holds("a browser that was forgotten at logout is still known", not _devices(owner))
    if target.control is None:
        return "a browser that was forgotten at logout"

    cafe = _known(owner)
    leave_unused(target.need_control(), account_id(owner.browser), timedelta(days=KNOWN_DAYS, hours=1))
    watch.holds(f"a browser unused for {KNOWN_DAYS} days is on the list", not _devices(owner))
    stranger = target.browser()
    for code in owner.wrong_codes(WINDOW + 1):
        _guess(owner, stranger, code)
    answer = _guess(owner, cafe, owner.app.fresh())
    watch.refused(f"a browser unused for {KNOWN_DAYS} days has tries of its own", answer, "too_many_requests")
    return f"a browser that was forgotten at logout, and one unused for {KNOWN_DAYS} days"


@watched
def strangers_word(target: Target, watch: Watch) -> str:
    """End the row of strangers' wrong codes without being the owner in a known browser."""
    control, owner = target.need_control(), enrol(target)
    own_id, usual = account_id(owner.browser), _known(owner)
    have_failed(control, own_id, OF_STRANGERS)
    watch.refused(
        f"DELETE {WORD} in a browser that is not known", owner.browser.call("DELETE", WORD), "browser_not_known"
    )
    without_proof = remembered(owner).browser
    watch.refused(f"DELETE {WORD} without a step-up", without_proof.call("DELETE", WORD), "step_up_required")
    watch.refused("six digits after that", owner.guess(owner.app.fresh()), "second_factor_locked")
    watch.served("the owner's word", usual.call("DELETE", WORD), 204)
    watch.served("six digits after the owner's word", owner.guess(owner.app.fresh()))
    return "the end of the strangers' row, ordered by a session that is not known, and by one without a step-up"


def _known(owner: Owner, *, remember: bool = False) -> Browser:
    """A browser with cookies in which the owner has signed in. Takes a backup code."""
    browser = owner.target.browser()
    challenge = expect(_password(owner, browser), 200)["challenge"]["id"]
    body = {"code": owner.recovery_codes.pop(), "remember_device": remember}
    expect(browser.post(f"/v1/login/{challenge}/verify", body), 200)
    return browser


def _password(owner: Owner, browser: Browser) -> Answer:
    return browser.post("/v1/login", {"email": owner.account.email, "password": owner.account.password})


def _guess(owner: Owner, browser: Browser, code: str) -> Answer:
    """The answer to a code after the right password, with this browser's cookies and without its session."""
    copy = owner.target.browser(browser.ip)
    copy.cookies = {name: value for name, value in browser.cookies.items() if "device" in name}
    challenge = expect(_password(owner, copy), 200)["challenge"]["id"]
    return copy.post(f"/v1/login/{challenge}/verify", {"code": code})


def _devices(owner: Owner) -> list[dict[str, str]]:
    items: list[dict[str, str]] = expect(owner.browser.get("/v1/trusted-devices"), 200)["items"]
    return items


def _in_windows(codes: list[str]) -> list[list[str]]:
    return [codes[first : first + WINDOW] for first in range(0, len(codes), WINDOW)]


REFERENCE = "OWASP device cookies"
PROBES = (
    Probe(64, "cafe-browser", "A known device that spends the owner's tries, unseen", REFERENCE, cafe_browser),
    Probe(64, "stale-browser", "A known device that outlives its logout, and its use", REFERENCE, stale_browser),
    Probe(64, "strangers-word", "A stranger begins the row of strangers anew", REFERENCE, strangers_word),
)
