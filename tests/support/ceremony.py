"""Identity checks as operator, caller and owner perform them together, in one process."""

import re

from services.auth import identity_checks, owner_approvals, resets
from services.auth.consequences import Acting
from services.auth.deps import Deps
from services.auth.domain.account import Account
from services.auth.domain.identity_checks import CHECKS, Kind
from services.auth.domain.reset import ReasonKind, Reset
from services.auth.operators import Operator
from services.auth.resets import ResetRequest
from services.auth.store import accounts
from services.auth.store.identity_checks import IdentityCheck
from shared.database import reading
from tests.support import auth
from tests.support.auth import CLIENT

IMMEDIATE = ["phone_code", "video_id"]
IMMEDIATE_BY_TWO = ["email_code", "video_id"]
COOL_OFF = ["phone_code", "billing_details"]
COOL_OFF_BY_TWO = ["email_code", "billing_details"]
WAITING = [IMMEDIATE_BY_TWO, COOL_OFF_BY_TWO, COOL_OFF]
SEEN = "ID card with the account's name, seen at 14:05"
_WORDS = {
    "phone_code": re.compile(r"Your words: ([a-z]+ [a-z]+)\."),
    "email_code": re.compile(r"read these two words to the operator:\s+([a-z]+ [a-z]+)\s"),
}


def words_sent(deps: Deps, check: str) -> str:
    """The words in the newest message of this check."""
    found = [match for notice in auth.notices_in(deps) if (match := _WORDS[check].search(notice.body))]
    return found[-1].group(1)


def at_console(deps: Deps, operator: Account) -> Operator:
    """The operator in a session of its own."""
    return Operator(operator, Acting(*auth.sign_in(deps, operator)))


def pass_check(deps: Deps, operator: Account, account: Account, name: str) -> IdentityCheck:
    """Begin one check and pass it."""
    evidence = SEEN if CHECKS[name].kind is Kind.ATTESTED else None
    console = at_console(deps, operator)
    check = identity_checks.begin(deps, CLIENT, console, account.id, name, evidence)
    if name in _WORDS:
        return identity_checks.verify(deps, CLIENT, console, account.id, check.id, words_sent(deps, name))
    if name == "owner_approval":
        with reading(deps.database) as connection:
            owner = next(o for o in accounts.other_owners(connection, account) if deps.otp.state(o.id).enabled)
        acting = Acting(*auth.sign_in(deps, owner))
        return owner_approvals.answer(deps, CLIENT, owner, acting, check.id, approve=True).check
    return check


def pass_checks(deps: Deps, operator: Account, account: Account, names: list[str]) -> None:
    for name in names:
        pass_check(deps, operator, account, name)


def request_reset(
    deps: Deps, operator: Account, account: Account, names: list[str], kind: ReasonKind = ReasonKind.LOST
) -> Reset:
    """A reset that these checks have led to."""
    pass_checks(deps, operator, account, names)
    asked = ResetRequest("SUP-1042", "Phone lost", kind)
    return resets.request(deps, CLIENT, at_console(deps, operator), account.id, asked).reset
