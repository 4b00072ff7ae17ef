"""Five hundred connections that send half a request, or never read: codes go on, and each connection is ended.

How long a code takes meanwhile is a row of `make bench`.
"""

import pytest
import urllib3

from deploy.attack.slow import CONNECTIONS, slow_clients

pytestmark = pytest.mark.e2e

ENDED_WITHIN_SECONDS = 10.0
SERVERS = {
    "auth": (lambda stack: stack.base_url, "/v1/login", "/docs/swagger-ui-bundle.js"),
    "otp": (lambda stack: stack.settings.otp_url, "/accounts/acc_0/verifications", "/healthz"),
}


@pytest.mark.parametrize("server", SERVERS)
def test_codes_go_on_beside_slow_connections(stack, make_person, server):
    url_of, path, large = SERVERS[server]
    url = url_of(stack)
    member = make_person()
    member.enrolled()
    logins = [(portal := member.portal(), member.challenge(portal)) for _ in range(2)]
    pool = urllib3.PoolManager(retries=False, timeout=5)

    def healthy():
        assert pool.request("GET", f"{url}/healthz").status == 200

    with slow_clients(url, path, large, again=False) as clients:
        assert clients.open == CONNECTIONS, clients.lasted()
        for _ in range(100):
            healthy()
        for portal, challenge in logins:
            assert portal.verify(challenge, member.codes.pop()).status == 200
        clients.wait(ENDED_WITHIN_SECONDS)
        lasted = {kind: max(seconds) for kind, seconds in clients.lasted().items()}
    assert {kind: seconds for kind, seconds in lasted.items() if seconds >= ENDED_WITHIN_SECONDS} == {}


@pytest.mark.parametrize("service", ["auth", "otp"])
def test_metrics_are_shown_beside_slow_connections(stack, service):
    url = stack.settings.metrics_urls[service]
    with slow_clients(url.removesuffix("/metrics"), "/metrics", "/metrics", again=False) as clients:
        for _ in range(3):
            assert urllib3.request("GET", url, retries=False, timeout=10).status == 200
        clients.wait(ENDED_WITHIN_SECONDS)
        lasted = {kind: max(seconds) for kind, seconds in clients.lasted().items()}
    assert {kind: seconds for kind, seconds in lasted.items() if seconds >= ENDED_WITHIN_SECONDS} == {}
