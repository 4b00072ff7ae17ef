"""Every text is there, in every language, for all that the API can say."""

import ast
import inspect
import re
from html import escape
from importlib.resources import files

import pytest
import zxcvbn.feedback

from services.auth import password_strength
from services.auth.branding import read_catalogue
from services.auth.domain.diagnosis import Cause, Help
from services.auth.domain.hold import Held, LiftedBy
from services.auth.domain.session import Factor
from services.auth.portal import blueprint
from services.auth.portal.answers import answer, duration
from services.auth.portal.texts import by_language
from services.auth.schemas.common import PageArgs
from services.auth.schemas.support import AuditArgs
from services.auth.store.timeline import Entry
from shared.delivery import DeliveryStatus
from shared.delivery_reasons import DeliveryReason
from shared.problems import PROBLEMS, Refusal
from shared.texts.languages import LANGUAGES
from tests.support.portal import Page

SOURCES = files(blueprint.__package__)


def test_whatever_the_api_says_has_a_text():
    catalogue = read_catalogue()
    wanted = [f"problem.{code}" for code in PROBLEMS]
    wanted += [f"delivery.{word}" for word in (*DeliveryStatus, *DeliveryReason)]
    wanted += [f"activity.{entry.replace('.', '_')}" for entry in Entry]
    wanted += [f"activity.factor_{factor}" for factor in Factor]
    wanted += [f"held.{what}" for what in Held] + [f"held.lifted_{lift}" for lift in LiftedBy]
    wanted += [f"support.locked_{what}" for what in Held if what.startswith("passwords_")]
    wanted += [f"diagnosis.{reader}_{cause}" for reader in ("says", "own") for cause in Cause]
    wanted += [f"diagnosis.help_{help_}" for help_ in (*Help, *LiftedBy)] + [
        f"diagnosis.own_help_{one}" for one in Help
    ]
    of_mails = {DeliveryReason.ADDRESS_REFUSED}
    wanted += [f"diagnosis.why_{reason}" for reason in DeliveryReason if reason not in of_mails]
    causes = ("destination", "today", "country", "changed")
    wanted += [f"{prefix}_{cause}" for prefix in ("problem.sms_unavailable", "activity.cause") for cause in causes]
    wanted += [f"activity.cause_{cause}" for cause in ("wrong_codes", "forgotten", "all_others")]
    assert [key for key in wanted if key not in catalogue] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("path", "section"), [("/team", "prove"), ("/two-factor", "by-sms")])
def test_whoever_is_offered_sms_is_told_that_others_can_read_it(browser, tom, language, path, section):
    """NIST SP 800-63B-4 §3.2.9."""
    browser.log_in(tom.email)
    text = Page(browser.get(f"{path}?lang={language}")).text
    risk = read_catalogue()["sms.risk"][language]
    assert "sim" in risk.casefold()
    assert escape(risk).replace("&#x27;", "&#39;") in text.partition(f'id="{section}"')[2].partition("</section>")[0]


def test_the_consoles_filter_of_the_trail_asks_for_nothing_that_the_api_does_not_take():
    page = SOURCES.joinpath("templates/portal/support.html").read_text(encoding="utf-8")
    form = page.partition('id="audit-form"')[2].partition("</form>")[0]
    named = set(re.findall(r'name="([a-z_]+)"', form)) | set(re.findall(r"field\('([a-z_]+)'", form))
    assert named == set(AuditArgs().fields) - set(PageArgs().fields)


def test_every_advice_on_passwords_has_a_text():
    spoken = [node.args[0].value for node in ast.walk(ast.parse(inspect.getsource(zxcvbn.feedback)))
              if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "_"]  # fmt: skip
    assert len(spoken) > 20
    for password in ("short", "x" * 129, "a\tb"):
        rated = password_strength.assess(password, [])
        spoken += [rated.warning, *rated.suggestions]
    keys = {f"advice.{re.sub('[^a-z0-9]+', '_', sentence.lower()).strip('_')}" for sentence in spoken}
    assert keys == {key for key in read_catalogue() if key.startswith("advice.")}


def test_every_text_that_a_page_or_script_asks_for_is_in_the_catalogue():
    catalogue = read_catalogue()
    asked = set()
    for folder, pattern in (("templates/portal", r"\bt\('([a-z0-9_.]+)'"), ("static", r"\bt\(\"([a-z0-9_.]+)\"")):
        for file in SOURCES.joinpath(folder).iterdir():
            asked |= set(re.findall(pattern, file.read_text(encoding="utf-8")))
    assert len(asked) > 100
    assert sorted(asked - {key for key in asked if key.endswith((".", "_"))} - set(catalogue)) == []


def test_the_reason_for_which_no_sms_comes_is_said_where_it_is_known():
    texts = by_language(read_catalogue())["en"]
    assert "no verified cell phone" in answer(texts, Refusal("sms_unavailable")).form
    paused = Refusal("sms_unavailable", extra={"cause": "destination"}, retry_after_seconds=90)
    assert "paused" in answer(texts, paused).form
    assert "1 min 30 s" in answer(texts, paused).form
    assert "no verified cell phone" in answer(texts, Refusal("sms_unavailable", extra={"cause": "news"})).form


def test_the_switch_wins_over_the_browser_and_stays(browser):
    assert 'lang="de"' in Page(browser.get("/login", Accept_Language="de-AT, en;q=0.5")).text
    assert 'lang="fr"' in Page(browser.get("/login", Accept_Language="fr")).text
    assert 'lang="de"' in Page(browser.get("/login?lang=de")).text
    assert 'lang="de"' in Page(browser.get("/login", Accept_Language="en")).text
    assert browser.get("/login?lang=xx").headers.get("Set-Cookie") is None


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("C", "en"),
        ("C, de;q=0.5", "de"),
        ("de_DE", "de"),
        ("de_DE.UTF-8", "de"),
        ("de-DE@euro, en;q=0.8", "de"),
        ("de@euro", "de"),
        ("en-US@posix, de;q=0.9", "en"),
        ("en_GB, de", "en"),
        ("POSIX, @posix, .UTF-8", "en"),
        ("de;q=0, C", "en"),
    ],
)
def test_the_locale_of_a_posix_system_chooses_a_language(browser, accepted, language):
    response = browser.get("/login", Accept_Language=accepted)
    assert response.status_code == 200
    assert f'lang="{language}"' in Page(response).text


def test_a_duration_is_said_as_people_do():
    texts = by_language(read_catalogue())["en"]
    assert [duration(texts, seconds) for seconds in (0, 45, 60, 150, 3900)] == [
        "0 s",
        "45 s",
        "1 min",
        "2 min 30 s",
        "1 h 5 min",
    ]
