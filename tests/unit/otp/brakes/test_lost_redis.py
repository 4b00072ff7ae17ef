"""The row of failures goes on in a Redis that was lost, or that fell behind SQL."""

from services.otp.limits import HARD_STOP, STOP_FOR_STRANGERS
from tests.support.brakes import IN_A_ROW, OF_STRANGERS, fail, fail_on_devices, fail_through_all_windows, scopes
from tests.support.otp import World, counted_statements


def test_the_row_goes_on_where_it_stood(world: World):
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS - 2)
    world.redis.flushall()
    assert fail(world, 3) == [401, 401, 429]
    world.settle()
    assert world.redis.mget(IN_A_ROW, OF_STRANGERS) == [str(STOP_FOR_STRANGERS)] * 2


def test_what_is_still_on_its_way_to_sql_counts(world: World):
    world.enrol()
    world.deps.recorder._start = lambda: None
    for _ in range(STOP_FOR_STRANGERS - 1):
        assert world.verify(world.wrong_code()).status_code == 401
        world.end_windows()
    world.redis.flushall()
    assert fail(world, 2) == [401, 429]


def test_a_count_that_fell_behind_sql_is_level_with_it_after_a_batch(world: World):
    """As after a failure that a success overtook, or one that was compared while Redis was lost."""
    world.enrol()
    fail_through_all_windows(world, 5)
    world.redis.set(IN_A_ROW, 2, ex=1000)
    fail(world, 1)
    world.settle()
    assert world.redis.get(IN_A_ROW) == "6"
    assert 0 < world.redis.ttl(IN_A_ROW) <= 1000


def test_sql_that_fell_behind_a_stop_is_level_with_it_once_a_try_meets_it(world: World):
    """As after a success that a failure overtook: the stop comes that much early, and all see the same."""
    world.enrol()
    fail_through_all_windows(world, STOP_FOR_STRANGERS - 2)
    world.redis.incr(OF_STRANGERS)
    assert fail(world, 2) == [401, 429]
    world.settle()
    assert (world.state()["strangers_failures"], scopes(world)) == (STOP_FOR_STRANGERS, ["new_browsers"])


def test_it_costs_one_look_at_sql_and_no_more(world: World):
    world.enrol()
    fail_through_all_windows(world, 3)
    world.redis.flushall()
    fail(world, 1)
    with counted_statements(world.database) as statements:
        fail(world, 1)
    assert len(statements) == 1


def test_what_support_lifted_stays_lifted(world: World):
    world.enrol()
    fail_on_devices(world, HARD_STOP - 1)
    world.account("POST", "unlock", {})
    world.redis.flushall()
    assert world.verify(world.code()).status_code == 200
