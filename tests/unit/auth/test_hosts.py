from dataclasses import replace

import pytest

from services.auth.app import create_app
from services.auth.domain.hosts import EXEMPT_PATHS
from shared.settings import Mode
from tests.support.sign_in import problem

PUBLIC = "https://portal.example"


@pytest.fixture
def production(deps):
    return create_app(replace(deps, settings=replace(deps.settings, mode=Mode.PRODUCTION, public_origin=PUBLIC)))


@pytest.fixture
def development(deps):
    return create_app(deps)


def get(app, host, path="/v1/session", **headers):
    return app.test_client().get(path, headers={"Host": host, **headers})


FOREIGN = [
    "evil.example",
    "portal.example.evil.example",
    "evil.example:443",
    "portal.example:8443",
    "portal.example@evil.example",
    "portal.example/",
    "portal.example.",
    "portal.example:99999",
    "[",
    "10.0.0.1",
    "",
]


@pytest.mark.parametrize("host", [*FOREIGN, "127.0.0.1:8080", "localhost:8080", "[::1]"])
def test_production_answers_to_the_host_of_its_public_origin_alone(production, host):
    assert problem(get(production, host)) == (421, "misdirected_request")


@pytest.mark.parametrize("host", ["portal.example", "PORTAL.example", "portal.example:443"])
def test_production_answers_to_each_spelling_of_that_host(production, host):
    assert problem(get(production, host)) == (401, "not_authenticated")


def test_what_a_proxy_says_of_the_host_does_not_count(production):
    named = {"X-Forwarded-Host": "portal.example", "Forwarded": "host=portal.example"}
    assert problem(get(production, "evil.example", **named)) == (421, "misdirected_request")
    named = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    assert problem(get(production, "portal.example", **named)) == (401, "not_authenticated")


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/dev/inbox.json", "/dev/inbox", "/login", "/docs/", "/openapi.json", "/nowhere"])
def test_a_page_that_rebinds_its_name_to_a_development_stack_reads_nothing(development, host, path):
    answer = get(development, host, path)
    assert problem(answer) == (421, "misdirected_request")
    assert answer.content_type == "application/problem+json"


def test_a_foreign_host_is_refused_whatever_the_method(development):
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
        answer = development.test_client().open("/v1/session", method=method, headers={"Host": "evil.example"})
        assert answer.status_code == 421, method


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:18080", "localhost:1", "[::1]:8080", "portal.example:8080"])
def test_development_answers_on_loopback_and_under_its_public_name(development, host):
    assert problem(get(development, host)) == (401, "not_authenticated")


@pytest.mark.parametrize("path", sorted(EXEMPT_PATHS))
def test_probes_scrapers_and_other_services_may_ask_by_any_name(production, path):
    assert get(production, "10.0.0.7:8080", path).status_code != 421


WRONG_ORIGINS = [
    "http://portal.example",  # the page of whoever is on the network path
    "http://portal.example:443",
    "https://portal.example:8443",
    "https://portal.example:443",  # browsers leave the default port out
    "https://PORTAL.example",
    "https://portal.example.",
    "https://portal.example/",
    "https://sub.portal.example",
    "https://portal.example.evil.example",
    "https://localhost",
    "http://localhost:8080",
    "null",
    "",
]


def write(app, host, origin):
    return app.test_client().post("/v1/logout", headers={"Host": host, "Origin": origin})


@pytest.mark.parametrize("origin", WRONG_ORIGINS)
@pytest.mark.parametrize("mode", list(Mode))
def test_over_https_the_public_origin_alone_may_write(deps, mode, origin):
    """In development, too: there the gateway answers to localhost."""
    app = create_app(replace(deps, settings=replace(deps.settings, mode=mode, public_origin=PUBLIC)))
    assert problem(write(app, "portal.example", origin)) == (403, "origin_refused")
    assert problem(write(app, "portal.example", PUBLIC)) == (401, "not_authenticated")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_foreign_host_with_an_origin_to_match_is_misdirected(production, scheme):
    assert problem(write(production, "evil.example", f"{scheme}://evil.example")) == (421, "misdirected_request")


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_a_development_stack_over_https_takes_no_write_from_pages_of_http(deps, host):
    app = create_app(replace(deps, settings=replace(deps.settings, public_origin=PUBLIC)))
    assert problem(write(app, host, f"http://{host}")) == (403, "origin_refused")


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_pages_of_a_development_stack_write_under_the_name_that_was_asked(development, host):
    assert problem(write(development, host, f"http://{host}")) == (401, "not_authenticated")
    assert problem(write(development, host, f"https://{host}")) == (403, "origin_refused")
    assert problem(write(development, host, "http://localhost:3000")) == (403, "origin_refused")


def test_a_page_of_development_moves_from_the_address_to_the_name(development):
    moved = get(development, "127.0.0.1:8080", "/login?next=%2Fteam")
    assert (moved.status_code, moved.headers["Location"]) == (303, "http://localhost:8080/login?next=%2Fteam")
    assert get(development, "localhost:8080", "/login").status_code == 200


def test_calls_and_files_stay_at_the_address(development):
    assert problem(get(development, "127.0.0.1:8080", "/v1/session")) == (401, "not_authenticated")
    assert get(development, "127.0.0.1:8080", "/dev/inbox.json").status_code == 200
    assert get(development, "127.0.0.1:8080", "/portal/x/portal.css").status_code == 200


@pytest.mark.parametrize("path", ["//login", "///support", "//evil.example/login"])
def test_a_path_with_slashes_in_front_is_no_page_and_moves_nowhere(development, path):
    answer = development.test_client().get("/", environ_overrides={"PATH_INFO": path, "HTTP_HOST": "127.0.0.1:8080"})
    assert problem(answer) == (404, "not_found")


def test_a_page_never_moves_off_this_machine(development, production):
    moved = get(development, "127.0.0.1:8080", "//evil.example/login")
    assert "Location" not in moved.headers or moved.headers["Location"].startswith("http://localhost:8080/")
    assert "Location" not in get(production, "portal.example", "/login").headers
