"""A right password that stops at the code is recorded, and the owner hears of a new place."""

import pytest

from services.auth import limits
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared.database import writing
from tests.support.auth import PASSWORD, PHONE, notices_in, timeline_of, types_of
from tests.support.sign_in import IP, challenge, complete, down, log_in, trusted_token

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0 Safari/537.36"


@pytest.fixture
def come(stranger, mia):
    """Enter the right password from somewhere, and no code."""

    def come(ip=IP, agent=FIREFOX):
        answer = stranger.post(
            "/v1/login",
            {"email": mia.email, "password": PASSWORD, "transport": "bearer"},
            headers={"User-Agent": agent},
            environ_base={"REMOTE_ADDR": ip},
        )
        assert answer.json["status"] == "second_factor_required", answer.json

    return come


def accepted(deps, account):
    """Their addresses and details, without the login that they are of."""
    rows = [row for row in timeline_of(deps, account) if row.type == "password.accepted"]
    return [(row.ip, {key: one for key, one in row.details.items() if key != "challenge_id"}) for row in rows]


def mails(deps):
    return [notice for notice in notices_in(deps) if "@" in notice.recipient]


def test_it_leaves_a_row_with_network_and_browser(deps, api, mia, come):
    come("192.0.2.7", FIREFOX)
    assert accepted(deps, mia) == [("192.0.2.7", {"browser": "Firefox on Windows"})]
    (item,) = api(mia).get("/v1/activity").json["items"]
    assert (item["type"], item["actor"]) == ("password.accepted", "owner")
    assert item["details"].pop("challenge_id").startswith("chl_")
    assert item["details"] == {"ip": "192.0.2.7", "browser": "Firefox on Windows"}


def test_a_row_holds_no_word_of_the_client(deps, mia, come):
    come(agent="=HYPERLINK(1) call 555 now")
    assert accepted(deps, mia) == [(IP, {"browser": "unknown browser"})]


def test_a_password_that_signs_in_by_itself_leaves_no_such_row(deps, stranger, tom, mia, otp):
    log_in(stranger, tom)
    assert types_of(deps, tom) == ["session.started"]
    token = trusted_token(stranger, otp, mia)
    before = len(accepted(deps, mia))
    assert log_in(stranger, mia, device_token=token).json["status"] == "authenticated"
    assert len(accepted(deps, mia)) == before


def test_a_wrong_password_leaves_none(deps, stranger, mia):
    log_in(stranger, mia, "wrong")
    assert types_of(deps, mia) == ["password.refused"]
    assert notices_in(deps) == []


# --- the notice -------------------------------------------------------------------------------------------------------


def test_the_owner_is_told_of_a_new_place_on_every_channel(deps, mia, come):
    come("192.0.2.7", FIREFOX)
    assert {notice.recipient for notice in notices_in(deps)} == {PHONE.e164, mia.email}
    (mail,) = mails(deps)
    assert "Firefox on Windows" in mail.body
    assert "192.0.2.7" in mail.body


def test_a_known_place_is_told_once(deps, mia, come, clock):
    for _ in range(3):
        come()
        clock.turn(hours=2)
    assert len(mails(deps)) == 1


def test_a_completed_sign_in_makes_its_place_known(deps, stranger, mia, otp, come):
    with writing(deps.database) as connection:
        timeline.write(connection, mia.id, Entry.SIGNED_IN, deps.clock(), ip=IP, browser="unknown browser")
    complete(stranger, otp, mia)
    assert mails(deps) == []


@pytest.mark.parametrize(("ip", "agent"), [("192.0.2.7", FIREFOX), (IP, CHROME)], ids=["network", "browser"])
def test_another_network_or_browser_is_a_new_place(deps, mia, come, clock, ip, agent):
    come()
    clock.turn(hours=1)
    come(ip, agent)
    assert len(mails(deps)) == 2


def test_addresses_of_one_ipv6_network_are_one_place(deps, mia, come, clock):
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:7::1"):  # all of one /48
        come(address)
        clock.turn(hours=1)
    assert len(mails(deps)) == 1


def test_a_place_of_more_than_thirty_days_ago_is_new_again(deps, mia, come, clock):
    come()
    clock.turn(days=29, hours=23)
    come()
    assert len(mails(deps)) == 1
    clock.turn(days=30, seconds=1)
    come()
    assert len(mails(deps)) == 2


def test_forty_addresses_are_one_notice_and_one_that_says_how_many(deps, mia, come):
    for number in range(40):
        come(f"198.51.100.{number}", FIREFOX if number % 2 else CHROME)
    assert len(accepted(deps, mia)) == 40
    first, all_of_them = mails(deps)
    assert "198.51.100.0" in first.body
    assert "(40 times)" in all_of_them.subject
    assert "198.51.100.39" in all_of_them.body
    assert len(notices_in(deps)) == 4


def test_a_place_that_was_erased_is_new(deps, mia, come, clock):
    """`audit erase` takes address and browser out of a row."""
    with writing(deps.database) as connection:
        timeline.write(connection, mia.id, Entry.SIGNED_IN, deps.clock())
    come()
    assert len(mails(deps)) == 1


# --- bounded ----------------------------------------------------------------------------------------------------------


def test_one_caller_does_not_fill_the_timeline(deps, mia, come, clock):
    for _ in range(30):
        come()
    assert len(accepted(deps, mia)) == limits.ACCEPTED_NETWORK.windows[0].max
    come("192.0.2.7")  # another network still leaves one
    assert len(accepted(deps, mia)) == limits.ACCEPTED_NETWORK.windows[0].max + 1


def test_many_callers_do_not_fill_it_either(deps, mia, come):
    most = limits.ACCEPTED.windows[0].max
    for number in range(most + 5):
        come(f"10.0.{number}.1")
    assert len(accepted(deps, mia)) == most


# --- and what fails ---------------------------------------------------------------------------------------------------


def test_no_challenge_without_its_row(deps, stranger, mia):
    """What cannot be recorded stops at 503, and its place in the budget is given back."""
    with writing(deps.database) as connection:
        connection.exec_driver_sql("ALTER TABLE timeline RENAME TO timeline_away")
    down(log_in(stranger, mia), "sql")
    assert deps.redis.keys("auth:challenge*") == []
    with writing(deps.database) as connection:
        connection.exec_driver_sql("ALTER TABLE timeline_away RENAME TO timeline")
    for _ in range(limits.ACCEPTED_NETWORK.windows[0].max):
        challenge(stranger, mia)
    assert len(accepted(deps, mia)) == limits.ACCEPTED_NETWORK.windows[0].max
