import pytest

from services.auth import limits
from services.auth.deps import subject
from services.auth.domain.browsers import DESCRIPTIONS
from services.auth.otp_client import CodeRefused
from services.auth.routes import guard
from shared import budgets
from shared.budgets import Charge
from tests.support import auth
from tests.support.auth import notices_in, sign_in, timeline_of
from tests.support.sign_in import challenge, device_cookie_name, log_in, problem

ORIGIN = auth.ENVIRONMENT["PUBLIC_ORIGIN"]


@pytest.fixture
def browser(app, deps, tom):
    """Signed in with a cookie."""
    browser = app.test_client()
    _, token = sign_in(deps, tom)
    browser.set_cookie("latchkey_session", token)
    return browser


def write(browser, headers=None):
    return browser.post("/v1/session/token", headers=headers or {})


# --- another site's page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ORIGIN},
        {"Origin": "http://localhost"},  # the host that was asked, which is what the test client asks
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {},  # no browser
    ],
)
def test_a_page_of_our_own_may_write(browser, headers):
    assert write(browser, headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": f"{ORIGIN}.evil.example"},
        {"Origin": "http://portal.example"},  # another port
        {"Origin": "https://portal.example:8080"},  # another scheme
        {"Origin": "https://localhost"},
        {"Origin": "http://localhost:8081"},
        {"Origin": "http://127.0.0.1"},  # of this machine, under another name than the one that was asked
        {"Origin": "http://portal.example:8080@evil.example"},
        {"Origin": "http://evil.example/http://portal.example:8080"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://["},
        {"Origin": "http://[localhost"},
        {"Origin": "http://localhost\uff0f.evil"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "anything"},
    ],
    ids=str,
)
def test_a_page_of_another_site_may_not(browser, headers):
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    assert problem(write(browser, headers)) == (403, "origin_refused")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_that_holds_for_every_unsafe_method_and_every_address(browser, method):
    for path in ("/v1/login", "/v1/logout", "/v1/phone", "/v1/two-factor", "/v1/nowhere"):
        answer = browser.open(path, method=method, headers={"Origin": "https://evil.example"})
        assert problem(answer) == (403, "origin_refused")


def test_reading_is_the_browsers_to_keep_apart(browser):
    assert browser.get("/v1/session", headers={"Origin": "https://evil.example"}).status_code == 200


def test_a_login_is_not_made_for_someone_by_another_page(api, tom):
    answer = log_in(api(), tom, headers={"Origin": "https://evil.example"})
    assert problem(answer) == (403, "origin_refused")


def test_a_bearer_token_travels_by_itself_so_its_origin_does_not_matter(api, tom):
    answer = api(tom).post("/v1/session/token", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 200


def test_a_made_up_bearer_token_does_not_open_the_way_for_a_cookie(browser):
    headers = {"Origin": "https://evil.example", "Authorization": "Bearer x"}
    assert problem(write(browser, headers)) == (401, "not_authenticated")


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "Basic dG9tOng=", "x"])
def test_what_is_no_bearer_token_does_not_hide_the_origin(browser, authorization):
    headers = {"Origin": "https://evil.example", "Authorization": authorization}
    assert problem(write(browser, headers)) == (403, "origin_refused")


# --- whose session ----------------------------------------------------------------------------------------------------


def test_a_bearer_token_goes_before_a_cookie(browser, deps, ann, tom):
    _, token = sign_in(deps, ann)
    answer = browser.get("/v1/session", headers={"Authorization": f"bearer  {token} "})
    assert answer.json["account"]["id"] == ann.id
    assert browser.get("/v1/session").json["account"]["id"] == tom.id


@pytest.mark.parametrize("authorization", ["Basic {}", "Token {}", "{}", "Bearer{}", "Bearer x{}"])
def test_another_scheme_is_no_bearer_token(app, deps, tom, authorization):
    _, token = sign_in(deps, tom)
    answer = app.test_client().get("/v1/session", headers={"Authorization": authorization.format(token)})
    assert problem(answer) == (401, "not_authenticated")


def test_a_token_in_the_query_is_none(app, deps, tom):
    _, token = sign_in(deps, tom)
    assert app.test_client().get(f"/v1/session?token={token}&access_token={token}").status_code == 401


@pytest.mark.parametrize("token", ["x" * 5000, "é", "' OR 1=1 --", "..", "*"])
def test_a_hostile_token_finds_nothing(app, token):
    browser = app.test_client(use_cookies=False)
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"latchkey_session={token}"}):
        assert problem(browser.get("/v1/session", headers=headers)) == (401, "not_authenticated")


# --- cookies ----------------------------------------------------------------------------------------------------------


def test_over_https_cookies_are_bound_to_the_host(configured, app, mia, otp):
    configured(PUBLIC_ORIGIN="https://portal.example")
    browser = app.test_client()
    body = {"email": mia.email, "password": auth.PASSWORD}
    challenge_id = browser.post("/v1/login", json=body).json["challenge"]["id"]
    otp.expect(mia.id, "login", challenge_id)
    answer = browser.post(f"/v1/login/{challenge_id}/verify", json={"code": "424242", "remember_device": True})
    cookies = answer.headers.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        "__Host-latchkey_session",
        "__Host-latchkey_challenge",  # forgotten
        f"__Host-{device_cookie_name(mia)}",
    ]
    for cookie in cookies:
        flags = {part.strip() for part in cookie.split(";")[1:]}
        assert flags >= {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
        assert "domain" not in cookie.casefold()


def test_over_https_a_cookie_without_the_prefix_is_none_of_ours(configured, app, deps, tom):
    """Another subdomain can set that one."""
    configured(PUBLIC_ORIGIN="https://portal.example")
    _, token = sign_in(deps, tom)
    browser = app.test_client(use_cookies=False)
    plain, bound = (f"{name}={token}" for name in ("latchkey_session", "__Host-latchkey_session"))
    assert browser.get("/v1/session", headers={"Cookie": plain}).status_code == 401
    assert browser.get("/v1/session", headers={"Cookie": bound}).status_code == 200


def test_the_cookie_is_forgotten_under_the_name_it_was_set(configured, app, deps, tom):
    configured(PUBLIC_ORIGIN="https://portal.example")
    _, token = sign_in(deps, tom)
    answer = app.test_client(use_cookies=False).post(
        "/v1/logout", headers={"Cookie": f"__Host-latchkey_session={token}"}
    )
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-latchkey_session=;")
    assert "Max-Age=0" in cookie
    assert "Secure" in cookie


# --- where from -------------------------------------------------------------------------------------------------------


def client_ip(app, forwarded, peer="10.0.0.9"):
    headers = [("X-Forwarded-For", value) for value in forwarded]
    with app.test_request_context("/", headers=headers, environ_base={"REMOTE_ADDR": peer}):
        return guard.client().ip


FAKE, REAL, EDGE, PEER = "6.6.6.6", "203.0.113.5", "198.51.100.1", "10.0.0.9"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, [], PEER),
        (0, [REAL], PEER),
        (0, [f"{FAKE}, {REAL}"], PEER),
        (1, [REAL], REAL),
        (1, [f"{FAKE}, {REAL}"], REAL),
        (1, [FAKE, REAL], REAL),  # two headers are one list
        (1, [f"{FAKE},{FAKE},{FAKE},{REAL}"], REAL),
        (1, [], PEER),
        (2, [f"{REAL}, {EDGE}"], REAL),
        (2, [f"{FAKE}, {REAL}, {EDGE}"], REAL),
        (2, [f"{FAKE}, {REAL}", EDGE], REAL),
        (2, [EDGE], PEER),  # it came past one of the proxies
        (1, [f"{FAKE}, {REAL}:4711"], REAL),
        (1, [f"{FAKE}, [2001:db8::1]:4711"], "2001:db8::1"),
        (1, [f"{FAKE}, ::ffff:{REAL}"], REAL),
        (1, ["x" * 500], "unknown"),
        (1, [f"{FAKE}, "], "unknown"),
    ],
)
def test_the_ip_counts_from_the_right_as_far_as_proxies_are_ours(configured, app, proxies, forwarded, expected):
    configured(TRUSTED_PROXY_COUNT=str(proxies))
    assert client_ip(app, forwarded) == expected


@pytest.mark.parametrize(("proxies", "behind"), [(0, ""), (1, ", 203.0.113.5"), (2, ", 203.0.113.5, 198.51.100.1")])
def test_rotating_the_header_is_no_way_round_the_budget(configured, app, api, tom, proxies, behind):
    deps = configured(TRUSTED_PROXY_COUNT=str(proxies))
    ip = "127.0.0.1" if proxies == 0 else REAL
    for _ in range(58):
        budgets.take(deps.redis, Charge(limits.LOGIN_IP, subject(deps, "ip", ip)))
    answers = [
        log_in(api(), f"nobody{number}@example.com", "x", headers={"X-Forwarded-For": f"6.6.6.{number}{behind}"})
        for number in range(4)
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]


@pytest.mark.parametrize(
    ("spelling", "network"),
    [
        (f"{REAL}:500{{}}", REAL),
        (f"::ffff:{REAL}", REAL),
        ("[2001:db8:1:2::1]:500{}", "2001:db8:1::/48"),
        ("2001:db8:1:2::{}", "2001:db8:1::/48"),
        ("2001:db8:1:{}::1", "2001:db8:1::/48"),
        ("hidden-{}", "unknown"),
        ("192.0.2.{}.1", "unknown"),
    ],
)
def test_spellings_of_one_client_share_its_budget(configured, api, spelling, network):
    deps = configured(TRUSTED_PROXY_COUNT="1")
    for _ in range(58):
        budgets.take(deps.redis, Charge(limits.LOGIN_IP, subject(deps, "ip", network)))
    answers = [
        log_in(api(), f"nobody{number}@example.com", "x", headers={"X-Forwarded-For": spelling.format(number)})
        for number in range(4)
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]


def test_one_64_has_half_of_what_its_48_has(configured, api):
    deps = configured(TRUSTED_PROXY_COUNT="1")
    row = Charge(limits.for_a_link(limits.LOGIN_IP), subject(deps, "ip", "2001:db8:1:2::/64"))
    for _ in range(29):
        budgets.take(deps.redis, row)
    said = [
        log_in(api(), "nobody@example.com", "x", headers={"X-Forwarded-For": f"2001:db8:1:{link}::1"}).status_code
        for link in (2, 2, 3)
    ]
    assert said == [401, 429, 401]


def test_the_ip_behind_the_proxy_is_what_the_timeline_shows(configured, api, tom):
    deps = configured(TRUSTED_PROXY_COUNT="1")
    log_in(api(), tom, headers={"X-Forwarded-For": f"{FAKE}, {REAL}"})
    assert timeline_of(deps, tom)[-1].ip == REAL


def test_no_other_header_says_where_a_request_comes_from(configured, app):
    configured(TRUSTED_PROXY_COUNT="1")
    headers = {"X-Real-IP": FAKE, "Forwarded": f"for={FAKE}", "CF-Connecting-IP": FAKE, "True-Client-IP": FAKE}
    with app.test_request_context("/", headers=headers, environ_base={"REMOTE_ADDR": PEER}):
        assert guard.client().ip == PEER


HOSTILE_NAMES = [
    "",
    "x" * 5000,
    '=HYPERLINK("https://evil.example")',
    "Your account is locked. Call +1 900 555 0100",
    "https://evil.example/x",
    "\u202ereversed".encode().decode("latin-1"),
    "Firefox on Windows\tCall us",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_nothing_that_a_client_calls_itself_is_kept(app, name):
    with app.test_request_context("/", headers={"User-Agent": name}):
        assert guard.client().browser in DESCRIPTIONS


@pytest.mark.parametrize("name", ["=1+1 Firefox/128.0", "evil.example Firefox/128.0 (Windows)", "evil.example"])
def test_no_place_shows_a_clients_own_text(configured, api, otp, deps, mia, name):
    """Notices, timeline, sessions and devices, after a sign-in with wrong codes and one that is remembered."""
    deps = configured(TRUSTED_PROXY_COUNT="1")
    headers = {"User-Agent": name, "X-Forwarded-For": "evil.example"}
    refused, challenge_id = api(), challenge(api(), mia, headers=headers)
    for _ in range(limits.WRONG_CODES_A_NOTICE):
        otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
        refused.post(f"/v1/login/{challenge_id}/verify", {"code": "000000"}, headers=headers)
    otp.refusal = None
    otp.expect(mia.id, "login", challenge_id)
    body = {"code": "424242", "remember_device": True}
    answer = api().post(f"/v1/login/{challenge_id}/verify", body, headers=headers)
    signed_in = {"Authorization": f"Bearer {answer.json['token']}"}
    shown = [api().get(f"/v1/{path}", headers=signed_in).text for path in ("activity", "sessions", "trusted-devices")]
    notices = [notice.body for notice in notices_in(deps)]
    assert len(notices) >= 4
    assert not [text for text in (*shown, *notices) if "evil" in text or "=1" in text or "128.0" in text]
    assert "unknown" in "".join(notices)


# --- who may ----------------------------------------------------------------------------------------------------------

OPEN_TO_ALL = {
    "/v1/login",
    "/v1/login/<id:challenge_id>",
    "/v1/login/<id:challenge_id>/call",
    "/v1/login/<id:challenge_id>/confirm",
    "/v1/login/<id:challenge_id>/confirmation",
    "/v1/login/<id:challenge_id>/sms",
    "/v1/login/<id:challenge_id>/verify",
    "/v1/callbacks/twilio/call",
    "/v1/callbacks/twilio/status",
    "/v1/time",
    "/v1/two-factor/resets/cancel",
    "/v1/two-factor/resets/confirm",
}


def test_every_other_address_needs_a_session(app):
    """A route that is new is closed, or is added to the list above by someone who thought about it."""
    browser, open_ones = app.test_client(), set()
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/v1/"):
            continue
        path = "/".join("x" if part.startswith("<") else part for part in rule.rule.split("/"))
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            answer = browser.open(path, method=method)
            if answer.status_code != 401 or answer.json["code"] != "not_authenticated":
                open_ones.add(rule.rule)
    assert open_ones == OPEN_TO_ALL
