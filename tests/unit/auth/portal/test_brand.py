"""A deployment under another name: nothing that a person reads says ours. A folder changes texts, colours and logo."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from services.auth import notices
from services.auth.app import create_app
from services.auth.branding import read_catalogue
from services.auth.domain import palette
from services.auth.domain.notice_texts import CATALOGUE, PARAGRAPHS, Kind
from services.auth.portal.assets import ASSETS
from services.auth.portal.look import look_of
from services.auth.portal.pages import ASSET_ENDPOINT
from services.auth.portal.shell import LOOK
from shared.database import writing
from shared.settings import SettingsError
from shared.texts.catalogue import forms_of, replaced
from shared.texts.languages import LANGUAGES
from tests.support import auth
from tests.support.auth import notices_in
from tests.support.portal import ORIGIN, Page
from tests.unit.auth.test_notice_texts import NOW, VALUES

OURS = re.compile("latchkey", re.IGNORECASE)
ACME = {
    "BRAND_NAME": "Acme & Söhne",
    "SUPPORT_EMAIL": "help@acme.example",
    "SUPPORT_URL": "https://acme.example/help",
}
HOST = {"Host": "portal.example:8080"}
SHOWN = "Acme &amp; Söhne"
LOGO = '<svg xmlns="http://www.w3.org/2000/svg"><title>A</title><path d="M0 0h8v8z" fill="#0a6b3f"/></svg>'
COLOURS = '[light]\naccent = "#0A6B3F"\n[dark]\naccent = "#7fd6a8"\n'
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17)


@pytest.fixture
def folder(tmp_path):
    def fill(**files):
        place = tmp_path / "brand"
        place.mkdir()
        for name, content in files.items():
            path = place / name.replace("_", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(place)

    return fill


@pytest.fixture
def branded(app, configured):
    """The app as a deployment has it; afterwards it is ours again, because all tests share it."""
    before = app.extensions[LOOK]

    def brand(**changes):
        deps = configured(**{**ACME, **changes})
        app.extensions[LOOK] = look_of(deps.settings)
        return deps

    yield brand
    app.extensions[LOOK] = before


def fault_of(**changes):
    """What the start says."""
    with pytest.raises(SettingsError) as refused:
        auth.settings(**changes)
    return str(refused.value)


def pages_of(app):
    """Every address at which a browser gets a page."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("portal.") and "GET" in rule.methods and rule.endpoint != ASSET_ENDPOINT:
            yield re.sub("<[^>]+>", "acc_1", rule.rule)
    yield from ("/nothing/here", "/docs/")


def test_no_page_says_our_name_in_any_language(app, branded, browser, sam):
    browser.signed_in(branded(), sam)
    paths = [*pages_of(app)]
    assert len(paths) > 12
    for path in paths:
        for language in LANGUAGES:
            page = browser.get(f"{path}?lang={language}", Accept="text/html")
            if page.status_code == 303:
                continue
            text = page.get_data(as_text=True).replace(sam.email, "")
            assert not OURS.search(text), path
            assert SHOWN in text.partition("<title>")[2].partition("</title>")[0], path
            if path != "/docs/":
                assert '"brand": "Acme \\u0026 S\\u00f6hne"' in text, path
                assert 'href="mailto:help@acme.example">help@acme.example</a>' in text, path
                assert 'href="https://acme.example/help">' in text, path


def test_no_script_style_picture_or_text_of_ours_says_our_name():
    for name, file in ASSETS.items():
        assert not OURS.search(file.plain.decode()), name
    for catalogue in (read_catalogue(), CATALOGUE):
        for key, row in catalogue.items():
            assert not any(OURS.search(form) for text in row.values() for form in forms_of(text).values()), key


@pytest.mark.parametrize("kind", Kind)
def test_no_mail_or_text_says_our_name_and_each_mail_is_signed(kind):
    settings = auth.settings(**ACME)
    notice = settings.wordings["en"].render(kind, origin="https://acme.example", at=NOW, **VALUES)
    assert not any(map(OURS.search, (notice.subject, notice.email, notice.sms)))
    assert notice.email.endswith(
        "\n\n-- \nAcme & Söhne\nhttps://acme.example\nSupport: help@acme.example, https://acme.example/help\n"
    )


def test_what_is_sealed_for_the_courier_is_worded_by_the_settings(branded, folder, ann):
    deps = branded(BRAND_FOLDER=folder(notices_toml='[two_factor_on]\nsubject = { en = "Hooray" }\n'))
    with writing(deps.database) as connection:
        notices.tell(connection, deps, ann, Kind.TWO_FACTOR_ON, deps.clock())
    mail = next(notice for notice in notices_in(deps) if notice.subject)
    assert mail.subject == "Hooray"
    assert "-- \nAcme & Söhne\n" in mail.body


def test_without_settings_it_is_latchkey_and_no_support_is_named(browser):
    text = Page(browser.get("/login")).text
    assert " · Latchkey</title>" in text
    assert 'id="support-is"' not in text
    assert "Support:" not in auth.settings().wordings["en"].render(Kind.TWO_FACTOR_ON, origin=ORIGIN, at=NOW).email


def test_the_sheet_of_backup_codes_names_the_site_and_its_file_the_brand(branded, browser, ann):
    text = Page(browser.signed_in(branded(), ann).get("/two-factor")).text
    sheet = text.partition('id="new-codes"')[2].partition("</section>")[0]
    assert f"<strong>{SHOWN}</strong> · " in sheet
    assert ORIGIN in sheet
    assert 'data-file="acme-söhne-backup-codes.txt"' in sheet


def test_the_api_document_has_the_name(deps):
    app = create_app(replace(deps, settings=auth.settings(**ACME)))
    assert app.test_client().get("/openapi.json", headers=HOST).json["info"]["title"] == "Acme & Söhne"


def test_a_text_of_ones_own_takes_the_place_of_ours_and_is_no_html(branded, folder, browser):
    own = '[login]\ntitle = { de = "Herein <b>hier</b> & jetzt" }\n[form]\nretry_after = { en = "In {time}!" }\n'
    branded(BRAND_FOLDER=folder(texts_toml=own))
    german = Page(browser.get("/login?lang=de")).text
    assert '<h1 id="password-title" tabindex="-1">Herein &lt;b&gt;hier&lt;/b&gt; &amp; jetzt</h1>' in german
    assert "<b>hier" not in german
    english = Page(browser.get("/login?lang=en")).text
    assert '"form.retry_after": "In {time}!"' in english
    assert 'tabindex="-1">Log In</h1>' in english


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ('[login]\ntitel = { en = "x" }', "login.titel is not the key of a text"),
        ('[login]\ntitle = "x"', "login.title is not the key of a text"),
        ('login = "x"', "login is not the key of a text"),
        ('[login]\ntitle = { xx = "x" }', "login.title is there in en, de, es, fr, pt, nl, pl, ja, ar, not in xx"),
        ('[diagnosis]\nwrong = { en = { one = "one" } }', "diagnosis.wrong in en must be a text"),
        ('[diagnosis]\nwrong = { en = { few = "a", other = "{n}" } }', "diagnosis.wrong in en must not have a form"),
        ('[diagnosis]\nwrong = { en = { one = "a", other = "b" } }', "diagnosis.wrong in en lacks {n}"),
        ('[login]\ntitle = { en = { one = "a", other = "b" } }', "login.title in en must be a text"),
        ('[login]\ntitle = { en = " " }', "login.title in en must be a text"),
        ("[login]\ntitle = { en = 7 }", "login.title in en must be a text"),
        ('[login]\ntitle = { en = "a\\nb" }', "login.title in en must be one line"),
        ('[login]\ntitle = { en = "a\\u202eb" }', "login.title in en must have no control characters"),
        ('[login]\nsms_sent = { de = "SMS an {phone}" }', "login.sms_sent in de lacks {reference}"),
        ('[login]\ntitle = { en = "Hi {name}" }', "login.title in en must not have {name}"),
        ('[login]\ntitle = { en = "Hi {name.x}" }', "login.title in en has a brace that belongs to no {place}"),
        (f'[login]\ntitle = {{ en = "{"x" * 2001}" }}', "login.title in en must have at most 2000 characters"),
        ("[login", "is not TOML in UTF-8"),
        (b"\xff", "is not TOML in UTF-8"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_used_stops_the_start_with_its_sentence(folder, own, says):
    assert f"texts.toml in BRAND_FOLDER: {says}" in fault_of(BRAND_FOLDER=folder(texts_toml=own))


def test_a_notice_keeps_its_links_and_its_warnings(folder):
    own = '[reset_requested]\nact = { en = "Nothing to do." }\nhappened = { en = "Removed. {schedule}{meanwhile}" }\n'
    own += '[phrase]\ncancel = { en = "too late" }\n[two_factor_on]\nsms = { en = "{site} {when}\\n@b" }\n'
    with pytest.raises(SettingsError) as refused:
        auth.settings(BRAND_FOLDER=folder(notices_toml=own))
    for says in (
        "reset_requested.act in en lacks {cancel}, {origin}",
        "reset_requested.happened in en lacks {never}",
        "phrase.cancel in en lacks {cancel_url}",
        "two_factor_on.sms in en must be one line",
    ):
        assert f"notices.toml in BRAND_FOLDER: {says}" in str(refused.value)


def test_every_text_of_ours_would_do_as_ones_own():
    """Each can be changed in part."""
    for catalogue in (read_catalogue(), CATALOGUE):
        assert replaced(catalogue, catalogue, paragraphs=PARAGRAPHS) == (catalogue, [])


def test_colours_of_ones_own_are_served_as_custom_properties_light_and_dark(branded, folder, browser):
    branded(BRAND_FOLDER=folder(colors_toml=COLOURS))
    page = browser.get("/login")
    [path] = re.findall(r'"(/portal/[^"]+\.css)"', Page(page).text)
    style = browser.get(path)
    assert style.content_type == "text/css; charset=utf-8"
    assert "immutable" in style.headers["Cache-Control"]
    light, dark, *_ = style.get_data(as_text=True).split("@media (prefers-color-scheme: dark)")
    assert "--accent: #0a6b3f;" in light
    assert "--on-accent: #ffffff;" in light
    assert "--accent: #7fd6a8;" in dark
    assert "--on-accent: #101114;" in dark
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert b"#0a6b3f" in browser.get(path.replace("portal.css", "mark.svg")).get_data()


def test_our_own_colours_can_be_read():
    assert palette.with_own({}) == (palette.OURS, [])
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    properties = set(re.findall(r"var\(--([a-z-]+)\)", ASSETS["portal.css"].plain.decode()))
    assert properties <= {*palette.OURS["light"], "r", "r-small", "gap", "shadow", "mono"}
    assert list(palette.OURS["light"]) == list(palette.OURS["dark"])


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ('[light]\naccent = "#ff0"\n[dark]\naccent = "#ff0"',
         "accent #ffff00 on card #ffffff in [light] has a contrast of 1.07; WCAG"),
        ('[light]\nsoft = "#777777"\n[dark]\nsoft = "#a4a9b8"',
         "soft #777777 on card #ffffff in [light] has a contrast of 4.48"),
        ('[light]\nfield = "#ccc"\n[dark]\nfield = "#747a8a"',
         "field #cccccc on card #ffffff in [light] has a contrast of 1.61"),
        ('[light]\naccent = "#0a6b3f"', "accent is set in [light] alone: set it in [dark], too"),
        ('[light]\nacent = "#0a6b3f"', "acent in [light] is not a colour of the pages"),
        ('[light]\naccent = "red;} body { display: none"', "accent in [light] must be a colour like #3f4bd8"),
        ('[grey]\naccent = "#0a6b3f"', "[grey] is none of [light] and [dark]"),
        ('light = "#fff"', "light must be a table of colours: [light]"),
    ],
)  # fmt: skip
def test_a_colour_that_cannot_be_used_stops_the_start_with_its_sentence(folder, own, says):
    assert f"colors.toml in BRAND_FOLDER: {says}" in fault_of(BRAND_FOLDER=folder(colors_toml=own))


@pytest.mark.parametrize(
    ("name", "content", "kind"), [("logo_svg", LOGO, "image/svg+xml"), ("logo_png", PNG, "image/png")]
)
def test_a_logo_of_ones_own_is_on_every_page_and_in_the_tab(branded, folder, browser, name, content, kind):
    branded(BRAND_FOLDER=folder(**{name: content}))
    text = Page(browser.get("/login")).text
    [path] = {re.sub(r'.*"(/portal/[^"]+/mark\.\w+)".*', r"\1", line) for line in text.split("\n") if "/mark." in line}
    assert text.count(path) == 2
    served = browser.get(path)
    assert served.content_type.partition(";")[0] == kind
    assert "default-src 'none'" in served.headers["Content-Security-Policy"]
    assert (b"<path" in served.get_data()) == (name == "logo_svg")
    assert (served.get_data() == PNG) == (name == "logo_png")


def svg(inside, attributes=""):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"{attributes}>{inside}</svg>'
    )


@pytest.mark.parametrize("fill", ["url(#a)", "url( '#a' )", "url(&quot;#a&quot;)", "#0a6b3f", "none"])
def test_what_drawing_programs_write_is_taken(folder, fill):
    drawn = '<!-- made --><defs><linearGradient id="a"><stop offset="0" stop-color="#fff"/></linearGradient></defs>'
    drawn += f'<g id="b" style="opacity:.5"><path d="M0 0h8" fill="{fill}"/></g><use xlink:href="#b"/>'
    content = '<?xml version="1.0" encoding="UTF-8"?>' + svg(drawn, ' viewBox="0 0 8 8" x:y="1" xmlns:x="urn:x"')
    assert b"<path" in auth.settings(BRAND_FOLDER=folder(logo_svg=content)).pages.logo["logo.svg"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (svg("<script>alert(1)</script>"), "holds <script>"),
        (svg("<g><foreignObject/></g>"), "holds <foreignObject>"),
        (svg('<animate attributeName="href"/>'), "holds <animate>"),
        (svg("<style>@import 'x'</style>"), "holds <style>"),
        (svg('<image href="data:image/png;base64,x"/>'), "holds <image>"),
        (svg('<h:script xmlns:h="http://www.w3.org/1999/xhtml"/>'), "holds <script>"),
        (svg("", ' onload="alert(1)"'), "holds a script in onload"),
        (svg('<path ONCLICK="x"/>'), "holds a script in onclick"),
        (svg('<use xlink:href="javascript:alert(1)"/>'), "leads elsewhere in href"),
        (svg('<use href="https://evil.example/#a"/>'), "leads elsewhere in href"),
        (svg('<path fill="url(https://evil.example/#a)"/>'), "leads elsewhere in fill"),
        (svg('<path style="fill:\\75rl(https://evil.example)"/>'), "leads elsewhere in style"),
        ('<!DOCTYPE svg [<!ENTITY x "y">]>' + svg("&x;"), "must have no document type"),
        ('<?xml-stylesheet href="x"?>' + svg(""), "must have no document type and no instruction"),
        (svg("").encode("utf-16"), "is not an SVG in UTF-8"),
        ("<html/>", "is not an SVG: its root must be svg"),
        ("<svg", "is not an SVG in UTF-8"),
        (svg("<g/>" * 9000), "has 36"),
    ],
)  # fmt: skip
def test_an_svg_that_runs_or_fetches_stops_the_start_with_its_sentence(folder, content, says):
    assert f"logo.svg in BRAND_FOLDER: {says}" in fault_of(BRAND_FOLDER=folder(logo_svg=content))


@pytest.mark.parametrize(
    ("content", "says"), [(b"GIF89a", "is not a PNG"), (PNG + bytes(40_000), "a logo has at most")]
)
def test_a_png_that_is_none_or_too_large_stops_the_start(folder, content, says):
    assert says in fault_of(BRAND_FOLDER=folder(logo_png=content))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"BRAND_NAME": "a:b"}, "BRAND_NAME must be a name of at most 40 characters"),
        ({"BRAND_NAME": "a\nb"}, "BRAND_NAME must be"),
        ({"BRAND_NAME": "x" * 41}, "BRAND_NAME must be"),
        ({"SUPPORT_EMAIL": "help"}, "SUPPORT_EMAIL must be an email address"),
        ({"SUPPORT_EMAIL": 'a"><script>@x.example'}, "SUPPORT_EMAIL must be an email address"),
        ({"SUPPORT_EMAIL": "a@x.example?bcc=b@y.example"}, "SUPPORT_EMAIL must be an email address"),
        ({"SUPPORT_URL": "javascript:alert(1)"}, "SUPPORT_URL must be an http or https URL"),
        ({"SUPPORT_URL": "https://x.example/ y"}, "SUPPORT_URL must be a URL in ASCII"),
        ({"BRAND_FOLDER": "/nowhere/at/all"}, "BRAND_FOLDER cannot be read"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start_with_its_sentence(changes, says):
    assert says in fault_of(**changes)


def test_the_gateway_says_what_is_wrong_before_it_reaches_for_anything(folder):
    given = {**auth.ENVIRONMENT, "BRAND_FOLDER": folder(texts_toml='[login]\ntitel = { en = "x" }')}
    started = subprocess.run(
        [sys.executable, "-c", "import services.auth.wsgi"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 78
    assert started.stderr.strip() == "settings: texts.toml in BRAND_FOLDER: login.titel is not the key of a text"


def test_a_file_that_nothing_reads_stops_the_start(folder):
    place = folder(colours_toml="", logo_svg=LOGO, logo_png=PNG, README_md="", _DS="")
    said = fault_of(BRAND_FOLDER=place)
    assert "BRAND_FOLDER holds colours.toml, which is none of" in said
    assert "one logo, not both" in said
    assert "README" not in said
