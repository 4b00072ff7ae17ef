import json
from dataclasses import replace
from datetime import timedelta

import pytest
from twilio.request_validator import RequestValidator

from services.auth import events
from services.auth.settings import AuthSettings
from services.notify.receipts import record_receipt
from shared import delivery
from shared.delivery import DeliveryStatus
from shared.messages import RecordReceipt, decode
from shared.settings import Environment
from tests.support import auth
from tests.support.auth import NOW, timeline_of
from tests.support.sign_in import challenge, problem
from tests.support.signing import unsigned_text

TOKEN = auth.ENVIRONMENT["TWILIO_AUTH_TOKEN"]
PATH = "/v1/callbacks/twilio/status?message_id=sms_1"
FORM = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+4915123456789", "ErrorCode": ""}


def sign(path=PATH, form=FORM, token=TOKEN):
    return RequestValidator(token).compute_signature(auth.ENVIRONMENT["PUBLIC_ORIGIN"] + path, form)


@pytest.fixture
def call(app):
    def post(path=PATH, form=FORM, signature=None, **kwargs):
        headers = {} if signature is None else {"X-Twilio-Signature": signature}
        return app.test_client().post(path, data=form, headers=headers, **kwargs)

    return post


def test_a_signed_word_goes_to_notify(call, publisher):
    answer = call(signature=sign())
    assert (answer.status_code, answer.data) == (204, b"")
    (message,) = publisher.messages
    assert message == RecordReceipt(
        id=message.id,
        occurred_at=NOW,
        message_id="sms_1",
        provider="twilio",
        provider_status="delivered",
        provider_error=None,
    )
    assert "+49" not in repr(message)


def test_the_providers_error_goes_along(call, publisher):
    form = {**FORM, "MessageStatus": "undelivered", "ErrorCode": "30003"}
    call(form=form, signature=sign(form=form))
    assert (publisher.messages[0].provider_status, publisher.messages[0].provider_error) == ("undelivered", "30003")


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "x",
        sign(token="another token"),
        sign(path="/v1/callbacks/twilio/status?message_id=sms_2"),
        sign(form={**FORM, "MessageStatus": "failed"}),
        sign(form={}),
        sign()[:-2],
    ],
)
def test_a_word_that_twilio_did_not_sign_is_refused(call, publisher, signature):
    assert problem(call(signature=signature)) == (403, "invalid_signature")
    assert publisher.messages == []


def test_a_signature_holds_for_its_message_only(call, publisher):
    path = "/v1/callbacks/twilio/status?message_id=sms_2"
    assert problem(call(path, signature=sign())) == (403, "invalid_signature")
    assert problem(call(form={**FORM, "MessageStatus": "failed"}, signature=sign())) == (403, "invalid_signature")
    assert problem(call(form={**FORM, "More": "x"}, signature=sign())) == (403, "invalid_signature")
    assert publisher.messages == []


def test_what_the_host_header_says_does_not_count(call, publisher):
    """The signature is over the public address, whatever proxy the request came through."""
    assert call(signature=sign(), base_url="http://localhost:9").status_code == 204
    other = RequestValidator(TOKEN).compute_signature("http://localhost:9" + PATH, FORM)
    assert problem(call(signature=other, base_url="http://localhost:9")) == (403, "invalid_signature")


def test_a_replay_says_the_same_again_which_notify_ignores(call, publisher):
    for _ in range(2):
        assert call(signature=sign()).status_code == 204
    first, second = publisher.messages
    assert replace(first, id="") == replace(second, id="")
    assert first.id != second.id


@pytest.mark.parametrize(
    ("words", "shown", "told"),
    [
        (["sent", "delivered"], "delivered", ["delivered"]),
        (["delivered", "sent", "undelivered", "failed", "delivered"], "delivered", ["delivered"]),
        (["undelivered", "delivered"], "undelivered", ["undelivered"]),
        (["queued", "sending", "failed", "sent"], "failed", ["failed"]),
    ],
)
def test_what_the_carrier_says_stands_on_the_page_and_in_the_timeline_and_never_goes_back(
    call, deps, publisher, stranger, mia, clock, words, shown, told
):
    """From the callback through notify's use case and the event back to the gateway, with one Redis."""
    challenge_id = challenge(stranger, mia)
    message_id = stranger.post(f"/v1/login/{challenge_id}/sms").json["message_id"]
    pipeline = deps.redis.pipeline()
    delivery.queue_put(pipeline, message_id, unsigned_text(NOW), now=NOW, ttl=timedelta(minutes=5), account_id=mia.id)
    pipeline.execute()
    delivery.advance(deps.redis, message_id, DeliveryStatus.SENT, clock())
    path = f"/v1/callbacks/twilio/status?message_id={message_id}"
    for word in words:
        form = {**FORM, "MessageStatus": word, "ErrorCode": "30003" if word in {"undelivered", "failed"} else ""}
        assert call(path, form, sign(path=path, form=form)).status_code == 204
        record_receipt(deps, publisher.messages[-1])  # needs redis and clock, which ours are as well
    for text in deps.redis.lrange("notify:changes", 0, -1):
        events.handle(deps, decode(json.loads(text)))
    page = stranger.get(f"/v1/login/{challenge_id}").json["delivery"]
    assert (page["status"], page["message_id"]) == (shown, message_id)
    rows = [row.details for row in timeline_of(deps, mia) if row.type == "sms.delivery_changed"]
    assert [(row["status"], row["provider"]) for row in rows] == [
        ("sent", None),
        *((status, "twilio") for status in told),
    ]


def test_without_a_token_of_ours_nothing_is_signed(app, deps, call, publisher):
    unset = {name: value for name, value in auth.ENVIRONMENT.items() if name != "TWILIO_AUTH_TOKEN"}
    app.extensions["latchkey"] = replace(deps, settings=AuthSettings.from_env(Environment(unset)))
    for signature in (sign(), sign(token=""), sign(token="None")):
        assert problem(call(signature=signature)) == (403, "invalid_signature")
    assert publisher.messages == []


def test_while_the_token_is_rotated_either_signs(app, deps, call, publisher):
    both = {**auth.ENVIRONMENT, "TWILIO_AUTH_TOKEN": f"new,{TOKEN}"}
    app.extensions["latchkey"] = replace(deps, settings=AuthSettings.from_env(Environment(both)))
    assert [call(signature=sign(token=token)).status_code for token in ("new", TOKEN, "gone")] == [204, 204, 403]
    assert len(publisher.messages) == 2


def test_a_broker_that_is_down_is_503_so_that_twilio_comes_again(call, publisher):
    publisher.down = True
    answer = call(signature=sign())
    assert problem(answer) == (503, "service_unavailable")
    assert answer.headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    "query", ["", "?message_id=", "?message_id=a%00b", "?message_id=" + "x" * 81, "?message_id=a b"]
)
def test_a_word_about_no_message_is_refused(call, publisher, query):
    path = f"/v1/callbacks/twilio/status{query}"
    assert problem(call(path, signature=sign(path=path))) == (422, "validation_failed")
    assert publisher.messages == []


def test_more_parameters_than_we_know_are_no_fault(call, publisher):
    path = f"{PATH}&foo=bar%20baz"
    form = {**FORM, "SomethingNew": "ä"}
    assert call(path, form, sign(path=path, form=form)).status_code == 204
    assert publisher.messages[0].message_id == "sms_1"


def test_endless_values_are_cut(call, publisher):
    form = {**FORM, "MessageStatus": "s" * 500, "ErrorCode": "9" * 500}
    call(form=form, signature=sign(form=form))
    (message,) = publisher.messages
    assert (len(message.provider_status), len(message.provider_error)) == (40, 10)


def test_a_body_that_is_too_large_is_refused(call, publisher):
    form = {**FORM, "Body": "x" * 20_000}
    assert problem(call(form=form, signature=sign(form=form))) == (413, "body_too_large")


def test_a_page_of_another_site_is_refused_first(call, publisher):
    answer = call(signature=sign(), environ_overrides={"HTTP_ORIGIN": "https://evil.example"})
    assert problem(answer) == (403, "origin_refused")


def test_the_time_is_the_servers(api, clock):
    clock.turn(seconds=1.5)
    assert api().get("/v1/time").json == {
        "now": "2026-11-24T05:00:01.500000Z",
        "unix_seconds": NOW.timestamp() + 1.5,
    }
