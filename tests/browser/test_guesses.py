"""What guesses leave to the owner: a link in a mail under the brake, and the word that lets new browsers try again."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect
from redis import Redis

from deploy.attack.inside import STRANGERS_AT_MOST, grow_older, have_failed
from deploy.portal import pages_of
from services.auth import challenge_store, guessing_brake
from shared import budgets
from tests.browser.conftest import PHONE, choose_language, confirm_self, give_code

pytestmark = pytest.mark.browser

LINK = re.compile(r"http://\S+/browser/confirm#(chl_\w+)\.[\w-]+")


@pytest.fixture
def redis(stack):
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as redis:
        yield redis


@pytest.fixture
def braked(redis, mia):
    """The brake is on, and strangers have used up today's try at mia's account."""
    redis.set(guessing_brake.KEY, 1, ex=600)
    budgets.take(redis, guessing_brake.the_try(mia.id))
    yield
    redis.delete(guessing_brake.KEY)


@pytest.fixture
def held_back(braked, visit, mia):
    """A browser whose code was refused, on a page that offers the link."""
    visitor = visit(size=PHONE)
    page = visitor.give_password(mia.email, mia.password)
    expect(page.locator("#one-try")).to_be_visible()
    expect(page.locator("#mail-form")).to_be_hidden()
    give_code(page, mia.fresh_code())
    expect(page.locator("#code-error")).to_contain_text("has one try a day with six digits")
    return visitor


@pytest.fixture
def link(held_back, mia, inbox):
    """What the owner's mail has, once it was requested."""
    page = held_back.page
    page.get_by_role("button", name="Send me a link by mail").click()
    expect(page.locator("#mail-sent")).to_be_visible()
    expect(page.locator("#mail-form")).to_be_hidden()
    return LINK.search(inbox(mia.email, "/browser/confirm#"))


def confirm(page):
    page.get_by_role("button", name="Yes, it's me").click()


def enter_code(page, person):
    page.get_by_role("link", name="Enter the code").click()
    give_code(page, person.fresh_code())
    page.wait_for_url("**/two-factor")


# --- the link ---------------------------------------------------------------------------------------------------------


def test_the_link_in_the_right_browser_lets_codes_in_again(held_back, link, mia):
    page = held_back.page
    page.goto(link[0])
    expect(page).to_have_url(f"{held_back.base_url}/browser/confirm")
    confirm(page)
    expect(page.locator("#confirm-done")).to_be_visible()
    expect(page.locator("#confirm-form")).to_be_hidden()
    enter_code(page, mia)


def test_to_open_the_link_confirms_nothing(held_back, link, redis):
    calls = []
    held_back.page.on("request", lambda request: calls.append(request.method))
    held_back.page.goto(link[0])
    expect(held_back.page.get_by_role("button", name="Yes, it's me")).to_be_enabled()
    assert set(calls) == {"GET"}
    assert not challenge_store.is_confirmed(redis, link[1])


def test_the_link_in_another_browser_confirms_nothing_and_stays_good(visit, held_back, link, mia, redis):
    elsewhere = visit().page
    elsewhere.goto(link[0])
    confirm(elsewhere)
    expect(elsewhere.locator("#confirm-form .form-error")).to_contain_text("begun in another browser")
    expect(elsewhere.locator("#confirm-done")).to_be_hidden()
    assert not challenge_store.is_confirmed(redis, link[1])
    held_back.page.goto(link[0])
    confirm(held_back.page)
    enter_code(held_back.page, mia)


def test_the_link_opened_twice_says_that_it_was_used(held_back, link):
    page = held_back.page
    page.goto(link[0])
    confirm(page)
    expect(page.locator("#confirm-done")).to_be_visible()
    page.goto(pages_of(link[0]))  # at the same address, so the browser sees another # and loads nothing by itself
    expect(page.locator("#confirm-done")).to_be_hidden()
    confirm(page)
    expect(page.locator("#confirm-form .form-error")).to_contain_text("was used already")


def test_the_link_of_a_login_that_has_expired_says_so(held_back, link, redis):
    challenge_store.delete(redis, link[1])
    held_back.page.goto(link[0])
    confirm(held_back.page)
    expect(held_back.page.locator("#confirm-form .form-error")).to_contain_text("its login has ended")


def test_another_language_and_a_jump_to_the_content_keep_the_link(held_back, link):
    page = held_back.page
    page.goto(link[0])
    choose_language(page, "Deutsch")
    expect(page.get_by_role("button", name="Ja, das bin ich")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link that skips to the content
    page.get_by_role("button", name="Ja, das bin ich").click()
    expect(page.locator("#confirm-done")).to_have_text("Bestätigt. Geben Sie jetzt in diesem Browser Ihren Code ein.")


@pytest.mark.parametrize("fragment", ["", "#", "#chl_1", "#chl_1.", "#../v1/logout.x", "#chl_1.x?y", "#chl%2F1.x"])
def test_what_is_no_link_of_ours_asks_for_nothing(visitor, fragment):
    page = visitor.open(f"/browser/confirm{fragment}")
    expect(page.locator("#confirm-form .form-error")).to_have_text(
        "The link is not complete. Open it from the message again."
    )
    expect(page.get_by_role("button", name="Yes, it's me")).to_be_hidden()


# --- the owner's word -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/security", "/two-factor"])
def test_the_owners_word_lets_new_browsers_try_again(visit, stack, mia, path):
    owner = visit()
    owner.log_in(mia)
    have_failed(stack, mia.id, STRANGERS_AT_MOST)
    stranger = visit().give_password(mia.email, mia.password)
    give_code(stranger, "000000")
    expect(stranger.locator("#code-error")).to_contain_text("Too many wrong codes")
    page = owner.open(path)
    held = page.locator("#held")
    expect(held).to_contain_text("Too many wrong codes in a row from browsers that your account does not know")
    expect(held).to_contain_text("let new browsers try again, in a browser that you have used before")
    held.get_by_role("button", name="Let new browsers try again").click()
    expect(page.locator("#said")).to_have_text("New browsers may enter codes again.")
    expect(held).to_be_hidden()
    give_code(stranger, mia.fresh_code())
    stranger.wait_for_url("**/two-factor")


def test_the_owners_word_needs_a_proof(visitor, stack, mia):
    page = visitor.log_in(mia)
    have_failed(stack, mia.id, STRANGERS_AT_MOST)
    (token,) = [one["value"] for one in visitor.context.cookies() if one["name"].endswith("latchkey_session")]
    grow_older(stack, token, timedelta(minutes=11))
    visitor.open("/security")
    page.locator("#held").get_by_role("button", name="Let new browsers try again").click()
    confirm_self(page, mia)
    expect(page.locator("#said")).to_have_text("New browsers may enter codes again.")
    expect(page.locator("#held")).to_be_hidden()
