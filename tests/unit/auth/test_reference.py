"""The page that shows the API document, and the setting that leaves both out."""

import re
import threading
from dataclasses import replace
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from deploy.local.announce import served_at
from deploy.local.ports import free_port
from services.auth.app import create_app
from tests.support import auth


@pytest.fixture
def browser(app):
    return app.test_client()


def test_the_page_runs_files_of_ours_alone_and_stands_in_no_frame(browser):
    answer = browser.get("/docs/")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert not re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|style=", answer.text)


def test_each_file_that_the_page_names_is_served(browser):
    names = re.findall(r'(?:href|src)="([^"]+)"', browser.get("/docs/").text)
    assert len(names) == 5
    for name in names:
        with browser.get(name) as answer:
            assert answer.status_code == 200, name
    assert "/openapi.json" in browser.get("/docs/start.js").text


@pytest.mark.parametrize("path", ["/docs/oauth2-redirect.html", "/docs/../app.py", "/docs/%2e%2e/x", "/docs/a/b"])
def test_no_other_file_of_the_package_is(browser, path):
    assert browser.get(path).status_code == 404


def test_the_reference_can_be_off(deps):
    off = create_app(replace(deps, settings=auth.settings(API_DOCS="off"))).test_client()
    for path in ("/docs", "/docs/", "/docs/start.js", "/docs/swagger-ui.css", "/openapi.json"):
        assert off.get(path).status_code == 404, path
    assert "/docs" not in off.get("/login", headers={"Host": "localhost"}).text
    assert off.get("/v1/time").status_code == 200
    on = create_app(deps).test_client()
    assert "/docs/" in on.get("/login", headers={"Host": "localhost"}).text


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("setting", "is_served"), [("on", True), ("off", False)])
def test_a_start_can_ask_whether_it_is_served(deps, setting, is_served):
    app = create_app(replace(deps, settings=auth.settings(API_DOCS=setting)))
    with make_server("127.0.0.1", free_port(), app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            assert served_at(f"http://127.0.0.1:{server.server_port}").reference is is_served
        finally:
            server.shutdown()
            thread.join()
