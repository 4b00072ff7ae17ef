import json
import os
import subprocess
import sys

import pyotp
import pytest
from click.testing import CliRunner

from services.otp.__main__ import main
from services.otp.domain.passcode import Passcode
from services.otp.domain.sms_text import render
from services.otp.key_uri import key_uri, new_secret
from services.otp.settings import OtpSettings, WorkerSettings
from shared.database import create_database
from shared.keys import encode_key
from shared.migrations import differences, heads, upgrade
from shared.sending_budgets import SMS_DAILY_CAP
from shared.settings import Environment, SettingsError
from tests.support import signing
from tests.support.names import NAMES
from tests.support.otp import ENVIRONMENT, make_world

GOOD = {**ENVIRONMENT, "NOTIFY_PUBLIC_KEY": f"n:{encode_key(b'n' * 32)}"}
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


def test_they_are_read():
    settings = OtpSettings.from_env(Environment(GOOD))
    assert (settings.issuer, settings.sms_host, settings.api_keys.newest.id) == ("Latchkey", "portal.example", "new")
    assert settings.sms_daily_cap == SMS_DAILY_CAP
    assert OtpSettings.from_env(Environment({**GOOD, "SMS_DAILY_CAP": "200"})).sms_daily_cap == 200


@pytest.mark.parametrize(
    ("given", "issuer"),
    [
        ({"BRAND_NAME": "Acme & Söhne"}, "Acme & Söhne"),
        ({"BRAND_NAME": "Acme & Söhne", "OTP_ISSUER": "Acme"}, "Acme"),
        ({"BRAND_NAME": "", "OTP_ISSUER": ""}, "Latchkey"),
    ],
)
def test_the_app_and_the_text_show_the_brand(given, issuer):
    settings = OtpSettings.from_env(Environment({**GOOD, **given}))
    assert settings.issuer == issuer
    uri = pyotp.parse_uri(key_uri(new_secret(), issuer=settings.issuer, label="ann@example.com"))
    assert (uri.issuer, uri.name) == (issuer, "ann@example.com")
    text = render(settings.issuer, settings.sms_host, Passcode("012345"), "BCDF")
    assert text.startswith(f"Your {issuer} code is 012345")
    assert ("Latchkey" in text) == (issuer == "Latchkey")


@pytest.mark.parametrize("name", ["a:b", "a\nb", "\u202eab", " ", "x" * 41])
def test_a_brand_that_cannot_stand_in_an_app_or_a_text_is_refused(name):
    with pytest.raises(SettingsError, match="BRAND_NAME must be a name"):
        OtpSettings.from_env(Environment({**GOOD, "BRAND_NAME": name}))


@pytest.mark.parametrize("name", [name for name in GOOD if name != "LATCHKEY_ENV"])
def test_none_has_a_default_but_the_issuer(name):
    with pytest.raises(SettingsError, match=name):
        OtpSettings.from_env(Environment({key: value for key, value in GOOD.items() if key != name}))


def test_all_faults_are_named_at_once_and_no_value_is_shown():
    with pytest.raises(SettingsError) as caught:
        OtpSettings.from_env(
            Environment(
                {
                    **GOOD,
                    "OTP_SECRET_KEYS": "s:hunter2",
                    "OTP_ISSUER": "a:b",
                    "PUBLIC_ORIGIN": "x",
                    "SMS_DAILY_CAP": "0",
                }
            )
        )
    for name in ("OTP_SECRET_KEYS", "OTP_ISSUER", "PUBLIC_ORIGIN", "SMS_DAILY_CAP"):
        assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_worker_gets_no_key_of_secrets_or_texts():
    environment = {name: GOOD[name] for name in ("LATCHKEY_ENV", "OTP_DATABASE_URL", "REDIS_URL", "OTP_SIGNING_KEYS")}
    environment["AUTH_VERIFY_KEYS"] = signing.ENVIRONMENT["AUTH_VERIFY_KEYS"]
    assert WorkerSettings.from_env(Environment(environment)).stores.broker_url.reveal() == GOOD["REDIS_URL"]


def test_models_and_migrations_agree(tmp_path):
    url = f"sqlite:///{tmp_path}/otp.sqlite3"
    upgrade("otp", url)
    upgrade("otp", url)
    assert differences("otp", url) == []
    assert len(heads("otp")) == 1


def run(arguments, environment, stdin=""):
    """The command in this process: Click's runner closes nothing that a process would not."""
    return CliRunner().invoke(main, list(arguments), input=stdin, env=environment, prog_name="python -m services.otp")


def run_process(arguments, environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


IMPORT = ("authenticators", "import", "--account-id", "acc_ann", "--label", "ann")


@pytest.fixture
def environment(migrated_file, tmp_path):
    import shutil

    shutil.copy(migrated_file, tmp_path / "otp.sqlite3")
    worker = {"AUTH_VERIFY_KEYS": signing.ENVIRONMENT["AUTH_VERIFY_KEYS"]}
    return {**GOOD, **worker, "OTP_DATABASE_URL": f"sqlite:///{tmp_path}/otp.sqlite3"}


def test_migrate_makes_the_tables(tmp_path):
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    done = run(["migrate"], {"OTP_DATABASE_URL": url})
    assert (done.exit_code, done.stderr) == (0, "")
    assert differences("otp", url) == []


def test_import_makes_an_authenticator_that_verifies(environment, redis, hashing, notify_public_key):
    done = run(IMPORT, environment, SECRET + "\n")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["account_id"] == "acc_ann"
    assert SECRET not in done.stdout + done.stderr
    engine = create_database(environment["OTP_DATABASE_URL"])
    world = make_world(engine, redis, hashing, notify_public_key)
    from services.otp.key_uri import decode_secret
    from shared.secret import Secret

    assert world.verify(world.code(secret=decode_secret(Secret(SECRET)))).json == {"factor": "totp"}
    assert world.state()["authenticators"][0]["id"] == answer["authenticator_id"]
    assert world.event_types() == []
    world.deps.recorder.close()
    engine.dispose()


def test_import_refuses_a_second_one(environment):
    run(IMPORT, environment, SECRET)
    done = run(IMPORT, environment, SECRET)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "on already" in done.stderr


@pytest.mark.parametrize(
    ("secret", "word"), [("GEZDGNBVGY3TQOJQ", "112 bits"), ("not base32!", "base32"), ("", "base32|bits")]
)
def test_import_refuses_a_poor_secret(environment, secret, word):
    import re

    done = run(IMPORT, environment, secret)
    assert done.exit_code == 1
    assert re.search(word, done.stderr)
    assert "Traceback" not in done.stderr


def test_import_notes_a_secret_under_160_bits(environment):
    done = run(IMPORT, environment, "GEZDGNBVGY3TQOJQGEZDGNBV")
    assert done.exit_code == 0
    assert "160 bits" in done.stderr


def test_import_refuses_an_account_id_that_no_path_can_name(environment):
    done = run(["authenticators", "import", "--account-id", "a/b", "--label", "x"], environment, SECRET)
    assert done.exit_code == 1


@pytest.mark.parametrize("label", NAMES, ids=ascii)
def test_import_takes_a_label_with_joiners_and_blanks_that_do_not_break(environment, label):
    done = run((*IMPORT[:-1], label), environment, SECRET)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("label", [" ", "a\u202eb", "a\nb", "\u200d", "a" * 129], ids=ascii)
def test_import_refuses_a_label_that_hides_or_moves_what_stands_beside_it(environment, label):
    done = run((*IMPORT[:-1], label), environment, SECRET)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "printable" in done.stderr


def test_a_settings_fault_is_one_line_and_exit_2():
    done = run_process(["-m", "services.otp", *IMPORT], {})
    assert (done.returncode, done.stdout) == (2, "")
    assert "OTP_DATABASE_URL is not set; OTP_SECRET_KEYS is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["wsgi", "worker"])
def test_the_composition_roots_stop_at_a_settings_fault(module):
    done = run_process(["-c", f"import services.otp.{module}"], {})
    assert done.returncode != 0
    assert "is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["wsgi", "worker"])
def test_the_composition_roots_build(module, environment):
    done = run_process(["-c", f"import services.otp.{module}"], environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_outbox_of_an_earlier_release_is_signed_by_a_command(environment):
    assert run(["sign-outbox"], {**environment, "OTP_SIGNING_KEYS": ""}).exit_code != 0
    done = run(["sign-outbox", "--again", "10"], environment)
    assert (done.exit_code, done.stdout) == (0, "0 messages were signed and are published\n")
