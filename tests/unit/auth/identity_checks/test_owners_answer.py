"""Another owner of the team is asked whether the member needs help."""

import pytest

from services.auth import owner_approvals
from services.auth.consequences import Acting
from services.auth.domain.account import Role
from services.auth.domain.session import Factor
from shared.problems import Refusal
from tests.support import auth
from tests.support.auth import CLIENT, end_one, notices_in, sign_in, timeline_of
from tests.support.ceremony import pass_check, pass_checks
from tests.support.identity_checks import rows, standing


def test_another_owner_finds_the_question_and_approves(deps, api, begin, olivia, sam, ann):
    check = begin("owner_approval").json
    mails = [notice for notice in notices_in(deps) if notice.recipient == olivia.email]
    assert f"/team/approvals#{check['id']}" in mails[-1].body
    (listed,) = api(olivia).get("/v1/team/approvals").json["items"]
    assert (listed["id"], listed["member_email"]) == (check["id"], ann.email)
    answer = api(olivia).post(f"/v1/team/approvals/{check['id']}", {"approve": True})
    assert (answer.status_code, answer.json["status"]) == (200, "passed")
    assert standing(deps, sam, ann) == ["owner_approval"]
    assert timeline_of(deps, ann)[-1].actor == f"team-owner:{olivia.id}"
    assert api(olivia).get("/v1/team/approvals").json["items"] == []


def test_an_owner_who_refuses_ends_the_check(deps, api, begin, olivia, sam, ann):
    check = begin("owner_approval").json
    assert api(olivia).post(f"/v1/team/approvals/{check['id']}", {"approve": False}).json["status"] == "refused"
    again = api(olivia).post(f"/v1/team/approvals/{check['id']}", {"approve": True})
    assert again.json["code"] == "check_not_open"
    assert standing(deps, sam, ann) == []


def test_an_answer_takes_a_second_factor_and_a_step_up(api, begin, olivia, otp):
    check = begin("owner_approval").json
    path = f"/v1/team/approvals/{check['id']}"
    assert api(olivia, stepped_up=False).post(path, {"approve": True}).json["code"] == "step_up_required"
    assert api(olivia, Factor.PASSWORD).post(path, {"approve": True}).json["code"] == "second_factor_required"
    otp.suspended.add(olivia.id)
    assert api(olivia).post(path, {"approve": True}).json["code"] == "second_factor_required"
    otp.enabled.remove(olivia.id)
    assert api(olivia).post(path, {"approve": True}).json["code"] == "second_factor_required"


def test_an_owner_who_enrolled_with_the_password_alone_answers_only_after_a_full_step_up_with_the_factor(
    api, begin, olivia, make_account, password_hash, otp
):
    """The session that enrolled shows aal2. Its step-up window was the password's, and has closed."""
    path = f"/v1/team/approvals/{begin('owner_approval').json['id']}"
    otto = make_account("otto@example.com", role=Role.OWNER, password_hash=password_hash)
    caller = api(otto, Factor.PASSWORD)
    begun = caller.post("/v1/two-factor/enrollment").json["enrollment_id"]
    code = otp.expect(otto.id, "enrollment", begun)
    assert caller.post(f"/v1/two-factor/enrollment/{begun}/confirm", {"code": code}).status_code == 200
    assert caller.get("/v1/session").json["assurance"] == "aal2"
    assert caller.post(path, {"approve": True}).json["code"] == "step_up_required"
    proofs = {"password": auth.PASSWORD}
    assert caller.post("/v1/reauthenticate", proofs).status_code == 422
    for factor, said in (("sms", 403), ("totp", 200)):
        code = otp.expect(otto.id, "step_up", caller.session.id, factor=factor)
        assert caller.post("/v1/reauthenticate", {**proofs, "code": code}).status_code == 200
        assert caller.post(path, {"approve": True}).status_code == said, factor


def test_an_answer_under_way_is_void_when_its_session_has_ended(deps, begin, olivia, sam, ann):
    check = begin("owner_approval").json
    session, token = sign_in(deps, olivia)
    end_one(deps, olivia, session)
    with pytest.raises(Refusal, match="not_authenticated"):
        owner_approvals.answer(deps, CLIENT, olivia, Acting(session, token), check["id"], approve=True)
    assert standing(deps, sam, ann) == []


def test_nobody_else_may_answer(api, begin, olivia, ann, make_account, otp):
    check = begin("owner_approval").json
    path = f"/v1/team/approvals/{check['id']}"
    assert api(ann).post(path, {"approve": True}).json["code"] == "forbidden"
    other = make_account("other@elsewhere.example", role=Role.OWNER, team="Elsewhere")
    assert api(other).post(path, {"approve": True}).status_code == 404


def test_an_owner_does_not_approve_for_themselves(api, olivia, sam, make_account, otp):
    second = make_account("second@example.com", role=Role.OWNER)
    otp.enabled.add(second.id)
    check = api(sam).post(f"/v1/support/accounts/{olivia.id}/identity-checks", {"check": "owner_approval"}).json
    assert api(olivia).post(f"/v1/team/approvals/{check['id']}", {"approve": True}).status_code == 404
    assert api(second).post(f"/v1/team/approvals/{check['id']}", {"approve": True}).status_code == 200


@pytest.mark.parametrize(
    "lost", [lambda otp, owner: otp.enabled.remove(owner), lambda otp, owner: otp.suspended.add(owner)]
)
def test_an_approval_counts_only_while_its_owner_has_a_live_second_factor(deps, api, path, sam, ann, olivia, otp, lost):
    pass_checks(deps, sam, ann, ["phone_code", "owner_approval"])
    assert api(sam).get(path).json["allows"]["name"] == "phone_and_owner"
    lost(otp, olivia.id)
    shown = api(sam).get(path)
    assert shown.json["allows"] is None
    answer = api(sam).post(f"/v1/support/accounts/{ann.id}/two-factor-resets", {"ticket": "T", "reason": "lost"})
    assert (answer.status_code, answer.json["code"]) == (422, "identity_checks_insufficient")


def test_an_approval_that_no_longer_counts_can_be_asked_for_again(deps, api, path, sam, ann, olivia, make_account, otp):
    pass_check(deps, sam, ann, "owner_approval")
    otto = make_account("otto@example.com", role=Role.OWNER)
    otp.enabled.add(otto.id)
    otp.enabled.remove(olivia.id)
    row = rows(api(sam).get(path))["owner_approval"]
    assert (row["possible"], row["latest"]) == (True, None)
