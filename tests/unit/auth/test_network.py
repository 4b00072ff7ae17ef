import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.network import network_of


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("2001:db8:1:2:", "2001:db8:1:2:"),
    ],
)
def test_whom_an_address_stands_for(ip, network):
    assert network_of(ip) == network


@given(prefix=st.integers(1, 2**64 - 1), hosts=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2))
def test_all_addresses_of_a_customer_are_one_and_others_are_not(prefix, hosts):
    def address(prefix, host):
        return str(ipaddress.IPv6Address(prefix << 64 | host))

    here = {network_of(address(prefix, host)) for host in hosts}
    assert len(here) == 1
    assert network_of(address(prefix ^ 1 << 63, hosts[0])) not in here
