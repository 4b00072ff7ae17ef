import pytest

from deploy.local.environment import SERVICE_KEYS, environment_of
from deploy.local.keys import KEYS, load_or_make_keys
from deploy.local.programs import ANNOUNCE, REDIS, SERVICES
from deploy.local.settings import LocalSettings
from services.auth.settings import AuditSettings
from shared.settings import Environment

MADE = {name: f"made-{name}" for name in KEYS}


def environment(service, **environ):
    return environment_of(service, LocalSettings.from_env({"VAR_DIR": "/v", **environ}), MADE)


@pytest.mark.parametrize("service", SERVICE_KEYS)
def test_a_part_gets_its_own_keys_and_no_others(service):
    inherited = dict.fromkeys(KEYS, "from the caller")
    got = environment(service, **inherited)
    assert {name for name in got if name in KEYS} == set(SERVICE_KEYS[service])
    assert "from the caller" not in got.values()


def test_the_worker_has_the_keys_of_the_audit_chain_and_the_gateway_has_not(tmp_path):
    keys, _ = load_or_make_keys(tmp_path / "keys.env")
    worker = environment_of("background", LocalSettings.from_env({"VAR_DIR": "/v"}), keys)
    assert AuditSettings.from_env(Environment(worker)).audit_keys.newest.id == "dev1"
    assert "AUTH_AUDIT_KEYS" not in environment("auth")


def test_every_program_has_a_row_of_keys():
    assert {program.service for program in (REDIS, *SERVICES, ANNOUNCE)} <= set(SERVICE_KEYS)


@pytest.mark.parametrize(
    ("service", "databases"),
    [("auth", {"AUTH"}), ("otp", {"OTP"}), ("background", {"AUTH", "OTP"}), ("notify", set()), ("launcher", set())],
)
def test_only_a_database_s_owner_and_the_background_know_where_it_is(service, databases):
    got = environment(service, AUTH_DATABASE_URL="postgresql://db/auth")
    assert {name.removesuffix("_DATABASE_URL") for name in got if name.endswith("_DATABASE_URL")} == databases


def test_the_caller_s_settings_pass_through_and_win_over_defaults():
    got = environment("auth", PORT="9000", TRUSTED_PROXY_COUNT="2", SMS_PROVIDERS="twilio", RESET_COOL_OFF_SECONDS="5")
    assert got["TRUSTED_PROXY_COUNT"] == "2"
    assert got["SMS_PROVIDERS"] == "twilio"
    assert got["EMAIL_PROVIDER"] == "console"
    assert got["RESET_COOL_OFF_SECONDS"] == "5"
    assert got["AUTH_DATABASE_URL"] == "sqlite:////v/auth.sqlite3"
    assert got["PUBLIC_ORIGIN"] == "http://127.0.0.1:9000"
    assert got["OTP_URL"] == "http://127.0.0.1:9001"


def test_each_service_shows_its_metrics_on_a_port_of_its_own():
    ports = {"METRICS_PORT": "9100", "OTP_METRICS_PORT": "9200"}
    assert [environment(service, **ports)["METRICS_PORT"] for service in ("auth", "otp")] == ["9100", "9200"]
    assert [environment(service, PORT="9000")["METRICS_PORT"] for service in ("auth", "otp")] == ["9003", "9004"]


def test_an_empty_variable_is_as_good_as_none():
    assert environment("notify", SMS_PROVIDERS="")["SMS_PROVIDERS"] == "console"


def test_the_stack_is_always_a_development_one():
    assert environment("auth", LATCHKEY_ENV="production")["LATCHKEY_ENV"] == "development"
