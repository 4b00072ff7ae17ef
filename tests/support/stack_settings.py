"""What a stack is told that sends to the provider's stub."""

from tests.support.twilio_stub import ACCOUNT_SID, AUTH_TOKEN, TwilioStub


def settings_for(stub: TwilioStub) -> dict[str, str]:
    """SMS go to the stub, and each client comes from an address of its own, as one trusted proxy reports it.

    A load of some thousand logins is no attack, so the floor of the brake is above it.
    """
    return {
        "TRUSTED_PROXY_COUNT": "1",
        "GUESSING_FLOOR": "1000000",
        "SMS_PROVIDERS": "twilio",
        "TWILIO_API_BASE_URL": f"http://127.0.0.1:{stub.port}",
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_FROM": "+15005550006",
    }
