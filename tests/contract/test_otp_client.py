"""The gateway's otp client against the real verifier over HTTP: what auth's tests take for granted of otp."""

import contextlib
import json
import socket
import ssl
import threading
from io import BytesIO
from urllib.parse import quote

import fakeredis
import pytest

from services.auth import otp_line
from services.auth.history import Place, merge
from services.auth.otp_client import CodeRefused, OtpClient
from shared.channel import Channel
from shared.clock import unix_milliseconds
from shared.deadline import begin_request, caller_waits, end_request
from shared.hashing import HashingPool
from shared.keys import Key
from shared.problems import Refusal
from shared.secret import Secret
from tests.support.auth import ENVIRONMENT as AUTH_ENVIRONMENT
from tests.support.clock import NOW, TurnedClock
from tests.support.free_port import free_port
from tests.support.migrated import copied, migrated
from tests.support.otp import ACCOUNT, API_KEY, PHONE, make_world
from tests.support.threads import at_once
from tests.support.tls import server_context


@pytest.fixture(scope="module")
def migrated_file(tmp_path_factory):
    return migrated("otp", tmp_path_factory.mktemp("otp"))


@pytest.fixture
def world(migrated_file, tmp_path):
    with copied(migrated_file, tmp_path) as database:
        world = make_world(
            database,
            fakeredis.FakeRedis(decode_responses=True),
            HashingPool(max_waiting=4, patience_seconds=20),
            AUTH_ENVIRONMENT["NOTIFY_PUBLIC_KEY"],
        )
        yield world
        world.deps.recorder.close()


@pytest.fixture
def otp_url(world, served):
    return served(world.app)


@pytest.fixture
def client(otp_url):
    return OtpClient(otp_url, Key("new", Secret(API_KEY)))


def test_the_state(client, world):
    assert not client.state(ACCOUNT).enabled
    world.enrol()
    state = client.state(ACCOUNT)
    assert (state.enabled, state.locked, state.recovery_codes_remaining) == (True, False, 0)
    assert state.authenticators[0]["kind"]


def test_which_accounts_of_a_list_have_it_on(client, world):
    world.enrol()
    assert client.those_on([ACCOUNT, "acc_off"]) == {ACCOUNT}
    assert client.those_on([]) == frozenset()


def test_an_attempt_names_the_login_that_it_was_of(client, world):
    world.enrol()
    client.verify(ACCOUNT, world.code(), "login", "chl_1")
    world.settle()
    assert [one["challenge_id"] for one in client.attempts(ACCOUNT, limit=1)["items"]] == ["chl_1"]


def test_a_right_code_and_a_wrong_one(client, world):
    world.enrol()
    with pytest.raises(CodeRefused) as refused:
        client.verify(ACCOUNT, world.wrong_code(), "login", "chl_1")
    assert client.verify(ACCOUNT, world.code(), "login", "chl_1").factor == "totp"
    assert (refused.value.reason, refused.value.recent_failures, refused.value.spent_rows) == ("wrong", 1, frozenset())
    assert set(refused.value.document()) == {"type", "title", "status", "detail", "code"}


@pytest.mark.parametrize("code", ["invalid_passcode", "second_factor_locked"])
def test_a_refused_code_says_which_row_of_failures_it_has_spent(client, world, code):
    world.enrol()
    answers = []
    for _ in range(10 if code == "invalid_passcode" else 11):
        with pytest.raises(CodeRefused) as refused:
            client.verify(ACCOUNT, world.wrong_code(), "login", "chl_1", "dev_1")
        answers.append(refused.value)
        world.end_windows()
    assert (answers[-1].code, answers[-1].spent_rows) == (code, {"device"})
    assert "spent_rows" not in answers[-1].document()
    assert answers[-3].spent_rows == frozenset()


def test_the_row_of_strangers_is_ended(client, world):
    world.enrol()
    for _ in range(60):
        with pytest.raises(CodeRefused):
            client.verify(ACCOUNT, world.wrong_code(), "login", "chl_1")
        world.end_windows()
    world.settle()
    assert client.state(ACCOUNT).locked
    client.end(ACCOUNT, [], codes=True, enrollments=True)
    assert client.state(ACCOUNT).locked
    client.end(ACCOUNT, [], strangers=True)
    assert not client.state(ACCOUNT).locked
    assert client.verify(ACCOUNT, world.code(), "login", "chl_2").factor == "totp"


def test_the_same_request_again_hears_the_same_answer_and_no_other_request_does(client, world):
    world.enrol()
    first = client.verify(ACCOUNT, world.code(), "login", "chl_1")
    assert client.verify(ACCOUNT, world.code(), "login", "chl_1") == first
    for purpose, binding in (("login", "chl_2"), ("step_up", "chl_1")):
        with pytest.raises(CodeRefused) as refused:
            client.verify(ACCOUNT, world.code(), purpose, binding)
        assert refused.value.reason == "replayed"


def test_an_sms_challenge_and_its_withdrawal(client, world):
    challenge = client.create_sms_challenge(ACCOUNT, "phone_verification", "phb_1", PHONE)
    assert {"message_id", "reference", "phone_hint", "expires_at", "resend_after", "deadline"} <= challenge.keys()
    client.withdraw_sms_challenge(ACCOUNT, challenge["message_id"], "phone_verification", "phb_1")
    client.create_sms_challenge(ACCOUNT, "phone_verification", "phb_1", PHONE)


@pytest.mark.parametrize(
    ("asked", "members"),
    [
        ({}, {}),
        ({"language": "en"}, {}),
        ({"language": "pt"}, {"language": "pt"}),
        ({"channel": Channel.CALL}, {"channel": "call"}),
        ({"channel": Channel.CALL, "language": "ar"}, {"channel": "call", "language": "ar"}),
    ],
)
def test_an_english_text_is_asked_for_as_the_previous_release_knows_it(world, served, asked, members):
    bodies = []

    def read_first(environ, start_response):
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        bodies.append(json.loads(body))
        return world.app({**environ, "wsgi.input": BytesIO(body)}, start_response)

    client = OtpClient(served(read_first), Key("new", Secret(API_KEY)))
    assert client.create_sms_challenge(ACCOUNT, "phone_verification", "phb_1", PHONE, **asked)["message_id"]
    assert bodies == [{"purpose": "phone_verification", "binding": "phb_1", "phone": PHONE, **members}]


def test_a_paused_prefix_says_why_and_that_it_passes(client, world):
    world.redis.set("otp:sms-paused:phone_verification:417912", "pau_1")
    for number in range(3):
        client.create_sms_challenge(f"acc_{number}", "phone_verification", "phb_1", f"+4179123456{number}")
    with pytest.raises(Refusal) as refusal:
        client.create_sms_challenge("acc_3", "phone_verification", "phb_1", "+41791234563")
    assert (refusal.value.code, refusal.value.extra) == ("sms_unavailable", {"cause": "destination"})
    assert 0 < refusal.value.retry_after_seconds <= 900
    assert "authenticator app" in refusal.value.detail


def test_a_known_device_has_sends_of_its_own(client, world):
    world.enrol()
    for number in range(5):
        client.create_sms_challenge(ACCOUNT, "login", f"chl_{number}", PHONE)
    with pytest.raises(Refusal) as refusal:
        client.create_sms_challenge(ACCOUNT, "login", "chl_5", PHONE)
    assert refusal.value.code == "too_many_requests"
    client.create_sms_challenge(ACCOUNT, "login", "chl_6", PHONE, "dev_1")


def test_enrolment_codes_unlock_and_disabling(client, world):
    begun = client.begin_enrollment(ACCOUNT, "ann@example.com", "ses_1")
    assert {"enrollment_id", "secret", "otpauth_uri", "qr_svg", "expires_at"} <= begun.keys()
    with pytest.raises(CodeRefused):
        client.confirm_enrollment(ACCOUNT, begun["enrollment_id"], "000000", "ses_1")
    client.unlock(ACCOUNT)
    with pytest.raises(Refusal) as refusal:
        client.regenerate_recovery_codes(ACCOUNT, "ses_1", None)
    assert refusal.value.code == "two_factor_off"
    world.enrol()
    assert len(client.regenerate_recovery_codes(ACCOUNT, "ses_1", None)) == 10
    assert client.disable(ACCOUNT, "ses_1") == world.events()[-1]["id"]
    assert not client.state(ACCOUNT).enabled


@pytest.mark.parametrize(
    "address", [f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 53}.example", f"ann@{'bü.' * 80}example"]
)
def test_the_longest_address_enrols(client, address):
    """An address has up to 254 characters (RFC 5321), and otp's label up to 128."""
    assert len(address) in (254, 251)
    begun = client.begin_enrollment(ACCOUNT, address, "ses_1")
    assert f"Latchkey:{quote(address)[:20]}" in begun["otpauth_uri"]


def test_ending_a_session_ends_what_it_has_begun_and_refuses_its_calls_under_way(client, world):
    begun = client.begin_enrollment(ACCOUNT, "ann@example.com", "ses_1")
    client.end(ACCOUNT, ["ses_1"], codes=False, enrollments=False)
    calls = [
        lambda: client.begin_enrollment(ACCOUNT, "ann@example.com", "ses_1"),
        lambda: client.disable(ACCOUNT, "ses_1"),
    ]
    for call in calls:
        with pytest.raises(Refusal) as refusal:
            call()
        assert refusal.value.code == "not_authenticated"
    with pytest.raises(Refusal) as refusal:
        client.confirm_enrollment(ACCOUNT, begun["enrollment_id"], "000000", "ses_2")
    assert refusal.value.code == "enrollment_expired"


def test_any_number_of_sessions_ends_in_one_go(client):
    """A thief with a thousand sessions must not keep the owner from a change of the password."""
    sessions = [f"ses_{number}" for number in range(1_050)]
    client.end(ACCOUNT, sessions, codes=True, enrollments=True)
    for session_id in (sessions[0], sessions[-1]):
        with pytest.raises(Refusal) as refused:
            client.begin_enrollment(ACCOUNT, "ann@example.com", session_id)
        assert refused.value.code == "not_authenticated"


def test_a_wait_is_told_and_unlocking_ends_it(client, world):
    world.enrol()
    assert client.throttles(ACCOUNT) == []
    for _ in range(5):
        with pytest.raises(CodeRefused):
            client.verify(ACCOUNT, world.wrong_code(), "login", "chl_1")
    (throttle,) = client.throttles(ACCOUNT)
    assert throttle.purpose == "login"
    assert 0 < (throttle.until - world.clock()).total_seconds() <= 300
    client.unlock(ACCOUNT)
    assert client.throttles(ACCOUNT) == []


def test_attempts_merge_page_by_page(client, world):
    world.enrol()
    for _ in range(4):
        with pytest.raises(CodeRefused):
            client.verify(ACCOUNT, world.wrong_code(), "login", "chl_1")
        world.clock.turn(seconds=1)
    client.verify(ACCOUNT, world.code(), "login", "chl_1")
    world.deps.recorder.flush()

    def attempts(count, cursor):
        return client.attempts(ACCOUNT, limit=min(count, 2), cursor=cursor)

    items, place = [], Place()
    while place is not None:
        page, place = merge(lambda *_: [], attempts, place, 2)
        items += page
    assert [item.type for item in items] == ["second_factor.verified", *["second_factor.rejected"] * 4]
    assert items[1].details["reason"] == "wrong"
    assert len({item.id for item in items}) == 5


def test_a_wrong_key_of_ours_is_an_outage_and_no_401(otp_url):
    stranger = OtpClient(otp_url, Key("new", Secret(b"x" * 32)))
    with pytest.raises(Refusal) as refusal:
        stranger.state(ACCOUNT)
    assert (refusal.value.code, refusal.value.reason) == ("service_unavailable", "otp")


def test_nobody_there_is_an_outage(world):
    with pytest.raises(Refusal) as refusal:
        OtpClient(f"http://127.0.0.1:{free_port()}", Key("new", Secret(API_KEY))).state(ACCOUNT)
    assert refusal.value.code == "service_unavailable"


def _secured(server, tls):
    return server if tls is None else tls.wrap_socket(server, server_side=True)


ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def header(request, name):
    return next(int(line.split(b":")[1]) for line in request.split(b"\r\n") if line.startswith(name + b":"))


def _hung_up():
    raise EOFError


def whole_request(stream):
    """The next request, its body too: the client sends head and body apart, and half of one must not be answered."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.readline() or _hung_up()
    return head + stream.read(header(head, b"Content-Length"))


@contextlib.contextmanager
def line(*connections: bytes | tuple[bytes, ...], tls=None):
    """A server with one connection after the other, an answer or some each; what it was asked, request by request."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as plain, _secured(plain, tls) as server:

        def serve():
            with contextlib.suppress(ssl.SSLError, EOFError):
                answer_all()

        def answer_all():
            for answers in connections:
                connection, _ = server.accept()
                with connection, connection.makefile("rb") as requests:
                    for answer in answers if isinstance(answers, tuple) else (answers,):
                        asked.append(whole_request(requests))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"{'https' if tls else 'http'}://127.0.0.1:{server.getsockname()[1]}/base/"
        client = OtpClient(url, Key("new", Secret(API_KEY)))
        yield client, asked
        client.close()
        thread.join()


def test_a_connection_that_otp_has_closed_costs_no_call():
    with line(ANSWER, ANSWER) as (client, asked):
        client.unlock(ACCOUNT)
        client.unlock(ACCOUNT)
    assert [request.split(b"\r\n")[0] for request in asked] == [
        f"POST /base/accounts/{ACCOUNT}/unlock HTTP/1.1".encode()
    ] * 2


def test_no_proxy_of_the_environment_is_asked(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with line(ANSWER) as (client, asked):
        client.unlock(ACCOUNT)
        assert len(asked) == 1


def test_over_tls_a_certificate_that_the_system_trusts_is_good(monkeypatch, tmp_path):
    context, certificate = server_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with line((ANSWER, ANSWER), tls=context) as (client, asked):
        client.unlock(ACCOUNT)
        client.unlock(ACCOUNT)
        assert len(asked) == 2


def test_over_tls_any_other_certificate_is_an_outage_and_sees_no_key(tmp_path):
    context, _certificate = server_context(tmp_path)
    with line(ANSWER, tls=context) as (client, asked):
        with pytest.raises(Refusal) as refusal:
            client.unlock(ACCOUNT)
        assert (refusal.value.code, asked) == ("service_unavailable", [])


def test_a_call_on_a_kept_connection_that_is_closed_meanwhile_goes_out_once_more():
    with line((ANSWER, b""), ANSWER) as (client, asked):
        client.unlock(ACCOUNT)
        client.unlock(ACCOUNT)
        assert len(asked) == 3


def test_but_not_a_third_time():
    with line((ANSWER, b""), b"") as (client, asked):
        client.unlock(ACCOUNT)
        with pytest.raises(Refusal) as refusal:
            client.unlock(ACCOUNT)
        assert (refusal.value.code, len(asked)) == ("service_unavailable", 3)


def test_a_call_whose_answer_is_lost_is_not_repeated():
    with line(b"", ANSWER) as (client, asked):
        with pytest.raises(Refusal) as refusal:
            client.unlock(ACCOUNT)
        assert (refusal.value.code, len(asked)) == ("service_unavailable", 1)
        client.unlock(ACCOUNT)


def time_left(request):
    return header(request, b"X-Time-Left")


def test_a_call_says_for_how_long_its_caller_waits():
    with line((ANSWER, ANSWER)) as (client, asked):
        client.unlock(ACCOUNT)
        begin_request()
        caller_waits(700)
        try:
            client.unlock(ACCOUNT)
        finally:
            end_request()
    assert time_left(asked[0]) == otp_line.PATIENCE.answer_seconds * 1000
    assert 300 < time_left(asked[1]) <= 700


def test_a_call_says_when_its_caller_gives_up_by_the_clock_that_otp_reads_too():
    with line(ANSWER) as (client, asked):
        client._line._clock = TurnedClock()
        client.unlock(ACCOUNT)
    assert header(asked[0], b"X-Gives-Up-At") == unix_milliseconds(NOW) + otp_line.PATIENCE.answer_seconds * 1000


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"nonsense\r\n\r\n"])
def test_an_answer_that_is_none_is_an_outage(answer):
    with line(answer) as (client, _asked):
        with pytest.raises(Refusal) as refusal:
            client.unlock(ACCOUNT)
        assert refusal.value.code == "service_unavailable"


@pytest.fixture
def mute():
    """A client with little patience, and an otp that takes its calls and does not answer."""
    patience = otp_line.Patience(answer_seconds=0.3, retry_seconds=0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        client = OtpClient(f"http://127.0.0.1:{server.getsockname()[1]}", Key("new", Secret(API_KEY)), None, patience)
        yield client, server
        client.close()


def calls(server):
    """How many connections were made since the last look."""
    server.settimeout(0.05)
    count = 0
    with contextlib.suppress(TimeoutError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def refused(client):
    with pytest.raises(Refusal) as refusal:
        client.unlock(ACCOUNT)
    return refusal.value.code == "service_unavailable"


def test_an_otp_that_does_not_answer_is_soon_asked_by_one_caller_at_a_time(mute):
    client, server = mute
    assert all(refused(client) for _ in range(otp_line.OPENS_AFTER_FAILURES))
    calls(server)
    assert all(at_once(8, lambda _: refused(client)))
    assert calls(server) < 8


def test_a_call_that_hashes_has_its_whole_time_after_a_failure_too(mute):
    client, server = mute
    assert refused(client)
    assert refused(client)
    with pytest.raises(Refusal):
        client.regenerate_recovery_codes(ACCOUNT, "ses_1", None)
    waits = []
    for _ in range(3):
        with server.accept()[0] as connection:
            waits.append(time_left(connection.recv(4096)))
    assert waits == [300, 50, 300]


def test_refused_codes_open_no_breaker(client, world):
    world.enrol()
    for _ in range(otp_line.OPENS_AFTER_FAILURES + 1):
        with pytest.raises(Refusal) as refusal:
            client.verify(ACCOUNT, world.wrong_code(), "login", "chl_1")
        assert refusal.value.code in {"invalid_passcode", "too_many_requests"}
