"""Guessing is limited: on every factor, whoever asks, from wherever, however often the login begins anew."""

import secrets
from collections.abc import Callable, Iterable

from deploy.attack.browser import CHALLENGE_COOKIES, Browser
from deploy.attack.people import UnexpectedAnswerError, enrol, expect, new_number, prove_phone, race, sign_in, sms_code
from deploy.attack.probe import Finding, Probe, Target, new_address
from deploy.portal import Answer

# What a deployment promises (README.md of otp and auth, "Limits"): tries in their shortest window.
CODES, BACKUP_CODES, PASSWORDS, CODES_BY_ADDRESS, CANCELS_BY_ADDRESS = 5, 10, 10, 60, 20
BEYOND = 4  # so many tries more than allowed
_WRONG = ("invalid_passcode", "invalid_credentials")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def parallel_wrong_guesses(target: Target) -> Finding:
    """Forty wrong codes at the same moment, from many clients, over several logins of one account."""
    tries, worst, accounts = 0, 0, 2 if target.client_addresses else 1  # one address has sixty codes
    for _ in range(accounts):
        owner = enrol(target)
        logins = [owner.challenge() for _ in range(4)]
        calls = []
        for number, code in enumerate(owner.wrong_codes(40)):
            begun_by, challenge = logins[number % 4]
            calls.append(_verify(target.copy_of(begun_by), challenge, code))
        tries += len(calls)
        worst = max(worst, _compared(race(calls)))
    return Finding(
        tries, f"40 wrong codes at once over 4 logins of one account, {accounts} times", _beyond(worst, CODES)
    )


def unlimited_tries(target: Target) -> Finding:
    """Wrong tries on each factor in each place that takes one, until one is refused unseen."""
    tries, holes, left_out = 0, [], []
    for place, (allowed, start) in _PLACES.items():
        if place.startswith("SMS") and target.inbox is None:
            left_out.append(place)
            continue
        guess = start(target)
        answers = [guess() for _ in range(allowed + BEYOND)]
        tries += len(answers)
        if _beyond(_compared(answers), allowed):
            holes.append(f"{place}: {_compared(answers)} compared, {allowed} are allowed")
    tried = f"wrong tries beyond the budget: {', '.join(place for place in _PLACES if place not in left_out)}"
    return Finding(tries, tried, "; ".join(holes) or None)


Guess = Callable[[], Answer]


def _app_code(target: Target) -> Guess:
    owner = enrol(target)
    browser, challenge = owner.challenge()
    codes = iter(owner.wrong_codes(CODES + BEYOND))
    return lambda: browser.verify(challenge, next(codes))


def _sms_login(target: Target) -> Guess:
    owner = enrol(target)
    prove_phone(owner)
    browser, challenge = owner.challenge()
    live = sms_code(owner, browser, challenge)
    codes = (code for code in owner.wrong_codes(CODES + BEYOND + 1) if code != live)
    return lambda: browser.verify(challenge, next(codes))


def _sms_proof(target: Target) -> Guess:
    browser = sign_in(target, target.account())
    sent = expect(browser.call("PUT", "/v1/phone", {"country": "DE", "number": new_number()}), 202)
    live = target.need_inbox().code(str(sent["reference"]))
    return lambda: browser.post("/v1/phone/verify", {"code": _other_than(live)})


def _backup_code(target: Target) -> Guess:
    owner = enrol(target)
    browser, challenge = owner.challenge()
    return lambda: browser.verify(challenge, _no_backup_code())


def _step_up(target: Target) -> Guess:
    owner = enrol(target)
    codes, password = iter(owner.wrong_codes(CODES + BEYOND)), owner.account.password
    return lambda: owner.browser.post("/v1/reauthenticate", {"password": password, "code": next(codes)})


def _enrolment(target: Target) -> Guess:
    browser = sign_in(target, target.account())
    begun = expect(browser.post("/v1/two-factor/enrollment"), 201)
    path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
    return lambda: browser.post(path, {"code": f"{secrets.randbelow(10**6):06d}"})


def _password(target: Target) -> Guess:
    email, browser = target.account().email, target.browser()
    return lambda: browser.log_in(email, secrets.token_hex(10))


_PLACES: dict[str, tuple[int, Callable[[Target], Guess]]] = {
    "app code": (CODES, _app_code),
    "backup code": (BACKUP_CODES, _backup_code),
    "SMS code at login": (CODES, _sms_login),
    "SMS code that proves a phone": (CODES, _sms_proof),
    "code at step-up": (CODES, _step_up),
    "code at enrolment": (CODES, _enrolment),
    "password": (PASSWORDS, _password),
}


def counter_survives_errors(target: Target) -> Finding:
    """Wrong codes between requests that fail in other ways; and passwords across the step from nine to ten."""
    owner = enrol(target)
    browser, challenge = owner.challenge()
    path = f"/v1/login/{challenge}/verify"
    answers: list[Answer] = []
    for code in owner.wrong_codes(CODES + BEYOND):
        browser.post(path, {"code": code, "unknown": 1})
        browser.post(path, {"code": "x" * 41})
        browser.raw("POST", path, b'{"code":', {"Content-Type": "application/json"})
        browser.verify("chl_00000000000000000000000000", code)
        answers.append(browser.verify(challenge, code))
    guess = _password(target)
    passwords = [guess() for _ in range(PASSWORDS + BEYOND)]
    hole = _beyond(_compared(answers), CODES) or _beyond(_compared(passwords), PASSWORDS)
    tried = "wrong codes, each after four requests that fail otherwise; wrong passwords across the 10th"
    return Finding(5 * len(answers) + len(passwords), tried, hole)


def cookie_counter(target: Target) -> Finding:
    """A login in a browser that goes back to earlier cookies, or to the login's only, before each guess."""
    owner = enrol(target)
    browser = target.browser()
    body = {"email": owner.account.email, "password": owner.account.password, "transport": "cookie"}
    challenge = expect(browser.post("/v1/login", body), 200)["challenge"]["id"]
    first = dict(browser.cookies)
    binding = {name: value for name, value in first.items() if name in CHALLENGE_COOKIES}
    answers = []
    for number, code in enumerate(owner.wrong_codes(CODES + BEYOND)):
        browser.cookies = dict(binding if number % 2 else first)
        answers.append(browser.verify(challenge, code))
    tried = "wrong codes, each with the cookies from before the first one, or with the login's alone"
    return Finding(len(answers), tried, _beyond(_compared(answers), CODES))


def new_login_new_budget(target: Target) -> Finding:
    """Each wrong code in a login of its own, in a browser of its own."""
    owner = enrol(target)
    answers = [owner.guess(code) for code in owner.wrong_codes(CODES + BEYOND)]
    tried = "each wrong code after a new password login in a new browser"
    return Finding(len(answers), tried, _beyond(_compared(answers), CODES))


def success_clears_budget(target: Target) -> Finding:
    """Right passwords and a right step-up between wrong codes; another account's login between tries of one address."""
    owner = enrol(target)
    answers = []
    browser, challenge = owner.challenge()
    proof = {"password": owner.account.password, "code": owner.app.fresh()}
    for number, code in enumerate(owner.wrong_codes(CODES + BEYOND)):
        if number == CODES - 1:
            owner.challenge()
            expect(owner.browser.post("/v1/reauthenticate", proof), 200)
        answers.append(browser.verify(challenge, code))
    hole = _beyond(_compared(answers), CODES)
    tried = "a right password and a right step-up after 4 wrong codes"
    if not target.client_addresses:
        return Finding(len(answers), tried, hole)
    address = new_address()
    stranger, helper = target.browser(address), target.browser(address)
    unknown = [_verify(stranger, f"chl_{secrets.token_hex(13)}", "000000") for _ in range(CODES_BY_ADDRESS + BEYOND)]
    before = [call() for call in unknown[: CODES_BY_ADDRESS - 5]]
    enrol(target).signed_in(helper)
    after = [call() for call in unknown[CODES_BY_ADDRESS - 5 :]]
    seen = sum(answer.status != 429 for answer in (*before, *after))
    # The helper's own success may be paid for or not: a success is no guess.
    hole = hole or _beyond(seen, CODES_BY_ADDRESS)
    return Finding(len(answers) + len(unknown), f"{tried}; another account's login amid tries of one address", hole)


def forwarded_for(target: Target) -> Finding:
    """One client that names another address in X-Forwarded-For with each try."""
    own = new_address()
    browser = target.browser(own)

    def forge() -> dict[str, str]:
        # What a proxy of the deployment adds stands last; where we stand in its place, we add ourselves.
        chain = f"{new_address()}, {own}" if target.client_addresses else new_address()
        forged = {"X-Real-IP": new_address(), "Forwarded": f"for={new_address()}", "True-Client-IP": new_address()}
        return {"Content-Type": "application/json", "X-Forwarded-For": chain, **forged}

    def cancel() -> Answer:
        body = f'{{"token": "{secrets.token_urlsafe(32)}"}}'.encode()
        return browser.raw("POST", "/v1/two-factor/resets/cancel", body, forge())

    def verify() -> Answer:
        return browser.raw("POST", f"/v1/login/chl_{secrets.token_hex(13)}/verify", b'{"code": "000000"}', forge())

    answers = [cancel() for _ in range(CANCELS_BY_ADDRESS + BEYOND)]
    hole = _beyond(sum(answer.status != 429 for answer in answers), CANCELS_BY_ADDRESS)
    if target.client_addresses:  # elsewhere it would use up the address that the other probes share
        more = [verify() for _ in range(CODES_BY_ADDRESS + BEYOND)]
        hole = hole or _beyond(sum(answer.status != 429 for answer in more), CODES_BY_ADDRESS)
        answers += more
    return Finding(len(answers), "one client, another forged address with each try", hole)


def address_rotation(target: Target) -> Finding:
    """Each try on one account from another address: of the code, and of the password."""
    target.need_addresses()
    owner = enrol(target)
    begun_by, challenge = owner.challenge()
    codes = [target.copy_of(begun_by).verify(challenge, code) for code in owner.wrong_codes(CODES + BEYOND)]
    email = target.account().email
    passwords = [target.browser().log_in(email, secrets.token_hex(10)) for _ in range(PASSWORDS + BEYOND)]
    hole = _beyond(_compared(codes), CODES) or _beyond(_compared(passwords), PASSWORDS)
    return Finding(len(codes) + len(passwords), "wrong codes and wrong passwords, each from a new address", hole)


def right_after_wrong(target: Target) -> Finding:
    """The right SMS code after the budget was spent on wrong ones: same client, a copy elsewhere, the page's form."""
    owner = enrol(target)
    prove_phone(owner)
    browser, challenge = owner.challenge()
    code = sms_code(owner, browser, challenge)
    for wrong in owner.wrong_codes(CODES + 1)[: CODES + 1]:
        if wrong != code:
            browser.verify(challenge, wrong)
    other, form = target.copy_of(browser), target.copy_of(browser)
    form.keep_login_in_cookies(challenge)
    page = form.form(f"/login/{challenge}", {"code": code})
    answers = [browser.verify(challenge, code), other.verify(challenge, code), page]
    opened = any(answer.status == 200 for answer in answers[:2]) or form.get("/v1/session").status == 200
    if not opened and any(answer.status != 429 for answer in answers):
        raise UnexpectedAnswerError(f"not refused for the budget: {[answer.status for answer in answers]}")
    tried = "5 wrong codes against a live text, then its code: same client, its copy elsewhere, the page's form"
    return Finding(CODES + 1 + len(answers), tried, "the code still opened the login" if opened else None)


def _verify(browser: Browser, challenge: str, code: str) -> Callable[[], Answer]:
    return lambda: browser.verify(challenge, code)


def _compared(answers: Iterable[Answer]) -> int:
    """How many tries were looked at: the answer says that they were wrong, or right."""
    return sum(answer.status == 200 or answer.code in _WRONG for answer in answers)


def _beyond(seen: int, allowed: int) -> str | None:
    if seen == 0:
        raise UnexpectedAnswerError("no try was looked at, so no budget was met")
    return f"{seen} tries were looked at, {allowed} are allowed" if seen > allowed else None


def _other_than(code: str) -> str:
    return f"{(int(code) + 1 + secrets.randbelow(10**6 - 1)) % 10**6:06d}"


def _no_backup_code() -> str:
    """The shape of a backup code, of random characters."""
    return secrets.choice(_ALPHABET[:10]) + "".join(secrets.choice(_ALPHABET) for _ in range(15))


PROBES = (
    Probe(6, "parallel-wrong-guesses", "Many wrong guesses at once", "GHSA-7h8m-vrxx-vr4m", parallel_wrong_guesses),
    Probe(
        7,
        "unlimited-tries",
        "Unlimited tries on any factor",
        "CVE-2024-0227, CVE-2025-64102, CVE-2026-56450, GHSA-7j7j-66cv-m239",
        unlimited_tries,
    ),
    Probe(
        8,
        "counter-survives-errors",
        "The count of failures lost by an error, or compared as text",
        "CVE-2026-35597",
        counter_survives_errors,
    ),
    Probe(9, "cookie-counter", "A counter kept in the client's cookie, rewound", "CVE-2026-78655", cookie_counter),
    Probe(10, "new-login-new-budget", "A new login resets the budget", "RFC 4226 §7.3", new_login_new_budget),
    Probe(
        11,
        "success-clears-budget",
        "A right password, or another user's success, clears a counter",
        "allauth 65.8.1",
        success_clears_budget,
    ),
    Probe(
        12,
        "forwarded-for-rotation",
        "A forged address in X-Forwarded-For with each try",
        "CVE-2026-108162, CVE-2026-111934",
        forwarded_for,
    ),
    Probe(13, "address-rotation", "Another address with each try", "GHSA-c55g-q6f4-5qxr", address_rotation),
    Probe(
        14,
        "right-after-wrong",
        "A code that outlives the tries against it",
        "CVE-2026-33640",
        right_after_wrong,
    ),
)
