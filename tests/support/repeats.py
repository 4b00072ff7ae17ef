"""Both services for tests of lost answers: the gateway's client asks the real otp, whose answers can be lost."""

from services.auth import session_store
from services.auth.domain.session import Factor
from services.otp.key_uri import decode_secret
from shared.envelope import open_envelope
from shared.hashing import HashingPool
from shared.ids import token_digest
from shared.problems import Unavailable
from shared.secret import Secret
from tests.lockout.stage import CHEAP, LocalOtp
from tests.support.auth import NOTIFY_PRIVATE_KEYS, OTHER_PHONE, PASSWORD, Api

KEY = {"Idempotency-Key": "k-1"}


class QuickHashing(HashingPool):
    """A sheet costs next to nothing, so that no call runs out of time on a busy machine."""

    def hash_many(self, passwords):
        return [CHEAP.hash(password) for password in passwords]


class LossyOtp(LocalOtp):
    """otp acts, and its answer is lost once: ``lose`` is how the path of the change ends.

    ``spares``: how many answers arrive before that. ``kills``: the gateway is killed there.
    """

    lose: str | None = None
    spares = 0
    kills = False

    def _call(self, method, path, body=None, **options):
        answer = super()._call(method, path, body, **options)
        if self.lose is not None and method != "GET" and path.endswith(self.lose):
            self.spares -= 1
            if self.spares < 0:
                self.lose = None
                raise SystemExit if self.kills else Unavailable("otp")
        return answer


NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "nine dry walruses whistle"}


def begun(caller, world, account):
    answer = caller.post("/v1/two-factor/enrollment").json
    world.secrets[account.id] = decode_secret(Secret(answer["secret"]))
    return f"/v1/two-factor/enrollment/{answer['enrollment_id']}/confirm", {"code": world.code(account=account.id)}


def end(deps, caller):
    """The session's token ends, as it does when the session gets a new one."""
    deps.redis.delete(f"auth:session:{token_digest(caller.token)}")


def without_id(answer):
    return answer.status_code, answer.data, answer.content_type


def proof(caller, world, account, deps):
    caller.put("/v1/phone", {"country": "DE", "number": OTHER_PHONE.e164})
    (message,) = deps.publisher.messages
    return open_envelope(NOTIFY_PRIVATE_KEYS, world.redis.get(f"notify:sealed:{message.message_id}")).body[-6:]


REPLACED = (409, "answer_replaced")


def confirmed(deps, api, tom, world):
    """A caller that has turned 2FA on and stepped up under its new token, and the same call with the old one."""
    caller = api(tom)
    old, (path, body) = caller.token, begun(caller, world, tom)
    assert caller.post(path, body).status_code == 200
    session, proven = session_store.find(deps.redis, caller.token), (Factor.PASSWORD, Factor.TOTP)
    session_store.step_up(deps.redis, session, caller.token, deps.clock(), proven)
    return caller, lambda: Api(caller.app, old).post(path, body)
