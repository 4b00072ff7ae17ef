import pytest

from deploy.local.settings import ROOT, LocalSettings, SettingsError


def test_ports_follow_the_gateways(tmp_path):
    settings = LocalSettings.from_env({"PORT": "9000", "VAR_DIR": str(tmp_path)})  # a stack's var has passwords
    assert (settings.port, settings.otp_port, settings.redis_port) == (9000, 9001, 9002)
    assert (settings.metrics_port, settings.otp_metrics_port) == (9003, 9004)
    assert settings.metrics_urls == {"auth": "http://127.0.0.1:9003/metrics", "otp": "http://127.0.0.1:9004/metrics"}
    assert settings.redis_url == settings.broker_url == "redis://127.0.0.1:9002/0"
    assert settings.base_url == "http://127.0.0.1:9000"


def test_the_defaults_are_8080_and_var_in_the_checkout():
    settings = LocalSettings.from_env({})
    assert settings.port == 8080
    assert settings.var_dir == ROOT / "var"
    assert settings.redis_is_embedded


def test_a_given_redis_is_used_and_none_is_started():
    settings = LocalSettings.from_env({"REDIS_URL": "redis://example:1/2"})
    assert not settings.redis_is_embedded
    assert settings.redis_url == settings.broker_url == "redis://example:1/2"


def test_a_gateway_on_every_address_is_reached_on_loopback():
    assert LocalSettings.from_env({"HOST": "0.0.0.0"}).base_url == "http://127.0.0.1:8080"  # noqa: S104
    assert LocalSettings.from_env({"HOST": "::"}).base_url == "http://[::1]:8080"


@pytest.mark.parametrize("text", ["0", "-1", "65536", "8080x", "80.5", "1_000", "٨٠٨٠", "1e3"])
def test_what_is_no_port_is_refused_by_name(text):
    with pytest.raises(SettingsError, match="OTP_PORT"):
        LocalSettings.from_env({"OTP_PORT": text})


@pytest.mark.parametrize("name", ["OTP_PORT", "REDIS_PORT", "METRICS_PORT", "OTP_METRICS_PORT"])
def test_one_port_for_two_things_is_refused(name):
    with pytest.raises(SettingsError, match=f"{name}=9000.* must be different ports"):
        LocalSettings.from_env({"PORT": "9000", name: "9000"})


def test_the_caller_s_environment_is_not_in_its_text():
    assert "hush" not in repr(LocalSettings.from_env({"TWILIO_AUTH_TOKEN": "hush"}))


def test_a_folder_that_the_supervisor_would_read_as_a_comment_is_refused():
    with pytest.raises(SettingsError, match="VAR_DIR"):
        LocalSettings.from_env({"VAR_DIR": "/tmp/a ;b"})  # noqa: S108
