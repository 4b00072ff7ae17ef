"""A code is good once, in one spelling, and never after a newer one."""

import time
from collections.abc import Callable, Iterator

from deploy.attack.browser import Browser
from deploy.attack.people import Owner, UnexpectedAnswerError, enrol, expect, new_number, race, sms_code
from deploy.attack.probe import Finding, Probe, Target
from deploy.portal import STEP_SECONDS, Answer

RACERS = 12
NO_CODE = ("validation_failed", "malformed_body", "invalid_passcode")
LOGINS = 6  # a budget of five lets no more of them through to the comparison


def same_code_twice(target: Target) -> Finding:
    """A code that was used: in a new login, in the same login, for step-up; and the one that enrolment used."""
    owner = enrol(target)
    enrolment_code, code = owner.app.near(-1), owner.app.fresh()
    browser, challenge = owner.challenge()
    expect(browser.verify(challenge, code), 200)
    session = browser.token
    password = owner.account.password
    again: dict[str, Callable[[], Answer]] = {
        "in the same login": lambda: browser.verify(challenge, code),
        "in a new login": lambda: owner.guess(code),
        "in a second new login": lambda: owner.guess(code),
        "for step-up": lambda: browser.post("/v1/reauthenticate", {"password": password, "code": code}),
        "the code of the enrolment, in a login": lambda: owner.guess(enrolment_code),
    }
    through = []
    for where, send in again.items():
        browser.token = session
        if send().status == 200:
            through.append(where)
    return Finding(len(again), f"a used code once more: {', '.join(again)}", _said("accepted again: ", through))


def code_at_next_step(target: Target) -> Finding:
    """A code of step T, used at T, again at T+1, when the window still takes codes of T."""
    owner = enrol(target)
    _wait_for_next_step()  # the enrolment's step-up has used this one
    code = owner.app.near(0)
    expect(owner.guess(code), 200)
    browsers = [owner.challenge() for _ in range(2)]
    _wait_for_next_step()
    answers = [browser.verify(challenge, code) for browser, challenge in browsers]
    hole = "accepted again one step later" if any(answer.status == 200 for answer in answers) else None
    return Finding(len(answers), "used at step T, sent again at T+1 in two other logins", hole)


def _wait_for_next_step() -> None:
    time.sleep(STEP_SECONDS - time.time() % STEP_SECONDS + 0.5)


def older_after_newer(target: Target) -> Finding:
    """B of step T+1, then A of step T, which was never used, then B again."""
    owner = enrol(target)
    older, newer = owner.app.near(0), owner.app.near(1)
    expect(owner.guess(newer), 200)
    answers = [owner.guess(code) for code in (older, newer, older)]
    hole = "an older step was accepted after a newer one" if any(answer.status == 200 for answer in answers) else None
    return Finding(len(answers), "the next step's code, then the present step's, then both again", hole)


def other_spelling(target: Target) -> Finding:
    """A used code and a fresh one, each in every spelling that some parser takes for six digits."""
    names = [name for name, _ in spellings("000000")]
    through, tries = [], 0
    for kind in ("used", "fresh"):
        owner, code = _with_code(target, kind)
        browser, challenge = owner.challenge()
        for number, name in enumerate(names):
            tries += 1
            _, spelling = list(spellings(code))[number]
            answer = browser.post(f"/v1/login/{challenge}/verify", {"code": spelling})
            if answer.status == 200:
                through.append(f"a {kind} code with {name}")
            elif answer.code not in {*NO_CODE, "too_many_requests"}:
                raise UnexpectedAnswerError(f"a {kind} code with {name}: {answer.status} {answer.code}")
            if answer.status in {200, 429}:  # a code that was compared and refused is no hole; the next one needs room
                owner, code = _with_code(target, kind)
                browser, challenge = owner.challenge()
        if kind == "fresh":
            expect(browser.verify(challenge, code), 200)
    return Finding(tries, f"a used and a fresh code: {', '.join(names)}", _said("accepted: ", through))


def _with_code(target: Target, kind: str) -> tuple[Owner, str]:
    """An owner, and a code of the app that is still good, or one that a login has used."""
    owner = enrol(target)
    code = owner.app.fresh()
    if kind == "used":
        expect(owner.guess(code), 200)
    return owner, code


def spellings(code: str) -> Iterator[tuple[str, object]]:
    """Other spellings of the six digits, each with what is odd about it."""
    scripts = {"full-width": 0xFF10, "Arabic-Indic": 0x660, "Devanagari": 0x966, "mathematical": 0x1D7CE}
    for script, zero in scripts.items():
        yield f"{script} digits", "".join(chr(zero + int(digit)) for digit in code)
    half = f"{code[:3]}%s{code[3:]}"
    yield "a space within", half % " "
    yield "a no-break space", half % "\u00a0"
    yield "a hyphen", half % "-"
    yield "an underscore", half % "_"
    yield "a zero-width space", half % "\u200b"
    yield "a space before", f" {code}"
    yield "a line feed after", f"{code}\n"
    yield "a NUL after", f"{code}\x00"
    yield "a plus sign", f"+{code}"
    yield "a leading zero", f"0{code}"
    yield "a decimal point", f"{code}.0"
    yield "a number's type", int(code)
    yield "a list around it", [code]


def parallel_totp(target: Target) -> Finding:
    """One app code at the same moment in many logins, and many times in one login."""
    tries, holes = 0, []
    for _ in range(2):
        owner = enrol(target)
        wins = _wins(owner, owner.app.fresh(), [owner.challenge() for _ in range(LOGINS)])
        tries += LOGINS
        if wins > 1:
            holes.append(f"{wins} of {LOGINS} logins were opened by one code")
        owner = enrol(target)  # the losers have used up the budget of that one
        wins = _wins(owner, owner.app.fresh(), [owner.challenge()] * RACERS)
        tries += RACERS
        if wins > 1:
            holes.append(f"one login gave {wins} sessions")
    return Finding(tries, f"one code in {LOGINS} logins at once, and {RACERS} times in one", _said("", holes))


def parallel_recovery_code(target: Target) -> Finding:
    """One backup code at the same moment in many logins."""
    tries, holes = 0, []
    for _ in range(2):
        owner = enrol(target)
        wins = _wins(owner, owner.recovery_codes[0], [owner.challenge() for _ in range(LOGINS)])
        tries += LOGINS
        if wins > 1:
            holes.append(f"{wins} of {LOGINS} logins were opened by one backup code")
    return Finding(tries, f"one backup code in {LOGINS} logins at once, on two accounts", _said("", holes))


def parallel_sms(target: Target) -> Finding:
    """One SMS code many times at once: for a login, and to prove a phone."""
    owner = enrol(target)
    inbox, browser = target.need_inbox(), owner.browser
    sent = expect(browser.call("PUT", "/v1/phone", {"country": "DE", "number": new_number()}), 202)
    body = {"code": inbox.code(str(sent["reference"]))}
    proofs = race([lambda: browser.post("/v1/phone/verify", body)] * RACERS)
    if not any(answer.status == 200 for answer in proofs):
        raise UnexpectedAnswerError("a good code proved no phone")
    # A repeat of the call by its session has the same answer again, so the timeline tells how often it was carried out.
    entries = expect(browser.get("/v1/activity"), 200)["items"]
    proven = sum(entry["type"] == "phone.changed" for entry in entries)
    login = owner.challenge()
    wins = _wins(owner, sms_code(owner, *login), [login] * RACERS)
    holes = [f"one text proved a phone {proven} times"] if proven > 1 else []
    if wins > 1:
        holes.append(f"one text gave {wins} sessions")
    return Finding(2 * RACERS, f"one text {RACERS} times at once: to prove a phone, and to sign in", _said("", holes))


def _wins(owner: Owner, code: str, logins: list[tuple[Browser, str]]) -> int:
    """How many of these logins the code opens when it is sent to all of them at once."""

    def send(begun_by: Browser, challenge: str) -> Callable[[], Answer]:
        # A client for each: those of one login share nothing but its challenge and its binding.
        browser = owner.target.copy_of(begun_by)
        return lambda: browser.verify(challenge, code)

    answers = race([send(*login) for login in logins])
    wins = sum(answer.status == 200 for answer in answers)
    if wins == 0:
        raise UnexpectedAnswerError("a good code opened none of the logins it was sent to")
    return wins


def _said(intro: str, through: list[str]) -> str | None:
    return intro + "; ".join(through) if through else None


PROBES = (
    Probe(
        1,
        "same-code-twice",
        "The same code twice inside its window",
        "CVE-2026-103655, CVE-2021-45331, CVE-2026-33473",
        same_code_twice,
    ),
    Probe(
        2,
        "code-at-next-step",
        "A used code replayed at the next step, which the window still takes",
        "CVE-2021-43177, CVE-2026-82470",
        code_at_next_step,
    ),
    Probe(3, "older-after-newer", "An older step after a newer one", "RFC 6238 §5.2", older_after_newer),
    Probe(
        4,
        "other-spelling",
        "A code in another spelling: spaces, signs, digits of other scripts",
        "CVE-2025-55000",
        other_spelling,
    ),
    Probe(
        5,
        "parallel-app-code",
        "Many submissions of one app code at once",
        "GHSA-2299-ghjr-6vjp, keycloak#26106",
        parallel_totp,
    ),
    Probe(
        5,
        "parallel-backup-code",
        "Many submissions of one backup code at once",
        "GHSA-2299-ghjr-6vjp, keycloak#26106",
        parallel_recovery_code,
    ),
    Probe(
        5,
        "parallel-sms-code",
        "Many submissions of one SMS code at once",
        "GHSA-2299-ghjr-6vjp, keycloak#26106",
        parallel_sms,
    ),
)
