"""One account's things in another's hands: factors (row 25), a secret seen before it counted (28), cursors (61)."""

import base64
from urllib.parse import quote

from deploy import ceremony
from deploy.attack.browser import Browser
from deploy.attack.people import enrol, expect, new_number, operator, race, sign_in
from deploy.attack.probe import CannotTryError, Probe, Target
from deploy.attack.steps import account_id, device_token, two_factor_is_on, wait_for_entry
from deploy.attack.watch import Watch, watched
from deploy.portal import Answer, AuthenticatorApp

SECRET_CHARACTERS = 32  # 160 bits in base32 (RFC 4226 §4)
AWAITS_APPROVAL = ("email_code", "video_id")


@watched
def across_accounts(target: Target, watch: Watch) -> str:
    """An owner, a member and an operator reach for what is not theirs."""
    victim = enrol(target)
    victims_id, victims_device = account_id(victim.browser), device_token(victim)
    boss_account = target.account("owner")
    # In a login after the one that enrolled, so that the role alone stands between them and support's calls.
    boss = enrol(target, boss_account).signed_in()
    mate = enrol(target, target.account("member", boss_account.team)).signed_in()
    phone = {"country": "DE", "number": new_number()}
    for who, browser, whose, code in (
        ("another team's owner", boss, victims_id, "not_found"),
        ("a member", mate, account_id(boss), "forbidden"),
        ("a member, across teams,", mate, victims_id, "forbidden"),
    ):
        answer = browser.call("PUT", f"/v1/team/{whose}/phone", phone)
        watch.refused(f"{who} sets a phone", answer, code)

    session = expect(victim.browser.get("/v1/session"), 200)["id"]
    devices = expect(victim.browser.get("/v1/trusted-devices"), 200)["items"]
    device = next(iter(devices), {"id": "dev_none"})["id"]
    for who, browser in (("an owner", boss), ("a member", mate)):
        ended = browser.call("DELETE", f"/v1/sessions/{session}")
        watch.refused(f"{who} ends a stranger's session", ended, "not_found")
        forgotten = browser.call("DELETE", f"/v1/trusted-devices/{device}")
        watch.refused(f"{who} revokes a stranger's device", forgotten, "not_found")
    _foreign_enrollment(watch, target)
    _support_calls(watch, boss, victims_id)
    _support_calls(watch, mate, victims_id)
    tried = "phone, session, device, enrollment and support calls of an owner and a member on a stranger's account"
    try:
        _by_operators(watch, target, boss, victims_id)
        tried += "; operators on their own accounts, alone, and without a second factor"
    except CannotTryError:
        tried += " (no support accounts to try with)"

    watch.holds("a stranger turned the victim's 2FA off", two_factor_is_on(victim.browser))
    own = expect(victim.browser.get("/v1/session"), 200)["account"]
    watch.holds("a stranger gave the victim a phone", not own["phone_hint"] and not own["pending_phone_hint"])
    owner = target.browser()
    owner.device_token = victims_device
    answer = owner.log_in(victim.account.email, victim.account.password)
    watch.holds("a stranger revoked the victim's device", answer.body["status"] == "authenticated")
    return tried


def _foreign_enrollment(watch: Watch, target: Target) -> None:
    """The attacker knows the victim's pending key and confirms it in his own session, where it would be his."""
    beginner, attacker = sign_in(target, target.account()), sign_in(target, target.account())
    begun = expect(beginner.post("/v1/two-factor/enrollment"), 201)
    expect(attacker.post("/v1/two-factor/enrollment"), 201)
    path = f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"
    code = AuthenticatorApp(begun["secret"]).fresh()
    watch.refused("a stranger confirms an enrollment", attacker.post(path, {"code": code}), "enrollment_expired")
    watch.holds("a stranger's confirmation turned 2FA on", not two_factor_is_on(beginner))
    watch.holds("a stranger's key became one's own", not two_factor_is_on(attacker))


def _support_calls(watch: Watch, browser: Browser, victims_id: str) -> None:
    account = f"/v1/support/accounts/{victims_id}"
    reset = {"ticket": "ATTACK-1", "reason": "A probe"}
    calls: list[tuple[str, str, object]] = [
        ("GET", "/v1/support/accounts?query=example", None),
        ("GET", account, None),
        ("GET", f"{account}/timeline", None),
        ("POST", f"{account}/unlock", {"ticket": "ATTACK-1", "reason": "A probe"}),
        ("GET", f"{account}/identity-checks", None),
        ("POST", f"{account}/identity-checks", {"check": "email_code"}),
        ("POST", f"{account}/two-factor-resets", reset),
        ("GET", "/v1/support/two-factor-resets", None),
        ("GET", "/v1/support/audit", None),
    ]
    for method, path, body in calls:
        name = path.replace(victims_id, "…")
        watch.refused(f"{method} {name} without the role", browser.call(method, path, body), "forbidden")


def _by_operators(watch: Watch, target: Target, customer: Browser, victims_id: str) -> None:
    half = sign_in(target, target.account("support"))
    answer = half.get(f"/v1/support/accounts/{victims_id}")
    watch.refused("an operator without a second factor", answer, "second_factor_required")
    support = operator(target)
    own_id = account_id(support.browser)
    asked = {"ticket": "ATTACK-2", "reason": "A probe"}
    own = support.browser.post(f"/v1/support/accounts/{own_id}/two-factor-resets", asked)
    watch.refused("an operator resets the own account", own, "own_account")
    resets = f"/v1/support/accounts/{victims_id}/two-factor-resets"
    unchecked = support.browser.post(resets, asked)
    watch.refused("an operator resets without identity checks", unchecked, "identity_checks_insufficient")
    messages = target.need_inbox().messages
    reset = ceremony.request(support.browser, victims_id, AWAITS_APPROVAL, messages, ticket="ATTACK-2")
    alone = support.browser.post(f"{resets}/{reset['id']}/approve")
    watch.refused("one operator asks for a reset and approves it", alone, "same_operator")
    away = customer.call("DELETE", f"/v1/two-factor/resets/{reset['id']}")
    watch.refused("a stranger cancels a reset", away, "not_found")
    expect(support.browser.post(f"{resets}/{reset['id']}/cancel"), 200)


@watched
def seen_secret(target: Target, watch: Watch) -> str:
    """Somebody with a stolen session looks at a key before the owner turns 2FA on with it."""
    account = target.account()
    thief, owner = sign_in(target, account), sign_in(target, account)
    seen = expect(thief.post("/v1/two-factor/enrollment"), 201)
    watch.refused("another session is shown the key", owner.get("/v1/two-factor/enrollment"), "enrollment_expired")
    own = expect(owner.post("/v1/two-factor/enrollment"), 201)
    watch.holds("a second enrollment shows the key of the first", own["secret"] != seen["secret"])
    again = owner.get("/v1/two-factor/enrollment")
    watch.served("the session that began is shown the key again", again)
    watch.holds("a session is shown another key", expect(again, 200)["secret"] == own["secret"])
    watch.refused(
        "a session is shown the key that replaced its own", thief.get("/v1/two-factor/enrollment"), "enrollment_expired"
    )
    watch.holds("a key has fewer than 160 bits", len(own["secret"]) >= SECRET_CHARACTERS)
    old, app = AuthenticatorApp(seen["secret"]), AuthenticatorApp(own["secret"])
    earlier = owner.post(_confirm(seen), {"code": old.fresh()})
    watch.refused("the key that was seen is confirmed", earlier, "enrollment_expired")
    mixed = owner.post(_confirm(own), {"code": old.fresh()})
    watch.refused("a code of the key that was seen confirms another", mixed, "invalid_passcode")
    confirmed = owner.post(_confirm(own), {"code": app.fresh()})
    watch.served("confirm the own key", confirmed)
    codes, password = expect(confirmed, 200)["recovery_codes"], {"password": account.password}
    expect(owner.post("/v1/reauthenticate", {**password, "code": codes[0]}), 200)
    again = owner.post("/v1/two-factor/enrollment")
    watch.refused("an enrollment while 2FA is on", again, "two_factor_already_on")
    for path in ("/v1/two-factor", "/v1/session", "/v1/activity"):
        watch.holds(f"{path} shows the key", own["secret"] not in str(owner.get(path).body))

    watch.served("turn 2FA off", owner.call("DELETE", "/v1/two-factor"), 204)
    wait_for_entry(owner, "two_factor.disabled")
    expect(owner.post("/v1/reauthenticate", password), 200)
    anew = expect(owner.post("/v1/two-factor/enrollment"), 201)
    watch.holds("a new enrollment brings an old key back", anew["secret"] not in {own["secret"], seen["secret"]})

    racer = sign_in(target, target.account())
    begun = [expect(answer, 201) for answer in race([lambda: racer.post("/v1/two-factor/enrollment")] * 4)]
    watch.holds("two enrollments at one moment show one key", len({one["secret"] for one in begun}) == len(begun), 4)
    confirmed_all = [_first_code(racer, one) for one in begun]
    won = sum(answer.status == 200 for answer in confirmed_all)
    watch.holds(f"{won} of 4 keys shown at one moment count, one may", won <= 1, len(begun))
    return "the key of an earlier enrollment confirmed, mixed up and brought back; four enrollments at one moment"


def _confirm(begun: dict[str, str]) -> str:
    return f"/v1/two-factor/enrollment/{begun['enrollment_id']}/confirm"


def _first_code(browser: Browser, begun: dict[str, str]) -> Answer:
    return browser.post(_confirm(begun), {"code": AuthenticatorApp(begun["secret"]).fresh()})


@watched
def forged_cursors(target: Target, watch: Watch) -> str:
    """Another account's cursors, and such as no list has written, at each list of one's own."""
    victim, thief = enrol(target), enrol(target)
    for owner in (victim, thief):
        owner.signed_in()  # each list has more than one row, and so a cursor
    tried = 0
    for path in _OWN_LISTS:
        first = expect(victim.browser.get(f"{path}?limit=1"), 200)
        theirs = {item["id"] for item in expect(victim.browser.get(path), 200)["items"]}
        forged = [encoded(key) for key in _FORGED_KEYS]
        for cursor in filter(None, (first["next_cursor"], *forged, *_NO_CURSORS)):
            answer = thief.browser.call("GET", f"{path}?cursor={quote(cursor)}")
            tried += 1
            if answer.status == 200:
                shown = {item["id"] for item in answer.body["items"]}
                watch.holds(f"{path}?cursor={cursor} shows what is another account's", not shown & theirs)
            else:
                watch.refused(f"{path}?cursor={cursor}", answer, "validation_failed")
    return f"{tried} cursors that were another account's, or no list's, at {len(_OWN_LISTS)} lists"


def encoded(key: str) -> str:
    """A key as a list writes it."""
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


_OWN_LISTS = ("/v1/activity", "/v1/sessions", "/v1/trusted-devices")
_FORGED_KEYS = ("", "0", "-1", "9" * 19, f"{'9' * 30}//", "\x00", "' OR 1=1 --", "acc_0/ses_0/dev_0", "9999 ses_0")
_NO_CURSORS = ("!", "AA=A", "e30", "A" * 400)


PROBES = (
    Probe(
        25,
        "across-accounts",
        "Enrollment, reset or phone change across accounts and teams",
        "CVE-2026-105209",
        across_accounts,
    ),
    Probe(
        28,
        "seen-secret",
        "A secret fixed before enabling that an attacker has seen",
        "gitlab#27686",
        seen_secret,
    ),
    Probe(61, "forged-cursors", "Forged cursors of lists", "GO-2026-4807", forged_cursors),
)
