from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth import history
from services.auth.history import Place
from services.auth.store import timeline
from services.auth.store.timeline import Entry, TimelineRow, operator
from shared.database import writing
from shared.problems import Refusal
from tests.support.auth import NOW, FakeOtp, TurnedClock

seconds = st.lists(st.integers(0, 20), max_size=12)


def drain(page_of, between=lambda: None):
    """All pages behind each other."""
    items, cursor = [], None
    while True:
        page, cursor = page_of(cursor)
        items += page
        if cursor is None:
            return items
        assert page, "an empty page that is not the last"
        between()


@dataclass
class World:
    """Both lists in memory; otp gives ``at_once`` attempts at most."""

    rows: list[TimelineRow] = field(default_factory=list)
    otp: FakeOtp = field(default_factory=lambda: FakeOtp(TurnedClock()))
    at_once: int = 100

    def add_row(self, second):
        at = NOW + timedelta(seconds=second)
        number = len(self.rows) + 1
        self.rows.append(TimelineRow(number, f"evt_{number}", at, "session.started", "owner", None, {}))

    def add_attempt(self, second):
        self.otp.add_attempt("acc_1", NOW + timedelta(seconds=second))

    def newest(self, before, limit):
        return [row for row in reversed(self.rows) if before is None or row.position < before][:limit]

    def attempts(self, limit, cursor):
        return self.otp.attempts("acc_1", limit=min(limit, self.at_once), cursor=cursor)

    def pages(self, limit, between=lambda: None):
        return drain(lambda place: history.merge(self.newest, self.attempts, place or Place(), limit), between)


def world_of(rows, attempts, at_once=100):
    world = World(at_once=at_once)
    for second in rows:
        world.add_row(second)
    for second in attempts:
        world.add_attempt(second)
    return world


@given(seconds, seconds, st.integers(1, 8), st.integers(1, 4))
def test_the_pages_together_are_the_whole_merge(rows, attempts, limit, otp_page):
    """Also when rows were written later than they happened, so that neither list is in order by itself."""
    world = world_of(rows, attempts, otp_page)
    paged = world.pages(limit)
    whole = world.pages(1000)
    assert paged == whole
    assert len({item.id for item in paged}) == len(rows) + len(attempts)


@given(st.lists(st.integers(0, 20), max_size=12).map(sorted), st.lists(st.integers(0, 20), max_size=12).map(sorted))
def test_lists_in_order_give_a_list_in_order(rows, attempts):
    world = world_of(rows, attempts)
    times = [item.at for item in world.pages(5)]
    assert times == sorted(times, reverse=True)


@given(seconds, seconds, st.integers(1, 4))
def test_what_happens_while_someone_reads_moves_nothing(rows, attempts, limit):
    world = world_of(rows, attempts)
    before = {item.id for item in world.pages(1000)}

    def more():
        world.add_row(30)
        world.add_attempt(30)

    paged = [item.id for item in world.pages(limit, between=more)]
    assert len(paged) == len(set(paged))
    assert before <= set(paged)


@given(
    st.builds(
        Place,
        st.none() | st.integers(0, 10**18 - 1),
        st.none() | st.from_regex(r"[A-Za-z0-9_=-]{1,80}", fullmatch=True),
        st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,80}", fullmatch=True),
    )
)
def test_a_cursor_holds_a_place(place):
    assert history.read_cursor(history.write_cursor(place)) == place


@pytest.mark.parametrize(
    "cursor", ["", "x", "bm8", "MS8", "AAAA", "é", "9" * 200, history.pages.encode_cursor("9" * 30 + "//")]
)
def test_a_cursor_that_we_did_not_write_is_refused(cursor):
    with pytest.raises(Refusal) as refusal:
        history.read_cursor(cursor)
    assert refusal.value.code == "validation_failed"


def test_attempts_stand_among_the_rows(deps, api, ann, otp, clock):
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.SIGNED_IN, NOW, ip="192.0.2.7", session_id="ses_1")
    otp.add_attempt(ann.id, NOW + timedelta(seconds=1), reason="clock_skew", clock_skew_seconds=-95, factor=None)
    otp.add_attempt(ann.id, NOW + timedelta(seconds=2), "verified", factor="totp")
    items = api(ann).get("/v1/activity").json["items"]
    assert [(item["source"], item["type"]) for item in items] == [
        ("otp", "second_factor.verified"),
        ("otp", "second_factor.rejected"),
        ("auth", "session.started"),
    ]
    assert items[1] == {
        "id": "att_1",
        "at": "2026-11-24T05:00:01.000000Z",
        "source": "otp",
        "type": "second_factor.rejected",
        "actor": "owner",
        "details": {"reason": "clock_skew", "clock_skew_seconds": -95},
    }
    assert items[2]["details"] == {"session_id": "ses_1", "ip": "192.0.2.7"}


def test_the_owner_sees_that_support_acted_and_not_who(deps, api, ann, sam):
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.SUPPORT_VIEWED, NOW, actor=operator(sam.id), what="account")
        timeline.write(connection, ann.id, Entry.ROLE_CHANGED, NOW, actor=operator("cli"))
        timeline.write(connection, ann.id, Entry.PHONE_PENDING, NOW, actor=timeline.team_owner("acc_o"))
        timeline.write(connection, ann.id, Entry.SECOND_FACTOR_LOCKED, NOW, actor=timeline.SYSTEM)
    answer = api(ann).get("/v1/activity")
    assert [item["actor"] for item in answer.json["items"]] == ["system", "team owner", "support", "support"]
    assert sam.id not in answer.text


def test_activity_is_the_callers_own(deps, api, ann, owner, otp):
    with writing(deps.database) as connection:
        timeline.write(connection, ann.id, Entry.SIGNED_IN, NOW)
    otp.add_attempt(ann.id, NOW)
    assert api(owner).get("/v1/activity").json == {"items": [], "next_cursor": None}


def test_activity_by_pages_over_http(deps, api, ann, otp):
    with writing(deps.database) as connection:
        for _ in range(5):
            timeline.write(connection, ann.id, Entry.SIGNED_IN, NOW)
    for _ in range(5):
        otp.add_attempt(ann.id, NOW)
    caller = api(ann)

    def page_of(cursor):
        answer = caller.get("/v1/activity?limit=3" + (f"&cursor={cursor}" if cursor else "")).json
        assert len(answer["items"]) <= 3
        return [item["id"] for item in answer["items"]], answer["next_cursor"]

    ids = drain(page_of)
    assert len(ids) == len(set(ids)) == 10


def test_when_otp_is_down_the_timeline_is_503_and_not_half(api, ann, otp):
    otp.go_down()
    assert api(ann).get("/v1/activity").status_code == 503


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=!!", "bogus=1"])
def test_a_strange_query_is_refused(api, ann, query):
    assert api(ann).get(f"/v1/activity?{query}").status_code == 422
