"""Known secrets go through the whole story, its errors too; then everything that any process wrote is searched."""

import base64
import email
import email.policy
import json
import os
import re
import signal
import sqlite3
import time
import urllib.parse
from contextlib import closing

import pytest
import redis as redis_py
import urllib3

from deploy import ceremony
from deploy.local.keys import DERIVED, read_keys
from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from deploy.portal import AuthenticatorApp, Portal, wait_for
from shared.keys import KeyList
from tests.support.leaks import (
    as_json,
    key_material,
    leaks,
    log_lines,
    redis_values,
    redis_writes,
    secret,
    sql_rows,
)
from tests.support.smtp_stub import SmtpStub
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import AUTH_TOKEN, Behaviour, TwilioStub

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# Where a secret may stand, and why. Nothing else may, and what is listed must be there.
ALLOWED = {
    ("phone", "sql auth accounts"): "auth owns the number: it is what a code is sent to",
    ("phone", "sql auth file"): "the same, as the file has it",
    ("password", "log console.log"): "make run tells who started it the accounts that it has made for a try",
    ("TOTP secret", "log console.log"): "the same",
}
NUMBER, NATIONAL = "+4915123456789", "01512 3456789"


class Listener(Portal):
    """A portal client that keeps every refusal, for what stands in it."""

    def __init__(self, base_url, refusals, ip, *, patient):
        super().__init__(base_url, ip=ip, patient=patient)
        self._refusals = refusals

    def call(self, method, path, body=None, **headers):
        answer = super().call(method, path, body, **headers)
        if answer.status >= 400:
            self._refusals.append(as_json(answer.body) + repr(dict(answer.headers)).encode())
        return answer


class Story:
    """What a person and the world around it do; ``secrets`` grows as they become known."""

    def __init__(self, stack, sms, mail):
        self.stack, self.sms, self.mail = stack, sms, mail
        self.refusals = []
        self.secrets = {}
        self.owner = stack.demo.account("owner@example.com")
        self.support = stack.demo.account("support@latchkey.example")
        self.redis = redis_py.Redis.from_url(stack.settings.redis_url, decode_responses=True)
        keys = read_keys(stack.settings.keys_file)
        for name in keys.keys() - DERIVED.keys():
            for number, key in enumerate(KeyList.parse(keys[name])):
                text = base64.urlsafe_b64encode(key.material.reveal()).decode().rstrip("=")
                self.secrets[f"{name} {number}"] = key_material(f"key {name}", text)
        for account in stack.demo.accounts:
            self.plant("password", account.password)
            if account.totp_secret:
                self.secrets[account.totp_secret] = key_material("TOTP secret", account.totp_secret)
        self.plant("key of the provider", AUTH_TOKEN)
        self.plant("phone", NUMBER, NUMBER[1:], NATIONAL, NATIONAL.replace(" ", ""), NUMBER[3:])

    def plant(self, kind, *values):
        """From here on this is looked for. The value itself."""
        self.secrets[kind, values[0]] = secret(kind, *values)
        return values[0]

    def client(self, ip="10.7.7.7", *, patient=True):
        return Listener(self.stack.base_url, self.refusals, ip, patient=patient)

    def logged_in(self, client, code=None, *, remember=False):
        answer = client.log_in(self.owner.email, self.owner.password)
        if answer.body["status"] == "second_factor_required":
            answer = client.verify(answer.body["challenge"]["id"], code(), remember=remember)
        assert answer.status == 200, answer.body
        self.plant("session token", client.token)
        if client.device_token:
            self.plant("device token", client.device_token)
        return client

    def totp(self):
        return self.plant("passcode of the app", self.app.fresh())

    def text(self, reference):
        """The code of the SMS with this reference."""
        text = wait_for(
            lambda: next((one.body for one in self.sms.messages if reference in one.body), None), seconds=30
        )
        return self.plant("passcode by SMS", text.splitlines()[-1].split("#")[1])

    # --- the path

    def enrol(self):
        client = self.logged_in(self.client())
        begun = client.post("/v1/two-factor/enrollment").body
        self.secrets["totp"] = key_material("TOTP secret", begun["secret"])
        self.app = AuthenticatorApp(begun["secret"])
        path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
        assert client.post(path, {"code": self.plant("passcode of the app", "000000")}).status == 422
        code = self.plant("passcode of the app", self.app.before())
        # Ten hashes take their time on a machine that is busy.
        answer = wait_for(lambda: (answer := client.post(path, {"code": code})).status != 503 and answer, seconds=40)
        self.codes = answer.body["recovery_codes"]
        for one in self.codes:
            self.plant("backup code", one, one.replace("-", ""), one[2:].replace("-", ""))
        jwt = client.post("/v1/session/token").body["token"]
        self.plant("session token", jwt, jwt.rpartition(".")[2])
        return client

    def prove_phone(self, client):
        proof = {"password": self.owner.password, "code": self.totp()}
        assert client.post("/v1/reauthenticate", proof).status == 200  # turning 2FA on has closed the window
        sent = client.call("PUT", "/v1/phone", {"country": "DE", "number": NATIONAL})
        assert sent.status == 202, sent.body
        assert client.post("/v1/phone/verify", {"code": self.plant("passcode by SMS", "000001")}).status == 422
        assert client.post("/v1/phone/verify", {"code": self.text(sent.body["reference"])}).status == 200

    def sign_in_in_every_way(self):
        remembered = self.logged_in(self.client(), self.totp, remember=True)
        again = self.client()
        again.device_token = remembered.device_token
        self.logged_in(again)
        self.logged_in(self.client(), lambda: self.codes[0])
        by_sms = self.client()
        challenge = by_sms.log_in(self.owner.email, self.owner.password).body["challenge"]["id"]
        self.sms.will(Behaviour(status=503))  # for the code or for a notice: either is sent again
        sent = by_sms.post(f"/v1/login/{challenge}/sms")
        assert sent.status == 202, sent.body
        assert by_sms.verify(challenge, self.text(sent.body["reference"])).status == 200
        self.spare = self.plant("session token", by_sms.token)
        pool = urllib3.PoolManager(retries=False)
        body = {"email": self.owner.email, "password": self.owner.password}
        cookie = pool.request("POST", f"{self.stack.base_url}/v1/login", json=body,
                              headers={"X-Device-Token": remembered.device_token}).headers["Set-Cookie"]  # fmt: skip
        self.plant("session token", re.search(r"latchkey_session=([^;]+)", cookie).group(1))
        return by_sms

    def texts(self):
        return [{"to": message.to, "body": message.body} for message in self.sms.messages]

    def reset_by_support(self):
        support = self.client("10.7.7.8")
        challenge = support.log_in(self.support.email, self.support.password).body["challenge"]["id"]
        code = self.plant("passcode of the app", AuthenticatorApp(self.support.totp_secret).fresh())
        assert support.verify(challenge, code).status == 200
        self.plant("session token", support.token)
        path = f"/v1/support/accounts/{self.owner.id}"
        assert support.get(path).status == 200
        reset = ceremony.request(support, self.owner.id, ("phone_code", "billing_details"), self.texts)
        self.plant("enrollment word", reset["enrollment_word"])

        def token():
            letters = [
                email.message_from_string(letter.content, policy=email.policy.default) for letter in self.mail.letters
            ]
            bodies = "".join(letter.get_body(("plain",)).get_content() for letter in letters)
            found = re.search(r"cancel\S*#(?:token=)?([A-Za-z0-9_-]{43})", bodies)
            return found and found.group(1)

        cancel = self.plant("token of a notice", wait_for(token, seconds=30))
        self.client().post("/v1/two-factor/resets/cancel", {"token": cancel[::-1]})
        assert self.client().post("/v1/two-factor/resets/cancel", {"token": cancel}).status == 204

    # --- beside the path

    def get_everything_wrong(self, client):
        """Secrets where they don't belong: in other members, other headers, addresses and broken bodies."""
        wrong = self.plant("password", "wrong horse battery 4711")
        assert client.log_in(self.owner.email, wrong).status == 401
        some = [
            wrong,
            self.owner.password,
            self.codes[1],
            self.plant("passcode of the app", "000002"),
            NUMBER,
            client.token,
        ]
        some = [one for one in some if one]
        base, pool = self.stack.base_url, urllib3.PoolManager(retries=False)
        for value in some:
            quoted = urllib.parse.quote(value, safe="")
            for method, path, body, headers in (
                ("POST", "/v1/login", b'{"email": "a@example.com", "password": "' + value.encode(), {}),
                ("POST", "/v1/login", json.dumps({"email": value, "password": value, value: value}).encode(), {}),
                ("POST", "/v1/login", json.dumps({"email": value, "password": value}).encode(), {}),
                ("POST", "/v1/login", value.encode(), {"Content-Type": "text/plain"}),
                ("POST", f"/v1/login/{quoted}/verify", json.dumps({"code": value}).encode(), {}),
                ("GET", f"/v1/session?token={quoted}", b"", {"Authorization": f"Bearer {value}"}),
                ("GET", f"/nowhere/{quoted}", b"", {"Cookie": f"latchkey_session={quoted}; latchkey_device={quoted}"}),
                ("POST", f"/v1/callbacks/twilio/status?message_id={quoted}", b"To=" + quoted.encode(),
                 {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": quoted}),
                ("POST", "/v1/two-factor/resets/cancel", json.dumps({"token": value}).encode(),
                 {"X-Device-Token": value}),
                ("BREW", f"/{quoted}", b"", {"User-Agent": "a browser", value.replace(" ", ""): "x"}),
            ):  # fmt: skip
                sent = {"Content-Type": "application/json", "X-Forwarded-For": "10.9.9.9", **headers}
                try:
                    answer = pool.request(method, base + path, body=body, headers=sent)
                except (urllib3.exceptions.HTTPError, ValueError):
                    continue  # a name of a header that none can be
                if answer.status >= 400:
                    # The provider's, the path and the sender's own value are echoed by none.
                    self.refusals.append(answer.data)

    def let_the_world_fail(self, client):
        """Broken rows, a killed worker, a provider and a mail server that quote the number when they refuse."""
        challenge = client.log_in(self.owner.email, self.owner.password).body["challenge"]["id"]
        self.sms.will(*[Behaviour(status=400, code=21211)] * 3)  # one of them for the code, whatever notices come
        refused = client.post(f"/v1/login/{challenge}/sms").body
        assert refused["reference"]
        wait_for(lambda: client.get(f"/v1/login/{challenge}").body["delivery"]["status"] == "failed", seconds=30)
        self.sms.script.clear()
        self.sms.will(Behaviour(reset="after"))
        self.mail.answers["RCPT"] = f"550 no such box, call {NUMBER}"
        self.sms.default = Behaviour(status=201, body="<html>this is no JSON", code=None)
        again = self.logged_in(self.client(), lambda: self.codes[2])
        new = self.plant("password", "quite another 9 horses stapled")
        renewed = again.post("/v1/reauthenticate", {"password": self.owner.password, "code": self.totp()})
        assert renewed.status == 200, renewed.body
        change = {"current_password": self.owner.password, "new_password": new}
        assert again.post("/v1/password", change).status == 200
        time.sleep(1)  # the notices meet the two stubs
        # A worker is killed while it holds a text, and the gateway and otp meet what they can't read.
        os.kill(self.stack.pid_of("notify-codes"), signal.SIGKILL)
        for key in self.redis.scan_iter("auth:session:*"):
            self.redis.set(key, json.dumps({"token": "gone"}))
        assert again.get("/v1/session").status == 500
        other = self.client(patient=False)
        begun = other.log_in(self.owner.email, new)
        with closing(sqlite3.connect(self.stack.var_dir / "otp.sqlite3", timeout=10)) as database:
            database.execute("ALTER TABLE recovery_codes RENAME TO mislaid")
        assert other.verify(begun.body["challenge"]["id"], self.codes[3]).status == 503
        with closing(sqlite3.connect(self.stack.var_dir / "auth.sqlite3", timeout=10)) as database:
            database.execute("ALTER TABLE devices RENAME TO mislaid")
        other.device_token = self.plant("device token", "a-device-token-that-nobody-ever-had-000000000")
        assert other.log_in(self.owner.email, new).status == 503


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The story, told once on a stack of its own; its secrets and the places to look."""
    with TwilioStub() as sms, SmtpStub() as mail:
        settings = {
            **settings_for(sms),
            "EMAIL_PROVIDER": "smtp",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mail.port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "Latchkey <no-reply@latchkey.example>",
            "RESET_COOL_OFF_SECONDS": "600",
        }
        with running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings) as stack:
            story = Story(stack, sms, mail)
            client = story.enrol()
            story.prove_phone(client)
            client = story.sign_in_in_every_way()
            story.reset_by_support()
            story.get_everything_wrong(client)
            story.let_the_world_fail(client)
            metrics = [urllib3.request("GET", url).data for url in stack.settings.metrics_urls.values()]
            assert all(b"_requests_total" in text for text in metrics)
            live = [*redis_values(stack.settings.redis_url)]
        # Stopped, so that every process has written its last line.
        var = stack.var_dir
        places = [
            *log_lines(var),
            *redis_writes(var),
            *live,
            *sql_rows(var / "auth.sqlite3"),
            *sql_rows(var / "otp.sqlite3"),
            *(("answer", body) for body in story.refusals),
            *(("metrics", body) for body in metrics),
        ]
        yield story, places


def test_the_story_reached_every_place(told):
    """A search of nothing finds nothing: each place has its lines, and the errors that were meant to be are there."""
    story, places = told
    seen = {place for place, _ in places}
    texts = {place: b"\n".join(text for other, text in places if other == place) for place in seen}
    assert {"log auth.log", "log otp.log", "log background.log", "log notify-codes.log", "answer", "metrics"} <= seen
    assert {"sql auth accounts", "sql auth timeline", "sql otp authenticators", "sql otp attempts"} <= seen
    assert any("sms.codes" in place for place in seen)
    assert any("email.notices" in place for place in seen)
    assert any("unacked" in place for place in seen)
    assert b"unexpected error" in texts["log auth.log"]
    assert b"Traceback" in texts["log auth.log"]
    assert len([text for place, text in places if place == "answer"]) > 50
    assert {one.kind for one in story.secrets.values()} >= {
        *("password", "phone", "TOTP secret", "backup code", "session token", "device token", "token of a notice"),
        *("passcode of the app", "passcode by SMS", "key OTP_API_KEYS", "key of the provider"),
    }


def test_no_secret_stands_in_the_clear_where_it_may_not(told):
    story, places = told
    found = {(leak.kind, leak.place) for leak in leaks(story.secrets.values(), places)}
    assert found - ALLOWED.keys() == set()


def test_what_may_stand_somewhere_does(told):
    """Else the table has a row too many, or the search is blind."""
    story, places = told
    found = {(leak.kind, leak.place) for leak in leaks(story.secrets.values(), places)}
    assert ALLOWED.keys() <= found


PLAIN = "s3cret/pässword+1"


@pytest.mark.parametrize(
    "written",
    [
        PLAIN.encode(),
        base64.b64encode(PLAIN.encode()),
        base64.urlsafe_b64encode(b"ab" + PLAIN.encode() + b"cd"),
        b"key.x" + base64.urlsafe_b64encode(PLAIN.encode()).rstrip(b"=") + b".",
        PLAIN.encode().hex().encode(),
        PLAIN.encode().hex().upper().encode(),
        urllib.parse.quote(PLAIN, safe="").encode(),
        json.dumps(PLAIN).encode(),
        json.dumps(json.dumps({"a": PLAIN})).encode(),
        base64.b64encode(json.dumps([[{"password": PLAIN}], {}, {}]).encode()),
        repr(PLAIN.encode()).encode(),
    ],
)
def test_the_search_sees_through_the_usual_wrappings(written):
    assert leaks([secret("password", PLAIN)], [("log", b"x=" + written + b" y")])


@pytest.mark.parametrize(
    "line", [b"code=123456", b'{"code": "123456"}', b"@host #123456", b"$6 123456 x", b"c:\n123456"]
)
def test_six_digits_are_found_as_a_word(line):
    assert leaks([secret("passcode", "123456")], [("log", line)])


@pytest.mark.parametrize("line", [b"T05:00:00.123456Z", b"id=a1234567", b"at=1700123456.5", b"sms_123456ab"])
def test_six_digits_in_a_time_or_an_id_are_chance(line):
    assert not leaks([secret("passcode", "123456")], [("log", line)])
