"""Whom an address stands for."""

from ipaddress import IPv6Address, IPv6Network, ip_address

# What one customer is given whole (RFC 6177, RFC 7934): with a budget for each address of it there would be no budget.
IPV6_PREFIX_BITS = 64


def network_of(ip: str) -> str:
    """An IPv4 address is itself; an IPv6 address is its /64. What is no address stays as it is."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address.packed, IPV6_PREFIX_BITS), strict=False))
