"""SMS pumping: many texts to ranges that pay whoever has them sent (row 31)."""

import secrets
import time
from functools import partial

from redis import Redis

from deploy.attack.browser import Browser
from deploy.attack.people import enrol, expect, new_number, prove_number, prove_phone, race, sign_in
from deploy.attack.probe import Probe, Target, new_address
from deploy.attack.steps import new_password
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, wait_for

ACCOUNTS = 6
SENDS_AN_ACCOUNT = 5  # in ten minutes, also to a phone; the tables are services/{otp,auth}/limits.py
SENDS_AN_ADDRESS = 20
CHANGES = 25
NOTICES = 2  # in ten minutes; shared/sending_budgets.py
EQUAL_NOTICES, NEW_SHEET = 2, "New backup codes were made"
UNJUDGED_SENDS = 30
QUIET_SECONDS, _MAIL_SECONDS = 8, 60

# Mobile numbers of countries that pumping likes, each in the country's own name.
FAR = {
    "AZ": "040 123 45 67",
    "BY": "8 029 491 19 11",
    "CU": "05 1234567",
    "DO": "809 234 5678",
    "EG": "0100 123 4567",
    "GE": "0555 12 34 56",
    "ID": "0812 345 678",
    "JM": "876 210 1234",
    "KG": "0700 123 456",
    "LK": "071 234 5678",
    "LV": "21 234 567",
    "NG": "0802 123 4567",
    "PK": "0301 2345678",
    "RU": "8 912 345 67 89",
    "TJ": "917 12 3456",
    "TT": "868 291 1234",
    "UZ": "91 234 56 78",
}
# The same in the name of another country, as a form that trusts its Country field would take them.
DISGUISED = {
    "US": ("+1 876 210 1234", "+1 809 234 5678", "+1 242 359 1234", "+371 21 234 567", "011 994 40 123 45 67"),
    "GB": ("+44 7797 712345", "+44 7911 123456x1234", "00 371 21 234 567"),
    "DE": ("+371 21 234 567", "+881 6 1234 5678", "+883 510 012 345 678", "+979 123 456 789", "00371 21 234 567"),
    "FR": ("+590 690 00 12 34", "+262 692 12 34 56"),
    "IT": ("+39 06 698 12345", "+371 21 234 567"),
}
# Numbers of allowed countries that cost extra, or that neither a text nor a call reaches.
COSTLY = {
    "DE": ("0900 1 234567", "0180 5 123456", "0137 7 123456", "0800 1234567", "110"),
    "AT": ("0900 123456", "0930 123456"),
    "CH": ("0900 123 456", "0840 123 456"),
    "GB": ("0909 879 0123", "0845 123 4567", "070 1234 5678"),
    "US": ("900 234 5678", "800 234 5678", "911"),
    "FR": ("0891 12 34 56",),
    "ES": ("803 123 456",),
    "IT": ("899 123 456", "848 123 456"),
    "NL": ("0900 123 4567",),
    "AU": ("1900 123 456", "1300 123 456"),
}
# They take calls where codes go by call, and nothing elsewhere. Nobody is called here.
LANDLINES = {
    "DE": "030 123456",
    "AT": "01 234567890",
    "CH": "021 234 56 78",
    "GB": "0121 234 5678",
    "FR": "01 23 45 67 89",
    "NL": "010 123 4567",
    "ES": "810 12 34 56",
}
REFUSALS = ("country_not_allowed", "invalid_phone")


@watched
def pumping(target: Target, watch: Watch) -> str:
    """Each way to buy many texts; a further guard (sends against verifications by prefix) is a further way here."""
    ways = (_far_countries, _one_account, _many_accounts)
    return "; ".join(way(target, watch) for way in ways)


def _far_countries(target: Target, watch: Watch) -> str:
    browser = sign_in(target, target.account())
    countries = browser.get("/v1/phone/countries").body["items"]
    texted, called = ({row["country"] for row in countries if row[way]} for way in ("sms", "call"))
    tried = 0
    for country, number in (*FAR.items(), *LANDLINES.items()):
        if country not in called and (number == LANDLINES.get(country) or country not in texted):
            watch.refused(f"{country} {number}", _send(browser, country, number), *REFUSALS)
            tried += 1
    for country, numbers in (*DISGUISED.items(), *COSTLY.items()):
        for number in numbers:
            watch.refused(f"{country} {number}", _send(browser, country, number), *REFUSALS)
            tried += 1
    return f"{tried} numbers of far, disguised and costly ranges"


def _one_account(target: Target, watch: Watch) -> str:
    """Different numbers at one moment and one after the other, then the last one again at once.

    At one moment each new number withdraws the text to the one before it, so only what is sent in turn shows the limit.
    """
    browser, numbers = sign_in(target, target.account()), [new_number() for _ in range(3 * SENDS_AN_ACCOUNT)]
    answers = race([lambda number=number: _send(browser, "DE", number) for number in numbers])  # type: ignore[misc]
    answers += [_send(browser, "DE", new_number()) for _ in range(SENDS_AN_ACCOUNT)]
    sent = _sent(answers)
    watch.holds(f"one account had {sent} SMS sent, {SENDS_AN_ACCOUNT} may be", sent <= SENDS_AN_ACCOUNT, len(answers))
    watch.refused("another one at once", browser.post("/v1/phone/sms"), "too_many_requests")
    return f"{len(numbers)} at one moment for one account, {SENDS_AN_ACCOUNT} after them"


def _many_accounts(target: Target, watch: Watch) -> str:
    """All of them for one phone, then from one address for many phones."""
    address = new_address()
    browsers = [sign_in(target, target.account(), target.browser(address)) for _ in range(ACCOUNTS)]
    phone = f"0151 3{secrets.randbelow(10**7):07d}"
    answers = race([lambda browser=browser: _send(browser, "DE", phone) for browser in browsers])  # type: ignore[misc]
    to_one = _sent(answers)
    watch.holds(f"one phone got {to_one} SMS, {SENDS_AN_ACCOUNT} may come", to_one <= SENDS_AN_ACCOUNT, len(answers))

    sent = to_one
    for _ in range(SENDS_AN_ACCOUNT - 1):  # one of each account at a moment, because a second one withdraws the first
        calls = [partial(_send, browser, "DE", new_number()) for browser in browsers]
        sent += _sent(race(calls))
    watch.holds(
        f"one address had {sent} SMS sent, {SENDS_AN_ADDRESS} may be",
        sent <= SENDS_AN_ADDRESS,
        ACCOUNTS * SENDS_AN_ACCOUNT,
    )
    return f"{ACCOUNTS} accounts for one phone; {ACCOUNTS * SENDS_AN_ACCOUNT} from one address for many"


def _send(browser: Browser, country: str, number: str) -> Answer:
    return browser.call("PUT", "/v1/phone", {"country": country, "number": number})


def _sent(answers: list[Answer]) -> int:
    return sum(answer.status == 202 for answer in answers)


@watched
def by_changes(target: Target, watch: Watch) -> str:
    """One account changes its password again and again, and each change tells the owner's phone."""
    account = target.account()
    browser, password, changed = sign_in(target, account), account.password, 0
    expect(browser.post("/v1/reauthenticate", {"password": password}), 200)
    phone = prove_number(target, browser)
    for _ in range(CHANGES):
        expect(browser.post("/v1/reauthenticate", {"password": password}), 200)
        wanted = new_password()
        if browser.post("/v1/password", {"current_password": password, "new_password": wanted}).status == 200:
            password, changed = wanted, changed + 1
    watch.holds(f"{changed} changes of one password went through", 0 < changed < CHANGES, CHANGES)
    _few_texts(target, watch, phone)
    return f"{CHANGES} changes of one password"


@watched
def by_new_sheets(target: Target, watch: Watch) -> str:
    """One account makes new backup codes again and again, and each sheet tells the owner's phone."""
    owner = enrol(target)
    phone = prove_phone(owner)
    for _ in range(CHANGES):
        owner.browser.post("/v1/two-factor/recovery-codes")
    _few_texts(target, watch, phone)
    inbox, address = target.need_inbox(), owner.account.email

    def arrived() -> int | None:
        """The mails that tell of new codes, once there is one: on a busy machine it comes after the texts."""
        found = (mail["to"] == address and mail["subject"].startswith(NEW_SHEET) for mail in inbox.messages())
        return sum(found) or None

    mails = wait_for(arrived, seconds=_MAIL_SECONDS)
    watch.holds(f"{mails} mails came, {EQUAL_NOTICES} may come", mails <= EQUAL_NOTICES, CHANGES)
    return f"{CHANGES} new sheets of one account"


@watched
def paused_by_two(target: Target, watch: Watch) -> str:
    """Two accounts have more texts sent to one prefix than a window has unjudged ones, and enter none."""
    control = target.need_control()
    target.need_addresses()
    browsers = [sign_in(target, target.account()) for _ in range(2)]
    sent = 0
    with Redis.from_url(control.settings.redis_url) as redis:
        while sent <= UNJUDGED_SENDS:
            for browser in browsers:
                answers = [_send(target.copy_of(browser), "DE", _quiet_number()) for _ in range(SENDS_AN_ACCOUNT)]
                sent += _sent(answers)
                sixth = _send(target.copy_of(browser), "DE", _quiet_number())
                watch.refused("a sixth text", sixth, "too_many_requests")
            for key in redis.scan_iter(match="budget:otp.sms.proof.*", count=1000):
                redis.delete(key)  # ten minutes later
    bystander = sign_in(target, target.account())
    paused = _send(bystander, "DE", _quiet_number())
    watch.holds(f"{sent} texts of two accounts paused a prefix: {paused.status} {paused.code}", paused.status == 202)
    return f"{sent} texts of two accounts to one prefix"


def _few_texts(target: Target, watch: Watch, number: str) -> None:
    """Wait for the notices of the changes, then count the texts among them."""
    phone = "+49" + number.replace(" ", "").removeprefix("0")
    inbox = target.need_inbox()

    def texts() -> int:
        return sum(message["channel"] == "sms" and message["to"] == phone for message in inbox.messages())

    seen, quiet_since = texts(), time.monotonic()
    while time.monotonic() - quiet_since < QUIET_SECONDS:
        time.sleep(0.5)
        if texts() != seen:
            seen, quiet_since = texts(), time.monotonic()
    most = NOTICES + 1  # the code that proved the phone
    watch.holds(f"{seen} texts came, {most} may come", seen <= most, CHANGES)


def _quiet_number() -> str:
    """A number of a range that no other probe uses."""
    return f"0160 1{secrets.randbelow(10**6):06d}"


PROBES = (
    Probe(
        31,
        "sms-pumping",
        "Many texts to premium ranges, few verifications",
        "Twilio: SMS pumping fraud",
        pumping,
        # Where all our clients have one address, it uses up what the others' texts need.
        alone=True,
    ),
    Probe(40, "texts-by-changes", "Texts by changes of a password, past the budgets", "found here", by_changes),
    Probe(40, "texts-by-new-sheets", "Texts by new backup codes", "CVE-2026-107830", by_new_sheets),
    Probe(
        69,
        "prefix-paused-by-two",
        "Two accounts pause a prefix for everybody",
        "found here",
        paused_by_two,
        # It ends the windows of all other senders.
        alone=True,
    ),
)
