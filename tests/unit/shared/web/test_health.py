"""Health and metrics."""

import pytest
from prometheus_client import generate_latest
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError

from shared.web import create_base_app, metrics_of
from tests.support.web import SECRET, problem


def shown(client):
    return generate_latest(metrics_of(client.application)).decode()


def test_live_is_not_ready():
    state = {"error": None}

    def redis():
        if state["error"] is not None:
            raise state["error"]

    app, _ = create_base_app("test", title="T", version="v1", checks={"sql": lambda: 1, "redis": redis}, docs=False)
    client = app.test_client()
    assert (client.get("/readyz").status_code, client.get("/readyz").json["status"]) == (200, "ok")
    for error in (RedisConnectionError(SECRET), OperationalError("", None, Exception()), OSError(SECRET)):
        state["error"] = error
        answer = client.get("/readyz")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert answer.json == {"status": "unavailable", "parts": {"sql": "ok", "redis": "down"}}
        assert client.get("/healthz").json == {"status": "ok"}


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/metrics/", "/%6detrics", "/./metrics", "/METRICS"])
def test_no_path_of_the_api_shows_metrics(client, path):
    problem(client.get(path), 404, "not_found")


def test_metrics_count_by_route_and_never_by_address(client):
    client.get("/things/acc_in_the_path")
    client.get("/nowhere_at_all")
    text = shown(client)
    assert 'route="/things/<id:thing>"' in text
    assert 'route="(none)"' in text
    assert "acc_in_the_path" not in text
    assert "nowhere_at_all" not in text


@pytest.mark.parametrize("method", ["BREW", "PROPFIND", "PATCH", "X" * 200])
def test_metrics_know_made_up_methods_as_other(client, method):
    assert client.open("/listed", method=method).status_code == 405
    lines = shown(client).splitlines()
    counted = [line for line in lines if line.startswith("latchkey_test_requests_total")]
    assert any('method="OTHER",route="(none)",status="405"' in line for line in counted)
    assert not any(f'method="{method}"' in line for line in counted)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_metrics_count_the_methods_of_http_by_name(client, method):
    client.open("/things/x", method=method)
    assert f'method="{method}"' in shown(client)


def test_two_apps_in_one_process_count_apart():
    apps = [create_base_app("test", title="T", version="v1", checks={}, docs=False)[0] for _ in range(2)]
    apps[0].test_client().get("/healthz")
    assert "/healthz" not in shown(apps[1].test_client())
