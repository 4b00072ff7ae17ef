import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.network import UNKNOWN, Networks, client_address, networks_of


@pytest.mark.parametrize(
    ("ip", "whole", "link"),
    [
        ("192.0.2.7", "192.0.2.7", None),
        ("::ffff:192.0.2.7", "192.0.2.7", None),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1::/48", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1::/48", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/48", "fe80::/64"),
        ("unknown", UNKNOWN, None),
        ("2001:db8:1:2:", UNKNOWN, None),
        ("", UNKNOWN, None),
    ],
)
def test_whom_an_address_stands_for(ip, whole, link):
    assert networks_of(ip) == Networks(whole, link)


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("192.0.2.7:", "192.0.2.7"),
        ('"192.0.2.7:4711"', "192.0.2.7"),
        ("[2001:DB8:0:0::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:4711", "192.0.2.7"),
        ("::FFFF:C000:207", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%=HYPERLINK(1)", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_an_address_is_read_in_every_spelling_of_a_proxy(said, address):
    assert client_address(said) == address


@pytest.mark.parametrize(
    "said",
    [
        "",
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.07",
        "192.0.2.7.8:1",
        "192.0.2.7:port",
        "192.0.2.7 :80",
        "192.0.2.7/24",
        "１９２.0.2.7",
        "2001:db8::1::",
        "2001:db8::1]:80",
        "[2001:db8::1",
        "[2001:db8::1]80",
        "[[2001:db8::1]]:80",
        "0x7f000001",
        "3232235777",
        "x" * 500,
        "=1+1",
    ],
)
def test_all_that_is_no_address_is_one_client(said):
    assert client_address(said) == UNKNOWN
    assert networks_of(said) == Networks(UNKNOWN)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_port_makes_no_other_client(address, port):
    with_port = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert client_address(with_port) == client_address(str(address))
    assert client_address(client_address(with_port)) == client_address(with_port)


@given(prefix=st.integers(1, 2**64 - 1), hosts=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2))
def test_all_addresses_of_a_customer_are_one_and_others_are_not(prefix, hosts):
    def address(prefix, host):
        return str(ipaddress.IPv6Address(prefix << 64 | host))

    here = {networks_of(address(prefix, host)) for host in hosts}
    assert len(here) == 1
    (mine,) = here
    other_site, neighbour = networks_of(address(prefix ^ 1 << 63, hosts[0])), networks_of(address(prefix ^ 1, hosts[0]))
    assert other_site.whole != mine.whole
    assert neighbour.whole == mine.whole
    assert mine.link not in {other_site.link, neighbour.link}
