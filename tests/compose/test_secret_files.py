import stat
from urllib.parse import urlsplit

import pytest

from deploy.access.redis_acl import password_hash
from deploy.compose import secret_files
from services.otp.settings import OtpSettings
from shared.keys import KeyList
from shared.settings import Environment


@pytest.fixture
def folder(tmp_path):
    secret_files.make(tmp_path / "secrets")
    return tmp_path / "secrets"


def read(folder):
    return {path.name: path.read_text().strip() for path in folder.iterdir()}


def test_nobody_else_comes_into_the_folder_and_every_file_in_it_can_be_read(folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_a_folder_that_was_open_to_others_is_closed(folder):
    folder.chmod(0o755)
    secret_files.make(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_second_run_writes_nothing(folder):
    before = read(folder)
    assert secret_files.make(folder) == []
    assert read(folder) == before


def test_what_is_missing_is_made_and_the_rest_is_kept(folder):
    before = read(folder)
    (folder / "otp_secret_keys").unlink()
    assert secret_files.make(folder) == ["otp_secret_keys"]
    after = read(folder)
    assert after.pop("otp_secret_keys") != before.pop("otp_secret_keys")
    assert after == before


def test_a_new_password_stands_in_every_address_that_is_made_of_it(folder):
    (folder / "relay_database_password").unlink()
    written = secret_files.make(folder)
    assert set(written) == {"relay_database_password", "relay_auth_database_url", "relay_otp_database_url"}
    values = read(folder)
    assert all(values["relay_database_password"] in values[name] for name in written)


def test_a_new_private_key_brings_its_public_half(folder):
    before = read(folder)
    (folder / "notify_private_keys").unlink()
    assert set(secret_files.make(folder)) == {"notify_private_keys", "notify_public_key"}
    assert read(folder)["notify_public_key"] != before["notify_public_key"]


def test_what_the_operator_filled_in_is_kept(folder):
    (folder / "twilio_auth_token").chmod(0o600)
    (folder / "twilio_auth_token").write_text("theirs\n")
    assert secret_files.make(folder) == []
    assert read(folder)["twilio_auth_token"] == "theirs"


def test_no_two_secrets_are_alike(folder):
    values = [value for name, value in read(folder).items() if name.endswith(("_password", "_keys")) and value]
    assert len(values) == len(set(values)) == 31
    for name in ("otp_api_keys", "jwt_signing_keys", "notify_public_key"):
        assert len(KeyList.parse(read(folder)[name]).keys) == 1


def test_a_service_takes_the_files_as_its_settings(folder):
    files = {
        "OTP_DATABASE_URL": "otp_database_url",
        "REDIS_URL": "otp_redis_url",
        "NOTIFY_PUBLIC_KEY": "notify_public_key",
    }
    files |= {name: name.lower() for name in ("OTP_API_KEYS", "OTP_SECRET_KEYS", "OTP_DIGEST_KEYS", "OTP_SIGNING_KEYS")}
    given = {f"{name}_FILE": str(folder / file) for name, file in files.items()}
    settings = OtpSettings.from_env(
        Environment({**given, "PUBLIC_ORIGIN": "https://portal.example", "PRIVATE_NETWORK": "redis,broker,database"})
    )
    assert settings.stores.broker_url.reveal() == read(folder)["otp_redis_url"]


def test_each_user_of_redis_and_rabbitmq_has_a_password_of_its_own_in_its_urls(folder):
    files = read(folder)
    urls = [text for name, text in files.items() if name.endswith(("_redis_url", "_rabbitmq_url"))]
    assert len({urlsplit(url).password for url in urls}) == len(urls) == 11
    assert {urlsplit(files[f"{user}_redis_url"]).username for user in ("auth", "notify")} == {"auth", "notify"}


def test_the_servers_files_hold_hashes_and_no_password(folder):
    files = read(folder)
    passwords = [text for name, text in files.items() if name.endswith("_password") and text]
    assert not [one for one in passwords if one in files["redis_users"] + files["rabbitmq_definitions_for_upgrade"]]


def test_a_redis_user_has_two_passwords_while_one_is_changed_and_uses_the_first(folder):
    old = read(folder)["auth_redis_password"]
    secret_files.put(folder, "auth_redis_password", f"new,{old}")
    assert set(secret_files.make(folder)) == {"redis_users", "auth_redis_url"}
    files = read(folder)
    assert files["auth_redis_url"] == "redis://auth:new@redis:6379/0"
    assert f"#{password_hash('new')} #{password_hash(old)} " in files["redis_users"]
