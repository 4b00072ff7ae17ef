"""Identity checks are done by the product, not ticked: words that it sends, and what is attested with evidence."""

import re

import pytest

from services.auth.store import timeline
from tests.support.auth import PHONE, notices_in, timeline_of
from tests.support.ceremony import SEEN, words_sent
from tests.support.identity_checks import standing

# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("check", "recipient"), [("phone_code", PHONE.e164), ("email_code", "ann@example.com")])
def test_the_words_go_to_the_checked_channel_and_a_notice_without_them_to_the_other(deps, begin, check, recipient):
    assert begin(check).status_code == 201
    words = words_sent(deps, check)
    with_words = [notice.recipient for notice in notices_in(deps) if words in notice.body]
    assert with_words == [recipient]
    assert len(notices_in(deps)) == 2
    for notice in notices_in(deps):
        assert "never ask" in notice.body
        assert "/reset/cancel#" in notice.body


def test_words_are_never_digits(deps, begin):
    begin("phone_code")
    assert not re.search(r"\d", words_sent(deps, "phone_code"))


@pytest.mark.parametrize("spelling", [str.upper, lambda words: f"  {words.replace(' ', ' - ')}\n"])
def test_the_words_pass_the_check_however_they_are_typed(deps, api, begin, path, sam, ann, spelling):
    check = begin("phone_code").json
    answer = api(sam).post(f"{path}/{check['id']}/verify", {"code": spelling(words_sent(deps, "phone_code"))})
    assert (answer.status_code, answer.json["status"]) == (200, "passed")
    assert standing(deps, sam, ann) == ["phone_code"]
    assert [row.type for row in timeline_of(deps, ann)] == ["identity_check.begun", "identity_check.passed"]


def test_five_wrong_tries_end_the_check(deps, api, begin, path, sam, ann):
    check = begin("phone_code").json
    answers = [api(sam).post(f"{path}/{check['id']}/verify", {"code": "wrong words"}) for _ in range(5)]
    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(422, "wrong_words")] * 5
    assert [answer.json["tries_left"] for answer in answers] == [4, 3, 2, 1, 0]
    right = api(sam).post(f"{path}/{check['id']}/verify", {"code": words_sent(deps, "phone_code")})
    assert (right.status_code, right.json["code"]) == (409, "check_not_open")
    assert standing(deps, sam, ann) == []


def test_only_digests_are_stored(deps, begin):
    begin("email_code")
    words = words_sent(deps, "email_code")
    link = re.search(r"/reset/confirm#(\S+)", notices_in(deps)[-1].body).group(1)
    with deps.database.connect() as connection:
        stored = str(connection.exec_driver_sql("SELECT * FROM identity_checks").all())
        written = str(connection.exec_driver_sql("SELECT details, personal FROM timeline").all())
    for secret in (words, link):
        assert secret not in stored
        assert secret not in written


def test_the_words_are_dead_after_half_an_hour(deps, api, begin, path, sam, clock):
    check = begin("phone_code").json
    clock.turn(minutes=30)
    answer = api(sam).post(f"{path}/{check['id']}/verify", {"code": words_sent(deps, "phone_code")})
    assert answer.json["code"] == "check_not_open"


def test_another_operator_cannot_use_the_words(deps, api, begin, path, sue):
    check = begin("phone_code").json
    answer = api(sue).post(f"{path}/{check['id']}/verify", {"code": words_sent(deps, "phone_code")})
    assert answer.status_code == 404


def test_entering_words_takes_a_step_up(deps, api, begin, path, sam):
    check = begin("phone_code").json
    answer = api(sam, stepped_up=False).post(f"{path}/{check['id']}/verify", {"code": "x"})
    assert answer.json["code"] == "step_up_required"


def test_texts_to_one_account_are_limited(begin):
    assert [begin("phone_code").status_code for _ in range(7)] == [201] * 6 + [429]


def test_the_link_in_the_mail_confirms_once(deps, api, begin, sam, ann):
    begin("email_code")
    token = re.search(r"/reset/confirm#(\S+)", notices_in(deps)[-1].body).group(1)
    assert api().post("/v1/two-factor/resets/confirm", {"token": token}).status_code == 204
    assert standing(deps, sam, ann) == ["email_code"]
    again = api().post("/v1/two-factor/resets/confirm", {"token": token})
    assert (again.status_code, again.json["code"]) == (409, "check_not_open")
    assert api().post("/v1/two-factor/resets/confirm", {"token": "x"}).status_code == 404


# --- what is attested -------------------------------------------------------------------------------------------------


def test_what_is_attested_stands_with_what_was_seen(deps, begin, sam, ann):
    answer = begin("video_id", evidence=SEEN)
    assert (answer.status_code, answer.json["status"], answer.json["evidence"]) == (201, "passed", SEEN)
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.details["evidence"]) == ("identity_check.passed", SEEN)
    assert notices_in(deps) == []


@pytest.mark.parametrize(
    ("check", "more"), [("video_id", {}), ("video_id", {"evidence": ""}), ("phone_code", {"evidence": SEEN})]
)
def test_evidence_belongs_to_attested_checks_and_to_those_alone(begin, check, more):
    answer = begin(check, **more)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")


def test_evidence_can_be_erased_from_the_timeline():
    assert "evidence" in timeline.PERSONAL_DETAILS
