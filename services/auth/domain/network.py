"""Which address a client has, and which network it stands for."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# A customer is given a /64 at least and often a /48 (RFC 6177, RFC 7934). A budget for each address, or for each of the
# 65,536 networks of a /48, would be no budget.
IPV6_LINK_BITS, IPV6_SITE_BITS = 64, 48
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


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks whose budgets a client pays from.

    ``whole`` is an IPv4 address, the /48 of an IPv6 address, or UNKNOWN. ``link`` is the /64 of an IPv6 address.
    """

    whole: str
    link: str | None = None


def networks_of(ip: str) -> Networks:
    """The networks of this address, in whatever spelling a proxy has sent it."""
    address = _address_in(ip)
    if isinstance(address, IPv6Address):
        return Networks(_prefix(address, IPV6_SITE_BITS), _prefix(address, IPV6_LINK_BITS))
    return Networks(UNKNOWN if address is None else str(address))


def _prefix(address: IPv6Address, bits: int) -> str:
    return str(IPv6Network((address.packed, bits), strict=False))


@lru_cache(2048)  # each request asks at least twice, for the client and for the networks of its budgets
def _address_in(text: str) -> IPv4Address | IPv6Address | None:
    bare = text.strip().strip('"')
    with_port = _WITH_PORT.fullmatch(bare)
    bare = (with_port["v6"] or with_port["v4"] or "") if with_port else bare
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
