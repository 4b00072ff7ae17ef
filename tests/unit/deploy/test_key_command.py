"""`make keys`: the files it edits, what it says, what it refuses."""

import base64
import os
import stat
import subprocess
import sys
import threading

import pytest
from nacl.public import PrivateKey

from deploy.compose import secret_files
from deploy.key_lists import KEY_LISTS
from deploy.keys import LocalKeys, main, rotate
from deploy.local.environment import environment_of
from deploy.local.keys import DERIVED, MADE, load_or_make_keys, read_keys
from deploy.local.settings import ROOT, LocalSettings
from shared.keys import KeyList
from shared.migrations import upgrade

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    settings = LocalSettings.from_env({"VAR_DIR": str(tmp_path)})
    load_or_make_keys(settings.keys_file)
    return settings


@pytest.fixture
def compose(tmp_path, settings):
    folder = tmp_path / "compose" / "secrets"
    folder.parent.mkdir()
    secret_files.make(folder)
    return folder


@pytest.fixture
def enrolled(settings):
    """The database of a stack, with one authenticator under the first key."""
    upgrade("otp", f"sqlite:///{settings.var_dir}/otp.sqlite3")
    subprocess.run(
        [sys.executable, "-m", "services.otp", "authenticators", "import", "--account-id", "acc_1", "--label", "x"],
        env=environment_of("otp", settings, read_keys(settings.keys_file)) | {"PATH": os.environ["PATH"]},
        cwd=ROOT, input=SECRET, text=True, check=True, capture_output=True,
    )  # fmt: skip
    return settings


def ids(text):
    return [key.id for key in KeyList.parse(text)]


def local(settings, name):
    return ids(read_keys(settings.keys_file)[name])


def test_every_list_that_is_made_has_a_row():
    assert {row.name for row in KEY_LISTS} == {*MADE, "SMS_HTTP_KEYS"}


def test_every_list_is_in_the_page_about_keys():
    page = (ROOT / "docs" / "keys.md").read_text()
    assert [name for name in (*(row.name for row in KEY_LISTS), "TWILIO_AUTH_TOKEN") if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", [name for name in MADE if name != "OTP_SECRET_KEYS"])
def test_three_calls_turn_a_list_and_leave_the_others(settings, capsys, name):
    before = read_keys(settings.keys_file)
    expected = {(): ["dev1", "dev2"], ("--use",): ["dev2", "dev1"], ("--drop",): ["dev2"]}
    for step, order in expected.items():
        assert main(["rotate", name, *step]) == 0
        assert local(settings, name) == order
        said = capsys.readouterr().out
        assert said.startswith(f"{name}: {', '.join(order)}. Renew ")
        assert stat.S_IMODE(settings.keys_file.stat().st_mode) == 0o600
    after = read_keys(settings.keys_file)
    follows = {public for public, (source, _) in DERIVED.items() if source == name}
    assert {other for other in before if before[other] != after[other]} == {name} | follows
    assert load_or_make_keys(settings.keys_file) == (after, [])


def test_the_public_half_follows_when_the_new_key_is_used_and_not_before(settings):
    place, public = LocalKeys(settings), []
    for step in ("add", "use", "drop"):
        rotate(place, "NOTIFY_PRIVATE_KEYS", step)
        public.append(read_keys(settings.keys_file)["NOTIFY_PUBLIC_KEY"])
    assert [ids(text)[0] for text in public] == ["dev1", "dev2", "dev2"]
    private = KeyList.parse(read_keys(settings.keys_file)["NOTIFY_PRIVATE_KEYS"]).newest.material.reveal()
    assert KeyList.parse(public[-1]).newest.material.reveal() == bytes(PrivateKey(private).public_key)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("OTP_DIGEST_KEYS", "--use"), "no new key waits"),
        (("OTP_DIGEST_KEYS", "--drop"), "dev1 is the only one"),
        (("NOTIFY_PUBLIC_KEY",), "follows NOTIFY_PRIVATE_KEYS"),
        (("SMTP_PASSWORD",), "none of the lists"),
        (("SMS_HTTP_KEYS",), "is not kept in"),
    ],
)
def test_what_can_not_be_done_is_a_sentence_and_changes_nothing(settings, capsys, arguments, reason):
    before = settings.keys_file.read_bytes()
    assert main(["rotate", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("latchkey: ")
    assert reason in said
    assert settings.keys_file.read_bytes() == before


def test_nothing_that_is_said_holds_a_key(settings, capsys):
    for step in ((), (), ("--use",), ("--use",), ("--drop",), ("--drop",)):
        main(["rotate", "OTP_API_KEYS", *step])
    settings.keys_file.write_text(
        settings.keys_file.read_text().replace("JWT_SIGNING_KEYS=dev1:", "JWT_SIGNING_KEYS=?:")
    )
    assert main(["rotate", "JWT_SIGNING_KEYS"]) == 1
    said = "".join(capsys.readouterr())
    for text in read_keys(settings.keys_file).values():
        assert [item for item in text.split(",") if item.partition(":")[2] in said] == []


def test_a_stack_that_was_never_started_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    assert main(["rotate", "OTP_API_KEYS"]) == 1
    assert "`make run` makes it" in capsys.readouterr().err


def test_two_at_once_lose_no_key(settings):
    barrier, names = threading.Barrier(3), ("OTP_API_KEYS", "OTP_DIGEST_KEYS", "AUTH_DIGEST_KEYS")

    def turn(name):
        barrier.wait()
        for step in ("add", "use", "drop") * 5:
            rotate(LocalKeys(settings), name, step)

    threads = [threading.Thread(target=turn, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [local(settings, name) for name in names] == [["dev6"]] * 3


def test_secrets_at_rest_are_moved_before_their_key_is_dropped(enrolled, capfd):
    assert main(["rotate", "OTP_SECRET_KEYS"]) == 0
    assert main(["rotate", "OTP_SECRET_KEYS", "--use"]) == 0
    assert main(["rotate", "OTP_SECRET_KEYS", "--drop"]) == 1
    assert "secrets are left (1 under dev1)" in capfd.readouterr().err
    assert local(enrolled, "OTP_SECRET_KEYS") == ["dev2", "dev1"]
    assert main(["rewrap"]) == 0
    assert '{"rewrapped": 1, "forgotten": 0}' in capfd.readouterr().out
    assert main(["rotate", "OTP_SECRET_KEYS", "--drop"]) == 0
    assert local(enrolled, "OTP_SECRET_KEYS") == ["dev2"]
    assert main(["status"]) == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert ["OTP_SECRET_KEYS", "dev2"] in lines
    assert ["dev2", "newest", "1"] in lines


def test_when_otp_can_not_be_asked_no_key_of_secrets_is_dropped(settings, capfd):
    """Its database is not there."""
    main(["rotate", "OTP_SECRET_KEYS"])
    main(["rotate", "OTP_SECRET_KEYS", "--use"])
    assert main(["rotate", "OTP_SECRET_KEYS", "--drop"]) == 1
    assert "the database does not answer" in capfd.readouterr().err
    assert local(settings, "OTP_SECRET_KEYS") == ["dev2", "dev1"]


def test_in_containers_it_is_a_file_each_that_every_image_can_read(compose):
    assert main(["--compose", "rotate", "NOTIFY_PRIVATE_KEYS"]) == 0
    assert main(["--compose", "rotate", "NOTIFY_PRIVATE_KEYS", "--use"]) == 0
    assert ids((compose / "notify_private_keys").read_text()) == ["k2", "k1"]
    assert ids((compose / "notify_public_key").read_text()) == ["k2"]
    assert stat.S_IMODE((compose / "notify_private_keys").stat().st_mode) == 0o444
    assert secret_files.make(compose) == []


def test_the_key_of_an_sms_gateway_is_made_on_demand(compose, capsys):
    assert main(["--compose", "rotate", "SMS_HTTP_KEYS"]) == 0
    assert "was empty and has its first key" in capsys.readouterr().out
    assert ids((compose / "sms_http_keys").read_text()) == ["k1"]
    assert len(base64.urlsafe_b64decode((compose / "sms_http_keys").read_text().partition(":")[2] + "=")) == 32


# --- development keys -------------------------------------------------------------------------------------------------


def started(module, environment):
    return subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("module", "service", "name"),
    [
        ("services.otp.wsgi", "otp", "OTP_SECRET_KEYS"),
        ("services.auth.wsgi", "auth", "JWT_SIGNING_KEYS"),
        ("services.auth.worker", "auth", "NOTIFY_PUBLIC_KEY"),
        ("services.notify.worker", "notify", "NOTIFY_PRIVATE_KEYS"),
    ],
)
def test_the_keys_of_a_development_stack_refuse_to_serve_in_production(settings, module, service, name):
    environment = environment_of(service, settings, read_keys(settings.keys_file))
    refused = started(module, {**environment, "LATCHKEY_ENV": "production", "PUBLIC_ORIGIN": "https://portal.example"})
    assert refused.returncode == os.EX_CONFIG
    assert f"{name} holds the development key dev1" in refused.stderr
    assert "Traceback" not in refused.stderr
