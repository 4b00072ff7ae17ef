import base64
import json
import re
import stat

import pytest
from zxcvbn import zxcvbn

from deploy.local import seed
from deploy.local.demo_data import read_demo
from deploy.local.keys import load_or_make_keys
from deploy.local.settings import LocalSettings

# Stands for both services' command lines: records its arguments, and answers as `accounts create` does. It fails when a
# file named `fail` is there.
SERVICE = """
import json, pathlib, sys
secret = sys.stdin.read().strip()
calls = pathlib.Path("calls.jsonl")
if pathlib.Path("fail").exists() and "import" in sys.argv:
    sys.exit("no such thing")
with calls.open("a") as file:
    print(json.dumps([sys.argv[1:], secret]), file=file)
print("a warning that is no account")
print(json.dumps({"id": f"acc-{len(calls.read_text().splitlines())}"}))
"""


@pytest.fixture
def checkout(tmp_path):
    for name in ("auth", "otp"):
        package = tmp_path / "services" / name
        package.mkdir(parents=True)
        (package / "__main__.py").write_text(SERVICE)
    (tmp_path / "var").mkdir()
    return tmp_path


def seeded(checkout, port="8080"):
    given = LocalSettings.from_env({"PORT": port, "VAR_DIR": str(checkout / "var"), "PATH": "/usr/bin"})
    fields = {name: getattr(given, name) for name in given.__slots__}
    settings = LocalSettings(**{**fields, "root": checkout})
    keys, _ = load_or_make_keys(settings.keys_file)
    return seed.seed(settings, keys)


def calls_of(checkout):
    return [json.loads(line) for line in (checkout / "calls.jsonl").read_text().splitlines()]


def test_four_accounts_are_made_and_support_has_a_second_factor(checkout):
    demo = seeded(checkout)
    assert [(account.email, account.role, bool(account.totp_secret)) for account in demo.accounts] == [
        ("owner@example.com", "owner", False),
        ("member@example.com", "member", False),
        ("support@latchkey.example", "support", True),
        ("support2@latchkey.example", "support", True),
    ]
    path = checkout / "var" / "demo.json"
    assert read_demo(path) == demo
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (checkout / "var" / "demo.draft.json").exists()


def test_secrets_go_in_by_standard_input_only(checkout):
    demo = seeded(checkout)
    calls = calls_of(checkout)
    secrets = {account.password for account in demo.accounts} | {a.totp_secret for a in demo.accounts if a.totp_secret}
    assert {secret for _, secret in calls} == secrets
    assert not [arguments for arguments, _ in calls if secrets & set(arguments)]


def test_a_second_run_makes_nothing_and_corrects_the_address(checkout):
    first = seeded(checkout)
    second = seeded(checkout, port="9000")
    assert second.accounts == first.accounts
    assert second.base_url == "http://127.0.0.1:9000"
    assert len(calls_of(checkout)) == 6


def test_an_interrupted_run_is_taken_up_where_it_ended(checkout):
    (checkout / "fail").touch()
    with pytest.raises(seed.SeedError, match="no such thing"):
        seeded(checkout)
    assert not (checkout / "var" / "demo.json").exists()
    (checkout / "fail").unlink()
    seeded(checkout)
    made = [arguments[arguments.index("--email") + 1] for arguments, _ in calls_of(checkout) if "create" in arguments]
    assert made == [plan.email for plan in seed.PLANS]


def test_passwords_are_strong_and_typeable():
    password = seed.new_password()
    assert re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", password)
    assert zxcvbn(password)["score"] >= 3
    assert password != seed.new_password()


def test_totp_secrets_have_160_bits():
    assert len(base64.b32decode(seed.new_totp_secret())) == 20
