import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.domain.retries import CODE_DELAYS, FAILOVER_SECONDS, NOTICE_DELAYS
from services.notify.domain.routing import Route, Turn, choose, maybe_taken, next_try, not_taken
from services.notify.providers import state
from shared.clock import after
from tests.unit.notify.courier import START, Courier

ORDER = ("a", "b", "c")
NAMES = st.sampled_from(ORDER)
ROUTES = st.builds(
    Route,
    at=st.none() | NAMES,
    failed=st.lists(NAMES, unique=True, max_size=2).map(tuple),
    rounds=st.integers(0, 20),
    turn=st.none() | st.builds(Turn, NAMES, st.integers(0, 300).map(lambda seconds: after(START, seconds))),
)
WELL = st.sets(NAMES)


def test_the_first_well_provider_is_asked():
    assert choose(ORDER, {"a", "b"}, Route()) == "a"
    assert choose(ORDER, {"b", "c"}, Route()) == "b"


def test_the_first_is_asked_when_none_is_well():
    assert choose(ORDER, set(), Route()) == "a"


def test_who_said_no_is_asked_last_even_if_the_other_is_unwell():
    assert choose(("a", "b"), {"a"}, Route(failed=("a",))) == "b"


@given(well=WELL, route=ROUTES)
def test_who_may_have_the_message_keeps_it(well, route):
    if route.at is not None:
        assert choose(ORDER, well, route) == route.at


def test_nobody_is_asked_in_place_of_a_provider_that_is_in_use_no_more():
    assert choose(("a", "b"), {"a", "b"}, Route(at="c")) is None


@given(well=WELL, route=ROUTES)
def test_after_a_no_the_message_is_nowhere_new(well, route):
    provider = choose(ORDER, well, route)
    assert not_taken(route, provider, ORDER).at == route.at


@given(well=st.lists(WELL, min_size=3, max_size=3))
def test_everyone_is_asked_once_in_a_round(well):
    route, asked = Route(), []
    for well_now in well:
        asked.append(choose(ORDER, well_now, route))
        route = not_taken(route, asked[-1], ORDER)
    assert sorted(asked) == sorted(ORDER)
    assert route == Route(rounds=1)


@given(route=ROUTES, provider=NAMES)
def test_a_lost_answer_binds_the_message_to_its_provider(route, provider):
    after_it = maybe_taken(route, provider)
    assert (after_it.at, after_it.rounds, after_it.failed) == (provider, route.rounds + 1, ())


def test_another_provider_is_asked_at_once_and_rounds_lie_apart():
    late = after(START, 300)
    first = not_taken(Route(), "a", ("a", "b"))
    assert next_try(first, START, late, CODE_DELAYS) == FAILOVER_SECONDS
    second = not_taken(first, "b", ("a", "b"))
    assert next_try(second, START, late, CODE_DELAYS) == CODE_DELAYS[0]


@pytest.mark.parametrize("route", [Route(failed=("a",)), Route(rounds=1), Route(at="a", rounds=9)])
def test_no_try_comes_after_the_deadline(route):
    assert next_try(route, START, after(START, 0.1), CODE_DELAYS) is None


@settings(deadline=None)
@given(route=ROUTES)
def test_a_route_is_kept_as_it_is(route):
    courier = Courier()
    state.put_route(courier.redis, "msg_1", route)
    assert state.reading("msg_1", []).run(courier.redis).route == route


def test_a_message_that_was_nowhere_has_an_empty_route(courier):
    assert state.reading("msg_1", []).run(courier.redis).route == Route()


def test_a_route_outlives_the_longest_pause_between_two_tries_and_is_forgotten_then(courier):
    state.put_route(courier.redis, "msg_1", Route(at="a"))
    assert max(*NOTICE_DELAYS, *CODE_DELAYS) * 2 < courier.redis.ttl("notify:route:msg_1") <= 900
