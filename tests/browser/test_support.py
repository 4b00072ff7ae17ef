"""The support console, and the owner's side of a reset."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import STEP_SECONDS, code_of, give_code, key_on, log_out, prove_phone, update
from tests.support.people import turn_on_two_factor

pytestmark = pytest.mark.browser


def find(page, person):
    page.get_by_role("navigation").get_by_role("link", name="Support").click()
    page.get_by_label("Email, name or id").fill(person.email)
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#found li")).to_contain_text("Status")
    page.locator("#found a").click()
    expect(page.locator("#state .facts")).to_be_visible()


def begin_reset(page):
    """Open the ceremony, which stands behind a button."""
    page.get_by_role("button", name="Reset 2FA").click()
    expect(check_row(page, "video_id")).to_be_visible()


def check_row(page, check):
    return page.locator(f"[data-check={check}]")


def attest(page, check):
    row = check_row(page, check)
    row.get_by_role("textbox").fill("ID card with the account's name, seen live")
    row.get_by_role("button", name="Record this check").click()
    expect(row.locator(".pill")).to_have_text("Passed")


def mailed_words(account, inbox):
    return re.search(r"words to the operator:\s+([a-z]+ [a-z]+)", inbox(account.email, "words to the operator"))[1]


def pass_email_code(page, account, inbox):
    row = check_row(page, "email_code")
    row.get_by_role("button", name="Mail the words").click()
    expect(row.get_by_role("textbox")).to_be_visible()
    row.get_by_role("textbox").fill(mailed_words(account, inbox).upper())
    row.get_by_role("button", name="Check the words").click()
    expect(row.locator(".pill")).to_have_text("Passed")


def ask_for_reset(page):
    page.get_by_label("Ticket").last.fill("SUP-1042")
    page.get_by_label("Reason").last.fill("Phone lost")
    page.get_by_role("button", name="Start the reset").click()


def test_the_timeline_says_why_they_cant_get_in(visit, mia, operator, inbox):
    theirs = visit()
    page = theirs.give_password(mia.email, mia.password)
    page.get_by_label("Remember this device for 30 days").check()
    used = mia.fresh_code()
    give_code(page, used)
    page.wait_for_url("**/two-factor")
    expect(page.locator("#why")).to_contain_text("You can log in. Your last login was at")
    digits = prove_phone(page, inbox)
    page = visit().give_password(mia.email, mia.password)
    for code in ("000000", used, code_of(mia.key, ahead_seconds=-90)):
        give_code(page, code)
        expect(page.locator("#code-error")).to_be_visible()
        expect(page.locator("#code-form")).not_to_have_attribute("aria-busy", "true")
    page.get_by_role("button", name="Send SMS Code").click()
    expect(page.locator("#sms-delivery")).to_have_text(re.compile("handed to the carrier|has arrived"))
    console = visit().log_in(operator)
    find(console, mia)
    fact = console.locator("#state .facts > div")
    for name, value in (
        ("2FA", "On since"),
        ("Backup codes left", "0"),
        ("Lock", "Not locked"),
        ("Cell phone", f"{digits}, verified"),
        ("Remembered devices", "1"),
    ):
        expect(fact.filter(has_text=name).first).to_contain_text(value)
    answer = console.locator("#why .note")
    expect(answer).to_contain_text(re.compile(r"No login since .*: 3 wrong codes from 1 network\."))
    expect(answer).to_contain_text("look for the entry of this account")
    login = console.locator("#timeline .line > li", has_text="Not logged in: wrong code × 3")
    expect(login).to_have_count(1)
    expect(login.locator("summary")).to_contain_text("Chrome")
    steps = login.locator(".inner li")
    expect(steps.first).to_be_hidden()
    login.locator("summary").click()
    for said in ("invalid code", "it was used before", re.compile(r"clock (1 min 30 s|2 min) slow")):
        expect(steps.filter(has_text="Wrong code").filter(has_text=said)).to_be_visible()
    expect(steps.filter(has_text="SMS code requested")).to_be_visible()
    expect(steps.filter(has_text=re.compile("handed to the carrier|has arrived"))).not_to_have_count(0)
    visits = console.locator("#timeline .line > li", has_text="Support looked")
    expect(visits).to_have_count(1)
    expect(visits).to_contain_text(f"by Support ({operator.email}) · its ")
    assert used not in console.content()
    assert mia.key not in console.content()
    mine = theirs.open("/two-factor")
    expect(mine.locator("#activity .line > li", has_text="Support looked")).to_have_count(1)
    expect(mine.locator("#activity")).not_to_contain_text(operator.email)
    expect(mine.locator("#why .note")).to_contain_text("If it was you, look for the entry of this account in your app")
    console.get_by_label("Show").select_option("support")
    expect(console.locator("#timeline [data-list]")).not_to_contain_text("Wrong code")
    expect(console.locator("#timeline [data-list]")).to_contain_text("Support looked")
    with console.expect_download() as saved:
        console.get_by_role("button", name="Export as CSV").click()
    lines = saved.value.path().read_text().splitlines()
    assert lines[0].startswith('"at","source","type","actor"')
    assert all("support.viewed" in line for line in lines[1:])


def test_whoever_tried_too_often_is_seen_and_unlocked(visit, mia, operator):
    theirs = visit()
    page = theirs.give_password(mia.email, mia.password)
    for number in range(8):
        give_code(page, f"00000{number}")
        expect(page.locator("#code-form")).not_to_have_attribute("aria-busy", "true")
        expect(page.locator("#code-error, #code-form .form-error").and_(page.locator(":visible"))).not_to_have_count(0)
    expect(page.locator("#code-form .form-error")).to_contain_text(
        re.compile(r"Too many tries\. Try again in [45] min")
    )
    console = visit().log_in(operator)
    find(console, mia)
    expect(console.locator("#state")).to_contain_text("Codes at login: locked until ")
    expect(console.locator("#why .note")).to_contain_text(
        re.compile(r"Locked in new browsers until \d+:\d\d.[AP]M after 5 wrong codes from 1 network\.")
    )
    login = console.locator("#timeline .line > li", has_text="Not logged in: wrong code × 5, code not checked")
    expect(login).to_have_count(1)
    expect(login.locator(".inner li", has_text="locked until ")).to_have_count(1)  # of three tries
    console.locator("#unlock-ticket").fill("SUP-7")
    console.locator("#unlock-reason").fill("The owner mistyped")
    console.get_by_role("button", name="Lift the lock").click()
    expect(console.locator("#state")).to_contain_text("Not locked")
    expect(console.locator("#state-title")).to_be_focused()
    expect(console.get_by_role("button", name="Lift the lock")).to_be_hidden()
    expect(console.locator("#timeline li", has_text="Support lifted the lock")).to_contain_text(operator.email)
    give_code(page, mia.fresh_code())
    page.wait_for_url("**/two-factor")


def test_a_new_operator_enrols_with_the_word_and_signs_in_again(visitor, make_owner):
    olga = make_owner(role="support", team="Latchkey Support")
    page = visitor.log_in(olga)
    expect(page).to_have_url(re.compile("/two-factor$"))
    page.get_by_role("switch").check()
    words = page.get_by_role("textbox", name="One-time words")
    expect(words).to_be_focused()
    words.fill("three wrong words")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#word-error")).to_contain_text("These words are wrong")
    words.fill(olga.enrollment_word.upper())
    page.get_by_role("button", name="Continue").click()
    olga.key = key_on(page)
    expect(words).to_be_hidden()
    update(page, lambda: code_of(olga.key))
    olga.last_step = int(time.time()) // STEP_SECONDS
    page.get_by_role("button", name="I have saved them").click()
    page.get_by_role("link", name="Support").click()
    expect(page.get_by_text("This needs a login with an Authentication Code.")).to_be_visible()
    page.get_by_role("link", name="Go to the start page").click()
    expect(page).to_have_url(re.compile("/two-factor$"))
    log_out(page)
    visitor.log_in(olga)
    expect(page).to_have_url(re.compile("/support$"))


def test_whoever_gave_too_many_passwords_is_seen(visit, ann, operator):
    page = visit().open("/login")
    page.get_by_label("Email").fill(ann.email)
    for number in range(11):
        page.get_by_label("Password").fill(f"not the password {number}")
        page.get_by_label("Password").press("Enter")
        expect(page.locator("#password-step form")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("#password-step .form-error")).to_contain_text("Too many tries.")
    console = visit().log_in(operator)
    find(console, ann)
    expect(console.locator("#state")).to_contain_text("Passwords from new browsers: locked until ")
    expect(console.get_by_role("button", name="Lift the lock")).to_be_visible()


def test_a_reset_is_followed_live_to_its_end_and_its_owner_sets_2fa_up_again(
    visit, mia, operator, second_operator, inbox
):
    page = visit().log_in(operator)
    find(page, mia)
    expect(page.locator("#ceremony")).to_be_hidden()
    begin_reset(page)
    expect(check_row(page, "owner_approval")).to_contain_text("no other owner")
    expect(page.locator("#allows")).to_have_text("Not enough for a reset yet.")
    expect(page.get_by_role("button", name="Start the reset")).to_be_disabled()
    attest(page, "video_id")
    pass_email_code(page, mia, inbox)
    expect(page.locator("#allows")).to_have_text("Allows: a reset at once, when another operator has approved")
    ask_for_reset(page)
    expect(page.locator("#word")).to_contain_text("Read these words to the caller now")
    expect(page.locator("#reset-status")).to_have_text("Waits for a second operator")
    expect(page.get_by_role("button", name="Approve")).to_be_hidden()  # never offered what will be refused
    other = visit().log_in(second_operator)
    row = other.locator("#resets li", has_text=mia.email)
    for said in ("Waits for a second operator", "Requested", operator.email, "SUP-1042", "Phone lost"):
        expect(row).to_contain_text(said)
    row.get_by_role("link").click()
    seen = other.locator("#open-reset")
    for words in (operator.email, "Video call with photo ID", "seen live", "SUP-1042", "Phone lost"):
        expect(seen).to_contain_text(words)
    other.get_by_role("button", name="Approve").click()
    expect(page.locator("#reset-status")).to_have_text("Applied", timeout=20_000)
    expect(page.locator("#state")).to_contain_text("Off; asked to set it up again")
    mia.key = None
    theirs = visit().log_in(mia)
    expect(theirs.get_by_text("Set it up again now")).to_be_visible()


@pytest.mark.parametrize("where", ["by the link in the notice", "on the page"])
def test_the_owner_can_stop_a_reset(visit, mia, operator, inbox, where):
    theirs = visit().log_in(mia)
    page = visit().log_in(operator)
    find(page, mia)
    begin_reset(page)
    attest(page, "billing_details")
    pass_email_code(page, mia, inbox)
    ask_for_reset(page)
    expect(page.locator("#reset-status")).to_have_text("Waits for a second operator")
    if where == "on the page":
        theirs.reload()
    else:
        theirs = visit().page
        theirs.goto(re.search(r"http://\S+/reset/cancel#\S+", inbox(mia.email, "cancel it: "))[0].rstrip("."))
    theirs.get_by_role("button", name="Cancel the removal").click()
    expect(theirs.get_by_text("Cancelled.")).to_be_visible()
    expect(page.locator("#reset-status")).to_have_text("Cancelled", timeout=20_000)


def test_the_inbox_shows_texts_and_mails_as_they_come(visit, ann, inbox):
    looking = visit().open("/dev/inbox")
    page = visit().log_in(ann)
    prove_phone(page, inbox, "01512 3456711")
    expect(looking.locator("#phone")).to_contain_text("+4915123456711")
    expect(looking.locator("#mailbox")).to_contain_text(ann.email)


def test_whoever_is_no_operator_gets_no_console(visit, ann):
    page = visit().log_in(ann)
    expect(page.get_by_role("link", name="Support")).to_have_count(0)
    page.goto(page.url.replace("/two-factor", "/support"))
    expect(page.get_by_text("Your role does not allow this.")).to_be_visible()


def test_the_audit_trail_is_filtered_and_exported(visit, ann, operator):
    page = visit().log_in(operator)
    find(page, ann)
    page.get_by_role("link", name="All accounts").click()
    trail = page.locator("#audit")
    expect(trail).to_contain_text(ann.email)
    trail.get_by_label("Show").select_option("second_factor.unlocked")
    expect(trail.locator("[data-list]")).not_to_contain_text(ann.email)
    trail.get_by_label("Show").select_option("support.viewed")
    with page.expect_download() as saved:
        trail.get_by_role("button", name="Export as CSV").click()
    lines = saved.value.path().read_text().splitlines()
    assert lines[0] == '"at","actor","operator_email","type","account_id","account_email","details"'
    assert any(ann.id in line for line in lines)
    assert all("support.viewed" in line for line in lines[1:])


def test_the_audit_trail_tells_who_did_what_to_whom(visit, ann, mia, operator, second_operator):
    for sees in (operator, second_operator):
        page = visit().log_in(sees)
        for seen in (ann, mia):
            find(page, seen)
    page.get_by_role("link", name="All accounts").click()
    trail = page.locator("#audit")
    rows = trail.locator("[data-list] li")
    trail.get_by_label("Account").fill(mia.email)
    trail.get_by_label("Account").press("Enter")
    # A visit of each, and this look at the trail, which names the account as well, within the second one's.
    expect(trail.locator(".line > li").filter(has_text=mia.email)).to_have_count(2)
    expect(trail.locator(".line > li")).to_have_count(2)
    trail.get_by_label("Operator").fill(operator.id)
    trail.get_by_label("Show").select_option("support.viewed")
    expect(trail.locator(".line > li")).to_have_count(1)
    expect(rows.filter(has_text=operator.email)).not_to_have_count(0)
    with page.expect_download() as saved:
        trail.get_by_role("button", name="Export as CSV").click()
    lines = saved.value.path().read_text().splitlines()
    assert len(lines) == 3  # the state and the timeline, below the head
    assert all(operator.email in line and mia.id in line for line in lines[1:])
    trail.get_by_label("Account").fill("nobody@example.com")
    trail.get_by_label("Account").press("Enter")
    expect(trail.locator("[data-list]")).to_have_text("Nothing matches.")


def entry(minute, kind, actor="owner", **details):
    return {"type": kind, "at": f"2026-11-24T05:{minute:02}:00Z", "actor": actor, "details": details}


def told(items):
    """A page of a timeline, out of its entries, oldest first."""
    return {
        "items": [{"id": f"evt_{n}", "source": "auth", **one} for n, one in enumerate(items)][::-1],
        "next_cursor": None,
    }


HOME, AWAY = {"ip": "192.0.2.7", "browser": "Firefox on Linux"}, {"ip": "198.51.100.9", "browser": "Safari on iOS"}
AT_HOME, FAR_AWAY = {"challenge_id": "chl_1"}, {"challenge_id": "chl_2"}
TWO_LOGINS_AT_ONCE = [
    entry(0, "password.refused", ip=HOME["ip"]),
    entry(1, "password.accepted", **HOME, **AT_HOME),
    entry(2, "password.accepted", **AWAY, **FAR_AWAY),
    entry(3, "second_factor.rejected", purpose="login", reason="wrong", **FAR_AWAY),
    entry(4, "sms.requested", purpose="login", message_id="sms_1", ip=HOME["ip"], **AT_HOME),
    entry(5, "second_factor.rejected", purpose="login", reason="wrong", **FAR_AWAY),
    entry(6, "sms.delivery_changed", "system", message_id="sms_1", status="delivered"),
    entry(7, "session.started", factors=["password", "sms"], **HOME, **AT_HOME),
    *(entry(8 + n, "second_factor.rejected", purpose="step_up", reason="wrong") for n in range(7)),
    *(entry(20 + n, "support.viewed", "operator:acc_1", what=what) for n, what in enumerate(["account", "timeline"])),
    entry(50, "support.viewed", "operator:acc_1", what="account"),
    entry(51, "second_factor.unlocked", "operator:acc_1"),
    entry(52, "phone.set", "team-owner:acc_2"),
    entry(53, "password.changed"),
]


def test_each_login_and_each_visit_is_one_row_and_what_repeats_collapses(visit, ann, operator):
    page = visit().log_in(operator)
    page.route("**/timeline?**", lambda route: route.fulfill(json=told(TWO_LOGINS_AT_ONCE)))
    find(page, ann)
    lines = page.locator("#timeline .line > li")
    expect(lines).to_have_text(
        [
            re.compile(r"Password changed.*by the owner"),
            re.compile(r"must be verified.*by an owner of the team"),
            re.compile(r"Support lifted the lock.*by Support"),
            re.compile(r"Support looked.*by Support · its state"),
            re.compile(r"Support looked.*by Support · its timeline, its state"),
            re.compile(r"Wrong code × 7.*to confirm a change"),
            re.compile(r"Logged in after wrong password.*password \+ SMS · Firefox · Linux · 192\.0\.2\.7"),
            re.compile(r"Not logged in: wrong code × 2.*Safari · iOS · 198\.51\.100\.9"),
        ]
    )
    expect(lines.locator("details")).to_have_count(4)
    expect(lines.nth(6).locator(".inner li")).to_have_count(5)
    theirs = visit()
    theirs.page.route("**/v1/activity?**", lambda route: route.fulfill(json=told(own(TWO_LOGINS_AT_ONCE))))
    mine = theirs.log_in(ann).locator("#activity .line > li")
    expect(mine).to_have_count(7)  # the visits are one row
    expect(mine.filter(has_text="Password changed")).to_contain_text("by you")


def own(items):
    """The same as its owner is told: without saying who at support it was."""
    public = {"operator:acc_1": "support", "team-owner:acc_2": "team owner"}
    return [{**one, "actor": public.get(one["actor"], one["actor"])} for one in items]


def test_a_code_that_came_after_it_had_expired_is_among_what_went_wrong(visit, ann, operator):
    page = visit().log_in(operator)
    message = {"message_id": "sms_1", "reference": "BCDF"}
    items = [
        entry(0, "sms.requested", **message, expires_at="2026-11-24T05:05:00Z"),
        entry(7, "sms.delivery_changed", **message, status="delivered"),
        entry(8, "phone.removed"),
    ]
    page.route("**/timeline?**", lambda route: route.fulfill(json=told(items)))
    find(page, ann)
    page.locator("#timeline").get_by_label("Show").select_option("trouble")
    expect(page.locator("#timeline .line > li")).to_have_count(1)
    expect(page.locator("#timeline .line")).to_contain_text("it arrived after it had expired")


def test_an_owner_is_led_to_the_question_and_what_the_operator_typed_stays(visit, stack, make_owner, operator, inbox):
    boss, other = make_owner("owner", "Two Owners Ltd"), make_owner("owner", "Two Owners Ltd")
    other.key = turn_on_two_factor(stack, other)
    boss.key = turn_on_two_factor(stack, boss)
    page = visit().log_in(operator)
    find(page, boss)
    begin_reset(page)
    billing, asked = check_row(page, "billing_details").get_by_role("textbox"), check_row(page, "owner_approval")
    billing.fill("Invoice 7")
    asked.get_by_role("button", name="Ask the other owners").click()
    expect(asked.locator(".pill")).to_have_text("Waiting")
    expect(billing).to_have_value("Invoice 7")
    theirs = visit().log_in(other)
    theirs.get_by_role("link", name="Requests from Support").click()
    expect(theirs.locator("#approvals")).to_contain_text(boss.email)
    theirs.get_by_role("button", name="Yes, approve").click()
    expect(theirs.locator("#approvals")).to_contain_text("No requests are waiting for you.")
    expect(asked.locator(".pill")).to_have_text("Passed")
    expect(billing).to_have_value("Invoice 7")


def test_nobody_is_offered_a_reset_or_an_unlock_of_their_own_account(visit, operator):
    page = visit().log_in(operator)
    find(page, operator)
    expect(page.locator("#timeline .line")).to_be_visible()
    expect(page.locator("#new-reset")).to_be_hidden()
    expect(page.locator("#unlock-form")).to_be_hidden()
