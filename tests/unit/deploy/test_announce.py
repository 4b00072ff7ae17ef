import http.server
import threading

import pytest

from deploy.compose import __main__ as compose
from deploy.local.announce import Served, answers_200, failure_text, ready_text
from deploy.local.demo_data import DemoAccount, DemoData
from deploy.local.ports import free_port
from deploy.local.programs import SERVICES
from deploy.local.settings import LocalSettings


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/readyz" else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", free_port()), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_ready_is_a_200_and_nothing_else(server):
    assert answers_200(f"{server}/readyz")
    assert not answers_200(f"{server}/other")
    assert not answers_200(f"http://127.0.0.1:{free_port()}/readyz")


def test_the_announcement_names_addresses_accounts_and_the_next_step(tmp_path):
    demo = DemoData("http://here:1", (DemoAccount("1", "a@example.com", "pass-word", "support", "SECRET"),))
    text = ready_text(demo, tmp_path, Served(portal=True, reference=True))
    for part in (
        "http://here:1/docs",
        "http://here:1/dev/inbox",
        "a@example.com",
        "pass-word",
        "SECRET",
        "make demo",
    ):
        assert part in text


@pytest.mark.parametrize("text_of", [ready_text, compose.ready_text])
@pytest.mark.parametrize("served", [Served(portal=True, reference=True), Served(portal=False, reference=False)])
def test_it_names_the_pages_and_the_reference_only_where_they_are_served(text_of, served, tmp_path):
    lines = text_of(DemoData("http://127.0.0.1:1", ()), tmp_path, served).splitlines()
    shown = {line.split()[0]: line.split()[-1] for line in lines if "http://" in line}
    assert ("Portal" in shown, "Reference" in shown) == (served.portal, served.reference)
    assert shown.get("Portal", "http://localhost:1/") == "http://localhost:1/"
    assert shown.get("Reference", "http://localhost:1/docs") == "http://localhost:1/docs"
    assert shown["API"] == "http://127.0.0.1:1/v1"
    assert shown["SMS,"] == "http://localhost:1/dev/inbox" + ("" if served.portal else ".json")


def test_a_failure_names_the_part_and_shows_the_end_of_its_log(tmp_path):
    settings = LocalSettings.from_env({"VAR_DIR": str(tmp_path)})
    settings.log_dir.mkdir()
    (settings.log_dir / "otp.log").write_text("first\n" * 100 + "ImportError: last\n")
    text = failure_text(settings, SERVICES[:2])
    assert "not ready: otp, auth" in text
    assert "ImportError: last" in text
    assert text.count("first") < 20
    assert "(nothing written)" in text
