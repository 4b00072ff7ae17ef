"""The pages as a browser without scripts has them, and what holds for all of them."""

import ast
import inspect
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from importlib.resources import files

import pytest
import zxcvbn.feedback
from werkzeug.datastructures import LanguageAccept

from services.auth import password_strength
from services.auth.app import create_app
from services.auth.domain.session import Factor
from services.auth.portal import assets, blueprint
from services.auth.portal.answers import answer, duration
from services.auth.portal.texts import LANGUAGES, PLACE, choose, read_catalogue
from services.auth.schemas.common import PageArgs
from services.auth.schemas.support import AuditArgs
from services.auth.store import accounts
from services.auth.store.timeline import Entry
from shared.database import writing
from shared.delivery import DeliveryStatus
from shared.delivery_reasons import DeliveryReason
from shared.problems import PROBLEMS, Refusal
from tests.support import auth
from tests.support.auth import PASSWORD

ORIGIN = "http://portal.example:8080"
PAGES = ("/two-factor", "/team", "/security")
SUPPORT_PAGES = ("/support", "/support/accounts/acc_1")
OPEN_PAGES = ("/login", "/reset/cancel", "/dev/inbox")
SOURCES = files(blueprint.__package__)


@pytest.fixture
def browser(app):
    """A browser's cookies and its Origin header; no scripts."""
    return Browser(app.test_client())


class Browser:
    def __init__(self, client):
        self.client = client

    def get(self, path, asked=None, **headers):
        query = None if asked is None else {"next": asked}
        return self.client.get(
            path, query_string=query, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def post(self, path, origin=ORIGIN, **form):
        return self.client.post(path, data=form, headers={"Origin": origin})

    def log_in(self, email, password=PASSWORD):
        return self.post("/login", email=email, password=password)

    def signed_in(self, deps, account, *factors):
        _session, token = auth.sign_in(deps, account, *factors)
        self.client.set_cookie(deps.settings.session_cookie, token)
        return self


class Page(HTMLParser):
    """What a page holds, by element."""

    def __init__(self, response):
        super().__init__()
        self.tags = []
        self.text = response.get_data(as_text=True)
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def ids(self):
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]

    def shown(self, element):
        return "hidden" not in next(attrs for _, attrs in self.tags if attrs.get("id") == element)


def challenge_of(response):
    assert response.status_code == 303, response.get_data(as_text=True)
    assert response.headers["Location"].startswith("/login/")
    return response.headers["Location"].removeprefix("/login/")


# --- logging in without scripts ---------------------------------------------------------------------------------------


def test_a_password_alone_signs_in_where_2fa_is_off(browser, tom):
    response = browser.log_in(tom.email)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert browser.get("/").headers["Location"] == "/two-factor"


def test_a_wrong_password_is_said_beside_its_field_and_the_address_stays(browser, tom):
    response = browser.log_in(tom.email, "wrong wet otters juggle")
    page = Page(response)
    assert response.status_code == 401
    assert page.shown("password-error")
    assert any(tag == "input" and attrs.get("value") == tom.email for tag, attrs in page.tags)
    assert "wrong wet otters" not in page.text


def test_an_empty_form_is_answered_beside_its_fields(browser):
    page = Page(browser.post("/login"))
    assert page.shown("email-error")
    assert page.shown("password-error")


def test_with_2fa_on_the_code_is_asked_for_and_opens_the_session(browser, otp, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    assert Page(browser.get(f"/login/{challenge}")).shown("code-step")
    response = browser.post(f"/login/{challenge}", code=otp.expect(mia.id, "login", challenge, factor="totp"))
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert browser.get("/two-factor").status_code == 200


def test_only_a_ticked_box_remembers_the_device(browser, otp, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    browser.post(f"/login/{challenge}", code=otp.expect(mia.id, "login", challenge))
    browser.post("/logout")
    challenge = challenge_of(browser.log_in(mia.email))  # the device is known, not trusted
    browser.post(f"/login/{challenge}", code=otp.expect(mia.id, "login", challenge), remember_device="on")
    browser.post("/logout")
    assert browser.log_in(mia.email).headers["Location"] == "/"


def test_a_wrong_code_is_said_beside_the_field_and_not_shown_again(browser, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    response = browser.post(f"/login/{challenge}", code="111111")
    page = Page(response)
    assert response.status_code == 401
    assert page.shown("code-error")
    assert "111111" not in page.text


def test_a_wrong_clock_is_told_with_its_amount(browser, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    texts = choose("en", LanguageAccept([]))
    said = answer(texts, Refusal("invalid_passcode", extra={"clock_skew_seconds": 150}))
    assert said.clock == "Your phone's clock is about 2 min 30 s fast."
    said = answer(texts, Refusal("invalid_passcode", extra={"clock_skew_seconds": -90}))
    assert said.clock == "Your phone's clock is about 1 min 30 s slow."
    assert not Page(browser.get(f"/login/{challenge}")).shown("clock-coach")


def test_the_sms_button_is_there_only_for_a_proven_phone(browser, otp, mia, make_account, password_hash):
    assert Page(browser.get(f"/login/{challenge_of(browser.log_in(mia.email))}")).shown("sms-form")
    without = make_account("nophone@example.com", password_hash=password_hash)
    otp.enabled.add(without.id)
    assert not Page(browser.get(f"/login/{challenge_of(browser.log_in(without.email))}")).shown("sms-form")


def test_after_a_send_the_page_shows_masked_number_and_reference(browser, publisher, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    assert browser.post(f"/login/{challenge}/sms").headers["Location"] == f"/login/{challenge}"
    page = Page(browser.get(f"/login/{challenge}"))
    assert page.shown("sms-status")
    assert mia.phone.masked() in page.text
    assert mia.phone.e164 not in page.text
    assert "BCDF" in page.text
    assert len(publisher.messages) == 1


def test_an_expired_login_begins_anew_and_says_so(browser, clock, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    clock.turn(minutes=11)
    response = browser.get(f"/login/{challenge}")
    assert response.status_code == 410
    assert Page(response).shown("password-step")
    assert "took too long" in response.get_data(as_text=True)


def test_an_outage_is_no_wrong_code(browser, otp, mia):
    challenge = challenge_of(browser.log_in(mia.email))
    otp.go_down()
    response = browser.post(f"/login/{challenge}", code="123456")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert not Page(response).shown("code-error")


def test_another_site_cannot_log_a_browser_in(browser, tom):
    response = browser.post("/login", origin="https://evil.example", email=tom.email, password=PASSWORD)
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


def test_log_out_ends_the_session_and_repeats_without_harm(browser, deps, tom):
    browser.signed_in(deps, tom)
    assert browser.post("/logout").headers["Location"] == "/login"
    assert browser.get("/two-factor").headers["Location"].startswith("/login?ended=1")
    assert browser.post("/logout").status_code == 303


# --- who sees which page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", *PAGES, *SUPPORT_PAGES])
def test_a_stranger_is_sent_to_the_login_which_keeps_what_was_asked_for(browser, path):
    response = browser.get(path)
    asked = "" if path == "/" else f"&next={path}"
    assert (response.status_code, response.headers["Location"]) == (303, f"/login?ended=1{asked}")


@pytest.mark.parametrize("path", PAGES)
def test_whoever_is_signed_in_sees_the_pages(browser, deps, tom, path):
    assert browser.signed_in(deps, tom).get(path).status_code == 200


@pytest.mark.parametrize("path", SUPPORT_PAGES)
def test_the_console_is_for_support_with_a_second_factor(browser, deps, tom, sam, path):
    assert browser.signed_in(deps, tom).get(path).status_code == 403
    assert browser.signed_in(deps, sam, Factor.PASSWORD).get(path).status_code == 403
    assert browser.signed_in(deps, sam).get(path).status_code == 200


def test_the_portal_and_the_inbox_can_be_off(deps):
    bare = create_app(replace(deps, settings=auth.settings(PORTAL="off"))).test_client()
    assert bare.get("/login").status_code == 404
    assert bare.get("/v1/time").status_code == 200
    production = auth.settings(LATCHKEY_ENV="production", PUBLIC_ORIGIN="https://portal.example")
    strict = create_app(replace(deps, settings=production)).test_client()
    assert strict.get("/dev/inbox").status_code == 404
    assert "/dev/inbox" not in strict.get("/login").get_data(as_text=True)


# --- the page that was asked for --------------------------------------------------------------------------------------

NOT_OURS = [
    "//evil.example",
    "///evil.example/team",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "https:",
    "https://evil.example/team",
    "https:evil.example",
    "http://portal.example:8080/team",
    "//portal.example:8080/team",
    "javascript:alert(1)",
    "/%2fevil.example",
    "/%2Fevil.example",
    "/%5cevil.example",
    "%2f%2fevil.example",
    "/team/../../evil.example",
    "/team//evil.example",
    "/team@evil.example",
    "/team?next=//evil.example",
    "/team#//evil.example",
    "/team/",
    "//team",
    "team",
    "/support/accounts/..%2f..%2fevil",
    "/logout",
    "/login",
    "/login/chl_1",
    "/v1/session",
    "/docs/",
    "/portal/x/api.js",
    "/dev/inbox",
    "/",
    "/team\x00",
    "/team\r\nSet-Cookie: a=b",
    "x" * 2000,
]


@pytest.mark.parametrize("asked", ["/two-factor", "/team", "/security", "/support", "/support/accounts/acc_1"])
def test_a_login_leads_to_the_page_that_was_asked_for(browser, otp, mia, asked):
    assert way_back_input(browser.get("/login", asked=asked)) == [asked]
    challenge = browser.post("/login", email=mia.email, password=PASSWORD, next=asked).headers["Location"]
    assert challenge.endswith(f"?next={asked}")
    again = browser.post(challenge.replace("?", "/sms?"), next=asked).headers["Location"]
    assert again == challenge
    page = browser.client.get(challenge)
    assert set(way_back_input(page)) == {asked}
    where, _, _ = challenge.partition("?")
    code = otp.expect(mia.id, "login", where.removeprefix("/login/"))
    response = browser.post(where, code=code, next=asked)
    assert response.headers["Location"] == f"/?next={asked}"
    assert browser.client.get(response.headers["Location"]).headers["Location"] == asked


@pytest.mark.parametrize("asked", NOT_OURS)
def test_nobody_is_sent_anywhere_else(browser, deps, tom, asked):
    assert way_back_input(browser.get("/login", asked=asked)) == []
    page = browser.post("/login", email=tom.email, password="wrong wet otters juggle", next=asked)
    assert way_back_input(page) == []
    assert "evil" not in page.get_data(as_text=True)
    assert browser.post("/login", email=tom.email, password=PASSWORD, next=asked).headers["Location"] == "/"
    assert browser.get("/", asked=asked).headers["Location"] == "/two-factor"


def test_whoever_must_set_2fa_up_again_begins_there(browser, deps, tom):
    browser.signed_in(deps, tom)
    with writing(deps.database) as connection:
        accounts.set_enrollment_prompt(connection, tom.id, prompted=True)
    assert browser.get("/", asked="/team").headers["Location"] == "/two-factor"


def way_back_input(response):
    """The values of the hidden inputs that carry the page that was asked for."""
    return sorted({attrs["value"] for tag, attrs in Page(response).tags if attrs.get("name") == "next"})


# --- in a page's place ------------------------------------------------------------------------------------------------

A_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/nothing", "/team/", "/support/accounts/a.b", "/login/a/b", "/portal/x"])
def test_an_unknown_address_is_a_calm_page_for_a_browser_and_a_problem_for_a_program(browser, path):
    page = browser.get(path, Accept=A_BROWSER)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "Page not found" in page.get_data(as_text=True)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert "Accept" in page.headers["Vary"]
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5", ""):
        problem = browser.get(path, Accept=accept)
        assert (problem.status_code, problem.mimetype) == (404, "application/problem+json"), accept
        assert problem.json["code"] == "not_found"


@pytest.mark.parametrize("path", ["/v1/nothing", "/.well-known/nothing"])
def test_an_address_of_programs_answers_a_browser_as_a_program(browser, path):
    assert browser.get(path, Accept=A_BROWSER).mimetype == "application/problem+json"


def test_a_page_that_takes_no_get_says_so_calmly(browser):
    page = browser.get("/logout", Accept=A_BROWSER)
    assert (page.status_code, page.mimetype) == (405, "text/html")
    assert "POST" in page.headers["Allow"]
    assert browser.get("/logout").mimetype == "application/problem+json"


def test_a_missing_file_is_no_page(browser):
    assert browser.get("/portal/x/nothing.js", Accept="*/*").mimetype == "application/problem+json"


def test_without_the_portal_there_are_no_pages(deps):
    bare = create_app(replace(deps, settings=auth.settings(PORTAL="off"))).test_client()
    assert bare.get("/nothing", headers={"Accept": A_BROWSER}).mimetype == "application/problem+json"


def test_what_a_role_may_not_see_is_said_on_a_page(browser, deps, tom):
    page = browser.signed_in(deps, tom).get("/support", Accept=A_BROWSER)
    assert (page.status_code, page.mimetype) == (403, "text/html")
    assert "Your role does not allow this." in page.get_data(as_text=True)


def test_a_store_that_is_down_is_said_on_a_page_with_when_to_come_back(browser, deps, tom, redis_server):
    browser.signed_in(deps, tom)
    redis_server.connected = False
    page = browser.get("/team", Accept=A_BROWSER)
    assert (page.status_code, page.mimetype, page.headers["Retry-After"]) == (503, "text/html", "2")
    assert '<a href="/team">Try again</a>' in page.get_data(as_text=True)


def test_a_fault_of_ours_is_said_on_a_page_without_its_cause(browser, otp, mia):
    otp.refusal = ZeroDivisionError("a secret of ours")
    page = browser.log_in(mia.email)
    assert (page.status_code, page.mimetype) == (500, "text/html")
    assert "Something went wrong" in page.get_data(as_text=True)
    assert "a secret of ours" not in page.get_data(as_text=True)


# --- what holds for every page ----------------------------------------------------------------------------------------


@pytest.fixture
def every_page(browser, deps, sam):
    browser.signed_in(deps, sam)
    return {path: browser.get(path) for path in (*PAGES, *SUPPORT_PAGES, *OPEN_PAGES)}


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
    named = set(re.findall(r'"/portal/[^/]+/([^"]+)"', Page(page).text))
    assert len(page.get_data()) + sum(len(assets.ASSETS[name].zipped) for name in named) <= 60_000


def test_scripts_import_only_files_of_ours():
    for name, asset in assets.ASSETS.items():
        if name.endswith(".js"):
            for target in re.findall(r'from "([^"]+)"', asset.plain.decode()):
                assert target.removeprefix("./") in assets.ASSETS, (name, target)


# --- texts ------------------------------------------------------------------------------------------------------------


def test_every_text_is_there_in_every_language_with_the_same_places():
    for key, row in read_catalogue().items():
        assert set(row) == set(LANGUAGES), key
        assert all(row.values()), key
        assert len({frozenset(PLACE.findall(text)) for text in row.values()}) == 1, key


def test_whatever_the_api_says_has_a_text():
    catalogue = read_catalogue()
    wanted = [f"problem.{code}" for code in PROBLEMS]
    wanted += [f"delivery.{word}" for word in (*DeliveryStatus, *DeliveryReason)]
    wanted += [f"activity.{entry.replace('.', '_')}" for entry in Entry]
    wanted += [f"activity.factor_{factor}" for factor in Factor]
    causes = ("destination", "today", "country")
    wanted += [f"{prefix}_{cause}" for prefix in ("problem.sms_unavailable", "activity.cause") for cause in causes]
    assert [key for key in wanted if key not in catalogue] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("path", "section"), [("/team", "prove"), ("/two-factor", "by-sms")])
def test_whoever_is_offered_sms_is_told_that_others_can_read_it(browser, tom, language, path, section):
    """NIST SP 800-63B-4 §3.2.9."""
    browser.log_in(tom.email)
    text = Page(browser.get(f"{path}?lang={language}")).text
    risk = read_catalogue()["sms.risk"][language]
    assert "SIM" in risk
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
    for password in ("short", "x" * 129):
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
    texts = choose("en", LanguageAccept([]))
    assert "no proven cell phone" in answer(texts, Refusal("sms_unavailable")).form
    paused = Refusal("sms_unavailable", extra={"cause": "destination"}, retry_after_seconds=90)
    assert "paused" in answer(texts, paused).form
    assert "1 min 30 s" in answer(texts, paused).form
    assert "no proven cell phone" in answer(texts, Refusal("sms_unavailable", extra={"cause": "news"})).form


def test_the_switch_wins_over_the_browser_and_stays(browser):
    assert 'lang="de"' in Page(browser.get("/login", Accept_Language="de-AT, en;q=0.5")).text
    assert 'lang="en"' in Page(browser.get("/login", Accept_Language="fr")).text
    assert 'lang="de"' in Page(browser.get("/login?lang=de")).text
    assert 'lang="de"' in Page(browser.get("/login", Accept_Language="en")).text
    assert browser.get("/login?lang=xx").headers.get("Set-Cookie") is None


def test_a_duration_is_said_as_people_do():
    texts = choose("en", LanguageAccept([]))
    assert [duration(texts, seconds) for seconds in (0, 45, 60, 150, 3900)] == [
        "0 s",
        "45 s",
        "1 min",
        "2 min 30 s",
        "1 h 5 min",
    ]
