"""Calls that cost CPU: what one of them may take, and how many an account may make (rows 38, 39)."""

import time

from deploy.attack.browser import Browser
from deploy.attack.people import Owner, enrol, expect, sign_in
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import two_factor_is_on
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, wait_for

# zxcvbn's own call takes 2 to 12 s for the first of these, and 0.1 s for the others.
HOSTILE_PASSWORDS = ("4@8({[<369&#!1|0$5+7%2" * 3, "1" * 128, "qw" * 64, "aab" * 42)
RATING_SECONDS = 1.0
# The tables are services/otp/limits.py and services/auth/limits.py.
SHEETS, ENROLLMENTS, SESSIONS, TOKENS = 5, 10, 50, 60


@watched
def dear_password(target: Target, watch: Watch) -> str:
    """Have passwords rated that cost seconds where look-alike symbols are read in every combination."""
    browser = sign_in(target, target.account())
    _rate(browser, "a password that loads the word lists")
    for password in HOSTILE_PASSWORDS:
        took = min(_seconds_of_rating(browser, password) for _ in range(2))  # the machine may have been busy once
        watch.holds(f"the rating of {password[:8]}… took {took:.1f} s", took <= RATING_SECONDS)
    return f"{len(HOSTILE_PASSWORDS)} passwords of look-alikes, digits, walks and repeats, rated in a second each"


def _seconds_of_rating(browser: Browser, password: str) -> float:
    started = time.monotonic()
    _rate(browser, password)
    return time.monotonic() - started


def _rate(browser: Browser, password: str) -> Answer:
    return browser.post("/v1/password/strength", {"new_password": password})


@watched
def dear_backup_codes(target: Target, watch: Watch) -> str:
    """Make new backup codes in two loops, until others are refused theirs."""
    loops, bystander = [enrol(target), enrol(target)], enrol(target)
    for owner in loops:
        for _ in range(SHEETS):
            watch.served("new backup codes", _new_codes(owner))
        watch.refused(f"new backup codes for time {SHEETS + 1}", _new_codes(owner), "too_many_requests")
    impatient = target.browser(patient=False)
    challenge = str(
        expect(impatient.log_in(bystander.account.email, bystander.account.password), 200)["challenge"]["id"]
    )
    watch.served("somebody else's backup code", impatient.verify(challenge, bystander.recovery_codes.pop()))
    watch.holds("somebody else cannot enrol", two_factor_is_on(enrol(target).browser))
    return f"{SHEETS + 1} new sheets for each of two accounts, then another one's backup code and enrolment"


def _new_codes(owner: Owner) -> Answer:
    """The answer that counts. While other probes enroll, the answer may be 503, which costs nothing."""

    def answered() -> Answer | None:
        answer = owner.browser.post("/v1/two-factor/recovery-codes")
        return None if answer.status == 503 else answer

    answer: Answer = wait_for(answered, seconds=90)
    return answer


@watched
def dear_enrolments(target: Target, watch: Watch) -> str:
    """Have QR codes drawn without end."""
    browser, neighbour = sign_in(target, target.account()), sign_in(target, target.account())
    for _ in range(ENROLLMENTS):
        watch.served("begin an enrollment", browser.post("/v1/two-factor/enrollment"), 201)
    again = browser.post("/v1/two-factor/enrollment")
    watch.refused(f"an enrollment begun for time {ENROLLMENTS + 1}", again, "too_many_requests")
    watch.served("another account begins one", neighbour.post("/v1/two-factor/enrollment"), 201)
    return f"{ENROLLMENTS + 1} enrollments of one account, and one of another"


@watched
def endless_sessions(target: Target, watch: Watch) -> str:
    """Open more sessions than an account may have, and list them."""
    account = target.account()
    browsers = [sign_in(target, account) for _ in range(SESSIONS + 3)]
    for browser in browsers[:3]:
        watch.refused("one of the oldest sessions", browser.get("/v1/session"), "not_authenticated")
    listed = expect(browsers[-1].get("/v1/sessions?limit=200"), 200)["items"]
    watch.holds(f"{len(listed)} sessions of one account", len(listed) <= SESSIONS)
    page = expect(browsers[-1].get("/v1/sessions?limit=10"), 200)
    watch.holds(f"{len(page['items'])} sessions on a page of ten", len(page["items"]) <= 10)
    watch.served("the newest session", browsers[-1].get("/v1/session"))
    return f"{SESSIONS + 3} sessions of one account, the oldest ones after that, and the list by pages"


@watched
def endless_tokens(target: Target, watch: Watch) -> str:
    """Have tokens for the portal's other services signed without end."""
    account = target.account()
    browser, neighbour = sign_in(target, account), sign_in(target, account)
    for _ in range(TOKENS):
        watch.served("a token", browser.post("/v1/session/token"))
    watch.refused(f"token {TOKENS + 1} in a minute", browser.post("/v1/session/token"), "too_many_requests")
    watch.served("a token of another session", neighbour.post("/v1/session/token"))
    return f"{TOKENS + 1} tokens of one session, and one of another session of the account"


PROBES = (
    Probe(
        38,
        "dear-password",
        "One password whose rating costs seconds",
        "zxcvbn-python#70",
        dear_password,
        alone=True,
    ),
    Probe(39, "dear-backup-codes", "New backup codes until others get none", "found here", dear_backup_codes),
    Probe(39, "dear-enrolments", "QR codes drawn without a budget", "found here", dear_enrolments),
    Probe(39, "endless-sessions", "Sessions opened and listed without end", "found here", endless_sessions),
    Probe(39, "endless-tokens", "Tokens signed without a budget", "found here", endless_tokens),
)
