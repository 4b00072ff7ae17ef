"""`make up` without a Docker engine: a script in Compose's place notes how it is called, and answers."""

import json

import pytest

from deploy.compose.__main__ import PARTS, main, refuse_wrong_settings
from deploy.compose.containers import ComposeError, Containers
from deploy.local.settings import LocalSettings, SettingsError
from deploy.settings_check import READERS

COMPOSE = """\
#!/bin/sh
echo "$@" >> {calls}
case "$*" in
    *"version --short") {version} ;;
    *"config --format json") cat {config} ;;
    *) exit 1 ;;
esac
"""


@pytest.fixture
def compose(tmp_path):
    """A command in Compose's place: how it answers to `version`, and the calls that it got."""

    def made(version, config=None):
        script, calls, model = tmp_path / "compose", tmp_path / "calls", tmp_path / "config.json"
        model.write_text(json.dumps(config or {}))
        script.write_text(COMPOSE.format(calls=calls, version=version, config=model))
        script.chmod(0o755)
        return {"COMPOSE": str(script), "VAR_DIR": str(tmp_path / "var")}, calls

    return made


@pytest.mark.parametrize("version", ["exit 125", "echo 1.29.2"])
@pytest.mark.parametrize("command", [["up"], ["down"], ["scale", "2"]])
def test_without_compose_v2_it_says_so_and_does_nothing(compose, command, version, tmp_path, monkeypatch, capsys):
    environment, calls = compose(version)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("latchkey: Docker Compose v2 is needed, and ")
    assert said.err.count("\n") == 1
    assert "docker-compose-plugin" in said.err
    assert len(calls.read_text().splitlines()) == 1
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("version", ["2.40.3", "v2.27.1-desktop.1", "5.0.0", "dev"])
def test_any_later_compose_will_do(compose, version):
    environment, _ = compose(f"echo {version}")
    Containers(LocalSettings.from_env(environment), ()).require_v2()


def test_no_docker_at_all_is_the_same_sentence(tmp_path):
    settings = LocalSettings.from_env({"COMPOSE": "no-such-command compose", "VAR_DIR": str(tmp_path)})
    with pytest.raises(
        ComposeError, match=r"^Docker Compose v2 is needed, and `no-such-command compose` does not work"
    ):
        Containers(settings, ()).require_v2()


def test_a_setting_that_a_service_would_refuse_is_told_before_a_container_starts(compose, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("none")
    services = {service: {"environment": {"LATCHKEY_ENV": "development"}} for _, service in PARTS}
    services["otp"] = {
        "environment": {"SMS_DAILY_CAP": "0", "OTP_API_KEYS_FILE": "/run/secrets/otp_api_keys", "OTP_ISSUER": None},
        "secrets": [{"source": "otp_api_keys", "target": "otp_api_keys"}],
    }
    environment, _ = compose("", {"services": services, "secrets": {"otp_api_keys": {"file": str(keys)}}})
    with pytest.raises(SettingsError, match=r"OTP_API_KEYS key none has .*; SMS_DAILY_CAP must be ") as refused:
        refuse_wrong_settings(Containers(LocalSettings.from_env(environment), ()))
    assert "OTP_API_KEYS_FILE" not in str(refused.value)


def test_each_part_s_settings_are_checked():
    assert {part for part, _ in PARTS} == set(READERS)
