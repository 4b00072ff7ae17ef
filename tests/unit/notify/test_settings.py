import base64

import pytest

from services.notify.settings import NotifySettings, SmtpSecurity
from shared.settings import Environment, SettingsError

KEY = "k1:" + base64.urlsafe_b64encode(bytes(32)).decode()
BASE = {"LATCHKEY_ENV": "production", "REDIS_URL": "redis://127.0.0.1:6379/0", "NOTIFY_PRIVATE_KEYS": KEY}
TWILIO = {
    "SMS_PROVIDER": "twilio",
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "planted-token",
    "TWILIO_MESSAGING_SERVICE_SID": "MG1",
}
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
    assert (settings.sms_provider, settings.email_provider) == ("console", "console")
    assert settings.twilio is None
    assert settings.smtp is None


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_each_kind_of_security_has_its_port(security, port):
    assert read(WHOLE | {"SMTP_SECURITY": security}).smtp.port == port


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"SMS_PROVIDER": ""}, "SMS_PROVIDER"),
        ({"EMAIL_PROVIDER": ""}, "EMAIL_PROVIDER"),
        ({"SMS_PROVIDER": "console"}, "SMS_PROVIDER console"),
        ({"EMAIL_PROVIDER": "console"}, "EMAIL_PROVIDER console"),
        ({"SMS_PROVIDER": "pigeon"}, "SMS_PROVIDER"),
        ({"TWILIO_ACCOUNT_SID": ""}, "TWILIO_ACCOUNT_SID"),
        ({"TWILIO_AUTH_TOKEN": ""}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_MESSAGING_SERVICE_SID": ""}, "exactly one"),
        ({"TWILIO_FROM": "+15550001111"}, "exactly one"),
        ({"TWILIO_API_BASE_URL": "api.twilio.com"}, "TWILIO_API_BASE_URL"),
        ({"TWILIO_STATUS_CALLBACK_URL": "ftp://portal.example/"}, "TWILIO_STATUS_CALLBACK_URL"),
        ({"SMTP_HOST": ""}, "SMTP_HOST"),
        ({"SMTP_FROM": ""}, "SMTP_FROM"),
        ({"SMTP_FROM": "portal"}, "SMTP_FROM"),
        ({"SMTP_FROM": "a@b.example\nBcc: c@d.example"}, "SMTP_FROM"),
        ({"SMTP_USERNAME": "portal"}, "together"),
        ({"SMTP_USERNAME": "u", "SMTP_PASSWORD": "planted-token", "SMTP_SECURITY": "none"}, "in the clear"),
        ({"NOTIFY_PRIVATE_KEYS": "k1:AAAA"}, "NOTIFY_PRIVATE_KEYS"),
        ({"REDIS_URL": ""}, "REDIS_URL"),
    ],
)
def test_a_fault_is_named_and_no_secret_shown(change, word):
    with pytest.raises(SettingsError, match=word) as refused:
        read(WHOLE | change)
    assert "planted-token" not in str(refused.value)


def test_every_fault_at_once():
    with pytest.raises(SettingsError) as refused:
        read({"SMS_PROVIDER": "twilio", "EMAIL_PROVIDER": "smtp"})
    for name in ("REDIS_URL", "NOTIFY_PRIVATE_KEYS", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "SMTP_HOST"):
        assert name in str(refused.value)


def test_no_secret_in_the_settings_repr():
    assert "planted-token" not in repr(read(WHOLE))
