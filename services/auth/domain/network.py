"""Which address a client has, and which network it stands for."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# What one customer is given whole (RFC 6177, RFC 7934): with a budget for each address of it there would be no budget.
IPV6_PREFIX_BITS = 64
# What is no address. All of it shares one budget, so nobody gains by writing something new there.
UNKNOWN = "unknown"

# Proxies add the port that they saw, and put an IPv6 address in brackets then (RFC 7239 §6).
_WITH_PORT = re.compile(r"\[(?P<v6>[^][]*)\](?::[0-9]*)?|(?P<v4>[0-9.]+):[0-9]*")


def client_address(text: str) -> str:
    """Read an element of ``X-Forwarded-For``, or the address of a peer, as an address in its shortest spelling.

    A port, brackets and the zone of an IPv6 address are left out. An IPv4 address inside IPv6 (``::ffff:a.b.c.d``) is
    the IPv4 address. What is no address is UNKNOWN.
    """
    address = _address_in(text)
    return UNKNOWN if address is None else str(address)


def network_of(ip: str) -> str:
    """The network whose budgets a client pays from: an IPv4 address, the /64 of an IPv6 address, or UNKNOWN."""
    address = _address_in(ip)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address.packed, IPV6_PREFIX_BITS), strict=False))
    return UNKNOWN if address is None else str(address)


@lru_cache(2048)  # each request asks at least twice, for the client and for the network of its budgets
def _address_in(text: str) -> IPv4Address | IPv6Address | None:
    bare = text.strip().strip('"')
    with_port = _WITH_PORT.fullmatch(bare)
    bare = (with_port["v6"] or with_port["v4"] or "") if with_port else bare
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
