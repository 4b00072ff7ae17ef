"""A person at a real browser, against the stack as `make run` starts it: codes and notices land in the inbox."""

import re
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import expect, sync_playwright

from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from deploy.portal import Portal, pages_of, wait_for
from tests.support.invented import invented
from tests.support.people import make_people, turn_on_two_factor

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# What Chromium itself writes about an answer that says no is no fault of the page.
A_REFUSAL = re.compile(
    r"Failed to load resource: the server responded with a status of (401|403|404|409|410|422|429|503)"
)
STEP_SECONDS = 30
A_STOCK = 12
MANY_TRIES = 60
A_LONG_TEST_SECONDS = 300
# How long a page may take, where something else may keep the machine busy; how fast it is, no test here says.
expect.set_options(timeout=20_000)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.timeout(A_LONG_TEST_SECONDS))


def tool(name: str) -> str:
    """The program's path. Raises a failure that says how to get it."""
    path = shutil.which(name)
    assert path, f"{name} was not found: apt-get install chromium zbar-tools oathtool fonts-noto-color-emoji"
    return path


def code_of(key: str, *, ahead_seconds: int = 0) -> str:
    """What an authenticator app shows, computed by a program that shares no code with ours."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + ahead_seconds))
    command = [tool("oathtool"), "--base32", "--totp", "--now", at, key]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    settings = {"TRUSTED_PROXY_COUNT": "1", "RESET_COOL_OFF_SECONDS": "4", "RESET_LONG_COOL_OFF_SECONDS": "4"}
    with running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings) as running:
        yield running


WINDOW_SECONDS = 8 * 60  # an operator's writes need a step-up window, which a sign-in opens for ten minutes


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool("chromium"), args=[*FLAGS])
        yield browser
        browser.close()


@dataclass
class Visitor:
    """A browser of its own, from an address of its own, and what its console said."""

    page: object
    context: object
    base_url: str
    complaints: list = field(default_factory=list)

    def open(self, path):
        self.page.goto(self.base_url + path)
        return self.page

    def give_password(self, email, password):
        page = self.open("/login")
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log In").click()
        return page

    def log_in(self, person):
        """With whatever that takes; an operator once, because each further code would have to be waited for."""
        if person.cookies and time.monotonic() - person.signed_in_at < WINDOW_SECONDS:
            self.context.add_cookies(person.cookies)
            page = self.open("/")
            page.wait_for_url(lambda url: "/login" not in url)
            return page
        page = self.give_password(person.email, person.password)
        if person.key:
            give_code(page, person.fresh_code())
        page.wait_for_url(lambda url: "/login" not in url)
        if person.operates:
            person.cookies, person.signed_in_at = self.context.cookies(), time.monotonic()
        return page


@pytest.fixture
def visit(chromium, stack):
    """Make visitors; at the end nobody's console may have an error or a report of the policy."""
    visitors = []

    def make(*, size=DESKTOP, dark=False, scripts=True, language="en-US", touch=False, ip=None):
        ip = ip or f"10.{secrets.randbelow(255)}.{secrets.randbelow(255)}.{secrets.randbelow(255)}"
        context = chromium.new_context(
            viewport=size,
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            locale=language,
            extra_http_headers={"X-Forwarded-For": ip},
            accept_downloads=True,
            has_touch=touch,
            is_mobile=touch,
        )
        context.set_default_timeout(20_000)
        pages = pages_of(stack.base_url)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=pages)
        visitor = Visitor(context.new_page(), context, pages)

        def hear(message):
            if message.type in {"error", "warning"} and not A_REFUSAL.match(message.text):
                visitor.complaints.append(message.text)

        visitor.page.on("console", hear)
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        visitors.append(visitor)
        return visitor

    yield make
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for visitor in visitors:
        visitor.context.close()
    assert complaints == []


@pytest.fixture
def visitor(visit):
    return visit()


@dataclass
class Owner:
    """Somebody with an account, and with a phone once 2FA is on."""

    id: str
    email: str
    password: str
    key: str | None = None
    codes: list = field(default_factory=list)
    last_step: int = 0
    operates: bool = False
    cookies: list | None = None
    signed_in_at: float = 0.0
    enrollment_word: str | None = None

    def fresh_code(self):
        """A code that was not used before: the next one where this step's is spent, which the server takes as well."""
        step = int(time.time()) // STEP_SECONDS
        if step + 1 <= self.last_step:
            time.sleep((self.last_step - step) * STEP_SECONDS - time.time() % STEP_SECONDS + 0.5)
            step = int(time.time()) // STEP_SECONDS
        self.last_step = max(step, self.last_step + 1)
        return code_of(self.key, ahead_seconds=(self.last_step - step) * STEP_SECONDS)

    def code_before(self):
        """The code of the previous step. It is still accepted, and the code of this step stays unused."""
        left = STEP_SECONDS - time.time() % STEP_SECONDS
        if left < 5:  # it would be too old on its arrival
            time.sleep(left + 0.1)
        self.last_step = int(time.time()) // STEP_SECONDS - 1
        return code_of(self.key, ahead_seconds=-STEP_SECONDS)


@pytest.fixture(scope="session")
def make_owner(stack):
    stock = {}

    def make(role="member", team="Example Ltd"):
        kind = (role, team)
        if not stock.get(kind):
            count = A_STOCK if team == "Example Ltd" else 1
            stock[kind] = make_people(stack, [invented() for _ in range(count)], role, team)
        made = stock[kind].pop()
        return Owner(made.id, made.email, made.password, enrollment_word=made.enrollment_word)

    return make


@pytest.fixture
def ann(make_owner):
    """Somebody with a password alone."""
    return make_owner()


@pytest.fixture
def mia(stack, make_owner):
    """Somebody with 2FA on, who needs no browser for it."""
    owner = make_owner()
    owner.key = turn_on_two_factor(stack, owner)
    return owner


@pytest.fixture
def ben(stack, make_owner):
    """Somebody else with 2FA on."""
    owner = make_owner()
    owner.key = turn_on_two_factor(stack, owner)
    return owner


@pytest.fixture
def operator(stack):
    return _operator(stack, "support@latchkey.example")


@pytest.fixture
def second_operator(stack):
    return _operator(stack, "support2@latchkey.example")


_operators = {}


def _operator(stack, email):
    account = stack.demo.account(email)
    return _operators.setdefault(email, Owner(account.id, email, account.password, account.totp_secret, operates=True))


@pytest.fixture
def inbox(stack):
    def text(*parts, seconds=20):
        """The newest message that holds all of these."""

        def look():
            messages = Portal(stack.base_url).get("/dev/inbox.json").body
            hits = (one["body"] for one in messages if all(part in f"{one['to']} {one['body']}" for part in parts))
            return next(hits, None)

        return wait_for(look, seconds=seconds)

    return text


def key_on(page):
    """The key that the setup shows, once it shows one."""
    expect(page.locator("#key")).not_to_be_empty()
    return page.locator("#key").inner_text().replace(" ", "")


def code_field(page):
    """The one field for codes of the login page."""
    return page.get_by_role("textbox", name="Authentication Code")


def give_code(page, code):
    """Enter a code at Log In and send it; the page sends none by itself."""
    code_field(page).fill(code)
    page.locator("#code-step").get_by_role("button", name="Log In").click()


def enroll(visitor, person):
    """Turn 2FA on by the page, without the QR code, for whoever needs the backup codes; mia has it on already."""
    page = visitor.log_in(person)
    page.get_by_role("switch").check()
    person.key = key_on(page)
    update(page, person.code_before)
    save_codes(page, person)
    return page


def save_codes(page, person):
    """Note the backup codes, which the page shows only once, and go on."""
    expect(page.get_by_role("heading", name="Backup Codes")).to_be_visible()
    expect(page.locator("#codes-list li")).to_have_count(10)
    person.codes = page.locator("#codes-list li").all_inner_texts()
    page.get_by_role("button", name="I have saved them").click()


def update(page, code):
    """Enter what ``code()`` gives and click Update, as often as the page asks for it."""

    def give():
        page.locator("#setup").get_by_label("Authentication Code").fill(code())
        page.get_by_role("button", name="Update").click()

    until_taken(page, "#setup", give)


def until_taken(page, section, give, *, again="Try again in"):
    """Ten hashes on a busy machine may outlast a call: the page then says when to try again, and a person does so.

    Where only the answer came too late, the page says that 2FA is on and asks to make the backup codes anew.
    """
    said = page.locator(f"{section} .form-error")
    for _ in range(MANY_TRIES):
        give()
        expect(page.locator(f"{section} [aria-busy]")).to_have_count(0)
        if not (said.is_visible() and again in said.inner_text()):
            break
        page.wait_for_timeout(1000)
    if section == "#setup" and page.get_by_text("If you have not saved your backup codes").is_visible():
        until_taken(page, "#codes", page.get_by_role("button", name="Make new backup codes").click)


def choose_language(page, name):
    """Choose a language by the menu in the header, where each language has its own name."""
    page.locator(".languages summary").click()
    page.get_by_role("link", name=name).click()


def log_out(page):
    page.get_by_role("button", name="Log Out", exact=True).click()
    page.wait_for_url("**/login")


def confirm_self(page, person):
    """Answer the dialog that a change of protection asks for."""
    dialog = page.get_by_role("dialog", name="Confirm that it's you")
    dialog.get_by_label("Password").fill(person.password)
    if person.key:
        dialog.get_by_label("Authentication Code").fill(person.fresh_code())
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog).to_be_hidden()


def prove_phone(page, inbox, number=None, *, enrolled=None):
    """Set the own cell phone on the Team page and prove it; each number has a budget of its own. Its last digits.

    ``enrolled`` is who turned 2FA on in this very session, which ended its step-up window.
    """
    number = number or f"01512 {secrets.randbelow(9_000_000) + 1_000_000}"
    enter_phone(page, number)
    save_phone(page, inbox, enrolled=enrolled)
    return number[-4:]


def enter_phone(page, number):
    page.get_by_role("navigation").get_by_role("link", name="Team").click()
    page.locator("#members li", has_text="You").get_by_role("button", name="Edit").click()
    page.get_by_label("Country Code").select_option("DE")
    page.get_by_label("Cell Phone", exact=True).fill(number)


def save_phone(page, inbox, *, enrolled=None):
    page.get_by_role("button", name="Save").click()
    if enrolled:
        confirm_self(page, enrolled)
    expect(page.locator("#prove-sent")).to_be_visible()
    page.get_by_label("Code", exact=True).fill(sms_code(inbox, page.locator("#prove-sent").inner_text()))
    page.locator("#prove-form [type=submit]").click()
    expect(page.locator("#members li", has_text="You")).to_contain_text(", verified")


def sms_code(inbox, sentence):
    reference = re.search(r"reference(?: in the SMS is)? ([A-Z0-9]{4})", sentence)[1]
    return inbox(f"ref {reference}").rsplit("#", 1)[1].strip()
