from dataclasses import replace

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from services.auth import phone, sms_request
from services.auth.consequences import Acting
from services.auth.sms_request import SmsOrder
from shared.problems import Refusal, Unavailable
from tests.support.auth import CLIENT, OTHER_PHONE, PHONE, fresh, sign_in, timeline_of
from tests.support.sign_in import challenge, problem


def send(deps, account):
    return sms_request.send_code(deps, CLIENT, SmsOrder(account, "login", "chl_1", PHONE))


def test_the_answer_has_what_the_page_needs_and_no_number(deps, ann):
    sent = send(deps, ann)
    assert sent.phone_hint == PHONE.masked()
    assert "424242" not in repr(sent)
    assert PHONE.e164 not in repr(sent)


def test_a_request_stands_in_the_timeline(deps, ann):
    sent = send(deps, ann)
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.ip) == ("sms.requested", CLIENT.ip)
    assert row.details == {
        "message_id": sent.message_id,
        "reference": "BCDF",
        "expires_at": sent.expires_at,
        "purpose": "login",
        "phone_hint": PHONE.masked(),
        "challenge_id": "chl_1",
    }


def test_a_refusal_of_otp_stands_in_the_timeline(deps, ann, otp, publisher):
    otp.refusal = Refusal("sms_unavailable", extra={"cause": "destination"})
    with pytest.raises(Refusal) as refusal:
        send(deps, ann)
    assert refusal.value is otp.refusal
    (row,) = timeline_of(deps, ann)
    assert (row.type, row.ip, publisher.messages) == ("sms.refused", CLIENT.ip, [])
    assert row.details == {
        "purpose": "login",
        "phone_hint": PHONE.masked(),
        "cause": "destination",
        "challenge_id": "chl_1",
    }


def test_an_outage_and_a_spent_budget_stand_nowhere(deps, ann, otp):
    for otp.refusal in (Unavailable("otp"), Refusal("too_many_requests")):
        with pytest.raises(Refusal):
            send(deps, ann)
    assert timeline_of(deps, ann) == []


def test_a_number_of_a_country_that_left_the_list_gets_no_text(deps, ann, otp):
    deps = replace(deps, settings=replace(deps.settings, sms_countries=frozenset({"CH"})))
    with pytest.raises(Refusal) as refusal:
        send(deps, ann)
    assert (refusal.value.code, refusal.value.extra, otp.sent_to) == ("sms_unavailable", {"cause": "country"}, [])
    assert [row.details["cause"] for row in timeline_of(deps, ann)] == ["country"]


def test_what_cannot_be_published_is_withdrawn(deps, ann, otp, publisher):
    publisher.down = True
    with pytest.raises(Refusal) as refusal:
        send(deps, ann)
    assert (refusal.value.code, refusal.value.reason) == ("service_unavailable", "broker")
    assert (otp.live_sms, otp.codes) == ({}, {})


def test_when_otp_is_gone_with_the_broker_it_is_still_the_broker_that_is_named(deps, ann, otp, publisher):
    def lose_otp_too(_message):
        otp.go_down()
        raise Unavailable("broker")

    publisher.publish = lose_otp_too
    with pytest.raises(Refusal) as refusal:
        send(deps, ann)
    assert (refusal.value.code, refusal.value.reason) == ("service_unavailable", "broker")


def test_what_cannot_be_recorded_is_withdrawn_and_not_sent(deps, ann, otp, publisher):
    def break_down(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO timeline"):
            raise OperationalError(statement, None, Exception("disk full"))

    event.listen(deps.database, "before_cursor_execute", break_down)
    with pytest.raises(OperationalError):
        send(deps, ann)
    event.remove(deps.database, "before_cursor_execute", break_down)
    assert (otp.live_sms, otp.codes, publisher.messages) == ({}, {}, [])


def test_a_spent_ip_asks_otp_for_nothing(deps, ann, otp):
    for _ in range(20):
        send(deps, ann)
    with pytest.raises(Refusal) as refusal:
        send(deps, ann)
    assert refusal.value.code == "too_many_requests"
    assert len(otp.sent_to) == 20


@pytest.mark.parametrize("part", ["otp", "broker"])
def test_a_request_that_ended_in_503_costs_its_ip_nothing(deps, ann, otp, publisher, part):
    for _ in range(21):
        otp.go_down() if part == "otp" else setattr(publisher, "down", True)
        with pytest.raises(Refusal) as refusal:
            send(deps, ann)
        assert refusal.value.reason == part
    otp.refusal, publisher.down = None, False
    assert send(deps, ann)


def test_the_ip_stands_in_no_key(deps, ann):
    send(deps, ann)
    assert not any(CLIENT.ip in key for key in deps.redis.scan_iter("*"))


# --- a phone that changes while otp mints -----------------------------------------------------------------------------


def remove(deps, account):
    phone.remove(deps, CLIENT, account, Acting(*sign_in(deps, account)))


def prove(number):
    def replace_phone(deps, account):
        acting = Acting(*sign_in(deps, account))
        phone.set_phone(deps, CLIENT, account, acting, "DE", number.e164)
        phone.verify(deps, CLIENT, fresh(deps, account), acting, "424242")

    return replace_phone


def prove_again(deps, account):
    remove(deps, account)
    prove(PHONE)(deps, fresh(deps, account))


def keep_the_proven(deps, account):
    phone.set_phone(deps, CLIENT, fresh(deps, account), Acting(*sign_in(deps, account)), "DE", PHONE.e164)


def enter_another(deps, account):
    phone.set_phone(deps, CLIENT, account, Acting(*sign_in(deps, account)), "US", "415 555 0100")


@pytest.fixture
def texts(api, stranger, mia, owner):
    """Every call that texts a code to Mia."""
    caller, waiting = api(mia), challenge(stranger, mia)
    member = {"country": "DE", "number": OTHER_PHONE.e164}

    def to_the_number_of_the_owner():
        api(owner).put(f"/v1/team/{mia.id}/phone", member)
        return caller.post("/v1/phone/sms")

    return {
        "login": lambda: stranger.post(f"/v1/login/{waiting}/sms"),
        "step-up": lambda: caller.post("/v1/reauthenticate/sms"),
        "proof": lambda: caller.put("/v1/phone", member),
        "proof of a number that the owner set": to_the_number_of_the_owner,
    }


CHANGES = {
    "removed": remove,
    "replaced": prove(OTHER_PHONE),
    "proven again": prove_again,
    "entered": enter_another,
    "forgotten beside the proven one": keep_the_proven,
}


@pytest.mark.parametrize(
    ("text", "change"),
    [
        *((text, change) for text in ("login", "step-up") for change in ("removed", "replaced", "proven again")),
        *((text, change) for text in ("proof", "proof of a number that the owner set") for change in CHANGES),
    ],
)
def test_a_text_under_way_while_its_phone_is_changed_is_withdrawn(
    deps, mia, otp, publisher, clock, texts, text, change
):
    minted = []

    def change_it():
        minted.extend(otp.live_sms)
        clock.turn(seconds=1)
        CHANGES[change](deps, mia)

    otp.after_minting = change_it
    answer = texts[text]()
    assert (problem(answer), answer.json["cause"]) == ((409, "sms_unavailable"), "changed")
    assert minted
    assert not {*minted} & {*otp.live_sms, *(message.message_id for message in publisher.messages)}
    assert [row.details["cause"] for row in timeline_of(deps, mia) if row.type == "sms.refused"] == ["changed"]
