"""A stack under another name: what a browser shows, keeps and prints of it."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from deploy.portal import Portal, pages_of, wait_for
from tests.browser.accessibility import problems
from tests.browser.conftest import DESKTOP, PHONE, Visitor, code_of, key_on, update

pytestmark = pytest.mark.browser

NAME = "Bücher & Co"
HELP = "help@buecher.example"
BRAND = {"BRAND_NAME": NAME, "SUPPORT_EMAIL": HELP, "SUPPORT_URL": "https://buecher.example/help"}
FILES = {
    "colors.toml": '[light]\naccent = "#0a6b3f"\n[dark]\naccent = "#7fd6a8"\n',
    "texts.toml": '[login]\ntitle = { en = "Welcome <i>back</i>" }\n',
    "logo.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 16"><rect width="64" height="16"/></svg>',
}


@pytest.fixture(scope="module")
def branded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brand")
    for name, content in FILES.items():
        (folder / name).write_text(content)
    settings = {**BRAND, "BRAND_FOLDER": str(folder)}
    with running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings) as running:
        yield running


def mails_of(stack):
    return [one["body"] for one in Portal(stack.base_url).get("/dev/inbox.json").body if one["channel"] == "email"]


def test_a_brand_is_on_pages_in_the_app_on_the_printed_codes_and_under_mails(branded, chromium):
    found, complaints = {}, []
    for size, light in ((DESKTOP, "light"), (PHONE, "dark")):
        context = chromium.new_context(viewport=size, color_scheme=light, accept_downloads=True)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        visitor = Visitor(page, context, pages_of(branded.base_url))
        visitor.open("/login")
        expect(page).to_have_title(f"Welcome <i>back</i> · {NAME}")
        expect(page.get_by_role("heading", name="Welcome <i>back</i>")).to_be_visible()
        expect(page.get_by_role("link", name="help@buecher.example")).to_have_attribute(
            "href", "mailto:help@buecher.example"
        )
        assert page.locator(".brand img").evaluate("image => image.naturalWidth / image.naturalHeight") == 4
        button = page.locator("#password-step .primary").evaluate("button => getComputedStyle(button).backgroundColor")
        assert button == ("rgb(10, 107, 63)" if light == "light" else "rgb(127, 214, 168)")
        found[light] = problems(page)
    assert found == {"light": [], "dark": []}

    owner = branded.demo.account("owner@example.com")
    page = visitor.give_password(owner.email, owner.password)
    page.get_by_role("switch").check()
    key = key_on(page)
    assert parse_qs(urlsplit(page.locator("#open-app").get_attribute("href")).query)["issuer"] == [NAME]
    update(page, lambda: code_of(key))
    expect(page.locator("#codes-list li")).to_have_count(10)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename == "bücher-co-backup-codes.txt"
    site = re.escape(f"{NAME} · ") + r"http://(localhost|127\.0\.0\.1):\d+"
    head = rf"{site}\nBackup codes for owner@example\.com, made on .*20\d\d.*\. Each works once\.\n\n"
    assert re.match(head, saved.value.path().read_text())
    page.emulate_media(media="print")
    expect(page.locator("#codes-site")).to_have_text(re.compile(site))
    expect(page.locator("#codes-head")).to_have_text(re.compile(r"owner@example\.com, made on .*20\d\d"))
    for line in ("#codes-site", "#codes-head", "#codes-list"):
        assert page.locator(line).is_visible()
    assert "latchkey" not in page.content().lower()
    signed = f"-- \n{NAME}\n{branded.base_url}\nSupport: {HELP}, https://buecher.example/help\n"
    [mail] = wait_for(lambda: mails_of(branded) or None, seconds=20)
    assert mail.endswith(signed), mail
    assert complaints == []
