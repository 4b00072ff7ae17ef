"""The stack's settings for PostgreSQL and RabbitMQ."""

import pytest


@pytest.fixture(scope="module")
def urls(request, postgres, rabbitmq, databases):
    for server, _ in (postgres, rabbitmq):
        if not server.answers():
            server.start()
    return {
        "AUTH_DATABASE_URL": databases.new(f"auth_{request.path.stem}"),
        "OTP_DATABASE_URL": databases.new(f"otp_{request.path.stem}"),
        "BROKER_URL": rabbitmq[1],
    }
