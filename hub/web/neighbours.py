"""What counts as one caller: network addresses that somebody has to himself, and the blocks that somebody may rent.

Of IPv4 an address and its /24; of IPv6 the /64 of a household or a server, and the /48 that providers give away. Whoever counts
by address alone counts a stranger with IPv6 anew for each of 2^64 addresses.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

#: Addresses whose neighbourhoods are remembered: reading one takes longer than all that is asked of it.
_REMEMBERED = 4_096


@lru_cache(maxsize=_REMEMBERED)
def neighbourhood(address: str) -> str:
    """Return what counts as one address: of IPv6 the /64 that a household or a rented server has to itself."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))  # noqa: PLR2004


@lru_cache(maxsize=_REMEMBERED)
def block(address: str) -> str:
    """Return the block of an address that one may rent whole: a /24 of IPv4, a /48 of IPv6."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))  # noqa: PLR2004


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address without its zone, IPv4 that came through a listener for both as what it is; None for none."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
