"""While a list is rolled out, some processes are a step behind: what either writes, the other reads.

Each list, and every two neighbouring steps of its rotation, in both directions.
"""

import dataclasses
from types import SimpleNamespace

import fakeredis
import jwt
import pytest
from nacl.public import PrivateKey

from services.auth import tokens
from services.auth.domain.session import Factor
from services.auth.otp_client import OtpClient
from services.otp.app import create_app
from services.otp.secrets_box import SecretBox
from shared.envelope import open_envelope
from shared.hashing import HashingPool
from shared.keys import Key, KeyList, encode_key
from shared.messages import AUTH, OTP, OTP_EVENTS, TwoFactorResetApproved, UnreadableMessage
from shared.sealed_text import SealedText
from shared.sealing import CannotOpen, seal, unseal
from shared.secret import Secret
from shared.signed_messages import Gate, sign
from shared.signing import SignatureRefused, Signer, Verifier, public_halves
from tests.support import auth
from tests.support.auth import ENVIRONMENT as AUTH_ENVIRONMENT
from tests.support.auth import NOTIFY_PRIVATE_KEYS
from tests.support.migrated import copied, migrated
from tests.support.otp import ACCOUNT, make_world

BEFORE = KeyList.parse(f"k1:{encode_key(b'1' * 32)}")
ADDED = BEFORE.added(b"2" * 32)
USED = ADDED.used()
DROPPED = USED.dropped()
STEPS = {"before": BEFORE, "added": ADDED, "used": USED, "dropped": DROPPED}
NAMES = list(STEPS)
NEIGHBOURS = [(a, b) for a in NAMES for b in NAMES if abs(NAMES.index(a) - NAMES.index(b)) <= 1]


@pytest.fixture(scope="module")
def migrated_file(tmp_path_factory):
    return migrated("otp", tmp_path_factory.mktemp("otp"))


@pytest.fixture
def world(migrated_file, tmp_path):
    redis = fakeredis.FakeRedis(decode_responses=True)
    with copied(migrated_file, tmp_path) as database:
        world = make_world(database, redis, HashingPool(max_waiting=1), AUTH_ENVIRONMENT["NOTIFY_PUBLIC_KEY"])
        yield world
        world.deps.recorder.close()


def secrets_at_rest(world, writer, reader):
    world.deps = dataclasses.replace(world.deps, secret_box=SecretBox(writer))
    world.enrol()
    world.deps = dataclasses.replace(world.deps, secret_box=SecretBox(reader))
    return world.verify(world.code()).status_code == 200


def sms_codes(world, writer, reader):
    world.enrol()
    world.deps = dataclasses.replace(world.deps, digest_keys=writer)
    message_id = world.send_sms().json["message_id"]
    code = open_envelope(NOTIFY_PRIVATE_KEYS, world.redis.get(f"notify:sealed:{message_id}")).body[-6:]
    world.deps = dataclasses.replace(world.deps, digest_keys=reader)
    return world.verify(code).status_code == 200


def calls_to_otp(world, writer, reader):
    """As the gateway sends them, without the wire."""
    client = OtpClient("http://127.0.0.1:1", writer.newest)
    app = create_app(SimpleNamespace(api_keys=reader), world.deps)
    return app.test_client().get(f"/accounts/{ACCOUNT}/two-factor", headers=client._headers).status_code == 200


def sealed_texts(_world, writer, reader):
    private = PrivateKey(writer.newest.material.reveal())
    sealed = seal(Key(writer.newest.id, Secret(bytes(private.public_key))), "text")
    try:
        return unseal(reader, sealed) == "text"
    except CannotOpen:
        return False


def tokens_of_the_portal(world, writer, reader):
    """The one signs, and the key set comes from the other."""

    def deps(keys):
        settings = auth.settings(JWT_SIGNING_KEYS=keys.dump())
        return SimpleNamespace(settings=settings, redis=world.redis, clock=lambda: auth.NOW)

    account = SimpleNamespace(id="acc_1", role="member")
    session = SimpleNamespace(id="ses_1", authenticated_at=auth.NOW, factors=(Factor.PASSWORD,), assurance="aal1")
    token, _ = tokens.issue(deps(writer), account, session)
    key_set = jwt.PyJWKSet.from_dict(tokens.key_set(deps(reader)))
    try:
        key = key_set[jwt.get_unverified_header(token)["kid"]]
    except KeyError:
        return False
    options = {"verify_exp": False, "verify_iat": False}
    audience = auth.ENVIRONMENT["PUBLIC_ORIGIN"]
    return jwt.decode(token, key, algorithms=["EdDSA"], audience=audience, options=options)["sub"] == "acc_1"


def signed_events(_world, writer, reader):
    event = TwoFactorResetApproved(id="msg_1", occurred_at=auth.NOW, account_id="acc_1", reset_id="rst_1")
    gate = Gate(OTP_EVENTS, Verifier({AUTH: public_halves(reader)}), lambda: auth.NOW)
    try:
        return gate.open(sign(event, Signer(AUTH, writer), OTP_EVENTS)) == event
    except UnreadableMessage:
        return False


def signed_texts_of_codes(_world, writer, reader):
    text = SealedText.sign(Signer(OTP, writer), "sms_1", "sealed", auth.NOW)
    try:
        text.require_sender(Verifier({OTP: public_halves(reader)}), "sms_1")
    except SignatureRefused:
        return False
    return True


EXCHANGES = [
    secrets_at_rest,
    sms_codes,
    calls_to_otp,
    sealed_texts,
    tokens_of_the_portal,
    signed_events,
    signed_texts_of_codes,
]


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(("writer", "reader"), NEIGHBOURS)
def test_a_process_reads_what_one_a_step_before_or_behind_writes(world, exchange, writer, reader):
    assert exchange(world, STEPS[writer], STEPS[reader])


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(("writer", "reader"), [("used", "before"), ("added", "dropped")])
def test_no_step_may_be_left_out(world, exchange, writer, reader):
    """Why a rotation takes three: whoever put the new key first at once would be refused by those that lack it."""
    assert not exchange(world, STEPS[writer], STEPS[reader])
