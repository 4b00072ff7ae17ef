"""What an answer to a challenge costs in round trips, because every sign-in pays it."""

from contextlib import contextmanager

import pytest
from sqlalchemy import update

from services.auth.models import devices
from shared.database import writing
from tests.support import redis_wire
from tests.support.otp import counted_statements
from tests.support.sign_in import challenge, trusted_token, verify

# A count, a claim. Before the answer is written nothing else asks Redis.
REDIS_TRIPS = 2
# The account, its device (the use of a known one, or a new one), the open reset, the entry in the timeline; BEGIN and
# COMMIT are not counted.
STATEMENTS = 4


@contextmanager
def counted_calls(otp):
    calls = []
    verify_at_otp = otp.verify
    otp.verify = lambda *args: calls.append(args) or verify_at_otp(*args)
    yield calls
    otp.verify = verify_at_otp


@pytest.mark.parametrize("factor", ["totp", "sms", "recovery_code"])
def test_an_answer_costs_the_round_trips_that_it_did(deps, stranger, mia, otp, monkeypatch, factor):
    token = trusted_token(stranger, otp, mia)
    with writing(deps.database) as connection:
        connection.execute(update(devices).values(trusted_until=None))  # from here only known
    # The first one loads scripts.
    for warm, device_token in ((True, None), (False, None), (False, token)):
        challenge_id = challenge(stranger, mia, device_token=device_token)
        otp.expect(mia.id, "login", challenge_id, factor=factor)
        trips = []
        with (
            monkeypatch.context() as patch,
            counted_statements(deps.database) as statements,
            counted_calls(otp) as calls,
        ):
            redis_wire.watch(patch, deps.redis, trips.append)
            assert verify(stranger, challenge_id).status_code == 200
        if not warm:
            # SQLite names a statement that has triggers more than once.
            own = {one for one in statements if one.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}}
            assert (len(trips), len(own), len(calls)) == (REDIS_TRIPS, STATEMENTS, 1), own
