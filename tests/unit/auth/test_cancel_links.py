"""A texted link cancels no reset of a stolen factor, because the thief of the phone has the link."""

import pytest

from services.auth.domain.reset import ReasonKind, Status
from services.auth.store import resets as store
from shared.database import reading
from tests.support import ceremony
from tests.support.auth import PHONE, notices_in, types_of
from tests.support.ceremony import COOL_OFF, COOL_OFF_BY_TWO, IMMEDIATE_BY_TWO, WAITING

LINK = "/reset/cancel#"
BY_TEXT, BY_MAIL = PHONE.e164, "ann@example.com"


@pytest.fixture
def opened(deps, sam, ann):
    return lambda checks, kind=ReasonKind.STOLEN: ceremony.request_reset(deps, sam, ann, checks, kind)


@pytest.fixture
def tokens(deps):
    """The tokens in the notices of this recipient, oldest first."""

    def tokens(recipient):
        bodies = [notice.body for notice in notices_in(deps) if notice.recipient == recipient]
        return [body.partition(LINK)[2].split()[0] for body in bodies if LINK in body]

    return tokens


@pytest.fixture
def cancel(api):
    """Follow a link: the status, and the problem's code where there is one."""

    def cancel(token):
        answer = api().post("/v1/two-factor/resets/cancel", {"token": token})
        return answer.status_code, answer.json["code"] if answer.json else None

    return cancel


def status_of(deps, reset):
    with reading(deps.database) as connection:
        return store.by_id(connection, reset.id).status


def test_the_text_and_the_mail_of_a_notice_have_links_of_their_own(opened, tokens):
    opened(COOL_OFF, ReasonKind.LOST)
    links = tokens(BY_TEXT) + tokens(BY_MAIL)
    assert len(links) == len(set(links)) == 4


@pytest.mark.parametrize("checks", WAITING)
def test_the_texts_of_a_stolen_factors_reset_carry_no_link_and_say_what_to_do(deps, opened, checks):
    opened(checks)
    text, mail = (notice.body for notice in notices_in(deps)[-2:])
    assert LINK not in text
    assert "Cancel it by the link in our mail or with a backup code." in text
    assert LINK in mail


def test_the_text_of_an_approval_carries_no_link_either(deps, api, opened, ann, sue):
    reset = opened(COOL_OFF_BY_TWO)
    api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset.id}/approve")
    text, mail = (notice.body for notice in notices_in(deps)[-2:])
    assert (LINK in text, LINK in mail) == (False, True)


@pytest.mark.parametrize("checks", WAITING)
def test_the_texted_link_of_a_check_does_not_cancel_the_reset_of_a_stolen_factor(
    deps, opened, tokens, cancel, ann, checks
):
    reset = opened(checks)
    before = status_of(deps, reset)
    assert [cancel(token) for token in tokens(BY_TEXT)] == [(403, "texted_link")]
    assert status_of(deps, reset) is before
    assert "identity_check.cancelled" not in types_of(deps, ann)
    assert cancel(tokens(BY_MAIL)[0]) == (204, None)
    assert status_of(deps, reset) is Status.CANCELLED


def test_the_texted_link_of_a_later_check_does_not_keep_a_stolen_factors_reset_from_its_approval(
    deps, api, opened, tokens, cancel, ann, sue
):
    reset = opened(IMMEDIATE_BY_TWO)
    ceremony.pass_check(deps, sue, ann, "phone_code")
    assert cancel(tokens(BY_TEXT)[-1]) == (403, "texted_link")
    answer = api(sue).post(f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset.id}/approve")
    assert (answer.status_code, answer.json["status"]) == (202, "approved")


def test_a_refused_texted_link_says_what_else_cancels(api, opened, tokens):
    opened(COOL_OFF)
    answer = api().post("/v1/two-factor/resets/cancel", {"token": tokens(BY_TEXT)[0]})
    assert "the link in our mail" in answer.json["detail"]
    assert "backup code" in answer.json["detail"]


@pytest.mark.parametrize("which", [0, -1], ids=["of the check", "of the reset"])
def test_a_texted_link_cancels_the_reset_of_a_lost_factor(deps, opened, tokens, cancel, which):
    reset = opened(COOL_OFF, ReasonKind.LOST)
    assert cancel(tokens(BY_TEXT)[which]) == (204, None)
    assert status_of(deps, reset) is Status.CANCELLED


def test_the_mark_of_a_texted_link_cannot_be_taken_off(deps, opened, tokens, cancel):
    reset = opened(COOL_OFF)
    (token,) = tokens(BY_TEXT)
    assert cancel(token.removeprefix("t.")) == (404, "not_found")
    assert status_of(deps, reset) is Status.COOLING_OFF
