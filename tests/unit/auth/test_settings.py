import pytest

from services.auth.settings import AuthSettings
from shared.settings import Environment, SettingsError
from tests.support.auth import ENVIRONMENT

PRODUCTION = {
    **ENVIRONMENT,
    "LATCHKEY_ENV": "production",
    "PUBLIC_ORIGIN": "https://portal.example",
    "REDIS_URL": "redis://auth:pw@127.0.0.1:6379/0",
    "TRUSTED_PROXY_COUNT": "1",
}


def read(**changes):
    return AuthSettings.from_env(Environment({**PRODUCTION, **changes}))


def test_otp_is_reached_by_http_on_loopback_and_over_a_private_network_alone():
    assert read(OTP_URL="http://127.0.0.1:8081").otp_url == "http://127.0.0.1:8081"
    assert read(OTP_URL="https://otp.internal").otp_url == "https://otp.internal"
    assert read(OTP_URL="http://otp:8080", PRIVATE_NETWORK="otp").otp_url == "http://otp:8080"
    with pytest.raises(SettingsError, match="OTP_URL must be https in production, or PRIVATE_NETWORK must name otp"):
        read(OTP_URL="http://otp:8080", PRIVATE_NETWORK="redis,broker")


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://portal.example", "https://portal.example"),
        ("https://PORTAL.example/", "https://portal.example"),
        ("https://portal.example:443", "https://portal.example"),
        ("https://portal.example:8443", "https://portal.example:8443"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_the_public_origin_is_kept_as_browsers_write_it(given, origin):
    assert read(PUBLIC_ORIGIN=given).public_origin == origin


@pytest.mark.parametrize(
    "given",
    [
        "https://bücher.example",
        "https://portal.example/app",
        "https://portal.example?x",
        "https://portal.example#x",
        "https://user@portal.example",
        "https://portal .example",
        "https://",
        "portal.example",
        "ftp://portal.example",
    ],
)
def test_what_browsers_do_not_write_is_no_public_origin(given):
    with pytest.raises(SettingsError, match="PUBLIC_ORIGIN must be scheme"):
        read(PUBLIC_ORIGIN=given)


@pytest.mark.parametrize("mode", ["production", "development"])
def test_over_https_the_number_of_proxies_has_no_default(mode):
    environment = {**PRODUCTION, "LATCHKEY_ENV": mode, "TRUSTED_PROXY_COUNT": ""}
    with pytest.raises(SettingsError, match=r"TRUSTED_PROXY_COUNT is not set.* \(1 behind one proxy that ends TLS, 0 "):
        AuthSettings.from_env(Environment(environment))
    for count in ("0", "2"):
        settings = AuthSettings.from_env(Environment({**environment, "TRUSTED_PROXY_COUNT": count}))
        assert settings.trusted_proxy_count == int(count)


def test_over_http_there_is_no_proxy_unless_it_is_said():
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "TRUSTED_PROXY_COUNT"}
    assert AuthSettings.from_env(Environment(environment)).trusted_proxy_count == 0


def test_every_weak_url_is_named_in_one_message():
    with pytest.raises(SettingsError) as error:
        read(
            OTP_URL="http://otp:8080",
            STATE_REDIS_URL="redis://redis",
            BROKER_URL="amqp://mq//",
            PUBLIC_ORIGIN="http://a",
        )
    for name in ("OTP_URL", "STATE_REDIS_URL", "BROKER_URL", "PUBLIC_ORIGIN"):
        assert f"{name} must" in str(error.value)


def test_production_calls_nobody_unless_it_is_told_where_and_can_check_who_asks_for_the_code():
    assert read().reach.call == frozenset()
    assert read(CALL_COUNTRIES="DE, CH").reach.call == {"DE", "CH"}
    with pytest.raises(SettingsError, match="CALL_COUNTRIES needs TWILIO_AUTH_TOKEN"):
        read(CALL_COUNTRIES="DE", TWILIO_AUTH_TOKEN="")
    assert AuthSettings.from_env(Environment(ENVIRONMENT)).reach.call == {"DE", "US", "CA"}
