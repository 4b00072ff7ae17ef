"""What each part of the running stack has of its own, and what it can't reach. The story has been played by now."""

import pytest

from tests.compose.conftest import PROJECT, service_of

pytestmark = pytest.mark.timeout(900)


def test_a_secret_is_mounted_where_it_is_needed_and_nowhere_else(stack):
    """A key lets its holder act as the owner of the key. notify reaches the internet, so it above all holds few."""
    holders = {}
    for container in stack.containers():
        for mount in container["Mounts"]:
            folder, _, name = mount["Destination"].rpartition("/")
            if folder == "/run/secrets":
                holders.setdefault(name, set()).add(service_of(container))
    auth, otp, notify = {"auth", "auth-worker"}, {"otp", "otp-worker"}, {"notify", "notices"}
    of_one = ("_keys", "_password", "_users")
    assert {name: services for name, services in holders.items() if name.endswith(of_one)} == {
        "auth_signing_keys": auth,
        "auth_journal_keys": auth,
        "auth_audit_keys": {"auth-worker"},
        "auth_digest_keys": {"auth"},
        "jwt_signing_keys": {"auth"},
        "otp_signing_keys": otp,
        "otp_journal_keys": otp,
        "otp_secret_keys": {"otp"},
        "otp_digest_keys": {"otp"},
        "otp_api_keys": {"auth", "otp"},
        "notify_signing_keys": notify,
        "notify_private_keys": notify,
        "sms_http_keys": notify,
        "smtp_password": notify,
        "auth_verify_keys": {"otp-worker", *notify},
        "otp_verify_keys": {"auth-worker", *notify},
        "notify_verify_keys": {"auth-worker"},
        "postgres_password": {"postgres"},
        "redis_users": {"redis"},
    }


def test_a_journal_stands_on_a_volume_that_its_own_service_alone_mounts_and_reads(stack):
    volumes = {
        service_of(container): mount["Name"]
        for container in stack.containers()
        for mount in container["Mounts"]
        if mount["Destination"] == "/journal"
    }
    assert volumes == {
        name: f"{PROJECT}_{name.partition('-')[0]}-journal" for name in ("auth", "auth-worker", "otp", "otp-worker")
    }
    look = (
        "import os, sys; a = os.stat(sys.argv[1]); b = os.stat('/journal')\n"
        "print(oct(a.st_mode), oct(b.st_mode), {a.st_uid, b.st_uid} == {os.getuid()}, a.st_size > 1000)"
    )
    for name in volumes:
        seen = stack.python(name, look, f"/journal/{name.partition('-')[0]}.journal").stdout.split()
        assert seen == ["0o100600", "0o40700", "True", "True"], name


ASK_SQL = """
import os, pathlib, sys, sqlalchemy
url = pathlib.Path(os.environ[sys.argv[1]]).read_text().strip()
database = sqlalchemy.engine.make_url(url).set(database=sys.argv[2])
with sqlalchemy.create_engine(database).connect() as connection:
    connection.execute(sqlalchemy.text(sys.argv[3])).all()
"""


@pytest.mark.parametrize(
    ("service", "setting", "database", "statement", "refusal"),
    [
        ("relay", "AUTH_DATABASE_URL_FILE", "auth", "SELECT position FROM outbox", None),
        ("relay", "AUTH_DATABASE_URL_FILE", "auth", "SELECT id FROM accounts", "permission denied"),
        ("relay", "AUTH_DATABASE_URL_FILE", "auth", "UPDATE outbox SET document = '' RETURNING 1", "permission denied"),
        ("relay", "OTP_DATABASE_URL_FILE", "otp", "SELECT id FROM authenticators", "permission denied"),
        ("auth", "AUTH_DATABASE_URL_FILE", "auth", "SELECT id FROM accounts", None),
        ("auth", "AUTH_DATABASE_URL_FILE", "otp", "SELECT 1", "permission denied"),
        ("otp", "OTP_DATABASE_URL_FILE", "auth", "SELECT 1", "permission denied"),
    ],
)
def test_a_database_user_reaches_what_its_service_owns(stack, service, setting, database, statement, refusal):
    asked = stack.python(service, ASK_SQL, setting, database, statement, check=False)
    if refusal is None:
        assert asked.returncode == 0, asked.stderr
    else:
        assert refusal in asked.stderr


def test_no_part_asked_redis_for_anything_that_it_has_no_right_to(stack):
    ask = ("redis-cli", "--no-auth-warning", "-u", stack.operator_url, "ACL", "LOG")
    assert stack.run("docker", "exec", stack.containers("redis")[0]["Id"], *ask).stdout.strip() == ""


ASK_REDIS = """
import os, pathlib, sys, redis
url = pathlib.Path(os.environ["STATE_REDIS_URL_FILE"]).read_text().strip()
redis.Redis.from_url(url).execute_command(*sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("service", "command", "allowed"),
    [
        ("auth", "GET auth:session:x", True),
        ("auth", "GET otp:sms:x", False),
        ("auth", "GET notify:sealed:x", False),
        ("otp", "GET otp:sms:x", True),
        ("otp", "GET auth:session:x", False),
        ("otp", "LPUSH auth.events x", False),
        ("notify", "GET notify:sealed:x", True),
        ("notify", "SET auth:session:x x", False),
        ("notify", "GET auth:session:x", False),
        ("notify", "INCR auth:epoch:x", False),
        ("notify", "SET budget:auth.login.ip:60:x 1", False),
        ("notify", "LPUSH otp.events x", False),
        ("relay", "GET auth:session:x", False),
    ],
)
def test_a_user_of_redis_reaches_what_its_service_owns(stack, service, command, allowed):
    asked = stack.python(service, ASK_REDIS, *command.split(), check=False)
    if allowed:
        assert asked.returncode == 0, asked.stderr
    else:
        assert "NoPermissionError" in asked.stderr
