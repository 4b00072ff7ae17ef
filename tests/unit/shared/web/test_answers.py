"""What holds for every answer."""

import pytest
import structlog

from shared.web import FOR_BROWSERS, create_base_app


@pytest.mark.parametrize("path", ["/listed", "/nowhere", "/raise/value", "/raise/redis"])
def test_no_answer_is_kept_sniffed_or_told_to_others(client, path):
    headers = client.get(path).headers
    assert (headers["Cache-Control"], "Referrer-Policy" in headers) == ("no-store", False)
    for_browsers, _ = create_base_app("test", title="T", version="v1", checks={}, docs=False, headers=FOR_BROWSERS)
    headers = for_browsers.test_client().get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_each_request_has_an_id_of_its_own(client):
    first, second = (client.get("/listed", headers={"X-Request-Id": "req_mine"}).headers for _ in range(2))
    assert len({first["X-Request-Id"], second["X-Request-Id"], "req_mine"}) == 3


def test_a_request_leaves_its_id_in_no_later_log(client):
    client.get("/listed")
    assert "request_id" not in structlog.contextvars.get_contextvars()
