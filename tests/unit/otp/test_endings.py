"""What ends in otp when a session of auth ends, or all that its account has open."""

import pytest

from services.otp import endings
from shared.envelope import open_envelope
from shared.messages import SessionEnded
from tests.support.otp import ACCOUNT, World

ENDED, OTHER = "ses_1", "ses_10"  # one begins as the other does
# Purpose and binding of a text, and whether it ends with the session.
TEXTS = [
    ("step_up", ENDED, True),
    ("phone_verification", f"{ENDED}.0a1b", True),
    ("step_up", OTHER, False),
    ("phone_verification", f"{OTHER}.0a1b", False),
    ("phone_verification", "phb_1", False),
    ("login", "chl_1", False),
]


def by_call(world: World, *, codes=False):
    body = {"session_ids": [ENDED], "codes": codes, "enrollments": False}
    assert world.account("POST", "endings", body).status_code == 204


def by_event(world: World):
    event = SessionEnded(id="evt_1", occurred_at=world.clock(), account_id=ACCOUNT, session_id=ENDED)
    endings.session_ended(world.worker_deps, event)


def text(world: World, notify_keys, purpose, binding):
    world.enrol()
    sealed = f"notify:sealed:{world.send_sms(purpose=purpose, binding=binding).json['message_id']}"
    return sealed, open_envelope(notify_keys, world.redis.get(sealed)).body[-6:]


@pytest.mark.parametrize("end", [by_call, by_event])
@pytest.mark.parametrize(("purpose", "binding", "ends"), TEXTS)
def test_the_texted_codes_of_a_session_end_with_it(world: World, notify_keys, end, purpose, binding, ends):
    sealed, code = text(world, notify_keys, purpose, binding)
    end(world)
    assert (world.redis.get(sealed) is None) == ends
    assert world.verify(code, purpose=purpose, binding=binding).status_code == (401 if ends else 200)


@pytest.mark.parametrize("codes", [False, True])
@pytest.mark.parametrize(("purpose", "binding", "ends"), TEXTS)
def test_an_accepted_proof_of_a_phone_alone_is_repeated_after_the_end(
    world: World, notify_keys, purpose, binding, ends, codes
):
    """auth ends the codes before it has committed what the proof serves, and repeats the call if it fails."""
    _, code = text(world, notify_keys, purpose, binding)
    assert world.verify(code, purpose=purpose, binding=binding).status_code == 200
    by_call(world, codes=codes)
    is_repeated = purpose == "phone_verification" or not (codes or ends)
    assert world.verify(code, purpose=purpose, binding=binding).status_code == (200 if is_repeated else 401)
