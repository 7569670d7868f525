"""Names of servers, judged by their form: the same at the door, where somebody enters one, and when it is dialled.

Resolvers take more than names: short, octal, hexadecimal and decimal spellings of IPv4 (RFC 6943, section 3.1.1), zones of
IPv6 (RFC 4007), mapped addresses. Each is another way to write what a reader takes for something else, so none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

from hub.errors import Invalid, Text
from hub.transport.addresses import Address

#: RFC 1035 section 2.3.4, without the full stop at the end; RFC 952 and 1123, with the underscore of inner networks.
_LONGEST_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
#: What ends in a number is an address in some reader's eyes (URL Standard, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_IDNA = "xn--"
_PRINTABLE = re.compile(r"[\x21-\x7e]{9,2000}")
#: What a reader may take for the end of a URL's host, or for another part of it.
_AMBIGUOUS = frozenset("#\\")


def insist_on_host(host: str) -> None:
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
    insist_on_host(host)
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
