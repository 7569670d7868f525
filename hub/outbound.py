"""The way out to addresses that others chose: no way inward, no way round (server-side request forgery).

A request goes to an address that was judged itself, not to a name that is looked up once more, which leaves no gap for DNS
rebinding. It follows no redirect, asks no proxy, sends no credentials of its own, and ends at a deadline however slowly
the other side answers.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from hub.errors import Invalid, Text

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})")
_PRINTABLE = re.compile(r"[\x21-\x7e]{9,2000}")
_PORTS = {"http": 80, "https": 443}
#: Translation of IPv6 into IPv4 addresses (RFC 6052); what is behind cannot be judged.
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """What came of one request: the answer's status, or None and a note (no payload, no secret) where there was none.

    ``content`` is the answer's body as far as it was read.
    """

    status: int | None
    note: str
    content: bytes = field(repr=False, default=b"")

    @property
    def taken(self) -> bool:
        """Whether the other side said yes (2xx)."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  # HTTP's own numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Outbound:
    """Sends requests to foreign addresses.

    ``allow_private_addresses`` opens private networks and plain http; for development and tests only. ``timeout`` is for
    the whole request, in seconds; of the answer at most ``answer_limit`` bytes are read.
    """

    allow_private_addresses: bool = False
    timeout: float = 10.0
    answer_limit: int = 16 * 1024

    def check(self, url: str) -> None:
        """Judge an address by its form, before anything is sent to it.

        Raises:
            Invalid: no https URL, or one with credentials, a strange host, or an address that is not public.
        """
        self._parsed(url)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Post ``body`` once and say what came of it."""
        return self._send("POST", url, body, headers)

    def get(self, url: str, headers: Mapping[str, str]) -> Posted:
        """Ask for ``url`` once and say what came of it."""
        return self._send("GET", url, None, headers)

    def _send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Posted:
        try:
            target = self._parsed(url)
            addresses = self._addresses(target)
        except (Invalid, OSError) as error:
            return Posted(status=None, note=_why(error))
        line = _Line(target, addresses, self.timeout)
        try:
            return self._exchange(line, method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            return Posted(status=None, note="no answer in time" if line.late else _why(error))
        finally:
            line.hang_up()

    def _exchange(
        self, line: _Line, method: str, target: SplitResult, body: bytes | None, headers: Mapping[str, str]
    ) -> Posted:
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        line.request(method, path, body=body, headers=dict(headers))
        answer = line.getresponse()
        content = answer.read(self.answer_limit)
        return Posted(status=answer.status, note=f"HTTP {answer.status}", content=content)

    def _parsed(self, url: str) -> SplitResult:
        try:
            target = urlsplit(url)
            port = target.port
        except ValueError as exc:
            raise _refused() from exc
        schemes = _PORTS if self.allow_private_addresses else {"https": 443}
        host = target.hostname or ""
        named = _HOST.fullmatch(host) is not None or _address(host) is not None
        if not _PRINTABLE.fullmatch(url) or target.scheme not in schemes or not named or port == 0:
            raise _refused()
        if target.username is not None or target.password is not None or "#" in url or "\\" in url:
            raise _refused()
        address = _address(host)
        if address is not None and not self._may_reach(address):
            raise _refused()
        return target

    def _addresses(self, target: SplitResult) -> list[tuple[str, int]]:
        port = target.port or _PORTS[target.scheme]
        found = socket.getaddrinfo(target.hostname, port, type=socket.SOCK_STREAM)
        addresses = [(str(entry[4][0]), port) for entry in found]
        judged = [_address(address.partition("%")[0]) for address, _ in addresses]
        # One inward address among several is an attempt, not an accident.
        if not all(address is not None and self._may_reach(address) for address in judged):
            raise _refused()
        return addresses

    def _may_reach(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return self.allow_private_addresses or is_public(address)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address lies in the public internet, also where it hides in another one (RFC 4291, 3056, 6052)."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or any(address in network for network in _NAT64):
            return False
    return address.is_global and not address.is_multicast


class _Line(http.client.HTTPConnection):
    """One request's connection: dials only the judged addresses and is cut at the deadline.

    The watch is a second handle on the same connection: shutting it down ends a handshake, a send or a read that hangs.
    """

    def __init__(self, target: SplitResult, addresses: list[tuple[str, int]], timeout: float) -> None:
        super().__init__(target.hostname or "", target.port or _PORTS[target.scheme], timeout=timeout)
        self._secure = target.scheme == "https"
        self._addresses = addresses
        self._deadline = time.monotonic() + timeout
        self._watch: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self.late = False

    def connect(self) -> None:
        """Dial the first address that answers."""
        dialled = self._dial()
        self._watch = dialled.dup()
        self._timer = threading.Timer(self._left(), self._cut)
        self._timer.daemon = True
        self._timer.start()
        if self._secure:
            dialled = ssl.create_default_context().wrap_socket(dialled, server_hostname=self.host)
        self.sock = dialled

    def hang_up(self) -> None:
        """Close everything and stop the watch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._watch is not None:
            self._watch.close()
        self.close()

    def _dial(self) -> socket.socket:
        for address in self._addresses[:-1]:
            with contextlib.suppress(OSError):
                return socket.create_connection(address, timeout=self._left())
        return socket.create_connection(self._addresses[-1], timeout=self._left())

    def _left(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    def _cut(self) -> None:
        self.late = True
        if self._watch is not None:
            with contextlib.suppress(OSError):
                self._watch.shutdown(socket.SHUT_RDWR)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _why(error: Exception) -> str:
    """Name a failure for operators; messages of libraries may quote what was sent."""
    if isinstance(error, Invalid):
        return "address refused"
    if isinstance(error, ssl.SSLError):
        return "TLS refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "name not found"
    return "not reachable" if isinstance(error, ConnectionError) else f"no answer ({type(error).__name__})"


def _refused() -> Invalid:
    return Invalid(
        Text(
            "Die Adresse muss mit https:// beginnen, ohne Zugangsdaten und Fragment sein und im öffentlichen Netz "
            "liegen.",
            "The address must begin with https://, hold no credentials and no fragment, and lie in the public network.",
        ),
        slug="callback-url-refused",
    )
