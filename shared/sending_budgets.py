"""What a text or a mail is charged to: the one table, for otp, which charges codes, and notify, which charges notices.

Each kind has rows of its own by account and by recipient, so whoever uses up one kind does not stop another. Codes have
five texts in ten minutes. The notices of security have two that no code can take, and those of a reset have twelve that
no session of the account can take. The day's count of texts is shared. A notice goes as a text and as a mail, and its
mail has rows by the same kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.rates import DAY, HOUR, MINUTE, Charge, Rate, Window


class Kind(StrEnum):
    """What is sent."""

    LOGIN = "login"
    LOGIN_KNOWN_DEVICE = "login_known_device"  # also a step-up's, because an open session asks for it
    PHONE_PROOF = "phone_proof"
    SECURITY = "security"  # a notice of a change: password, factor, phone, address
    CEREMONY = "ceremony"  # what support begins: identity checks and resets, with their words and links that cancel
    NEWS = "news"  # every other notice


@dataclass(frozen=True, slots=True)
class Row:
    """The rows of one kind. ``recipient`` goes by a keyed digest.

    ``prefix`` goes by lane. ``day_percent``: up to which share of the day's texts this kind may go.
    """

    account: Rate
    recipient: Rate
    prefix: tuple[Rate, ...]
    day_percent: int

    @property
    def rates(self) -> tuple[Rate, Rate]:
        """By account and by recipient."""
        return self.account, self.recipient


def _row(name: str, windows: tuple[Window, ...], prefix: tuple[Rate, ...], day_percent: int) -> Row:
    account = Rate(f"{name}.account", by="account", windows=windows)
    return Row(account, Rate(f"{name}.phone", by="phone (keyed digest)", windows=windows), prefix, day_percent)


_CODES = (Window(5, 10 * MINUTE), Window(20, DAY))  # Twilio Verify's own: 5 in 10 minutes
_NOTICES = (Window(2, 10 * MINUTE), Window(20, DAY))
# As many as operators may begin checks for an account, and three for each of two resets besides: else the words of the
# checks silence the steps of the reset to which they lead, or the steps of one reset the words of the next.
_CEREMONY = (Window(12, 10 * MINUTE), Window(40, DAY))
# Above what a day of changes causes: the whole help page, played step by step, is some 15 mails of all kinds.
_MAILS = (Window(60, HOUR), Window(200, DAY))

# A lane is a purpose of a prefix for codes; all notices to a prefix are one lane.
PREFIX_OF_CODES = (
    Rate("otp.sms.prefix.hour", by="lane", windows=(Window(600, HOUR),)),
    Rate("otp.sms.prefix.day", by="lane", windows=(Window(3_000, DAY),)),
)
_PREFIX_OF_NOTICES = (Rate("notify.text.prefix", by="prefix", windows=(Window(300, HOUR), Window(1_500, DAY))),)

# A text is paid for by rows that nobody with less in hand can spend. A stranger who has the password requests codes of
# logins from a browser that the account does not know. A stranger with an account can have a text sent to any number,
# to prove it. A known browser and an open session have been through a second factor.
# Whoever pumps proves phones, because that takes no proven phone, so these end at 80 % of the day. Codes end at 90 %,
# and what that leaves belongs to the notices.
TABLE: Mapping[Kind, Row] = {
    Kind.LOGIN: _row("otp.sms", _CODES, PREFIX_OF_CODES, 90),
    Kind.LOGIN_KNOWN_DEVICE: _row("otp.sms.device", _CODES, PREFIX_OF_CODES, 90),
    Kind.PHONE_PROOF: _row("otp.sms.proof", _CODES, PREFIX_OF_CODES, 80),
    Kind.SECURITY: _row("notify.text.security", _NOTICES, _PREFIX_OF_NOTICES, 100),
    Kind.CEREMONY: _row("notify.text.ceremony", _CEREMONY, _PREFIX_OF_NOTICES, 100),
    Kind.NEWS: _row("notify.text.news", _NOTICES, _PREFIX_OF_NOTICES, 80),
}
_NOTICE_KINDS = (Kind.SECURITY, Kind.CEREMONY, Kind.NEWS)
# By account and by address. A stranger with the password causes news, as many as there are wrong codes.
MAILS: Mapping[Kind, tuple[Rate, Rate]] = {
    kind: (
        Rate(f"notify.mail.{kind}.account", by="account", windows=_MAILS),
        Rate(f"notify.mail.{kind}.address", by="address (keyed digest)", windows=_MAILS),
    )
    for kind in _NOTICE_KINDS
}

# All texts of a day, and how many of them may be notices: so a flood of notices leaves codes half of the day at least.
SMS_DAILY_CAP = 5_000
_NOTICES_PERCENT = 40


# A call is dearer than a text, and disturbs more. It pays what a text pays, and these rows besides. By kind, as texts:
# a stranger who adds a phone to prove it cannot spend the calls of its owner's logins.
CALLS_OF_PHONE: Mapping[Kind, Rate] = {
    kind: Rate(f"{name}.phone", by="phone (keyed digest)", windows=(Window(an_hour, HOUR), Window(a_day, DAY)))
    for kind, name, an_hour, a_day in (
        (Kind.LOGIN, "otp.call", 2, 4),
        (Kind.LOGIN_KNOWN_DEVICE, "otp.call.device", 4, 10),
        (Kind.PHONE_PROOF, "otp.call.proof", 2, 4),
    )
}
_CALLS_PERCENT = 20


def calls_day_charge(kind: Kind, cap: int) -> Charge:
    """The row that all calls of a day share, up to where this kind may fill it."""
    most = max(cap * _CALLS_PERCENT * TABLE[kind].day_percent // 10_000, 1)
    return Charge(Rate("otp.call.day", by="all calls", windows=(Window(most, DAY),)), "all")


def day_charge(kind: Kind, cap: int) -> Charge:
    """The row that all texts of a day share, up to where this kind may fill it."""
    most = cap * TABLE[kind].day_percent // 100
    return Charge(Rate("otp.sms.day", by="all texts", windows=(Window(most, DAY),)), "all")


def charges_of_notice(kind: Kind, account_id: str, recipient: str, prefix: str, cap: int) -> tuple[Charge, ...]:
    """All that a texted notice is charged to; ``recipient`` is the phone's keyed digest."""
    row = TABLE[kind]
    notices_of_day = Rate("notify.text.day", by="all notices", windows=(Window(cap * _NOTICES_PERCENT // 100, DAY),))
    return (
        Charge(row.account, account_id),
        Charge(row.recipient, recipient),
        *(Charge(rate, prefix) for rate in row.prefix),
        Charge(notices_of_day, "all"),
        day_charge(kind, cap),
    )


def charges_of_mail(kind: Kind, account_id: str, recipient: str) -> tuple[Charge, ...]:
    """All that a mailed notice is charged to; ``recipient`` is the address's keyed digest."""
    by_account, by_address = MAILS[kind]
    return Charge(by_account, account_id), Charge(by_address, recipient)
