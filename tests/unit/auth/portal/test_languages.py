"""The languages of the pages: the menu as it is without scripts, the direction of a page and of what is filled in."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from services.auth.branding import read_catalogue
from services.auth.portal.answers import answer, duration
from services.auth.portal.assets import ASSETS
from services.auth.portal.texts import by_language
from services.auth.store import accounts
from shared.database import writing
from shared.problems import Refusal
from shared.texts.languages import LANGUAGES, direction
from tests.support.portal import OPEN_PAGES, PAGES, SUPPORT_PAGES, Browser, Page, challenge_of

ISOLATED = "\u2068{}\u2069"
TEXTS = by_language(read_catalogue())


def menu_of(page):
    """The menu's part of the document."""
    [menu] = re.findall(r'<details class="languages">.*?</details>', page.text, re.DOTALL)
    return menu


def links_of(page):
    """The links of the menu, by language."""
    return {attrs["hreflang"]: attrs for tag, attrs in page.tags if tag == "a" and "hreflang" in attrs}


@pytest.mark.parametrize("path", [*OPEN_PAGES, *PAGES, *SUPPORT_PAGES, "/nothing/here"])
def test_every_page_has_one_menu_that_offers_each_language_in_its_own_words(app, deps, sam, path):
    browser = Browser(app.test_client()) if path in OPEN_PAGES else Browser(app.test_client()).signed_in(deps, sam)
    page = Page(browser.get(f"{path}?lang=fr", Accept="text/html"))
    menu, links = menu_of(page), links_of(page)
    assert "Français</summary>" in menu
    assert list(links) == list(LANGUAGES)
    for code, attrs in links.items():
        assert (attrs["lang"], attrs["dir"]) == (code, direction(code))
        assert f">{LANGUAGES[code]}</a>" in menu
        assert parse_qs(urlsplit(attrs["href"]).query) == {"lang": [code]}
        assert urlsplit(attrs["href"]).path == ("/login" if path == "/login" else "")
    assert [code for code, attrs in links.items() if attrs.get("aria-current") == "true"] == ["fr"]


def test_the_menu_keeps_the_page_that_was_asked_for_and_the_step_of_the_login(browser, mia):
    links = links_of(Page(browser.get("/login", asked="/team")))
    assert {parse_qs(urlsplit(attrs["href"]).query)["next"][0] for attrs in links.values()} == {"/team"}
    step = browser.log_in(mia.email).headers["Location"]
    assert {urlsplit(attrs["href"]).path for attrs in links_of(Page(browser.get(step))).values()} == {step}


def test_a_link_on_another_site_chooses_the_language_of_one_page_alone(browser):
    page = browser.get("/login?lang=ar", Sec_Fetch_Site="cross-site")
    assert 'lang="ar"' in Page(page).text
    assert "Set-Cookie" not in page.headers
    assert "latchkey_language=ar" in browser.get("/login?lang=ar", Sec_Fetch_Site="same-origin").headers["Set-Cookie"]


def test_a_file_that_caches_share_carries_no_language(browser):
    [path] = re.findall(r'"(/portal/[^"]+\.css)"', Page(browser.get("/login")).text)
    file = browser.get(f"{path}?lang=ar")
    assert ("Set-Cookie" in file.headers, file.headers["Vary"]) == (False, "Accept-Encoding")


def test_what_a_page_depends_on_is_said_of_a_page_that_is_not_there_too(browser):
    assert {"Accept", "Accept-Language", "Cookie"} <= set(browser.get("/nowhere", Accept="text/html").vary)


def test_a_long_list_of_languages_is_read_in_part(browser):
    languages = ", ".join(f"x-{number}" for number in range(3000))
    assert 'lang="en"' in Page(browser.get("/login", Accept_Language=f"{languages}, de")).text


def test_only_an_account_is_told_that_its_messages_follow_and_only_by_the_script_that_does_it(browser, deps, tom):
    assert "language-of-messages" not in Page(browser.get("/login")).ids()
    page = Page(browser.signed_in(deps, tom).get("/two-factor?lang=es"))
    assert not page.shown("language-of-messages")
    assert unescape(TEXTS["es"]("shell.language_of_messages", language="English")) in unescape(menu_of(page))


def test_the_menu_names_the_language_of_the_messages_and_not_of_the_page(browser, deps, tom):
    with writing(deps.database) as connection:
        accounts.set_language(connection, tom.id, "ja")
    menu = unescape(menu_of(Page(browser.signed_in(deps, tom).get("/two-factor?lang=es"))))
    assert TEXTS["es"]("shell.language_of_messages", language="日本語") in menu


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_has_the_direction_of_its_language_and_fields_that_of_what_is_typed(browser, mia, language):
    page = Page(browser.get(f"/login?lang={language}"))
    [root] = [attrs for tag, attrs in page.tags if tag == "html"]
    assert root == {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    fields = {attrs["id"]: attrs["dir"] for tag, attrs in page.tags if tag == "input" and "dir" in attrs}
    assert fields == {"email": "ltr", "password": "ltr", "code": "ltr"}


def test_what_is_filled_into_a_text_from_right_to_left_keeps_its_own_direction():
    phone = "+*******2671"
    assert ISOLATED.format(phone) in TEXTS["ar"]("login.sms_sent", phone=phone, reference="A1B2")
    assert ISOLATED.format("A1B2") in TEXTS["ar"]("login.sms_sent", phone=phone, reference="A1B2")
    assert "\u2068" not in TEXTS["ar"]("unit.minutes", n=5)  # a number needs none, and chooses the plural form
    assert "\u2068" not in TEXTS["ar"]("diagnosis.own_text_refused", phone="", since="", why="")
    for language in set(LANGUAGES) - {"ar"}:
        assert "\u2068" not in TEXTS[language]("login.sms_sent", phone=phone, reference="A1B2")


def test_the_page_of_the_code_isolates_the_phone_without_scripts(browser, mia):
    step = f"/login/{challenge_of(browser.log_in(mia.email))}"
    browser.post(f"{step}/sms")
    said = re.search(r'id="sms-to">(.*?)<', Page(browser.get(f"{step}?lang=ar")).text)[1]
    assert re.search("\u2068\\+\\**\\d{4}\u2069", said), said
    assert "\u2068" not in Page(browser.get(f"{step}?lang=en")).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_parts_of_a_duration_are_joined_as_the_language_does(language):
    texts = TEXTS[language]
    joined = duration(texts, 150).replace("\u2068", "").replace("\u2069", "")
    first, second = texts("unit.minutes", n=2), texts("unit.seconds", n=30)
    assert joined == (f"{first} و{second}" if language == "ar" else f"{first} {second}")
    assert duration(texts, 120) == first


@pytest.mark.parametrize(
    ("language", "country"), [("en", "Germany"), ("pl", "Niemcy"), ("ja", "ドイツ"), ("ar", "ألمانيا")]
)
def test_a_country_is_named_in_the_readers_language(language, country):
    refusal = Refusal("invalid_phone", extra={"cause": "other_country", "country": "DE"})
    assert country in answer(TEXTS[language], refusal).fields["number"]


def test_a_country_that_the_cldr_does_not_know_is_its_code():
    refusal = Refusal("invalid_phone", extra={"cause": "other_country", "country": "X9"})
    assert "X9" in answer(TEXTS["en"], refusal).fields["number"]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [(code, code) for code in LANGUAGES]
    + [("pt-BR", "pt"), ("ar-EG, en;q=0.3", "ar"), ("zh-CN, ja;q=0.5, en;q=0.2", "ja"), ("cs, sk, pl;q=0.1", "pl")],
)
def test_a_page_falls_back_along_the_browsers_list(browser, accepted, language):
    assert f'<html lang="{language}"' in Page(browser.get("/login", Accept_Language=accepted)).text


def test_the_style_sheet_knows_start_and_end_and_neither_left_nor_right():
    styles = ASSETS["portal.css"].plain.decode().replace("border-right-color: transparent", "")  # what turns round
    assert re.findall(r"[\w-]*\b(?:left|right)\b[\w-]*\s*:|:\s*(?:left|right)\b", styles) == []


def test_whatever_a_script_formats_has_ascii_digits():
    for name, file in ASSETS.items():
        if name.endswith(".js"):
            for asked in re.findall(r"new Intl\.\w+\((\w+)", file.plain.decode()):
                assert asked in {"locale", "tag"}, name
