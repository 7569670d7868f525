"""Where connections may go: judged by address and by name.

Which addresses may be reached: judged by the registries of special-purpose addresses, in tables of our own.

Python's ``is_global`` follows its release; what it calls public differs from one to the next. These are the tables of
IANA's registries, last updated on 2025-10-09 (RFC 6890, RFC 8190 and later entries), with their column "Globally
Reachable"; where it says "N/A" or nothing, for what was given up, an address counts as not reachable. They were compared row by
row with the registries' CSV files as fetched on 2026-07-18, which ``tests/transport/test_transport.py`` repeats.

https://www.iana.org/assignments/iana-ipv4-special-registry
https://www.iana.org/assignments/iana-ipv6-special-registry

Names of servers, judged by their form: the same at the door, where somebody enters one, and when it is dialled.

Resolvers take more than names: short, octal, hexadecimal and decimal spellings of IPv4 (RFC 6943, section 3.1.1), zones of
IPv6 (RFC 4007), mapped addresses. Each is another way to write what a reader takes for something else, so none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from hub.errors import Invalid, Text

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Prefix and whether it is globally reachable; the longest prefix counts.
SPECIAL_IPV4: Sequence[tuple[str, bool]] = (
    ("0.0.0.0/8", False),  # "this network", RFC 791
    ("0.0.0.0/32", False),  # "this host on this network", RFC 1122
    ("10.0.0.0/8", False),  # private use, RFC 1918
    ("100.64.0.0/10", False),  # shared address space, RFC 6598
    ("127.0.0.0/8", False),  # loopback, RFC 1122
    ("169.254.0.0/16", False),  # link-local, RFC 3927
    ("172.16.0.0/12", False),  # private use, RFC 1918
    ("192.0.0.0/24", False),  # IETF protocol assignments, RFC 6890
    ("192.0.0.0/29", False),  # IPv4 service continuity prefix, RFC 7335
    ("192.0.0.8/32", False),  # IPv4 dummy address, RFC 7600
    ("192.0.0.9/32", True),  # Port Control Protocol anycast, RFC 7723
    ("192.0.0.10/32", True),  # TURN anycast, RFC 8155
    ("192.0.0.170/32", False),  # NAT64/DNS64 discovery, RFC 8880
    ("192.0.0.171/32", False),  # NAT64/DNS64 discovery, RFC 8880
    ("192.0.2.0/24", False),  # documentation, RFC 5737
    ("192.31.196.0/24", True),  # AS112-v4, RFC 7535
    ("192.52.193.0/24", True),  # AMT, RFC 7450
    ("192.88.99.0/24", False),  # N/A: 6to4 relay anycast, given up, RFC 7526
    ("192.88.99.2/32", False),  # 6a44 relay anycast, RFC 6751
    ("192.168.0.0/16", False),  # private use, RFC 1918
    ("192.175.48.0/24", True),  # direct delegation AS112 service, RFC 7534
    ("198.18.0.0/15", False),  # benchmarking, RFC 2544
    ("198.51.100.0/24", False),  # documentation, RFC 5737
    ("203.0.113.0/24", False),  # documentation, RFC 5737
    ("240.0.0.0/4", False),  # reserved, RFC 1112
    ("255.255.255.255/32", False),  # limited broadcast, RFC 8190
)
SPECIAL_IPV6: Sequence[tuple[str, bool]] = (
    ("::1/128", False),  # loopback, RFC 4291
    ("::/128", False),  # unspecified, RFC 4291
    ("::ffff:0:0/96", False),  # IPv4-mapped, RFC 4291; judged by what it maps
    ("64:ff9b::/96", True),  # translation of IPv4, RFC 6052; judged by what it translates
    ("64:ff9b:1::/48", False),  # translation of IPv4, local, RFC 8215
    ("100::/64", False),  # discard only, RFC 6666
    ("100:0:0:1::/64", False),  # dummy prefix, RFC 9780
    ("2001::/23", False),  # IETF protocol assignments, RFC 2928
    ("2001::/32", False),  # N/A: Teredo, RFC 4380
    ("2001:1::1/128", True),  # Port Control Protocol anycast, RFC 7723
    ("2001:1::2/128", True),  # TURN anycast, RFC 8155
    ("2001:1::3/128", True),  # DNS-SD registration anycast, RFC 9665
    ("2001:2::/48", False),  # benchmarking, RFC 5180
    ("2001:3::/32", True),  # AMT, RFC 7450
    ("2001:4:112::/48", True),  # AS112-v6, RFC 7535
    ("2001:10::/28", False),  # N/A: ORCHID, given up, RFC 4843
    ("2001:20::/28", True),  # ORCHIDv2, RFC 7343
    ("2001:30::/28", True),  # drone remote identification, RFC 9374
    ("2001:db8::/32", False),  # documentation, RFC 3849
    ("2002::/16", False),  # N/A: 6to4, RFC 3056; judged by what it embeds
    ("2620:4f:8000::/48", True),  # direct delegation AS112 service, RFC 7534
    ("3fff::/20", False),  # documentation, RFC 9637
    ("5f00::/16", False),  # segment routing identifiers, RFC 9602
    ("fc00::/7", False),  # unique local, RFC 4193
    ("fe80::/10", False),  # link-local, RFC 4291
)
#: What the other registries keep from unicast: multicast (RFC 5771, RFC 4291) and all that is not 2000::/3 (RFC 4291,
#: section 2.4; only this part is handed out).
_MULTICAST_IPV4 = IPv4Network("224.0.0.0/4")
_UNICAST_IPV6 = IPv6Network("2000::/3")

#: What the switch for private addresses opens: an organisation's own networks, and nothing that leads elsewhere.
_OWN: Sequence[Network] = tuple(
    ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "fc00::/7", "::1/128")
)
#: Where machines of clouds are told their credentials, outside link-local; no switch opens it.
_METADATA: Sequence[Network] = tuple(
    ip_network(each)
    for each in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::/32")
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


def _longest_first(table: Sequence[tuple[str, bool]]) -> list[tuple[Network, bool]]:
    rows = [(ip_network(prefix), reachable) for prefix, reachable in table]
    return sorted(rows, key=lambda row: row[0].prefixlen, reverse=True)


_IPV4, _IPV6 = _longest_first(SPECIAL_IPV4), _longest_first(SPECIAL_IPV6)


def is_public(address: Address) -> bool:
    """Tell whether an address lies in the public internet; one that embeds an IPv4 address is judged by that."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    if _lies_in(address, _METADATA):
        return False
    table: Sequence[tuple[Network, bool]] = _IPV4 if isinstance(address, IPv4Address) else _IPV6
    for network, reachable in table:
        if address in network:
            return reachable
    return address not in _MULTICAST_IPV4 if isinstance(address, IPv4Address) else address in _UNICAST_IPV6


def is_own(address: Address) -> bool:
    """Tell whether an address lies in an organisation's own network (RFC 1918, 4193, 6598, loopback).

    Link-local addresses do not: on a machine of a cloud they lead to its credentials.
    """
    inner = _embedded(address)
    return is_own(inner) if inner is not None else _lies_in(address, _OWN) and not _lies_in(address, _METADATA)


def may_reach(address: Address, *, private: bool) -> bool:
    """Tell whether a connection may lead to ``address``; ``private`` opens the organisation's own networks."""
    return is_public(address) or (private and is_own(address))


def _embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address within an IPv6 address: mapped (RFC 4291), translated (RFC 6052), 6to4 (RFC 3056)."""
    if isinstance(address, IPv4Address):
        return None
    number = int(address)
    if address in _MAPPED or address in _TRANSLATED:
        return IPv4Address(number & 0xFFFF_FFFF)
    return IPv4Address((number >> 80) & 0xFFFF_FFFF) if address in _SIX_TO_FOUR else None


def _lies_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


#: RFC 1035 section 2.3.4, without the full stop at the end; RFC 952 and 1123, with the underscore of inner networks.
_LONGEST_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
#: What ends in a number is an address in some reader's eyes (URL Standard, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_IDNA = "xn--"
_PRINTABLE = re.compile(r"[\x21-\x7e]{9,2000}")
#: What a reader may take for the end of a URL's host, or for another part of it.
_AMBIGUOUS = frozenset("#\\")


def require_host(host: str) -> None:
    """Refuse what cannot be the name or the address of a server.

    Raises:
        Invalid: it cannot; the text says why.
    """
    fault = host_fault(host)
    if fault is not None:
        raise Invalid(fault, slug="host-impossible")


def url_parts(url: str, schemes: Collection[str]) -> SplitResult:
    """Return the parts of a URL that leads to one server and says so in one way.

    Raises:
        Invalid: another scheme, credentials, a fragment, an odd way to write host or port, an impossible host.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise _no_url(schemes) from exc
    shown = f"[{host}]" if ":" in host else host
    whole = {shown, f"{shown}:{port}"} if port else {shown}
    if not _PRINTABLE.fullmatch(url) or _AMBIGUOUS & set(url) or parts.scheme not in schemes:
        raise _no_url(schemes)
    if not host or port == 0 or parts.netloc.lower() not in whole:
        raise _no_url(schemes)
    require_host(host)
    return parts


def literal(host: str) -> Address | None:
    """Return the address that ``host`` is, in whatever dress; None for a name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def host_fault(host: str) -> Text | None:
    """Say what is wrong with the name or address of a server; None where nothing is."""
    address = literal(host)
    if address is not None:
        return _literal_fault(host, address)
    if not host or len(host) > _LONGEST_NAME:
        return Text(
            f"Der Name eines Servers hat 1 bis {_LONGEST_NAME} Zeichen.",
            f"A server's name has 1 to {_LONGEST_NAME} characters.",
        )
    labels = host.split(".")
    if not all(map(_LABEL.fullmatch, labels)):
        return Text(
            "Der Name des Servers besteht aus Teilen von 1 bis 63 Buchstaben, Ziffern und Bindestrichen, mit einem Punkt "
            "dazwischen; Umlaute schreiben Sie als xn--….",
            "A server's name is made of parts of 1 to 63 letters, digits and hyphens with one full stop between them; write "
            "other letters as xn--….",
        )
    if _NUMBER.fullmatch(labels[-1]):
        return Text(
            "Schreiben Sie eine IPv4-Adresse als vier Dezimalzahlen ohne führende Nullen, etwa 192.0.2.1.",
            "Write an IPv4 address as four decimal numbers without leading zeros, such as 192.0.2.1.",
        )
    if not all(map(_is_written_well, labels)):
        return Text(
            "Ein Teil des Servernamens beginnt mit xn--, ist aber kein umgeschriebener Name (RFC 5891).",
            "A part of the server's name begins with xn-- but is no encoded name (RFC 5891).",
        )
    return None


def _literal_fault(host: str, address: IPv4Address | IPv6Address) -> Text | None:
    if "%" in host:
        return Text(
            "Eine Adresse mit Zone (%) gilt nur auf einem Rechner. Schreiben Sie sie ohne Zone.",
            "An address with a zone (%) counts on one machine alone. Write it without the zone.",
        )
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return Text(
            "Schreiben Sie die IPv4-Adresse selbst, nicht in einer IPv6-Adresse.",
            "Write the IPv4 address itself, not within an IPv6 address.",
        )
    return None


def _is_written_well(label: str) -> bool:
    if not label.lower().startswith(_IDNA):
        return True
    try:
        return bool(label[len(_IDNA) :].encode("ascii").decode("punycode"))
    except (UnicodeError, ValueError, OverflowError):
        return False


def _no_url(schemes: Collection[str]) -> Invalid:
    named = " / ".join(f"{each}://" for each in sorted(schemes, reverse=True))
    return Invalid(
        Text(
            f"Die Adresse muss mit {named} beginnen und ohne Zugangsdaten, Leerzeichen und Fragment genau einen Server nennen.",
            f"The address must begin with {named} and name one server, without credentials, blanks and a fragment.",
        ),
        slug="address-invalid",
    )
