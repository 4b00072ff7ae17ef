"""A link in a mail that exempts one login from the brake on guesses (``guessing_brake.py``).

An attacker who guesses with leaked passwords does not hold the mailboxes. So a login that the owner's mailbox confirms
is no such guess, and takes codes of six digits again. All other rows still count. The link works only in the browser
that began the login, so an owner who opens the link of a thief's login helps nobody.
"""

from datetime import datetime

from services.auth import challenge_store, guessing_brake, login_sms, notices
from services.auth.challenge_store import LinkClaim
from services.auth.deps import Client, Deps, by_network, subject
from services.auth.domain.network import networks_of
from services.auth.domain.notice_texts import Kind
from services.auth.limits import CONFIRMATION_IP, CONFIRMATION_MAIL, CONFIRMATION_MAILS
from services.auth.store import timeline
from services.auth.store.timeline import Entry
from shared import budgets
from shared.budgets import Charge
from shared.database import writing
from shared.ids import new_token
from shared.problems import Refusal

_PAGE = "/browser/confirm"
_REFUSED_AS = {LinkClaim.EXPIRED: "link_expired", LinkClaim.OTHER_BROWSER: "other_browser"}


def send(deps: Deps, client: Client, challenge_id: str, binding: str | None) -> datetime:
    """Mail the account a link, and return until when it works.

    Raises Refusal challenge_expired, confirmation_not_needed (the brake does not refuse codes of this login),
    too_many_requests; Unavailable.
    """
    challenge, account = login_sms.live_challenge(deps, challenge_id, binding)
    is_exempt = challenge.device_id is not None or challenge_store.is_confirmed(deps.redis, challenge.id)
    if is_exempt or not guessing_brake.wait_seconds(deps, account.id):
        raise Refusal("confirmation_not_needed")
    now, token = deps.clock(), new_token()
    network = subject(deps, "ip", networks_of(client.ip).whole)
    mails = Charge(CONFIRMATION_MAIL, f"{account.id}:{network}"), Charge(CONFIRMATION_MAILS, account.id)
    charges = *mails, *by_network(deps, CONFIRMATION_IP, client.ip)
    budgets.take(deps.redis, *charges).require()
    with budgets.given_back_on_outage(deps.redis, *charges):
        challenge_store.add_link(
            deps.redis, challenge, token, now
        )  # first: a mail must not have a link that is unknown
        with writing(deps.database) as connection:
            timeline.write(
                connection,
                account.id,
                Entry.CONFIRMATION_MAILED,
                now,
                ip=client.ip,
                browser=client.browser,
                challenge_id=challenge.id,
            )
            notices.mail(
                connection,
                deps,
                account,
                Kind.CONFIRM_BROWSER,
                now,
                deadline=challenge.expires_at,
                browser=challenge.user_agent,
                ip=challenge.ip,
                until=challenge.expires_at,
                # A fragment, because it reaches no server's log.
                confirm_url=f"{deps.settings.public_origin}{_PAGE}#{challenge.id}.{token}",
            )
    return challenge.expires_at


def confirm(deps: Deps, client: Client, challenge_id: str, binding: str | None, token: str) -> None:
    """Exempt the login from the brake, with the link's token and from the client that began it.

    Raises Refusal link_expired, other_browser, too_many_requests; store errors. When SQL fails, the login is confirmed
    and the link is used up.
    """
    taken = budgets.take(
        deps.redis, *by_network(deps, CONFIRMATION_IP, client.ip), read=[challenge_store.key(challenge_id)]
    )
    challenge = challenge_store.load(taken.read[0])
    # The network's limit never refuses the client that began the login, because a neighbour without a password can use
    # that limit up.
    if challenge is None or not challenge.belongs_to(binding):
        taken.require()
    if challenge is None or challenge.expires_at <= deps.clock():
        raise Refusal("link_expired")
    claim = challenge_store.confirm(deps.redis, challenge_id, token, binding)
    if claim is not LinkClaim.CONFIRMED:
        raise Refusal(_REFUSED_AS[claim])
    with writing(deps.database) as connection:
        entry = Entry.LOGIN_CONFIRMED
        timeline.write(
            connection,
            challenge.account_id,
            entry,
            deps.clock(),
            ip=client.ip,
            browser=client.browser,
            challenge_id=challenge.id,
        )
