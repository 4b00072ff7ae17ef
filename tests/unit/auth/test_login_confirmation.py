"""A link in a mail exempts a login from the brake on guesses, but only in the browser that began it."""

import re
from datetime import timedelta

import pytest

from services.auth import challenge_store, guessing_brake, limits, notices
from services.auth.challenge_store import LinkClaim
from services.auth.domain.guessing import Guess
from services.auth.domain.notice_texts import Kind
from services.auth.otp_client import CodeRefused
from shared.ids import new_token
from shared.messages import SendEmailNotice
from shared.sending_budgets import MAILS
from shared.sending_budgets import Kind as Charged
from tests.support import auth
from tests.support.auth import BINDINGS, end_all, notices_in, outbox, timeline_of
from tests.support.portal import Browser, challenge_of
from tests.support.sign_in import IP, challenge, down, ip_of, log_in, problem, spend, spent, verify
from tests.support.threads import at_once

LINK = re.compile(r"http://portal\.example:8080/browser/confirm#(chl_\w+)\.([\w-]{43})\s")
ELSEWHERE = {"X-Challenge-Binding": "of another browser"}


@pytest.fixture(autouse=True)
def braked(deps, mia):
    """The brake is on, and strangers have used up today's try at this account."""
    deps.redis.set(guessing_brake.KEY, 1, ex=3600)
    guessing_brake.take_the_try(deps, mia.id)


@pytest.fixture
def login(stranger, mia):
    """The id of a login that the brake holds back."""
    challenge_id = challenge(stranger, mia)
    assert problem(verify(stranger, challenge_id)) == (429, "too_many_requests")
    return challenge_id


def ask(caller, challenge_id, **kwargs):
    return caller.post(f"/v1/login/{challenge_id}/confirmation", **kwargs)


def confirm(caller, challenge_id, token, **kwargs):
    return caller.post(f"/v1/login/{challenge_id}/confirm", {"token": token}, **kwargs)


def links(deps):
    """The mailed links, oldest first: challenge and token of each."""
    return [found.groups() for notice in notices_in(deps) if (found := LINK.search(notice.body))]


@pytest.fixture
def token(deps, stranger, login):
    """What the owner's mail has."""
    assert ask(stranger, login).status_code == 202
    ((challenge_id, token),) = links(deps)
    assert challenge_id == login
    return token


# --- the mail ---------------------------------------------------------------------------------------------------------


def test_one_mail_goes_to_the_accounts_address_and_no_text(deps, clock, stranger, mia, login):
    before = len(notices_in(deps))
    answer = ask(stranger, login)
    expires_at = clock() + limits.CHALLENGE_LIFE
    assert (answer.status_code, answer.json) == (202, {"expires_at": auth.rfc3339(expires_at)})
    (mail,) = notices_in(deps)[before:]
    assert mail.recipient == mia.email
    assert "127.0.0.1" in mail.body
    assert "Browser: unknown" in mail.body
    message = outbox(deps)[-1]
    assert isinstance(message, SendEmailNotice)
    assert message.deadline == expires_at, "a mail that comes after the login has ended is of no use"
    assert timeline_of(deps, mia)[-1].type == "login.confirmation_mailed"


def test_the_mail_says_nothing_that_the_client_has_written(deps, api, mia):
    caller, words = api(), {"User-Agent": "Call +1 555 0100 now Firefox/1"}
    challenge_id = log_in(caller, mia, headers=words).json["challenge"]["id"]
    assert ask(caller, challenge_id, headers=words).status_code == 202
    assert "Browser: Firefox\n" in notices_in(deps)[-1].body
    assert "555" not in notices_in(deps)[-1].body


def test_redis_has_no_token_and_the_digest_ends_with_the_challenge(deps, login, token):
    assert not any(token in f"{key} {deps.redis.dump(key)}" for key in deps.redis.scan_iter())
    (key,) = deps.redis.keys("auth:challenge_links:*")
    assert 0 < deps.redis.pttl(key) <= limits.CHALLENGE_LIFE // timedelta(milliseconds=1)


@pytest.mark.parametrize("reason", ["no brake", "a try is left", "known browser", "confirmed"])
def test_a_login_that_the_brake_does_not_hold_back_gets_no_mail(deps, stranger, mia, login, token, reason):
    if reason == "no brake":
        deps.redis.delete(guessing_brake.KEY)
    elif reason == "a try is left":
        deps.redis.delete(*deps.redis.keys("budget:auth.guessing.code*"))
    elif reason == "known browser":
        auth.add_device(deps, mia, "known", trusted=False)
        login = challenge(stranger, mia, device_token="known")
    else:
        assert confirm(stranger, login, token).status_code == 204
    assert problem(ask(stranger, login)) == (409, "confirmation_not_needed")
    assert len(links(deps)) == 1


@pytest.mark.parametrize("headers", [ELSEWHERE, {"X-Challenge-Binding": ""}])
def test_only_the_client_that_began_the_login_can_ask(deps, stranger, login, headers):
    assert problem(ask(stranger, login, headers=headers)) == (410, "challenge_expired")
    assert links(deps) == []


def test_a_network_has_three_mails_an_hour_to_one_account(deps, stranger, login):
    assert limits.CONFIRMATION_MAIL.windows[0].max == 3
    for _ in range(3):
        assert ask(stranger, login).status_code == 202
    refused = ask(stranger, login)
    assert problem(refused) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert len(links(deps)) == 3


def test_strangers_in_one_network_leave_the_owner_in_another_one_a_mail(configured, api, mia, login):
    deps = configured(TRUSTED_PROXY_COUNT="1")
    strangers, owners = {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-For": "198.51.100.7"}
    said = [ask(api(), login, headers=strangers).status_code for _ in range(4)]
    assert said == [202, 202, 202, 429]
    assert ask(api(), challenge(api(), mia, headers=owners), headers=owners).status_code == 202
    assert len(links(deps)) == 4


def test_an_account_gets_twelve_mails_an_hour_from_all_networks(deps, stranger, mia, login):
    spend(deps, limits.CONFIRMATION_MAILS, mia.id, 12)
    assert problem(ask(stranger, login)) == (429, "too_many_requests")


def test_the_news_that_a_stranger_causes_stop_no_link():
    assert notices.charged_as(Kind.CONFIRM_BROWSER) is Charged.SECURITY
    by_account, _ = MAILS[Charged.SECURITY]
    for own, all_of_kind in zip(limits.CONFIRMATION_MAILS.windows, by_account.windows, strict=True):
        assert own.seconds == all_of_kind.seconds
        assert own.max <= all_of_kind.max // 4, "and links leave the notices of changes their room"


def test_a_network_has_a_budget_for_both_calls(deps, stranger, login, token):
    spend(deps, limits.CONFIRMATION_IP, ip_of(deps), 19)
    assert problem(ask(stranger, login)) == (429, "too_many_requests")
    assert problem(confirm(stranger, login, token, headers=ELSEWHERE)) == (429, "too_many_requests")
    assert problem(confirm(stranger, "chl_none", token)) == (429, "too_many_requests")


def test_neighbours_who_use_up_the_network_stop_no_link_in_the_right_browser(deps, stranger, login, token):
    for _ in range(limits.CONFIRMATION_IP.windows[0].max):
        confirm(stranger, "chl_none", new_token())
    assert problem(confirm(stranger, "chl_none", new_token())) == (429, "too_many_requests")
    assert confirm(stranger, login, token).status_code == 204


def test_an_outage_costs_no_mail(deps, stranger, mia, login):
    deps.database.dispose()
    with deps.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO gone")
    down(ask(stranger, login), "sql")
    for rate, whose in ((limits.CONFIRMATION_MAIL, f"{mia.id}:{ip_of(deps)}"), (limits.CONFIRMATION_MAILS, mia.id)):
        assert spent(deps, rate, whose) == [0, 0]


# --- the link ---------------------------------------------------------------------------------------------------------


def test_the_right_browser_takes_codes_again_and_an_answer_says_so(deps, stranger, mia, otp, login, token):
    assert stranger.get(f"/v1/login/{login}").json["one_try"] is True
    assert confirm(stranger, login, token).status_code == 204
    assert stranger.get(f"/v1/login/{login}").json["one_try"] is False
    otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
    for _ in range(3):
        assert verify(stranger, login, "000000").status_code == 401
    otp.refusal = None
    otp.expect(mia.id, "login", login, factor="totp")
    assert verify(stranger, login).status_code == 200


def test_who_was_exempted_stands_in_the_timeline(deps, stranger, mia, login, token):
    assert confirm(stranger, login, token, headers=ELSEWHERE).status_code == 403
    assert timeline_of(deps, mia)[-1].type == "login.confirmation_mailed"
    assert confirm(stranger, login, token).status_code == 204
    row = timeline_of(deps, mia)[-1]
    details = {"browser": "unknown browser", "challenge_id": login}
    assert (row.type, row.ip, row.details) == ("login.confirmed", IP, details)


def test_to_open_the_link_changes_nothing(deps, app, stranger, login, token):
    before = sorted(deps.redis.keys())
    assert app.test_client().get("/browser/confirm").status_code == 200
    assert sorted(deps.redis.keys()) == before
    assert problem(verify(stranger, login)) == (429, "too_many_requests")


@pytest.mark.parametrize("headers", [ELSEWHERE, {"X-Challenge-Binding": ""}])
def test_another_browser_confirms_nothing_and_leaves_the_link_good(stranger, login, token, headers):
    assert problem(confirm(stranger, login, token, headers=headers)) == (403, "other_browser")
    assert problem(verify(stranger, login)) == (429, "too_many_requests")
    assert confirm(stranger, login, token).status_code == 204


def test_the_browser_of_another_login_is_another_browser(api, mia, login, token):
    other = challenge(api(), mia)
    headers = {"X-Challenge-Binding": BINDINGS[other]}
    assert problem(confirm(api(), login, token, headers=headers)) == (403, "other_browser")


def test_a_link_works_once(deps, api, login, token):
    said = at_once(8, lambda _: confirm(api(), login, token).status_code)
    assert sorted(said) == [204, *[410] * 7]


def test_each_mailed_link_works_until_one_of_them_has(deps, stranger, login, token):
    assert ask(stranger, login).status_code == 202
    (_, first), (_, second) = links(deps)
    assert confirm(stranger, login, first).status_code == 204
    assert problem(confirm(stranger, login, second)) == (410, "link_expired")


def test_the_link_of_another_login_confirms_nothing(stranger, api, mia, login, token):
    other = challenge(api(), mia)
    assert problem(confirm(stranger, other, token)) == (410, "link_expired")
    assert problem(verify(stranger, other)) == (429, "too_many_requests")


def test_an_invented_token_confirms_nothing(stranger, login, token):
    assert problem(confirm(stranger, login, new_token())) == (410, "link_expired")
    assert problem(verify(stranger, login)) == (429, "too_many_requests")


def test_the_link_ends_with_its_login(deps, clock, stranger, login, token):
    clock.turn(minutes=10)
    assert problem(confirm(stranger, login, token)) == (410, "link_expired")
    assert deps.redis.keys("auth:challenge_confirmed:*") == []


@pytest.mark.parametrize("call", ["ask", "confirm", "verify"])
def test_without_redis_nothing_is_confirmed_and_the_link_stays_good(stranger, login, token, redis_server, call):
    calls = {"ask": ask, "confirm": lambda caller, one: confirm(caller, one, token), "verify": verify}
    redis_server.connected = False
    down(calls[call](stranger, login), "redis")
    redis_server.connected = True
    assert problem(verify(stranger, login)) == (429, "too_many_requests")
    assert confirm(stranger, login, token).status_code == 204


def test_the_link_ends_with_a_change_that_ends_logins(deps, stranger, mia, login, token):
    end_all(deps, mia)
    assert problem(confirm(stranger, login, token)) == (410, "link_expired")
    assert deps.redis.keys("auth:challenge_confirmed:*") == []


def test_a_login_that_ends_while_its_link_is_used_is_not_confirmed(deps, login, token):
    challenge_store.delete(deps.redis, login)
    assert challenge_store.confirm(deps.redis, login, token, BINDINGS[login]) is LinkClaim.EXPIRED
    assert deps.redis.keys("auth:challenge_confirmed:*") == []


# --- what it exempts from ---------------------------------------------------------------------------------------------


def test_a_confirmed_login_exempts_no_other_login(stranger, api, mia, login, token):
    assert confirm(stranger, login, token).status_code == 204
    assert problem(verify(api(), challenge(api(), mia))) == (429, "too_many_requests")


def test_every_other_limit_counts_for_a_confirmed_login(deps, stranger, mia, otp, login, token, clock):
    assert confirm(stranger, login, token).status_code == 204
    before = spent(deps, limits.VERIFY_IP, ip_of(deps))
    otp.refusal = CodeRefused(reason="wrong", recent_failures=1)
    assert verify(stranger, login, "000000").status_code == 401
    assert spent(deps, limits.VERIFY_IP, ip_of(deps)) == [count + 1 for count in before]
    assert deps.redis.get(guessing_brake.charge(Guess.WRONG_CODE, clock()).keys()[0]) == "1", (
        "and in the sum of guesses"
    )
    otp.refusal = CodeRefused(reason="locked", recent_failures=60, code="second_factor_locked")
    assert problem(verify(stranger, login, "000000")) == (429, "second_factor_locked"), "otp's rows"
    otp.refusal = None
    spend(deps, limits.VERIFY_IP, ip_of(deps), limits.VERIFY_IP.windows[0].max - before[0] - 2)
    assert problem(verify(stranger, login)) == (429, "too_many_requests"), "the network's row"


def test_a_browser_confirms_by_its_cookie(deps, app, mia, otp):
    browser = Browser(app.test_client())
    login = challenge_of(browser.log_in(mia.email))
    origin = {"Origin": "http://portal.example:8080"}
    assert browser.client.post(f"/v1/login/{login}/confirmation", headers=origin).status_code == 202
    ((_, token),) = links(deps)
    path, body = f"/v1/login/{login}/confirm", {"token": token}
    assert app.test_client().post(path, json=body, headers=origin).json["code"] == "other_browser"
    assert browser.client.post(path, json=body, headers=origin).status_code == 204
    code = otp.expect(mia.id, "login", login, factor="totp")
    assert browser.post(f"/login/{login}", code=code).status_code == 303
