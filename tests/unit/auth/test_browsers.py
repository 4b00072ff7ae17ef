import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth import history
from services.auth.domain.browsers import DESCRIPTIONS, describe
from services.auth.schemas.session import SessionListItem
from services.auth.schemas.two_factor import DeviceSchema
from services.auth.store.timeline import TimelineRow
from tests.support.auth import NOW

WINDOWS, MAC = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "description"),
    [
        (f"{WINDOWS} Gecko/20100101 Firefox/145.0", "Firefox on Windows"),
        (f"{WINDOWS} {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome on Windows"),
        (f"{WINDOWS} {WEBKIT} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge on Windows"),
        (f"{WINDOWS} {WEBKIT} Chrome/142.0.0.0 Safari/537.36 OPR/125.0.0.0", "Opera on Windows"),
        (f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15", "Safari on macOS"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/142.0.0.0 Safari/537.36", "Chrome on Linux"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/142.0 Safari/537.36", "Chrome on ChromeOS"),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S911B) {WEBKIT} SamsungBrowser/28.0 Chrome/130.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
        ),
        ("Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", "Firefox on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) CriOS/142.0 Mobile Safari/604.1", "Chrome on iPhone"),
        ("Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) FxiOS/145.0 Safari/605.1.15", "Firefox on iPad"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32.5", "Python"),
        ("Python-urllib/3.11", "Python"),
        ("Mozilla/5.0 (Windows NT 10.0; rv:11.0)", "unknown browser on Windows"),
        ("", "unknown browser"),
        ("=HYPERLINK(1)", "unknown browser"),
    ],
)
def test_a_user_agent_in_words_of_ours(user_agent, description):
    assert describe(user_agent) == description


@given(st.text() | st.lists(st.sampled_from(["Firefox/", "Edg/", "Windows", "iPad", " on ", "=1"])).map("".join))
def test_no_word_of_a_description_is_the_clients(user_agent):
    described = describe(user_agent)
    assert described in DESCRIPTIONS
    assert describe(described) == described


def test_each_description_can_be_read_again():
    assert {describe(one) for one in DESCRIPTIONS} == DESCRIPTIONS


def test_what_an_earlier_release_has_stored_is_shown_in_words_of_ours():
    old = "=HYPERLINK(1) Firefox/1"
    row = TimelineRow(1, "evt_1", NOW, "session.started", "owner", "192.0.2.7", {"browser": old})
    assert history.item_of(row).details == {"browser": "Firefox", "ip": "192.0.2.7"}
    assert SessionListItem(only=["browser"]).dump({"user_agent": old}) == {"browser": "Firefox"}
    assert DeviceSchema(only=["label"]).dump({"label": old}) == {"label": "Firefox"}
