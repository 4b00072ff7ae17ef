"""`make run` with a Redis of somebody else's: it is used, or the person at the console is told at once why not."""

import time

import pytest

from deploy.local.announce import wait_until_ready
from deploy.local.ports import free_port
from deploy.local.programs import SERVICES
from deploy.local.redis_server import redis_server
from deploy.local.settings import LocalSettings
from deploy.local.stack import StackError, running_stack
from deploy.portal import Portal

pytestmark = pytest.mark.e2e


def test_a_redis_of_ones_own_is_used(tmp_path):
    with (
        redis_server(tmp_path / "redis", free_port()) as url,
        running_stack(tmp_path / "var", free_port(5), {"REDIS_URL": url}) as stack,
    ):
        assert Portal(stack.base_url).get("/readyz").status == 200
        assert not (stack.var_dir / "redis").exists()


def test_one_that_does_not_answer_is_named_before_anything_starts_and_its_password_is_not(tmp_path):
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    started = time.monotonic()
    with (
        pytest.raises(StackError, match=r"REDIS_URL names does not answer: .*Connection refused") as refused,
        running_stack(tmp_path, free_port(5), {"REDIS_URL": url}),
    ):
        pass
    assert time.monotonic() - started < 10
    assert "hunter2" not in str(refused.value)


def test_the_announcement_outlives_a_broker_that_does_not_answer(tmp_path):
    environment = {"BROKER_URL": f"redis://127.0.0.1:{free_port()}/0", "VAR_DIR": str(tmp_path), "PORT": "12"}
    settings = LocalSettings.from_env(environment)
    settings.conf_file.write_text("[supervisorctl]\nserverurl=unix:///nowhere\n")
    assert wait_until_ready(settings, SERVICES, 0.0) == list(SERVICES)
