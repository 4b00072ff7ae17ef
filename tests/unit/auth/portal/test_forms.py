"""No form can put what is typed into an address: each one posts, and does nothing before its script listens."""

import re
from importlib.resources import files

import pytest

from services.auth.portal import forms
from services.auth.portal.assets import ASSETS

TEMPLATES = {
    file.name: file.read_text(encoding="utf-8")
    for file in files("services.auth.portal").joinpath("templates", "portal").iterdir()
}
FORMS = [(name, form) for name, text in TEMPLATES.items() for form in re.findall(r"<form\b([^>]*)>", text)]
# Those that the server answers without a script.
_CODE_PAGE = "/login/' ~ challenge.id"
ACTIONS = {"/login", _CODE_PAGE, f"{_CODE_PAGE} ~ '/sms'", f"{_CODE_PAGE} ~ '/call'", "/logout"}


def test_the_forms_are_found():
    assert len(FORMS) == sum(text.count("<form") for text in TEMPLATES.values()) > 10


@pytest.mark.parametrize(("name", "form"), FORMS, ids=str)
def test_every_form_posts(name, form):
    assert re.findall(r'\bmethod="([^"]*)"', form) == ["post"]


@pytest.mark.parametrize(("name", "form"), FORMS, ids=str)
def test_every_form_has_an_address_of_its_own_or_sleeps_until_its_script_listens(name, form):
    action = re.search(r'\baction="(\{\{.*?\}\}|[^"]*)"', form)
    assert (action is None) == bool(re.search(r"\binert\b", form))
    if action is not None:
        named = re.findall(r"'(/[^']*' ~ challenge\.id(?: ~ '/(?:sms|call)')?|/\w+)", action[1]) or [action[1]]
        assert set(named) <= ACTIONS


def test_those_addresses_take_a_form(app):
    served = {rule.endpoint for rule in app.url_map.iter_rules() if "POST" in rule.methods}
    assert served >= forms.ENDPOINTS


def test_no_button_or_field_sends_its_form_elsewhere():
    for name, text in TEMPLATES.items():
        assert not re.search(r"\bform(action|method|enctype)\b", text), name


def test_scripts_make_no_other_forms():
    made = [form for asset in ASSETS.values() for form in re.findall(r'el\("form",(.*)', asset.plain.decode())]
    assert made
    assert all('method: "post"' in form for form in made)


def test_an_address_of_a_page_takes_no_form(browser, deps, tom):
    """Where a page's own form comes to all the same, nothing happens."""
    browser.signed_in(deps, tom)
    for path in ("/security", "/team", "/two-factor", "/support", "/reset/cancel"):
        assert browser.post(path, new_password="nine dry walruses whistle").status_code in {405, 415}, path
