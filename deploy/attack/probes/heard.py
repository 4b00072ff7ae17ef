"""The owner hears of a right password, and wrong ones by strangers hold nobody out (rows 49 and 50)."""

from deploy.attack.browser import Browser
from deploy.attack.people import enrol, expect, operator, sign_in
from deploy.attack.probe import CannotTryError, Probe, Target
from deploy.attack.steps import account_id
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, wait_for

# What the owner's clients do not call themselves, and how the product names it.
AGENT, BROWSER = "Opera/9.80 (Windows NT 10.0)", "Opera on Windows"
NEW_PLACE = "Your password was entered in a new place"
ENTRY = "password.accepted"
# A deployment's promises (README.md of auth, "Limits"): entries of one network in an hour, wrong passwords in 15 min.
ENTRIES, PASSWORDS = 10, 10
BEYOND, ADDRESSES = 4, 6
_NOTICE_SECONDS = 40.0


@watched
def tested_in_silence(target: Target, watch: Watch) -> str:
    """Enter a right password from new places, and no code; then look for what the owner hears."""
    owner, inbox = enrol(target), target.need_inbox()
    stranger = target.browser()
    for _ in range(ENTRIES + BEYOND):
        _enter(stranger, owner.account.email, owner.account.password)
    if target.client_addresses:
        for _ in range(ADDRESSES):
            _enter(target.browser(), owner.account.email, owner.account.password)
    items = expect(owner.browser.get("/v1/activity?limit=100"), 200)["items"]
    entries = [item["details"] for item in items if item["type"] == ENTRY and item["details"]["browser"] == BROWSER]
    watch.holds("a right password that stopped at the code left no entry", bool(entries))
    by_one = [one for one in entries if one["ip"] == stranger.ip] if target.client_addresses else entries
    watch.holds(f"one caller left {len(by_one)} entries, {ENTRIES} are allowed", len(by_one) <= ENTRIES)

    def told() -> list[str] | None:
        """The mails that tell of a new place."""
        mails = [one for one in inbox.messages() if one["channel"] == "email" and one["to"] == owner.account.email]
        return [str(one["body"]) for one in mails if one["subject"].startswith(NEW_PLACE)] or None

    try:
        mails = wait_for(told, seconds=_NOTICE_SECONDS, every=0.5)
    except TimeoutError:
        watch.holds("the owner was not told of a right password from a new place", held=False)
        return "a right password from a new place"
    watch.holds(f"the owner got {len(mails)} mails at once for one thief", len(mails) == 1)
    watch.holds("the mail does not name the browser", BROWSER in mails[0])
    addresses = f" and {ADDRESSES} other addresses" if target.client_addresses else ""
    return f"{ENTRIES + BEYOND} right passwords without a code from one new place{addresses}"


def _enter(browser: Browser, email: str, password: str) -> None:
    body = {"email": email, "password": password, "transport": "bearer"}
    expect(browser.call("POST", "/v1/login", body, User_Agent=AGENT), 200)


@watched
def held_out(target: Target, watch: Watch) -> str:
    """Spend the passwords of an account without 2FA as strangers, then come as its owner."""
    account = target.account()
    password = {"email": account.email, "password": account.password}
    page, client = target.browser(), sign_in(target, account)
    watch.served("a sign-in by cookie", page.post("/v1/login", password))
    _guess(target, account.email)
    answer = target.browser().log_in(account.email, account.password)
    watch.holds("strangers' wrong passwords met no limit", answer.code == "too_many_requests", PASSWORDS + BEYOND)
    for what, browser in (("browser", page), ("app", client)):
        held = expect(browser.get("/v1/two-factor"), 200)["held_out"]
        said = any(one["what"] == "passwords_new_clients" and one["until"] and one["lifted_by"] for one in held)
        watch.holds("the account does not say what holds it out, until when, and what lifts it", said)
        _gets_in(watch, f"the owner's password is refused in the owner's {what}", _again(browser, password))

    for number in range(PASSWORDS + 1):
        known = client.log_in(account.email, f"wrong guess {number}")
    watch.holds("wrong passwords in a known client met no limit", known.code == "too_many_requests", PASSWORDS + 1)
    tried = f"{PASSWORDS + BEYOND} wrong passwords by strangers, then the owner in a browser and an app that are known"
    try:
        support = operator(target).browser
    except CannotTryError:
        return tried
    asked = {"ticket": "ATTACK-4", "reason": "A probe"}
    path = f"/v1/support/accounts/{account_id(page)}/unlock"
    watch.served("support lifts the lock", support.post(path, asked), 204)
    answers = (target.browser().log_in(account.email, account.password), _again(client, password))
    for what, answer in zip(("a new browser", "a known app"), answers, strict=True):
        _gets_in(watch, f"after support's unlock the owner's password is refused in {what}", answer)
    return f"{tried}; support's unlock"


def _guess(target: Target, email: str) -> None:
    for number in range(PASSWORDS + BEYOND):
        target.browser().log_in(email, f"wrong guess {number}")


def _again(browser: Browser, password: dict[str, str]) -> Answer:
    """The owner's sign-in with what this client keeps: a cookie, or a device token."""
    transport = "bearer" if browser.device_token else "cookie"
    return browser.post("/v1/login", {**password, "transport": transport})


def _gets_in(watch: Watch, hole: str, answer: Answer) -> None:
    watch.holds(f"{hole}: {answer.code}", answer.status == 200)


PROBES = (
    Probe(49, "tested-in-silence", "A right password tested in silence", "here", tested_in_silence),
    Probe(50, "held-out", "The owner without 2FA held out by wrong passwords of strangers", "here", held_out),
)
