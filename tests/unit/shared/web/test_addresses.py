"""Addresses, ids and methods."""

import pytest

from tests.support.web import problem


@pytest.mark.parametrize("path", ["/", "/nowhere", "/things", "/things/", "/%00", "/things/a%00b", "/things/a%2Fb",
                                  "/things/a.b", "/things/%F0%9F%92%A9", "/things/" + "x" * 81, "/things/a%0A",
                                  "/things/..", "/things/%FF"])  # fmt: skip
def test_what_is_not_there_is_a_404(client, path):
    problem(client.get(path), 404, "not_found")


def test_an_id_is_letters_digits_underscore_and_hyphen(client):
    assert client.get("/things/acc_4F-x").json == {"id": "acc_4F-x"}
    assert client.get("/things/" + "x" * 80).status_code == 200


def test_a_wrong_method_says_which_are_right(client):
    answer = client.get("/echo")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "OPTIONS, POST"


def test_a_redirect_is_a_path_without_a_page(client):
    answer = client.get("/slash", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers["Location"], answer.data) == (308, "/slash/", b"")


@pytest.mark.parametrize("path", ["//listed", "/listed//", "//things/x", "/things//x", "//evil.example", "//slash"])
def test_a_path_with_more_slashes_is_another_path(client, path):
    problem(client.get(path), 404, "not_found")
