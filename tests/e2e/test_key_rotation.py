"""Every key list of a running stack is turned at once, step by step; people sign in between any two restarts."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
import urllib3

from deploy.keys import KeysError, LocalKeys, rotate
from deploy.local.announce import answers_200
from deploy.local.environment import environment_of
from deploy.local.keys import LOCAL_REDIS, MADE, read_keys
from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from deploy.portal import Portal, wait_for
from shared.database import opened
from shared.keys import KeyList
from tests.e2e.conftest import Inbox
from tests.faults.people import PASSWORD, fill, step_now
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import TwilioStub

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PEOPLE = 24
PROGRAMS = ("otp", "auth", "notify-codes", "background")


@pytest.fixture(scope="module")
def stub_here():
    with TwilioStub() as stub:
        yield stub


@pytest.fixture(scope="module")
def turned(tmp_path_factory, stub_here):
    """A stack of its own: its keys change."""
    with running_stack(tmp_path_factory.mktemp("var"), free_port(5), settings_for(stub_here)) as running:
        yield running


@pytest.fixture
def people(turned):
    keys = read_keys(turned.settings.keys_file)
    with contextlib.ExitStack() as stack:
        auth, otp = (
            stack.enter_context(opened(environment_of(name, turned.settings, keys)[f"{name.upper()}_DATABASE_URL"]))
            for name in ("auth", "otp")
        )
        return iter(fill(turned, auth, otp, PEOPLE))


class SignsIn:
    """Fresh people sign in at a running stack; whoever is refused fails the test."""

    def __init__(self, stack, people, inbox):
        self.stack, self.people, self.inbox = stack, people, inbox
        self.tokens = []

    def _challenged(self):
        person = next(self.people)
        portal = Portal(self.stack.base_url, ip=person.ip)
        answer = portal.log_in(person.email, PASSWORD)
        assert answer.status == 200, answer.body
        return person, portal, answer.body["challenge"]["id"]

    def by_app(self):
        person, portal, challenge = self._challenged()
        answer = portal.verify(challenge, person.totp(step_now()))
        assert answer.status == 200, answer.body
        return portal

    def ask_for_code(self):
        """A code under way; entered by ``enter``."""
        _, portal, challenge = self._challenged()
        sent = portal.post(f"/v1/login/{challenge}/sms")
        assert sent.status == 202, sent.body
        return portal, challenge, sent.body["reference"]

    def enter(self, portal, challenge, reference):
        answer = portal.verify(challenge, self.inbox.code(reference))
        assert answer.status == 200, answer.body

    def in_every_way(self):
        """By app, by SMS; and every token that was ever issued is good."""
        portal = self.by_app()
        self.enter(*self.ask_for_code())
        self.tokens.append(portal.post("/v1/session/token").body["token"])
        key_set = jwt.PyJWKSet.from_dict(portal.get("/.well-known/jwks.json").body)
        for token in self.tokens:
            key = key_set[jwt.get_unverified_header(token)["kid"]]
            jwt.decode(token, key, algorithms=["EdDSA"], audience=self.stack.base_url)


def renew(stack, *programs):
    """Restart these, all at once, and wait until they answer."""

    def restart(name):
        stack.stop_program(name)
        stack.start_program(name)

    with ThreadPoolExecutor(len(programs)) as pool:
        list(pool.map(restart, programs))
    for url in (stack.settings.otp_url, stack.base_url):
        wait_for(lambda url=url: answers_200(f"{url}/readyz"))


def under_old_keys(stack):
    text = urllib3.request("GET", stack.settings.metrics_urls["otp"]).data.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("latchkey_otp_secrets_under"))


def test_all_lists_turn_while_people_sign_in(turned, people, stub_here):
    place, sign_in = LocalKeys(turned.settings), SignsIn(turned, people, Inbox(stub_here))
    sign_in.in_every_way()

    under_way = sign_in.ask_for_code()
    for name in MADE:
        rotate(place, name, "add")
    renew(turned, *PROGRAMS)
    sign_in.enter(*under_way)
    sign_in.in_every_way()

    under_way = sign_in.ask_for_code()
    for name in MADE:
        rotate(place, name, "use")
    # Whatever is renewed first writes under the new keys what the others read, who don't use them yet.
    for name in ("otp", "auth", "background"):
        renew(turned, name)
        sign_in.in_every_way()
    sign_in.enter(*under_way)

    under_way = sign_in.ask_for_code()
    assert under_old_keys(turned) > 0
    with pytest.raises(KeysError, match="secrets are left"):
        rotate(place, "OTP_SECRET_KEYS", "drop")
    place.otp("keys", "rewrap", capture=True)
    sign_in.by_app()
    for name in MADE:
        if name != "JWT_SIGNING_KEYS":  # tokens of the old key live for five minutes
            rotate(place, name, "drop")
    renew(turned, *PROGRAMS)
    sign_in.enter(*under_way)
    sign_in.in_every_way()
    assert under_old_keys(turned) == 0
    lists = {name: [key.id for key in KeyList.parse(text)] for name, text in place.read().items()}
    assert lists.pop(LOCAL_REDIS) == ["dev1"]
    assert lists == {name: ["dev2"] for name in lists} | {"JWT_SIGNING_KEYS": ["dev2", "dev1"]}
