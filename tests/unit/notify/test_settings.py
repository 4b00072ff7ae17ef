import base64

import pytest

from services.notify.settings import NotifySettings, SmtpSecurity
from shared.settings import Environment, SettingsError

KEY = "k1:" + base64.urlsafe_b64encode(bytes(32)).decode()
BASE = {
    "LATCHKEY_ENV": "production",
    "REDIS_URL": "redis://notify:pw@127.0.0.1:6379/0",
    "NOTIFY_PRIVATE_KEYS": KEY,
    "NOTIFY_SIGNING_KEYS": KEY,
    "AUTH_VERIFY_KEYS": KEY,
    "OTP_VERIFY_KEYS": KEY,
}
TWILIO = {
    "SMS_PROVIDERS": "twilio",
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "planted-token",
    "TWILIO_MESSAGING_SERVICE_SID": "MG1",
}
HTTP = {"SMS_HTTP_URL": "https://gateway.example/sms", "SMS_HTTP_KEYS": KEY}
SMTP = {"EMAIL_PROVIDER": "smtp", "SMTP_HOST": "mail.example", "SMTP_FROM": "Portal <no-reply@portal.example>"}
WHOLE = BASE | TWILIO | SMTP


def read(variables):
    return NotifySettings.from_env(Environment(variables))


def test_production_with_twilio_and_smtp():
    settings = read(WHOLE)
    assert settings.twilio.api_base_url == "https://api.twilio.com"
    assert (settings.smtp.port, settings.smtp.security) == (587, SmtpSecurity.STARTTLS)


def test_development_needs_no_provider():
    settings = read(BASE | {"LATCHKEY_ENV": "development"})
    assert (settings.sms_providers, settings.email_provider) == (("console",), "console")
    assert settings.twilio is None
    assert settings.http is None
    assert settings.smtp is None


def test_providers_in_their_order_and_their_rates():
    settings = read(WHOLE | HTTP | {"SMS_PROVIDERS": "http, twilio", "SMS_RATE_PER_SECOND": "twilio:10, http:0.5"})
    assert settings.sms_providers == ("http", "twilio")
    assert settings.sms_rates == {"twilio": 10.0, "http": 0.5}
    assert settings.http.url == HTTP["SMS_HTTP_URL"]


def test_no_rate_is_no_limit():
    assert read(WHOLE).sms_rates == {}


def test_a_provider_that_is_not_listed_needs_no_settings():
    settings = read(BASE | SMTP | HTTP | {"SMS_PROVIDERS": "http"})
    assert settings.twilio is None


def test_development_takes_a_gateway_without_tls():
    change = {"LATCHKEY_ENV": "development", "SMS_PROVIDERS": "http,console", "SMS_HTTP_URL": "http://127.0.0.1:9/"}
    assert read(WHOLE | HTTP | change).http.url == "http://127.0.0.1:9/"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"SMS_HTTP_URL": ""}, "SMS_HTTP_URL is not set"),
        ({"SMS_HTTP_URL": "gateway.example"}, "SMS_HTTP_URL"),
        ({"SMS_HTTP_URL": "http://gateway.example/sms"}, "SMS_HTTP_URL must be https"),
        ({"SMS_HTTP_URL": "http://127.0.0.1/sms"}, "SMS_HTTP_URL must be https"),
        ({"TWILIO_API_BASE_URL": "http://api.example"}, "TWILIO_API_BASE_URL must be https"),
        ({"TWILIO_STATUS_CALLBACK_URL": "http://portal.example/v1/x"}, "TWILIO_STATUS_CALLBACK_URL must be https"),
        ({"SMS_HTTP_URL": "https://me:planted-token@gateway.example/sms"}, "no password"),
        ({"SMS_HTTP_KEYS": ""}, "SMS_HTTP_KEYS is not set"),
        ({"SMS_HTTP_KEYS": "k1:AAAA"}, "SMS_HTTP_KEYS"),
    ],
)
def test_a_fault_of_the_gateway_is_named(change, word):
    with pytest.raises(SettingsError, match=word) as refused:
        read(WHOLE | HTTP | {"SMS_PROVIDERS": "twilio,http"} | change)
    assert "planted-token" not in str(refused.value)


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_each_kind_of_security_has_its_port(security, port):
    assert read(WHOLE | {"SMTP_SECURITY": security, "SMTP_HOST": "localhost"}).smtp.port == port


@pytest.mark.parametrize(
    "allowed",
    [
        {"SMTP_HOST": "127.0.0.1"},
        {"SMTP_HOST": "::1"},
        {"PRIVATE_NETWORK": "redis,smtp"},
        {"LATCHKEY_ENV": "development"},
    ],
)
def test_mail_goes_without_tls_on_loopback_in_a_private_network_and_in_development(allowed):
    assert read(WHOLE | {"SMTP_SECURITY": "none"} | allowed).smtp.security is SmtpSecurity.NONE


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"SMS_PROVIDERS": ""}, "SMS_PROVIDERS"),
        ({"EMAIL_PROVIDER": ""}, "EMAIL_PROVIDER"),
        ({"SMS_PROVIDERS": "console"}, "SMS_PROVIDERS console"),
        ({"EMAIL_PROVIDER": "console"}, "EMAIL_PROVIDER console"),
        ({"SMS_PROVIDERS": "pigeon"}, "SMS_PROVIDERS"),
        ({"SMS_PROVIDERS": "twilio,pigeon"}, "SMS_PROVIDERS"),
        ({"SMS_PROVIDERS": "twilio,twilio"}, "SMS_PROVIDERS"),
        ({"SMS_PROVIDERS": "twilio,"}, "SMS_PROVIDERS"),
        ({"SMS_PROVIDERS": "twilio,console"}, "SMS_PROVIDERS console"),
        *(
            ({"SMS_RATE_PER_SECOND": odd}, "SMS_RATE_PER_SECOND")
            for odd in ("10", "twilio:0", "twilio:-1", "twilio:x", "twilio:1e3", "pigeon:1", "twilio:1,twilio:2")
        ),
        ({"TWILIO_ACCOUNT_SID": ""}, "TWILIO_ACCOUNT_SID"),
        ({"TWILIO_AUTH_TOKEN": ""}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_MESSAGING_SERVICE_SID": ""}, "exactly one"),
        ({"TWILIO_FROM": "+15550001111"}, "exactly one"),
        ({"TWILIO_API_BASE_URL": "api.twilio.com"}, "TWILIO_API_BASE_URL"),
        ({"TWILIO_STATUS_CALLBACK_URL": "ftp://portal.example/"}, "TWILIO_STATUS_CALLBACK_URL"),
        ({"TWILIO_CALL_URL": "ftp://portal.example/"}, "TWILIO_CALL_URL must"),
        ({"TWILIO_CALL_URL": "https://portal.example/c"}, "TWILIO_CALL_URL needs TWILIO_CALL_FROM"),
        ({"SMTP_HOST": ""}, "SMTP_HOST"),
        ({"SMTP_FROM": ""}, "SMTP_FROM"),
        ({"SMTP_FROM": "portal"}, "SMTP_FROM"),
        ({"SMTP_FROM": "a@b.example\nBcc: c@d.example"}, "SMTP_FROM"),
        ({"SMTP_USERNAME": "portal"}, "together"),
        ({"SMTP_USERNAME": "u", "SMTP_PASSWORD": "planted-token", "SMTP_SECURITY": "none"}, "in the clear"),
        ({"SMTP_SECURITY": "none"}, "SMTP_SECURITY must be tls or starttls off loopback"),
        ({"SMTP_SECURITY": "none", "PRIVATE_NETWORK": "redis"}, "PRIVATE_NETWORK must name smtp"),
        ({"NOTIFY_PRIVATE_KEYS": "k1:AAAA"}, "NOTIFY_PRIVATE_KEYS"),
        ({"NOTIFY_SIGNING_KEYS": ""}, "NOTIFY_SIGNING_KEYS"),
        ({"AUTH_VERIFY_KEYS": ""}, "AUTH_VERIFY_KEYS"),
        ({"OTP_VERIFY_KEYS": ""}, "OTP_VERIFY_KEYS"),
        ({"REDIS_URL": ""}, "REDIS_URL"),
    ],
)
def test_a_fault_is_named_and_no_secret_shown(change, word):
    with pytest.raises(SettingsError, match=word) as refused:
        read(WHOLE | change)
    assert "planted-token" not in str(refused.value)


def test_every_fault_at_once():
    with pytest.raises(SettingsError) as refused:
        read({"SMS_PROVIDERS": "twilio", "EMAIL_PROVIDER": "smtp"})
    for name in ("REDIS_URL", "NOTIFY_PRIVATE_KEYS", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "SMTP_HOST"):
        assert name in str(refused.value)


def test_no_secret_in_the_settings_repr():
    assert "planted-token" not in repr(read(WHOLE))


def test_of_two_tokens_the_newer_one_signs_in():
    assert read(WHOLE | {"TWILIO_AUTH_TOKEN": "new,old"}).twilio.auth_token.reveal() == "new"
