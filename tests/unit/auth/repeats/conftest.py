import dataclasses

import pytest

from tests.support.auth import ENVIRONMENT
from tests.support.migrated import copied, migrated
from tests.support.otp import make_world
from tests.support.repeats import LossyOtp, QuickHashing


@pytest.fixture(scope="module")
def otp_file(tmp_path_factory):
    return migrated("otp", tmp_path_factory.mktemp("otp"))


@pytest.fixture
def world(otp_file, tmp_path, redis, clock):
    folder = tmp_path / "otp"
    folder.mkdir()
    with copied(otp_file, folder) as engine:
        world = make_world(engine, redis, QuickHashing(max_waiting=4), ENVIRONMENT["NOTIFY_PUBLIC_KEY"])
        world.clock, world.deps = clock, dataclasses.replace(world.deps, clock=clock, totp_clock=clock)
        yield world
        world.deps.recorder.close()


@pytest.fixture
def otp(world):
    return LossyOtp(world)


@pytest.fixture
def on(tom, world):
    """2FA of Tom's is on."""
    world.enrol(tom.id)
    return tom
