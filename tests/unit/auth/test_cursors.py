"""Cursors that we did not write, at each list: 422, whatever they hold."""

import pytest

from services.auth.pages import encode_cursor

LISTS = ["/v1/support/audit", "/v1/support/two-factor-resets", "/v1/support/accounts", "/v1/team", "/v1/activity"]
NUMBERED = ["/v1/support/audit", "/v1/activity"]


@pytest.mark.parametrize("path", NUMBERED)
@pytest.mark.parametrize("key", ["9" * 19, "9" * 140, "٣", "1.5", "-1"])
def test_a_number_that_no_row_has_is_not_ours(api, sam, path, key):
    key = f"{key}//" if path == "/v1/activity" else key
    answer = api(sam).get(path, query_string={"cursor": encode_cursor(key)})
    assert (answer.status_code, answer.json["errors"]) == (422, {"cursor": ["Not a cursor of ours."]})


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("cursor", ["!", "é", "AA=A", "AAAA", encode_cursor("\x00")])
def test_what_is_no_cursor_is_not_ours(api, sam, path, cursor):
    query = {"cursor": cursor, **({"query": "ann"} if path.endswith("/accounts") else {})}
    answer = api(sam).get(path, query_string=query)
    assert (answer.status_code, answer.json["errors"]) == (422, {"cursor": ["Not a cursor of ours."]})
