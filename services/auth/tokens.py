"""Five-minute JWTs for the portal's other services (RFC 7519, EdDSA by RFC 8037)."""

from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from services.auth import limits
from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.domain.session import Session, amr
from shared import budgets
from shared.budgets import Charge
from shared.clock import unix_seconds
from shared.ids import new_id
from shared.keys import Key
from shared.problems import Refusal


def issue(deps: Deps, account: Account, session: Session, audience: str | None = None) -> tuple[str, int]:
    """Sign a token for one service and return it with its life in seconds.

    ``amr`` and ``acr`` say how the session was proven (RFC 8176). ``aud`` names the service that may accept the token,
    so no other service can use it as the account (RFC 8725 §3.9). It is the public origin unless the caller names
    another audience of the settings. Raises Refusal validation_failed for an audience that is not in the settings,
    too_many_requests.
    """
    origin = deps.settings.public_origin
    audience = origin if audience is None else audience
    if audience != origin and audience not in deps.settings.token_audiences:
        raise Refusal("validation_failed", extra={"errors": {"audience": ["Not an audience of the settings."]}})
    budgets.take(deps.redis, Charge(limits.SESSION_TOKEN, session.id)).require()
    key = deps.settings.jwt_signing_keys.newest
    now = unix_seconds(deps.clock())
    life = int(limits.TOKEN_LIFE.total_seconds())
    claims = {
        "iss": origin,
        "aud": audience,
        "sub": account.id,
        "sid": session.id,
        "iat": now,
        "exp": now + life,
        "auth_time": unix_seconds(session.authenticated_at),
        "amr": amr(session.factors),
        "acr": session.assurance,
        "role": account.role,
        "jti": new_id("jwt"),
    }
    return jwt.encode(claims, _private_key(key), algorithm="EdDSA", headers={"kid": key.id}), life


def key_set(deps: Deps) -> dict[str, list[dict[str, Any]]]:
    """The public halves of all signing keys (RFC 7517): tokens of the last key still verify after a rotation."""
    return {
        "keys": [
            {
                **OKPAlgorithm.to_jwk(_private_key(key).public_key(), as_dict=True),
                "kid": key.id,
                "use": "sig",
                "alg": "EdDSA",
            }
            for key in deps.settings.jwt_signing_keys
        ]
    }


def _private_key(key: Key) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key.material.reveal())
