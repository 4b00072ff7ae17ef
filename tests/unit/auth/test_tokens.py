import json
from dataclasses import replace

import jwt
import pytest
from jwt.utils import base64url_encode

from services.auth.domain.session import Factor
from services.auth.limits import SESSION_TOKEN
from shared.budgets import Charge
from shared.clock import unix_seconds
from shared.keys import KeyList, encode_key
from tests.support.auth import ENVIRONMENT, NOW, settings
from tests.support.sign_in import problem

OLD, NEW = f"j1:{encode_key(b'j' * 32)}", f"j2:{encode_key(b'k' * 32)}"


@pytest.fixture
def rotated(app, deps):
    """The deps after a rotation: a new key first, the old one still there."""
    two = replace(deps, settings=settings(JWT_SIGNING_KEYS=f"{NEW},{OLD}"))
    app.extensions["latchkey"] = two
    return two


def read(token, jwks, audience=ENVIRONMENT["PUBLIC_ORIGIN"]):
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    options = {"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "iss", "sub", "aud"]}
    issuer = ENVIRONMENT["PUBLIC_ORIGIN"]
    return jwt.decode(token, key, algorithms=["EdDSA"], issuer=issuer, audience=audience, options=options)


def test_a_token_says_who_it_is_and_how_well_proven(api, ann, clock):
    caller = api(ann, Factor.PASSWORD, Factor.SMS)
    clock.turn(minutes=2)
    answer = caller.post("/v1/session/token")
    assert {name: answer.json[name] for name in ("token_type", "expires_in")} == {
        "token_type": "Bearer",
        "expires_in": 300,
    }
    claims = read(answer.json["token"], api().get("/.well-known/jwks.json").json)
    issued = unix_seconds(NOW) + 120
    assert claims.pop("jti").startswith("jwt_")
    assert claims == {
        "iss": "http://portal.example:8080",
        "aud": "http://portal.example:8080",
        "sub": ann.id,
        "sid": caller.session.id,
        "iat": issued,
        "exp": issued + 300,
        "auth_time": unix_seconds(NOW),
        "amr": ["pwd", "sms", "mfa"],
        "acr": "aal2",
        "role": "member",
    }


@pytest.mark.parametrize(
    ("factors", "amr", "acr"),
    [
        ((Factor.PASSWORD,), ["pwd"], "aal1"),
        ((Factor.PASSWORD, Factor.TRUSTED_DEVICE), ["pwd"], "aal1"),
        ((Factor.PASSWORD, Factor.TOTP), ["pwd", "otp", "mfa"], "aal2"),
        ((Factor.PASSWORD, Factor.RECOVERY_CODE), ["pwd", "otp", "mfa"], "aal2"),
    ],
)
def test_it_claims_no_more_than_was_shown(api, ann, factors, amr, acr):
    token = api(ann, *factors).post("/v1/session/token").json["token"]
    claims = read(token, api().get("/.well-known/jwks.json").json)
    assert (claims["amr"], claims["acr"]) == (amr, acr)


@pytest.fixture
def two_services(app, deps):
    listed = "https://billing.example, reports"
    app.extensions["latchkey"] = replace(deps, settings=settings(TOKEN_AUDIENCES=listed))


@pytest.mark.usefixtures("two_services")
@pytest.mark.parametrize("audience", ["https://billing.example", "reports", "http://portal.example:8080"])
def test_it_is_for_the_service_that_the_caller_names_and_for_no_other(api, ann, audience):
    token = api(ann).post("/v1/session/token", {"audience": audience}).json["token"]
    jwks = api().get("/.well-known/jwks.json").json
    assert read(token, jwks, audience)["aud"] == audience
    with pytest.raises(jwt.InvalidAudienceError):
        read(token, jwks, "https://other.example")


@pytest.mark.usefixtures("two_services")
@pytest.mark.parametrize(
    "audience",
    [
        *("https://evil.example", "https://billing.example/", "https://billing.example.evil.example", "REPORTS"),
        *("reports ", "reports,https://billing.example", "*", "", ["reports"], {"audience": "reports"}, 1, True),
        "http://portal.example:8080/",
    ],
)
def test_there_is_none_for_an_audience_that_is_not_listed(api, ann, audience):
    answer = api(ann).post("/v1/session/token", {"audience": audience})
    assert problem(answer) == (422, "validation_failed")
    assert set(answer.json["errors"]) == {"audience"}


def test_without_the_setting_the_public_origin_is_the_only_audience(api, ann):
    caller, jwks = api(ann), api().get("/.well-known/jwks.json").json
    for body in ({}, {"audience": None}, {"audience": "http://portal.example:8080"}):
        assert read(caller.post("/v1/session/token", body).json["token"], jwks)["aud"] == "http://portal.example:8080"
    assert problem(caller.post("/v1/session/token", {"audience": "reports"})) == (422, "validation_failed")


def test_each_has_an_id_of_its_own(api, ann):
    caller = api(ann)
    tokens = [caller.post("/v1/session/token").json["token"] for _ in range(2)]
    jwks = api().get("/.well-known/jwks.json").json
    assert len({read(token, jwks)["jti"] for token in tokens}) == 2


def test_the_key_set_has_public_halves_only(api):
    answer = api().get("/.well-known/jwks.json")
    (key,) = answer.json["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["kid"], key["use"], key["alg"]) == ("OKP", "Ed25519", "j1", "sig", "EdDSA")
    assert encode_key(b"j" * 32) not in answer.text
    assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_after_a_rotation_the_new_key_signs_and_old_tokens_still_verify(app, deps, api, ann):
    caller = api(ann)
    old = caller.post("/v1/session/token").json["token"]
    app.extensions["latchkey"] = replace(deps, settings=settings(JWT_SIGNING_KEYS=f"{NEW},{OLD}"))
    new = caller.post("/v1/session/token").json["token"]
    jwks = api().get("/.well-known/jwks.json").json
    assert [key["kid"] for key in jwks["keys"]] == ["j2", "j1"]
    assert [jwt.get_unverified_header(token)["kid"] for token in (old, new)] == ["j1", "j2"]
    assert read(old, jwks)["sub"] == read(new, jwks)["sub"] == ann.id


def test_a_retired_key_is_no_key(rotated, api, ann, app, deps):
    token = api(ann).post("/v1/session/token").json["token"]
    app.extensions["latchkey"] = deps  # the list without j2
    with pytest.raises(KeyError):
        read(token, api().get("/.well-known/jwks.json").json)


def test_a_token_that_was_changed_does_not_verify(api, ann):
    token = api(ann).post("/v1/session/token").json["token"]
    head, _, signature = token.split(".")
    promoted = base64url_encode(json.dumps({"sub": ann.id, "role": "support"}).encode()).decode()
    jwks = api().get("/.well-known/jwks.json").json
    with pytest.raises(jwt.InvalidSignatureError):
        read(f"{head}.{promoted}.{signature}", jwks)


def test_a_session_has_sixty_in_a_minute_and_another_one_its_own(api, ann, redis):
    caller, other = api(ann), api(ann)
    assert {caller.post("/v1/session/token").status_code for _ in range(60)} == {200}
    refused = caller.post("/v1/session/token")
    assert problem(refused) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert other.post("/v1/session/token").status_code == 200
    assert caller.get("/v1/session").status_code == 200
    redis.delete(*Charge(SESSION_TOKEN, caller.session.id).keys()[:1])  # as when the minute is over
    assert caller.post("/v1/session/token").status_code == 200


@pytest.mark.usefixtures("two_services")
def test_all_audiences_count_together_and_one_that_is_refused_does_not(api, ann):
    caller = api(ann)
    for _ in range(20):
        assert problem(caller.post("/v1/session/token", {"audience": "none"})) == (422, "validation_failed")
        for audience in (None, "reports", "https://billing.example"):
            assert caller.post("/v1/session/token", {"audience": audience}).status_code == 200
    assert problem(caller.post("/v1/session/token", {"audience": "reports"})) == (429, "too_many_requests")


def test_there_is_none_without_a_session(api):
    assert problem(api().post("/v1/session/token")) == (401, "not_authenticated")


def test_a_token_is_no_session(api, ann):
    token = api(ann).post("/v1/session/token").json["token"]
    answer = api().get("/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert problem(answer) == (401, "not_authenticated")


def test_signing_keys_have_32_bytes():
    with pytest.raises(ValueError, match="32 are needed"):
        KeyList.parse(f"j1:{encode_key(b'j' * 31)}")
