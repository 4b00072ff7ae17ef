import pytest
import redis

from deploy.local.ports import free_port, is_free
from deploy.local.redis_server import RedisUnavailableError, answers_ping, redis_server, require_answer


def test_a_real_server_answers_keeps_its_data_and_ends(tmp_path):
    port = free_port()
    for text in (None, b"kept"):
        with redis_server(tmp_path / "redis", port) as url, redis.Redis.from_url(url) as client:
            assert client.ping()
            assert client.get("name") == text
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            client.set("name", "kept")
        assert is_free("127.0.0.1", port)


def test_it_ends_when_the_block_raises(tmp_path):
    port = free_port()

    def use():
        with redis_server(tmp_path, port):
            raise KeyError(port)

    with pytest.raises(KeyError):
        use()
    assert is_free("127.0.0.1", port)


def test_nobody_there_is_no_answer():
    assert not answers_ping(free_port(), 0.05)


@pytest.mark.parametrize("url", ["redis://:hunter/2@127.0.0.1:6379", "redis://127.0.0.1:hunter2", "hunter2"])
def test_a_url_that_is_none_is_refused_without_a_piece_of_its_password(url):
    with pytest.raises(RedisUnavailableError, match="REDIS_URL is no URL") as error:
        require_answer(url)
    assert "hunter" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
