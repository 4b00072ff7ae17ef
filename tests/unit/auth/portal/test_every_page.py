"""What holds for every page: its policy, its labels, its files and their weight."""

import re

import pytest

from services.auth.portal import assets
from tests.support.portal import OPEN_PAGES, PAGES, SUPPORT_PAGES, Browser, Page


@pytest.fixture
def every_page(app, deps, sam):
    visitor, operator = Browser(app.test_client()), Browser(app.test_client()).signed_in(deps, sam)
    own = {path: operator.get(path) for path in (*PAGES, *SUPPORT_PAGES)}
    return own | {path: visitor.get(path) for path in OPEN_PAGES}


def test_every_page_has_the_strict_policy_and_no_inline_code(every_page):
    for path, response in every_page.items():
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "same-origin"
        for tag, attrs in Page(response).tags:
            assert "style" not in attrs, path
            assert tag != "style", path
            assert not [name for name in attrs if name.startswith("on")], path
            assert tag != "script" or "src" in attrs or attrs["type"] == "application/json", path


def test_every_field_has_a_label_and_every_reference_a_target(every_page):
    for path, response in every_page.items():
        page = Page(response)
        ids = page.ids()
        assert len(ids) == len(set(ids)), path
        labelled = {attrs.get("for") for tag, attrs in page.tags if tag == "label"}
        for tag, attrs in page.tags:
            for name in ("aria-describedby", "aria-labelledby"):
                assert set(attrs.get(name, "").split()) <= set(ids), (path, attrs)
            named = attrs.get("type") in {"checkbox", "hidden"} or "hidden" in attrs or attrs.get("id") in labelled
            assert tag not in {"input", "select", "textarea"} or named, (path, attrs)


# What a browser or a password manager fills in, so that nobody has to remember it or type it out (WCAG 2.2 SC 3.3.8).
# "off": one-time words that Support or an administrator reads out.
FILLED_IN = {
    "email": "username",
    "username": "username",
    "password": "current-password",
    "current_password": "current-password",
    "new_password": "new-password",
    "code": "one-time-code",
    "word": "off",
}


def test_every_field_for_a_secret_says_what_to_fill_in_and_lets_it_be_pasted(every_page):
    seen = set()
    for path, response in every_page.items():
        for tag, attrs in Page(response).tags:
            name = attrs.get("name")
            if tag == "input" and (name in FILLED_IN or attrs.get("type") == "password"):
                seen.add(name)
                assert attrs["autocomplete"] == FILLED_IN[name], (path, attrs)
    assert seen == set(FILLED_IN)
    for name, asset in assets.ASSETS.items():
        assert not re.search(rb"[\"']?on(before)?paste|[\"'](before)?paste[\"']", asset.plain), name


def test_every_file_that_a_page_names_is_served_for_good(browser, every_page):
    names = {name for response in every_page.values() for name in re.findall(r'"(/portal/[^"]+)"', Page(response).text)}
    assert len(names) > 10
    for name in names:
        response = browser.get(name, Accept_Encoding="gzip")
        assert response.status_code == 200, name
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["Content-Encoding"] == "gzip"


def test_an_old_address_of_a_script_gives_the_present_one_for_now(browser):
    response = browser.get("/portal/0123456789ab/api.js")
    assert response.get_data() == assets.ASSETS["api.js"].plain
    assert response.headers["Cache-Control"] == "no-cache"
    assert browser.get("/portal/0123456789ab/nothing.js").status_code == 404


def test_the_login_weighs_at_most_60_kb(browser):
    page = browser.get("/login")
    named = set(re.findall(r'"(/portal/[^"]+)"', Page(page).text))
    files = [browser.get(name, Accept_Encoding="gzip").get_data() for name in named]
    assert len(page.get_data()) + sum(map(len, files)) <= 60_000


def test_scripts_import_only_files_of_ours():
    for name, asset in assets.ASSETS.items():
        if name.endswith(".js"):
            for target in re.findall(r'from "([^"]+)"', asset.plain.decode()):
                assert target.removeprefix("./") in assets.ASSETS, (name, target)
