"""What tests of resets do and look at."""

from sqlalchemy import delete

from services.auth import reset_steps
from services.auth.domain.account import Role
from services.auth.models import BOX
from services.auth.store import accounts, timeline
from services.auth.store import resets as store
from services.auth.store.timeline import Entry
from shared.database import reading, writing
from tests.support import ceremony
from tests.support.auth import types_of


def asked(**changes):
    return {"ticket": "SUP-1042", "reason": "Phone lost", **changes}


def pass_checks(deps, operator, account, checks):
    """The checks, with an outbox that holds only what follows."""
    ceremony.pass_checks(deps, operator, account, checks)
    with writing(deps.database) as connection:
        connection.execute(delete(BOX.outbox))


def types_since_the_request(deps, account):
    return [type_ for type_ in types_of(deps, account) if type_.startswith("two_factor.")]


def status_of(deps, reset_id):
    with reading(deps.database) as connection:
        return store.by_id(connection, reset_id).status


def stored(deps, reset):
    with reading(deps.database) as connection:
        return store.by_id(connection, reset.id)


def prove(deps, account, factor):
    with writing(deps.database) as connection:
        reset_steps.owner_proved(connection, deps, account, factor, deps.clock())


def outcome(deps, reset):
    found = stored(deps, reset)
    return found.status, found.ended_because


def give_role(deps, account, role):
    with writing(deps.database) as connection:
        accounts.set_role(connection, account.id, role)


def lose_role(deps, otp, account):
    give_role(deps, account, Role.MEMBER)


def lose_factor(deps, otp, account):
    otp.enabled.remove(account.id)


def signed_in_with_a_code(deps, account):
    with writing(deps.database) as connection:
        timeline.write(connection, account.id, Entry.SIGNED_IN, deps.clock(), factors=["password", "sms"])
