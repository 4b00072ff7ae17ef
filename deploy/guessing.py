"""What an attacker with leaked passwords gets, computed from the limits of auth and otp.

``python -m deploy.guessing`` prints docs/guessing.md. ``deploy/simulation/guessing.py`` plays the same attacks guess by
guess, and tests/unit/deploy/test_guessing.py holds the two together.
"""

from dataclasses import dataclass

from services.auth import limits as auth
from services.auth.domain.guessing import GROWTH, HOURS_IN_A_LEVEL
from services.otp import limits as otp

# A guess meets the app's codes of three time steps, and the present and the previous texted code.
CODES_MET = 3 + 2
CHANCE = CODES_MET / 10**6

# The rows of wrong codes that end guessing at one account. Strangers share one, which no sign-in of the owner empties
# (services/otp/limits.py). Each known device has its own.
STRANGERS_IN_A_ROW = otp.STOP_FOR_STRANGERS
DEVICE_IN_A_ROW = otp.STOP_FOR_A_DEVICE

CODES_A_DAY = otp.VERIFY_LOGIN.windows[-1].max
NETWORK_A_DAY = min(rate.windows[-1].max for rate in (auth.LOGIN_IP, auth.VERIFY_IP))
BRAKED_A_DAY = auth.BRAKED_CODE.windows[-1].max
BELOW_THE_BRAKE_A_DAY = round(auth.GUESSING_FLOOR / HOURS_IN_A_LEVEL * 24)
TOLD_AT = auth.WRONG_CODES_A_NOTICE
_YEAR = 365

# The aims: a leaked password until its owner acts; 10,000 of them, a day under the brake, and before all are told.
AIM_FOR_ONE, AIM_A_DAY, AIM_UNTIL_TOLD = 0.0004, 0.05, 0.25
_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Attack:
    """Somebody with the right passwords of so many accounts, and so many addresses in networks of their own.

    ``silent``: stays below the notice and the brake. ``stale_devices``: known browsers of these accounts, one each.
    """

    accounts: int
    addresses: int
    silent: bool = False
    stale_devices: int = 0


@dataclass(frozen=True, slots=True)
class Gain:
    """Guesses: at once before the brake is on, on each day after that, until all owners are told, and in all.

    ``in_all``: the owners do nothing, for a year at most.
    """

    at_once: int
    a_day: int
    until_told: int | None
    in_all: int


def gain(attack: Attack) -> Gain:
    """The most that this attack gets."""
    network = attack.addresses * NETWORK_A_DAY
    by_device = attack.stale_devices * min(DEVICE_IN_A_ROW, CODES_A_DAY)
    if attack.silent:
        in_all = attack.accounts * (TOLD_AT - 1)
        return Gain(0, min(in_all, network, _below_the_brake(in_all)), None, in_all)
    wanted = min(attack.accounts * CODES_A_DAY, network)
    at_once, a_day = 0, wanted
    if wanted > BELOW_THE_BRAKE_A_DAY:
        at_once = min(wanted, auth.GUESSING_FLOOR + 1)
        a_day = min(wanted, max(attack.accounts * BRAKED_A_DAY, BELOW_THE_BRAKE_A_DAY))
    # A known device is exempt from the brake. Its wrong codes are among those that the owner is told of.
    a_day += by_device
    until_told = attack.accounts * TOLD_AT
    rows = attack.accounts * STRANGERS_IN_A_ROW + attack.stale_devices * DEVICE_IN_A_ROW
    return Gain(at_once, a_day, until_told, min(rows, at_once + a_day * _YEAR))


def _below_the_brake(in_all: int) -> int:
    """The most a day, if so many guesses are made below the brake. They raise it: by GROWTH, then twofold each week."""
    a_day, growth, left = BELOW_THE_BRAKE_A_DAY, GROWTH, in_all - auth.GUESSING_FLOOR
    while left > 7 * a_day:
        left -= 7 * a_day
        a_day, growth = round(a_day * growth), 2.0
    return a_day


@dataclass(frozen=True, slots=True)
class Portal:
    """The honest users beside an attack. Each signs in once a day.

    ``new_browsers``: the share of sign-ins from a browser that the account does not know. ``mistyped``: of those, the
    share whose first code is wrong.
    """

    accounts: int
    leaked: int
    new_browsers: float = 0.05
    mistyped: float = 0.05


PORTALS = (Portal(1_000_000, _MANY), Portal(100_000, _MANY), Portal(_MANY, _MANY))
AIM_REFUSED = 0.01


def refused(portal: Portal) -> float:
    """The share of honest sign-ins that the brake refuses while the attack uses up the try of each leaked account."""
    leaked = portal.leaked / portal.accounts
    return portal.new_browsers * (leaked + (1 - leaked) * portal.mistyped)


ONE = tuple(
    Attack(1, addresses, silent, devices)
    for addresses in (1, 100, 10_000)
    for silent, devices in ((False, 0), (True, 0), (False, 1))
)
MANY = tuple(
    Attack(_MANY, addresses, silent, devices)
    for addresses in (1, 100, 10_000)
    for silent, devices in ((False, 0), (True, 0), (False, 100))
)


def _met(is_met: bool) -> str:
    return "" if is_met else " **missed**"


def kind(attack: Attack) -> str:
    """The attack in the words of a table."""
    device = {0: "", 1: ", with a stale device"}.get(
        attack.stale_devices, f", with stale devices of {attack.stale_devices}"
    )
    return ("silent" if attack.silent else "loud") + device


def _one(attack: Attack) -> str:
    got = gain(attack)
    told = f"{got.until_told * CHANCE:.4%}" if got.until_told else "not told"
    in_all = f"{got.in_all * CHANCE:.3%}" + _met(got.in_all * CHANCE <= AIM_FOR_ONE)
    return f"| {attack.addresses:,} | {kind(attack)} | {got.a_day:,} | {told} | {got.in_all:,} | {in_all} |"


def _many(attack: Attack) -> str:
    got = gain(attack)
    a_day = f"{got.a_day * CHANCE:.3f}" + _met(got.a_day * CHANCE <= AIM_A_DAY)
    told = "not told"
    if got.until_told:
        told = f"{got.until_told * CHANCE:.2f}" + _met(got.until_told * CHANCE <= AIM_UNTIL_TOLD)
    at_once = f"{got.at_once:,}" if got.at_once else "no brake"
    in_all = f"{got.in_all * CHANCE:.2f}"
    return f"| {attack.addresses:,} | {kind(attack)} | {at_once} | {got.a_day:,} | {a_day} | {told} | {in_all} |"


def _refused(portal: Portal) -> str:
    share = refused(portal)
    return f"| {portal.accounts:,} | {portal.leaked:,} | {share:.2%}{_met(share <= AIM_REFUSED)} |"


_HEAD = """\
# What an attacker with leaked passwords gets

`python -m deploy.guessing` prints this page from the limits (`services/auth/limits.py`, `services/otp/limits.py`).
`make simulate-guessing` plays the same attacks guess by guess. `tests/unit/deploy/test_guessing.py` fails when the page
is not current, or when the simulation gets more than the page says.

A guess of six digits meets three app codes and up to two texted ones: {met} of a million. So the chance is the
number of guesses × {met}·10⁻⁶. The passwords are right, because without them no code is compared.

- An account takes {codes} codes a day from new browsers. A network has {network} tries a day.
- The owner is told of each {told}th wrong code. A silent attacker stops one code earlier at each account, and stays
  below the brake: {floor:,} guesses at once, then {below:,} a day over all accounts. They raise it to {growth:g} times
  that in the second week, and twofold in each week after it.
- Under the brake an account takes {braked} code a day from new browsers. The guess that exceeds the threshold puts the
  brake on. Guesses that are under way at that moment are compared, too.
- A stale device is a browser that the owner once signed in with, and that the attacker holds. It is exempt from the
  brake and from the rows by network.
- No everyday sign-in empties the rows of wrong codes: {strangers} of strangers, {device} of a device.
- A portal with many wrong codes of its own has a higher brake, four times those of last week. The attacker has as many
  guesses a day besides.

## One leaked password

Aim: at most {for_one:.2%} until its owner acts.

| addresses | attack | guesses a day | opened before the owner is told | guesses until the owner acts | opened by then |
|---|---|---|---|---|---|
{one}

## {many:,} leaked passwords

Aims: at most {a_day} accounts a day under the brake, and {until_told} before every owner is told. The column "before
told" counts the guesses at each account up to the one that its owner is told of.

| addresses | attack | guesses before the brake | guesses a day then | accounts a day | before told | if no owner acts |
|---|---|---|---|---|---|---|
{all}

## Whom the brake refuses

Aim: at most {refused:.0%} of honest sign-ins. Assumed: everybody signs in once a day, {new:.0%} of sign-ins come from a
browser that is new to the account, and of those {mistyped:.0%} mistype the first code. The attacker uses up the try of
each leaked account at once. A user who is refused can sign in with a backup code, or confirm the browser by a link in
a mail. The attacker does not hold the mailboxes, so the tables above do not change.

| accounts | of them with leaked passwords | honest sign-ins refused |
|---|---|---|
{portals}
"""


def document() -> str:
    """The tables as docs/guessing.md."""
    return _HEAD.format(
        met=CODES_MET,
        codes=CODES_A_DAY,
        network=NETWORK_A_DAY,
        told=TOLD_AT,
        floor=auth.GUESSING_FLOOR,
        below=BELOW_THE_BRAKE_A_DAY,
        growth=GROWTH,
        braked=BRAKED_A_DAY,
        strangers=STRANGERS_IN_A_ROW,
        device=DEVICE_IN_A_ROW,
        for_one=AIM_FOR_ONE,
        one="\n".join(map(_one, ONE)),
        many=_MANY,
        a_day=AIM_A_DAY,
        until_told=AIM_UNTIL_TOLD,
        all="\n".join(map(_many, MANY)),
        refused=AIM_REFUSED,
        new=PORTALS[0].new_browsers,
        mistyped=PORTALS[0].mistyped,
        portals="\n".join(map(_refused, PORTALS)),
    )


if __name__ == "__main__":
    print(document(), end="")
