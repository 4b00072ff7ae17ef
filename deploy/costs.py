"""What is dear: which calls cost CPU, money or a reader's time, how often at most, who pays, and where it runs.

`python -m deploy.costs` prints docs/costs.md. tests/unit/deploy/test_costs.py reads from the source what each route can
reach, and finds a route that is missing here, or that stands here for work which it does not do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.auth import limits as auth
from services.otp import limits as otp
from shared.budgets import DAY, HOUR, MINUTE, Rate


class Dear(StrEnum):
    """The kinds of dear work."""

    HASH = "hash"
    RATING = "rating"
    DRAWING = "QR code"
    SEARCH = "search"
    SIGNATURE = "signature"
    CHANGE = "change"
    TEXT = "text"
    MAIL = "mail"


@dataclass(frozen=True, slots=True)
class Price:
    """What one piece of the work takes at most, on a quiet machine, and where it runs."""

    takes: str
    runs: str


PRICES: Mapping[Dear, Price] = {
    Dear.HASH: Price(
        "50 ms of CPU, 19 MiB",
        "argon2's threads, as many as cores (`shared/hashing.py`); a sheet of backup codes takes ten, on a thread of"
        " its own and ahead of the call (`services/otp/sheet_stock.py`)",
    ),
    Dear.RATING: Price("20 ms of CPU", "one thread of the gateway (`Deps.rating`)"),
    Dear.DRAWING: Price("50 ms of CPU", "one thread of otp (`Deps.drawing`)"),
    Dear.SEARCH: Price("200 rows by an index", "the request's thread"),
    Dear.SIGNATURE: Price("0.3 ms of CPU", "the request's thread"),
    Dear.CHANGE: Price(
        "the lock of one account, one signed event for each of at most 50 sessions, one call of otp",
        "the request's thread (`services/auth/consequences.py`)",
    ),
    Dear.TEXT: Price("what a carrier takes; of a call, one minute", "the couriers' queue `sms.codes` or `sms.notices`"),
    Dear.MAIL: Price("one message", "the couriers' queue `email.notices`"),
}


@dataclass(frozen=True, slots=True)
class Due:
    """What one call may cost. ``paid_by``: the rows of limits that it is counted under; else ``bound`` bounds it."""

    works: Mapping[Dear, int]
    paid_by: tuple[Rate, ...] = ()
    bound: str = ""


_LOGIN = Due(
    {Dear.HASH: 2, Dear.CHANGE: 1, Dear.SIGNATURE: 3, Dear.TEXT: 1, Dear.MAIL: 1},
    (auth.LOGIN_IP, auth.LOGIN_EMAIL, auth.LOGIN_KNOWN_DEVICE, auth.ACCEPTED_NETWORK, auth.ACCEPTED),
    "a completed login gives its try back, and each /64 has half of its /48; then the four places of the hashing pool",
)
_CODE = Due(
    {Dear.HASH: 1, Dear.CHANGE: 1, Dear.SIGNATURE: 2, Dear.TEXT: 2, Dear.MAIL: 2},
    (auth.VERIFY_IP, otp.VERIFY_LOGIN, otp.VERIFY_LOGIN_KNOWN_DEVICE, otp.VERIFY_RECOVERY_CODE),
)
_TEXTED = (otp.SMS_ACCOUNT, otp.SMS_ACCOUNT_KNOWN_DEVICE, otp.SMS_ACCOUNT_PROOF, otp.SMS_PHONE, otp.SMS_RESEND)
_CALLED = (*_TEXTED, otp.CALLS_PHONE, otp.CALLS_PHONE_KNOWN_DEVICE, otp.CALLS_PHONE_PROOF)
_LOGIN_CALL = Due({Dear.TEXT: 1, Dear.SIGNATURE: 1}, (auth.SMS_IP, *_CALLED))
_LOGIN_TEXT = Due({Dear.TEXT: 1, Dear.SIGNATURE: 1}, (auth.SMS_IP, *_TEXTED))
_TEXT = Due({Dear.TEXT: 1, Dear.SIGNATURE: 1}, _TEXTED)
_ONE_ENDS = Due({Dear.CHANGE: 1, Dear.SIGNATURE: 1}, bound="a session or device ends once")
_OPERATOR = "an operator's step-up window, and a row of the trail for each call"
_NOTICE = {Dear.TEXT: 1, Dear.MAIL: 1, Dear.SIGNATURE: 2}
_RESET_ENDS = {Dear.SIGNATURE: 2, Dear.TEXT: 1, Dear.MAIL: 1}
_ACCOUNTS, _SUPPORT = "/accounts/<id:account_id>", "/v1/support/accounts/<id:account_id>"

AUTH: Mapping[str, Due] = {
    "POST /v1/login": _LOGIN,
    "POST /login": _LOGIN,
    "POST /v1/login/<id:challenge_id>/verify": _CODE,
    "POST /login/<id:challenge_id>": _CODE,
    "POST /v1/login/<id:challenge_id>/sms": _LOGIN_TEXT,
    "POST /login/<id:challenge_id>/sms": _LOGIN_TEXT,
    "POST /v1/login/<id:challenge_id>/call": _LOGIN_CALL,
    "POST /login/<id:challenge_id>/call": _LOGIN_CALL,
    "POST /v1/login/<id:challenge_id>/confirmation": Due(
        {Dear.MAIL: 1, Dear.SIGNATURE: 1}, (auth.CONFIRMATION_MAIL, auth.CONFIRMATION_MAILS, auth.CONFIRMATION_IP)
    ),
    "POST /v1/logout": _ONE_ENDS,
    "POST /logout": _ONE_ENDS,
    "DELETE /v1/sessions": _ONE_ENDS,
    "DELETE /v1/sessions/<id:session_id>": _ONE_ENDS,
    "DELETE /v1/trusted-devices": _ONE_ENDS,
    "DELETE /v1/trusted-devices/<id:device_id>": _ONE_ENDS,
    "POST /v1/reauthenticate": Due(
        {Dear.HASH: 2, Dear.CHANGE: 1, Dear.SIGNATURE: 2, Dear.TEXT: 1, Dear.MAIL: 1},
        (auth.REAUTHENTICATE, otp.VERIFY_STEP_UP, otp.VERIFY_RECOVERY_CODE),
    ),
    "POST /v1/reauthenticate/sms": _TEXT,
    "POST /v1/session/token": Due({Dear.SIGNATURE: 1}, (auth.SESSION_TOKEN,), "an account has 50 sessions at most"),
    "POST /v1/password/strength": Due({Dear.RATING: 1}, (auth.PASSWORD_STRENGTH,)),
    "POST /v1/password": Due(
        {Dear.RATING: 1, Dear.HASH: 2, Dear.CHANGE: 1, Dear.SIGNATURE: 1, Dear.TEXT: 1, Dear.MAIL: 1},
        (auth.PASSWORD_CHANGE, auth.REAUTHENTICATE),
    ),
    "PUT /v1/language": Due({Dear.MAIL: 1, Dear.SIGNATURE: 1}, (auth.LANGUAGE_CHANGE,)),
    "PUT /v1/phone": Due({Dear.TEXT: 1, Dear.SIGNATURE: 1}, (auth.PHONE_CHANGE, *_CALLED)),
    "POST /v1/phone/sms": _TEXT,
    "POST /v1/phone/call": Due({Dear.TEXT: 1, Dear.SIGNATURE: 1}, _CALLED),
    "POST /v1/phone/verify": Due(
        {Dear.HASH: 1, Dear.CHANGE: 1, Dear.SIGNATURE: 2, Dear.TEXT: 2, Dear.MAIL: 1}, (otp.VERIFY_PHONE,)
    ),
    "DELETE /v1/phone": Due({Dear.CHANGE: 1, Dear.SIGNATURE: 1, Dear.TEXT: 1, Dear.MAIL: 1}, (auth.PHONE_CHANGE,)),
    "PUT /v1/team/<id:account_id>/phone": Due(_NOTICE, (auth.MEMBER_PHONE_CHANGE,)),
    "DELETE /v1/two-factor": Due({Dear.CHANGE: 1, Dear.SIGNATURE: 1}, bound="it is turned off once"),
    "DELETE /v1/two-factor/wrong-codes": Due({Dear.CHANGE: 1, Dear.SIGNATURE: 1}, (auth.STRANGERS_LET_TRY,)),
    "POST /v1/two-factor/enrollment": Due({Dear.DRAWING: 1}, (otp.BEGIN_ENROLLMENT,)),
    "GET /v1/two-factor/enrollment": Due({Dear.DRAWING: 1}, (otp.SHOW_ENROLLMENT,)),
    "POST /v1/two-factor/enrollment/<id:enrollment_id>/confirm": Due(
        {Dear.HASH: 10, Dear.CHANGE: 1, Dear.SIGNATURE: 2, Dear.MAIL: 1}, (otp.CONFIRM_ENROLLMENT,)
    ),
    "POST /v1/two-factor/recovery-codes": Due({Dear.HASH: 10, Dear.SIGNATURE: 1}, (otp.REGENERATE_CODES,)),
    "DELETE /v1/two-factor/resets/<id:reset_id>": Due(_RESET_ENDS, bound="a reset ends once"),
    "POST /v1/two-factor/resets/cancel": Due(_RESET_ENDS, (auth.RESET_CANCEL_IP,)),
    "GET /v1/support/accounts": Due({Dear.SEARCH: 1}, (auth.SUPPORT_SEARCH, auth.SUPPORT_FOUND)),
    f"POST {_SUPPORT}/identity-checks": Due(_NOTICE, (auth.IDENTITY_CHECKS, auth.IDENTITY_CHECKS_OPERATOR)),
    f"POST {_SUPPORT}/two-factor-resets": Due(_RESET_ENDS, bound=_OPERATOR),
    f"POST {_SUPPORT}/two-factor-resets/<id:reset_id>/approve": Due(_RESET_ENDS, bound=_OPERATOR),
    f"POST {_SUPPORT}/two-factor-resets/<id:reset_id>/cancel": Due(_RESET_ENDS, bound=_OPERATOR),
    f"POST {_SUPPORT}/unlock": Due(_NOTICE, (auth.UNLOCK,)),
    f"POST {_SUPPORT}/unlocks/<id:unlock_id>/approve": Due(_NOTICE, bound=_OPERATOR),
}

# otp is called by the gateway alone, whose calls these are.
OTP: Mapping[str, Due] = {
    f"POST {_ACCOUNTS}/verifications": Due(
        {Dear.HASH: 1, Dear.SIGNATURE: 1},
        (
            otp.VERIFY_LOGIN,
            otp.VERIFY_LOGIN_KNOWN_DEVICE,
            otp.VERIFY_STEP_UP,
            otp.VERIFY_PHONE,
            otp.VERIFY_RECOVERY_CODE,
        ),
    ),
    f"POST {_ACCOUNTS}/enrollments": Due({Dear.DRAWING: 1}, (otp.BEGIN_ENROLLMENT,)),
    f"GET {_ACCOUNTS}/enrollments": Due({Dear.DRAWING: 1}, (otp.SHOW_ENROLLMENT,)),
    f"POST {_ACCOUNTS}/enrollments/<id:enrollment_id>/confirm": Due(
        {Dear.HASH: 10, Dear.SIGNATURE: 1}, (otp.CONFIRM_ENROLLMENT,)
    ),
    f"POST {_ACCOUNTS}/recovery-codes": Due({Dear.HASH: 10, Dear.SIGNATURE: 1}, (otp.REGENERATE_CODES,)),
    f"POST {_ACCOUNTS}/sms-challenges": Due({Dear.TEXT: 1, Dear.SIGNATURE: 1}, _TEXTED),
    f"DELETE {_ACCOUNTS}/two-factor": Due({Dear.SIGNATURE: 1}, bound="it is turned off once"),
}

_UNITS = ((DAY, "day"), (HOUR, "h"), (MINUTE, "min"), (1, "s"))


def _row(rate: Rate) -> str:
    windows = []
    for window in rate.windows:
        seconds, unit = next((seconds, unit) for seconds, unit in _UNITS if window.seconds % seconds == 0)
        windows.append(f"{window.max:,} in {window.seconds // seconds} {unit}")
    return f"`{rate.name}`: {', '.join(windows)}"


def document() -> str:
    """The table as docs/costs.md."""
    lines = [
        "# What is dear, and who pays",
        "",
        "`python -m deploy.costs` prints this page from `deploy/costs.py`. `tests/unit/deploy/test_costs.py` fails",
        "when a route does dear work and is missing here. What an event tells later by text or mail is paid for by",
        "the call that made the event.",
        "",
        "| work | one takes at most | where it runs |",
        "|---|---|---|",
        *(f"| {dear} | {price.takes} | {price.runs} |" for dear, price in PRICES.items()),
        "",
        "A route that is not in the next tables does no such work.",
    ]
    for service, dues in (("auth", AUTH), ("otp, called by the gateway alone", OTP)):
        lines += ["", f"## {service}", "", "| route | one call costs at most | who pays |", "|---|---|---|"]
        for route, due in dues.items():
            works = ", ".join(f"{times} × {dear}" for dear, times in due.works.items())
            paid = "; ".join(filter(None, [*map(_row, due.paid_by), due.bound]))
            lines.append(f"| {route.replace('<id:', '{').replace('>', '}')} | {works} | {paid} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(document(), end="")
