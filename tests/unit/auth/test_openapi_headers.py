"""The document names each header that a route reads or sets, besides those of HTTP itself."""

import inspect
import re
from types import FunctionType

import pytest

from services.auth.routes import cookies
from shared.openapi import Header

OURS = ("services.auth.routes", "shared.web", "shared.problems")
NAME = re.compile(r"(?:[A-Z][a-z]*)(?:-[A-Z][a-z]*)+")
# Those that each browser or proxy sends, or that a status always has; the document has no word of ours for them.
OF_HTTP = {"User-Agent", "X-Forwarded-For", "Cache-Control", "Set-Cookie", "Retry-After", "WWW-Authenticate"}


@pytest.fixture
def operations(app, api):
    """Each operation of the document, with the view that carries it out."""
    document = api().get("/openapi.json").json
    found = []
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            operation = document["paths"].get(path, {}).get(method.lower())
            if operation is not None:
                found.append((f"{method} {path}", operation, app.view_functions[rule.endpoint]))
    assert len(found) == sum(
        method in {"get", "post", "put", "delete"} for methods in document["paths"].values() for method in methods
    )
    return found


def layers(view):
    """The view and all that decorators have put around it."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)


def headers_of(function, seen):
    """The names of headers in this function of ours, and in those that it calls."""
    if function in seen or not function.__module__.startswith(OURS):
        return set()
    seen.add(function)
    if function is cookies.hand_over:  # it leaves the header to deliver, which runs after each request
        return {cookies.SESSION_HEADER.name}
    if function is cookies.deliver:
        return set()
    names = {one for one in function.__code__.co_consts if isinstance(one, str) and NAME.fullmatch(one)}
    for used in inspect.getclosurevars(function).globals.values():
        if isinstance(used, FunctionType):
            names |= headers_of(used, seen)
        else:
            names |= {one.name for one in (used if isinstance(used, tuple) else (used,)) if isinstance(one, Header)}
            names |= {used} if isinstance(used, str) and NAME.fullmatch(used) else set()
    return names


def named(operation):
    parameters = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"}
    return parameters.union(*(response.get("headers", ()) for response in operation["responses"].values()))


def test_each_header_of_a_route_stands_in_the_document(operations):
    unnamed = {}
    for where, operation, view in operations:
        seen = set()
        used = set().union(*(headers_of(layer, seen) for layer in layers(view)))
        if missing := used - named(operation) - OF_HTTP:
            unnamed[where] = sorted(missing)
    assert unnamed == {}


def test_no_header_stands_there_that_its_route_does_not_use(operations):
    invented = {}
    for where, operation, view in operations:
        seen = set()
        used = set().union(*(headers_of(layer, seen) for layer in layers(view)))
        if extra := named(operation) - used - OF_HTTP:
            invented[where] = sorted(extra)
    assert invented == {}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/two-factor", "delete", "204"), ("/v1/password", "post", "200")],
)
def test_a_new_token_of_the_session_is_told(api, path, method, status):
    responses = api().get("/openapi.json").json["paths"][path][method]["responses"]
    assert "void" in responses[status]["headers"]["X-Session-Token"]["description"]


@pytest.mark.parametrize(
    ("path", "method"),
    [("", "get"), ("/sms", "post"), ("/confirmation", "post"), ("/confirm", "post"), ("/verify", "post")],
)
def test_the_calls_of_a_login_name_the_header_without_which_it_has_ended(api, path, method):
    operation = api().get("/openapi.json").json["paths"][f"/v1/login/{{challenge_id}}{path}"][method]
    (parameter,) = [one for one in operation["parameters"] if one["name"] == "X-Challenge-Binding"]
    assert (parameter["in"], parameter["required"]) == ("header", False)
    assert "With a wrong or missing one" in parameter["description"]


def test_a_header_of_each_answer_is_told_once(api):
    assert "X-Request-Id" in api().get("/openapi.json").json["info"]["description"]
