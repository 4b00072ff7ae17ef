"""What an operator of support must not do: guess, export, work without a second factor or a trace (rows 46, 47, 70)."""

import itertools
from datetime import timedelta

from deploy.attack.browser import Browser
from deploy.attack.inside import grow_older
from deploy.attack.people import Owner, enrol, expect, operator, sign_in
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import account_id
from deploy.attack.support import TICKET, ask_reset, waiting_reset
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, AuthenticatorApp, wait_for

ORDER = {"ticket": TICKET, "reason": "A probe"}
UNLOCKS_A_DAY = 3
NO_CONSOLE = ("second_factor_required", "forbidden", "not_authenticated", "enrollment_required", "new_login_required")
FOUND_AT_MOST = 200  # rows of one operator's searches in an hour
_SEARCHES, _PAGES = 100, (100, 20, 1)
_TOLD_SECONDS = 20.0


@watched
def unlock_guessing(target: Target, watch: Watch) -> str:
    """Guess until the account's codes wait, unlock, guess again."""
    owner, support = enrol(target), operator(target)
    path = f"/v1/support/accounts/{account_id(owner.browser)}/unlock"
    watch.refused("an unlock without ticket and reason", support.browser.post(path), "validation_failed")
    guesses = 0
    for number in range(1, UNLOCKS_A_DAY + 3):
        guesses += _guess_until_it_waits(owner)
        answer = support.browser.post(path, ORDER)
        if answer.status == 422 and watch.holes:  # it takes neither ticket nor reason
            answer = support.browser.post(path)
        lifted = answer.status < 300 and answer.status != 202
        allowed = number <= UNLOCKS_A_DAY
        watch.holds(f"unlock {number} of a day by one operator: {answer.status}", allowed or not lifted)
        if allowed:
            watch.holds(f"unlock {number} was refused: {answer.code}", lifted or bool(watch.holes), tries=0)
    watch.holds(f"after {number} unlocks {guesses} codes were compared", guesses <= 5 * (UNLOCKS_A_DAY + 1))

    def told() -> bool:
        """Whether the owner got the notice of an unlock."""
        return any(
            message["to"] == owner.account.email and "lifted the lock" in str(message["subject"])
            for message in target.need_inbox().messages()
        )

    try:
        wait_for(told, seconds=_TOLD_SECONDS)
    except TimeoutError:
        watch.holes.append("the owner is not told of an unlock")
    return f"five guesses and an unlock, {number} times; {guesses} codes were compared"


def _guess_until_it_waits(owner: Owner) -> int:
    """Guess until the account's codes must wait; the number of codes that were compared."""
    compared = 0
    for code in owner.wrong_codes(6):
        if owner.guess(code).status != 401:
            return compared
        compared += 1
    return compared


@watched
def console_without_factor(target: Target, watch: Watch) -> str:
    """Use the console after the operator's 2FA is off, and write in it without a step-up."""
    customer = enrol(target)
    own_id = account_id(customer.browser)
    if target.control is not None:
        stale = operator(target)
        grow_older(target.control, str(stale.browser.token), timedelta(minutes=11))
        path = f"/v1/support/accounts/{own_id}"
        watch.served("a read in the console with an older proof", stale.browser.get(path))
        watch.refused("a reset without step-up", ask_reset(stale, own_id), "step_up_required")
        watch.refused("an unlock without step-up", stale.browser.post(f"{path}/unlock", ORDER), "step_up_required")
    leaver = operator(target)
    watch.served("an operator turns 2FA off", leaver.browser.call("DELETE", "/v1/two-factor"), 204)
    for method, path in (
        ("GET", f"/v1/support/accounts/{own_id}"),
        ("GET", "/v1/support/accounts?query=attack"),
        ("GET", "/v1/support/two-factor-resets"),
        ("POST", f"/v1/support/accounts/{own_id}/unlock"),
    ):
        body = ORDER if method == "POST" else None
        shown = path.replace(own_id, "…")
        answer = leaver.browser.call(method, path, body)
        watch.refused(f"{method} {shown} after the operator's own 2FA is off", answer, *NO_CONSOLE, "step_up_required")
    return "the console after the operator's own 2FA is off; its writes with a proof of eleven minutes ago"


@watched
def operator_enrols_alone(target: Target, watch: Watch) -> str:
    """Turn 2FA on for an operator with the password alone, and have the console in the login that enrolled."""
    thief = sign_in(target, target.account("support"))
    for what, body in (("the password alone", None), ("a made-up word", {"word": "apple bridge candle"})):
        begun = thief.post("/v1/two-factor/enrollment", body)
        codes = ("enrollment_word_required", "invalid_enrollment_word", "validation_failed")
        watch.refused(f"an operator enrols with {what}", begun, *codes)
        if begun.status == 201:
            app = AuthenticatorApp(begun.body["secret"])
            path = f"/v1/two-factor/enrollment/{begun.body['enrollment_id']}/confirm"
            expect(thief.post(path, {"code": app.before()}), 200)
            watch.refused("the console in the login that enrolled", _console(thief), *NO_CONSOLE)
            return "an operator's enrolment with the password alone"
    rightful = enrol(target, target.account("support"))
    watch.refused("the console in the login that enrolled with a word", _console(rightful.browser), *NO_CONSOLE)
    stepped = {"password": rightful.account.password, "code": rightful.app.fresh()}
    rightful.browser.post("/v1/reauthenticate", stepped)
    watch.refused("the console in that login after a step-up", _console(rightful.browser), *NO_CONSOLE)
    later = rightful.signed_in()
    watch.served("the console in a later login", _console(later))
    return "enrolment with the password alone and with a made-up word; the console in the login that enrolled"


def _console(browser: Browser) -> Answer:
    return browser.get("/v1/support/two-factor-resets")


@watched
def search_exports(target: Target, watch: Watch) -> str:
    """Try to list all customers by searching."""
    support = operator(target).browser
    for query in ("at", "@", "%25%25", "__", "a%20"):
        answer = support.get(f"/v1/support/accounts?query={query}&limit=100")
        watch.refused(f"a search for {query}", answer, "validation_failed", "invalid_request")
    for query in ("%25%25%25", "___", "%25a%25"):
        found = expect(support.get(f"/v1/support/accounts?query={query}&limit=100"), 200)["items"]
        watch.holds(f"a search for {query} finds {len(found)} accounts", not found)
    rows = calls = 0
    queries = itertools.cycle(("attack", "example.com", "probe", "com"))
    sizes = iter(_PAGES)
    cursor, query, size = "", next(queries), next(sizes)
    while rows <= FOUND_AT_MOST and calls < _SEARCHES:
        answer = support.get(f"/v1/support/accounts?query={query}&limit={size}{cursor}")
        calls += 1
        if answer.status != 200:
            if answer.code != "too_many_requests":
                watch.odd.append(f"a page of {size} rows: {answer.status} {answer.code}")
            size = next(sizes, 0)  # a smaller page may still have room
            if not size:
                break
            continue
        rows += len(answer.body["items"])
        cursor = f"&cursor={answer.body['next_cursor']}" if answer.body["next_cursor"] else ""
        query = query if cursor else next(queries)
    watch.holds(f"{rows} rows in {calls} calls", rows <= FOUND_AT_MOST, tries=calls)
    watch.holds("the searches never met their limit", answer.status == 429 or rows > FOUND_AT_MOST, tries=0)
    return f"searches for two characters and wildcards; page after page of everything: {rows} rows in {calls} calls"


@watched
def reads_leave_no_trace(target: Target, watch: Watch) -> str:
    """Read lists, resets and accounts in the console, and look for each in the record of operators' acts."""
    support, customer = operator(target), enrol(target)
    own_id = account_id(customer.browser)
    reset = waiting_reset(support, own_id)
    before = _entries(support)
    own = len(_entries(support)) - len(before)  # entries that reading the trail itself leaves
    for path in (
        f"/v1/support/accounts?query={customer.account.email}",
        f"/v1/support/accounts/{own_id}",
        f"/v1/support/accounts/{own_id}/timeline",
        "/v1/support/two-factor-resets",
        f"/v1/support/two-factor-resets/{reset}",
    ):
        known = len(_entries(support))
        expect(support.browser.get(path), 200)
        left = len(_entries(support)) - known - own
        shown = path.replace(own_id, "…").replace(reset, "…").replace(customer.account.email, "…")
        watch.holds(f"GET {shown} leaves no entry", left > 0)
    return "reads of accounts, timelines, searches and resets, each sought in the record"


def _entries(support: Owner) -> list[str]:
    """The ids of what this operator did, as the record shows it."""
    path = f"/v1/support/audit?operator={support.account.email}&limit=100"
    return [str(item["id"]) for item in expect(support.browser.get(path), 200)["items"]]


PROBES = (
    Probe(46, "unlock-guessing", "Unlock as a machine that guesses", "CVE-2026-123002", unlock_guessing),
    Probe(
        47,
        "console-without-factor",
        "The console after the operator's own 2FA is off, or without a fresh proof",
        "found here",
        console_without_factor,
    ),
    Probe(
        47,
        "operator-enrols-alone",
        "An operator's enrolment with the password alone",
        "found here",
        operator_enrols_alone,
    ),
    Probe(70, "search-exports", "A search that hands out all customers", "found here", search_exports),
    Probe(70, "reads-leave-no-trace", "Reads of the console that leave no trace", "found here", reads_leave_no_trace),
)
