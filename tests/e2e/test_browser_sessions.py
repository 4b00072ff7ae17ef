"""Cookie sessions as a browser uses them, and other sites' pages that try to."""

import http.client
import json
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.e2e


class Browser:
    """Keeps cookies and sends Origin with writes."""

    def __init__(self, base_url: str, ip: str):
        self.base_url, self.ip, self.cookies = base_url, ip, {}

    def send(self, method: str, path: str, body=None, **headers):
        connection = http.client.HTTPConnection(urlsplit(self.base_url).netloc, timeout=10)
        sent = {"Origin": self.base_url, "X-Forwarded-For": self.ip, "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {name: value for name, value in sent.items() if value is not None}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        response = connection.getresponse()
        data = response.read()
        self.set_cookies = response.msg.get_all("Set-Cookie") or []
        for line in self.set_cookies:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        connection.close()
        return response.status, json.loads(data) if data else None


@pytest.fixture
def person(make_person):
    return make_person()


@pytest.fixture
def browser(stack, person):
    return Browser(stack.base_url, person.ip)


def log_in(browser, person):
    return browser.send("POST", "/v1/login", {"email": person.email, "password": person.password})


def test_the_cookie_is_httponly_and_lax_and_the_token_is_not_in_the_body(browser, person):
    status, body = log_in(browser, person)
    assert status == 200
    assert "token" not in body
    assert "HttpOnly" in browser.set_cookies[0]
    assert "SameSite=Lax" in browser.set_cookies[0]
    assert browser.send("GET", "/v1/session")[0] == 200


def test_a_page_of_another_site_cannot_write(browser, person):
    log_in(browser, person)
    foreign = ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": None, "Sec_Fetch_Site": "cross-site"})
    for headers in foreign:
        status, body = browser.send("POST", "/v1/logout", **headers)
        assert (status, body["code"]) == (403, "origin_refused"), headers
    assert browser.send("GET", "/v1/session")[0] == 200
    assert browser.send("POST", "/v1/logout")[0] == 204
    assert browser.send("GET", "/v1/session")[0] == 401


def test_a_session_planted_before_the_login_is_not_the_one_after_it(browser, person):
    browser.cookies["latchkey_session"] = "planted-by-somebody-else"
    log_in(browser, person)
    assert browser.cookies["latchkey_session"] != "planted-by-somebody-else"


def test_a_remembered_browser_skips_the_code_and_a_foreign_device_does_not(browser, person, make_person):
    person.enrolled()
    challenge = log_in(browser, person)[1]["challenge"]["id"]
    body = {"code": person.app.fresh(), "remember_device": True}
    assert browser.send("POST", f"/v1/login/{challenge}/verify", body)[0] == 200
    assert log_in(browser, person)[1]["status"] == "authenticated"
    other = make_person()
    other.enrolled()
    assert log_in(browser, other)[1]["status"] == "second_factor_required"


def test_forward_auth_says_who_it_is_and_no_without_what_is_demanded(stack, browser, person):
    assert browser.send("GET", "/v1/session/verify")[0] == 401
    log_in(browser, person)
    connection = http.client.HTTPConnection(urlsplit(stack.base_url).netloc, timeout=10)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    connection.request("GET", "/v1/session/verify", headers={"Cookie": cookie})
    response = connection.getresponse()
    assert response.status == 204
    assert response.getheader("X-Account-Id") == person.id
    assert response.getheader("X-Assurance") == "aal1"
    assert response.getheader("X-Factors") == "password"
    response.read()
    for query, status in (
        ("assurance=aal1&max_age=600&role=member", 204),
        ("assurance=aal2", 403),
        ("phishing_resistant=true", 403),
        ("role=support", 403),
        ("assurance=aal1&assurance=aal2", 422),
        ("acr=aal2", 422),
    ):
        connection.request("GET", f"/v1/session/verify?{query}", headers={"Cookie": cookie})
        response = connection.getresponse()
        response.read()
        assert (query, response.status) == (query, status)
    connection.request("GET", "/v1/session/verify", headers={"X-Forwarded-Uri": "//evil.example"})
    response = connection.getresponse()
    assert (response.status, response.getheader("Location")) == (401, f"{stack.base_url}/login?again=1")
    connection.close()
