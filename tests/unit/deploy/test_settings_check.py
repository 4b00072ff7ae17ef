"""A wrong setting is told before anything starts, whichever part it belongs to, and whether it stands in a file."""

import subprocess
import sys
import time

import pytest

from deploy.local.environment import environment_of
from deploy.local.keys import load_or_make_keys
from deploy.local.run import CANNOT_START, refuse_taken_ports, refuse_wrong_settings
from deploy.local.settings import ROOT, LocalSettings, SettingsError
from deploy.settings_check import READERS, refuse_faults


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    found, _ = load_or_make_keys(tmp_path_factory.mktemp("var") / "keys.env")
    return found


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"PORTAL": "maybe"}, "PORTAL must be one of on, off"),
        ({"SMS_DAILY_CAP": "0"}, "SMS_DAILY_CAP must be a whole number of at least 1"),
        ({"SMS_PROVIDERS": "pigeon"}, "SMS_PROVIDERS must list each of its names once, out of twilio, http, console"),
        (
            {"SMS_COUNTRIES": "de"},
            "SMS_COUNTRIES must be ISO 3166-1 codes of two capital letters, by commas, like DE,FR",
        ),
        ({"OTP_ISSUER": "a:b"}, "OTP_ISSUER must not contain ':', which parts issuer and account in the key URI"),
        ({"RESET_COOL_OFF_SECONDS": "x"}, "RESET_COOL_OFF_SECONDS must be a whole number of at least 1"),
        ({"AUTH_DATABASE_URL": "db"}, "AUTH_DATABASE_URL must begin with one of sqlite://, postgresql+psycopg://"),
        ({"BROKER_URL": "db", "PORTAL": "x"}, "BROKER_URL must begin with one of .*; PORTAL must be one of on, off"),
    ],
)
def test_what_a_part_refuses_is_told_before_anything_starts(keys, tmp_path, wrong, sentence):
    settings = LocalSettings.from_env({"VAR_DIR": str(tmp_path), **wrong})
    with pytest.raises(SettingsError, match=f"^{sentence.replace('+', '.')}$"):
        refuse_wrong_settings(settings, keys)


def test_what_make_run_sets_by_itself_is_accepted(keys, tmp_path):
    refuse_wrong_settings(LocalSettings.from_env({"VAR_DIR": str(tmp_path)}), keys)


def test_a_key_list_that_was_broken_by_hand_is_told_too(keys, tmp_path):
    broken = {**keys, "NOTIFY_VERIFY_KEYS": "none"}  # auth's event worker alone reads it
    with pytest.raises(SettingsError, match=r"^NOTIFY_VERIFY_KEYS "):
        refuse_wrong_settings(LocalSettings.from_env({"VAR_DIR": str(tmp_path)}), broken)


@pytest.mark.parametrize("part", READERS)
def test_each_part_s_settings_are_read(part):
    with pytest.raises(SettingsError, match="is not set"):
        refuse_faults([(part, {})])


def test_a_fault_of_two_parts_is_told_once(keys, tmp_path):
    settings = LocalSettings.from_env({"VAR_DIR": str(tmp_path), "SMS_DAILY_CAP": "-"})
    environments = [(part, environment_of(part, settings, keys)) for part in ("otp", "notify")]
    with pytest.raises(SettingsError, match=r"^SMS_DAILY_CAP must be a whole number of at least 1$"):
        refuse_faults(environments)


def test_an_address_of_another_machine_is_no_taken_port():
    with pytest.raises(Exception, match=r"HOST='192\.0\.2\.1' is no address of this machine"):
        refuse_taken_ports(LocalSettings.from_env({"HOST": "192.0.2.1"}))


def test_make_run_ends_at_once_with_that_sentence_and_starts_nothing(tmp_path):
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.run"],
        cwd=ROOT,
        env={"PORTAL": "maybe", "VAR_DIR": str(tmp_path), "PORT": "23190"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (CANNOT_START, "")
    assert done.stderr == "latchkey: PORTAL must be one of on, off\n"
    assert not list(tmp_path.glob("*.sqlite3"))
    assert time.monotonic() - started < 30  # a busy machine; it takes two seconds on a quiet one
