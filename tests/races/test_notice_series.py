"""Equal notices recorded at once: one goes at once, one says how many. Real databases, real threads."""

import pytest

from services.auth import notices
from services.auth.deps import WorkerDeps
from services.auth.domain.notice_texts import Kind
from shared.database import create_database, writing
from shared.messages import AUTH, SendEmailNotice, SendSmsNotice
from tests.support import auth
from tests.support.auth import PHONE, TurnedClock, make_account, notices_in
from tests.support.auth import outbox as recorded
from tests.support.signing import SIGNERS
from tests.support.threads import at_once

THREADS = 12


@pytest.fixture
def deps(new_database):
    database = create_database(new_database("auth"))
    yield WorkerDeps(auth.settings(), database, None, TurnedClock(), SIGNERS[AUTH])
    database.dispose()


def test_all_are_counted_and_two_go(deps):
    ann = make_account(deps, "ann@example.com", phone=PHONE)

    def tell(_number):
        with writing(deps.database) as connection:
            notices.tell(connection, deps, ann, Kind.RECOVERY_CODES_REGENERATED, deps.clock())

    at_once(THREADS, tell)
    kinds = [type(message) for message in recorded(deps)]
    assert (kinds.count(SendSmsNotice), kinds.count(SendEmailNotice)) == (2, 2)
    assert sum(f"({THREADS} times)" in notice.body for notice in notices_in(deps)) == 2
