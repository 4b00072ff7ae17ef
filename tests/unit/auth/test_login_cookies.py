"""How the session travels: in a cookie, or in the body."""

from services.auth import session_store
from shared.problems import Unavailable
from tests.support import auth
from tests.support.auth import events_in, sign_in, types_of
from tests.support.sign_in import complete, log_in, problem


def test_a_cookie_login_has_its_token_in_the_cookie_only(deps, app, tom):
    browser = app.test_client()
    body = {"email": tom.email, "password": auth.PASSWORD}
    answer = browser.post("/v1/login", json=body)
    assert "token" not in answer.json
    assert "device_token" not in answer.json
    session, device = answer.headers.getlist("Set-Cookie")
    for cookie, parts in ((session, set()), (device, {f"Max-Age={90 * 86400}"})):
        token = cookie.partition("=")[2].partition(";")[0]
        assert len(token) == 43  # 256 bits
        assert token not in answer.text
        said = {part.strip() for part in cookie.split(";")[1:] if "Expires" not in part}
        assert said == {"HttpOnly", "Path=/", "SameSite=Lax", *parts}
    assert browser.get("/v1/session").json["account"]["id"] == tom.id


def test_a_bearer_login_sets_no_cookie(stranger, tom, mia, otp):
    assert "Set-Cookie" not in log_in(stranger, tom).headers
    assert "Set-Cookie" not in complete(stranger, otp, mia, remember=True).headers


def test_the_session_after_the_login_is_not_the_one_before_it(deps, app, tom, mia, otp):
    _, planted = sign_in(deps, tom)
    browser = app.test_client()
    browser.set_cookie("latchkey_session", planted)
    challenge_id = browser.post("/v1/login", json={"email": mia.email, "password": auth.PASSWORD}).json["challenge"][
        "id"
    ]
    otp.expect(mia.id, "login", challenge_id)
    browser.post(f"/v1/login/{challenge_id}/verify", json={"code": "424242"})
    token = browser.get_cookie("latchkey_session").value
    assert token != planted
    assert session_store.find(deps.redis, token).account_id == mia.id
    assert session_store.find(deps.redis, planted) is None
    assert types_of(deps, tom) == ["session.ended"]


def test_a_sign_in_over_another_session_goes_on_while_otp_does_not_end_things(deps, app, tom, otp):
    planted_session, planted = sign_in(deps, tom)
    browser = app.test_client()
    browser.set_cookie("latchkey_session", planted)
    otp.ending_refusal = Unavailable("otp")
    assert browser.post("/v1/login", json={"email": tom.email, "password": auth.PASSWORD}).status_code == 200
    assert session_store.find(deps.redis, planted) is None
    assert [event.session_id for event in events_in(deps)] == [planted_session.id]


def test_logging_out_ends_the_session_and_forgets_the_cookie(deps, app, tom):
    browser = app.test_client()
    browser.post("/v1/login", json={"email": tom.email, "password": auth.PASSWORD})
    token = browser.get_cookie("latchkey_session").value
    assert browser.post("/v1/logout").status_code == 204
    assert browser.get_cookie("latchkey_session") is None
    assert session_store.find(deps.redis, token) is None
    assert types_of(deps, tom) == ["session.started", "session.ended"]
    assert problem(browser.post("/v1/logout")) == (401, "not_authenticated")
