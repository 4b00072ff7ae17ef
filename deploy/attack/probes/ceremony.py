"""Attacks on the ceremony of a reset: impossible or too few checks, operators who reset each other (rows 44, 45)."""

from deploy.attack.people import enrol, expect, operator, prove_phone
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import account_id
from deploy.attack.support import SLOW, approve, ask_reset, begin_check, pass_checks, status_of, waiting_reset
from deploy.attack.watch import Watch, watched

TICKED = ["phone_code", "video_id", "callback_proven_phone"]
TOO_FEW: tuple[tuple[str, ...], ...] = (
    (),
    ("video_id",),
    ("billing_details",),
    ("email_code",),
    ("phone_code",),
    ("video_id", "billing_details"),
)


@watched
def impossible_checks(target: Target, watch: Watch) -> str:
    """Text words to a phone that is not there, ask owners who are not there, tick a check, guess at the words."""
    support, owner = operator(target), enrol(target)
    own_id = account_id(owner.browser)
    ticked = ask_reset(support, own_id, identity_checks=TICKED)
    watch.refused("checks that are ticked", ticked, "validation_failed", "identity_checks_insufficient")
    rows = expect(support.browser.get(f"/v1/support/accounts/{own_id}/identity-checks"), 200)["items"]
    for check in ("phone_code", "owner_approval"):
        row = next(row for row in rows if row["check"] == check)
        watch.holds(f"{check} is shown as possible", not row["possible"] and bool(row["why_not"]))
        watch.refused(f"{check} of an account without", begin_check(support, own_id, check), "check_not_possible")
    begun = expect(begin_check(support, own_id, "email_code"), 201)
    path = f"/v1/support/accounts/{own_id}/identity-checks/{begun['id']}/verify"
    for _ in range(6):
        guess = support.browser.post(path, {"code": "apple bridge"})
        watch.refused("guessed words", guess, "wrong_words", "check_not_open")
    watch.holds("words can be guessed without end", guess.code == "check_not_open", tries=0)
    return "words to no phone, the answer of no owner, ticked checks, guessed words"


@watched
def one_check_alone(target: Target, watch: Watch) -> str:
    """Ask for a reset with no check, with a single one, and with what an operator only attests."""
    support = operator(target)
    for checks in TOO_FEW:
        owner = enrol(target)
        if "phone_code" in checks:
            prove_phone(owner)
        own_id = account_id(owner.browser)
        pass_checks(support, own_id, checks)
        with_what = " and ".join(checks) or "nothing"
        watch.refused(f"a reset with {with_what} alone", ask_reset(support, own_id), "identity_checks_insufficient")
    other, owner = operator(target), enrol(target)
    own_id = account_id(owner.browser)
    pass_checks(other, own_id, SLOW)
    watch.refused("another operator's checks", ask_reset(support, own_id), "identity_checks_insufficient")
    return "resets with no check, a single one, two attested ones, and another operator's"


@watched
def operators_ring(target: Target, watch: Watch) -> str:
    """An operator resets a colleague with the help of one other, of himself, and of the colleague."""
    first, second, third = operator(target), operator(target), operator(target)
    own_id, other_id = account_id(first.browser), account_id(second.browser)
    watch.refused("a reset of the own account", ask_reset(first, own_id), "own_account")
    reset = waiting_reset(first, other_id)
    watch.holds("one operator alone resets another one", status_of(third, reset) == "awaiting_approval")
    watch.refused("the approval of the own request", approve(first, other_id, reset), "same_operator")
    shown = expect(first.browser.get(f"/v1/support/two-factor-resets/{reset}"), 200)
    watch.holds("the own request is offered for approval", not shown["may_approve"], tries=0)
    watch.served("another operator's approval", approve(third, other_id, reset), 202)
    watch.holds("one approval is enough for an operator's account", status_of(third, reset) == "awaiting_approval")
    again = approve(third, other_id, reset)
    watch.refused("a second approval by the same operator", again, "same_operator", "reset_not_open")
    path = f"/v1/support/accounts/{other_id}/two-factor-resets/{reset}/cancel"
    watch.served("cancel it", first.browser.post(path))
    return (
        "an operator's reset of a colleague: alone, with the own approval, with one other's, with the same one's again"
    )


PROBES = (
    Probe(44, "impossible-checks", "Identity checks that cannot have happened", "CVE-2024-27928", impossible_checks),
    Probe(
        44, "one-check-alone", "A reset on one check, or on an operator's word alone", "CVE-2024-27928", one_check_alone
    ),
    Probe(45, "operators-ring", "Operators who reset each other", "CVE-2026-108066", operators_ring),
)
