"""Each check says whether it is possible for an account, and a check that is not is refused."""

import pytest

from services.auth import __main__ as command_line
from services.auth import password_change
from services.auth.consequences import Acting
from tests.support import auth
from tests.support.auth import CLIENT, PHONE, notices_in, timeline_of
from tests.support.ceremony import SEEN
from tests.support.identity_checks import rows


def test_each_check_says_whether_it_is_possible_and_where_the_words_go(api, path, sam, ann, olivia):
    shown = rows(api(sam).get(path))
    assert {name: row["possible"] for name, row in shown.items()} == dict.fromkeys(shown, True)
    assert {name: row["kind"] for name, row in shown.items()} == {
        "phone_code": "performed",
        "email_code": "performed",
        "owner_approval": "performed",
        "video_id": "attested",
        "billing_details": "attested",
    }
    assert (shown["phone_code"]["sent_to"], shown["email_code"]["sent_to"]) == (PHONE.masked(), ann.email)
    assert timeline_of(auth_deps(api), ann)[-1].type == "support.viewed"


def auth_deps(api):
    return api().app.extensions["latchkey"]


def test_an_impossible_check_is_shown_with_the_reason_and_refused_with_it(api, sam, otp, make_account):
    bob = make_account("bob@example.com", team="Alone")
    otp.enabled.add(bob.id)
    path = f"/v1/support/accounts/{bob.id}/identity-checks"
    shown = rows(api(sam).get(path))
    assert (shown["phone_code"]["possible"], shown["phone_code"]["why_not"]) == (False, "no_phone")
    assert (shown["owner_approval"]["possible"], shown["owner_approval"]["why_not"]) == (False, "no_other_owner")
    answer = api(sam).post(path, {"check": "phone_code"})
    assert (answer.status_code, answer.json["code"], answer.json["why_not"]) == (409, "check_not_possible", "no_phone")


def test_an_owner_without_a_second_factor_cannot_be_asked(api, begin, owner):
    assert begin("owner_approval").json["why_not"] == "no_other_owner"


@pytest.mark.parametrize(("check", "reason"), [("phone_code", "phone_too_new"), ("email_code", "address_too_new")])
def test_what_is_younger_than_seven_days_proves_nothing(settled_days, begin, clock, check, reason):
    clock.turn(days=6)
    assert begin(check).json["why_not"] == reason
    clock.turn(days=1)
    assert begin(check).status_code == 201


def test_a_mailbox_proves_nothing_after_the_command_line_has_set_the_password(settled_days, begin, ann, clock):
    clock.turn(days=40)
    command_line.give_password(settled_days, settled_days.otp, ann, auth.PASSWORD_HASH)
    assert begin("email_code").json["why_not"] == "password_set_anew"
    assert begin("phone_code").status_code == 201
    clock.turn(days=7)
    assert begin("email_code").status_code == 201


def test_the_owners_own_change_of_the_password_leaves_the_mailbox_a_proof(settled_days, begin, ann, clock):
    clock.turn(days=40)
    acting = Acting(*auth.sign_in(settled_days, ann))
    password_change.set_new(settled_days, CLIENT, ann, acting, "nine dry badgers hum softly")
    assert begin("email_code").status_code == 201


def test_without_2fa_nobody_is_written_to(deps, api, sam, tom):
    answer = api(sam).post(f"/v1/support/accounts/{tom.id}/identity-checks", {"check": "email_code"})
    assert (answer.status_code, answer.json["code"]) == (409, "two_factor_off")
    assert notices_in(deps) == []


def test_nobody_checks_themselves(api, sam, otp):
    otp.enabled.add(sam.id)
    answer = api(sam).post(f"/v1/support/accounts/{sam.id}/identity-checks", {"check": "video_id", "evidence": SEEN})
    assert (answer.status_code, answer.json["code"]) == (422, "own_account")
