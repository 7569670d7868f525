"""The one dialler: every connection that the hub opens goes where it may, and all of one attempt end at one deadline.

The address that is judged is the one that is connected to, and not a name that is looked up once more, which leaves no gap
for DNS rebinding. Looking up counts against the deadline. The watch is a second handle on each connection: shutting it
down ends a handshake, a send or a read that hangs, also inside a library.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Self

from hub.model import reasons
from hub.model.reasons import Reason
from hub.transport.addresses import may_reach
from hub.transport.hosts import host_fault, literal
from hub.transport.resolving import RESOLVER, LookUpLate, Resolver

#: Addresses of one name that are tried, each with its share of the time that is left.
_TRIED = 4
_SHORTEST = 0.001


class Inward(OSError):
    """The name leads to an address that may not be reached: not public, and the settings do not open the own network."""


class NoHost(OSError):
    """Nothing can have such a name or address."""


class Line:
    """Dials out; usable as a context manager that hangs up.

    ``timeout``: seconds until everything is cut. ``public_only`` keeps it out of private networks; without it, it may reach
    the organisation's own networks (:func:`hub.transport.addresses.is_own`), and link-local addresses never.
    """

    def __init__(self, *, timeout: float, public_only: bool, resolver: Resolver = RESOLVER) -> None:
        self._deadline = time.monotonic() + timeout
        self._public_only = public_only
        self._resolver = resolver
        self._lock = threading.Lock()
        self._watches: list[socket.socket] = []
        self._timer: threading.Timer | None = None
        self._cut_off = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self._cut_off or self.left() <= 0

    def left(self) -> float:
        """Return the seconds that are left; not positive when late."""
        return self._deadline - time.monotonic()

    def addresses(self, host: str, port: int) -> list[tuple[str, int]]:
        """Return the judged addresses of a host.

        Raises:
            Inward: one of them may not be reached (one among several is an attempt, not an accident).
            NoHost: the name can be nobody's.
            OSError: the name is not found, or not in time (:class:`~hub.transport.resolving.LookUpLate`).
        """
        written = literal(host)
        if written is not None and not may_reach(written, private=not self._public_only):
            raise Inward
        if host_fault(host) is not None:
            raise NoHost
        found = [host] if written is not None else self._resolver.addresses(host, within=self.left())
        judged = [literal(address) for address in found]
        if not all(each is not None and may_reach(each, private=not self._public_only) for each in judged):
            raise Inward
        return [(address, port) for address in found]

    def dial(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; errors as :meth:`addresses`, or OSError if none does."""
        addresses = self.addresses(host, port)[:_TRIED]
        for waiting, address in zip(range(len(addresses) - 1, 0, -1), addresses, strict=False):
            with contextlib.suppress(OSError):
                return self._watched(address, self.left() / (waiting + 1))
        return self._watched(addresses[-1], self.left())

    def hang_up(self) -> None:
        """Stop watching; connections are closed by those who hold them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        for watch in self._watches:
            watch.close()
        self._watches.clear()

    def _watched(self, address: tuple[str, int], within: float) -> socket.socket:
        dialled = socket.create_connection(address, timeout=max(_SHORTEST, within))
        dialled.settimeout(max(_SHORTEST, self.left()))
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._watches.append(dialled.dup())
            if self._timer is None:
                self._timer = threading.Timer(max(0.0, self.left()), self._cut)
                self._timer.daemon = True
                self._timer.start()
        return dialled

    def _cut(self) -> None:
        self._cut_off = True
        with self._lock:
            for watch in self._watches:
                with contextlib.suppress(OSError):
                    watch.shutdown(socket.SHUT_RDWR)


#: What an error of the system or a library means, the first that fits.
_REASONS: Mapping[type[BaseException], Reason] = {
    Inward: reasons.NOT_PUBLIC,
    NoHost: reasons.NO_HOST,
    UnicodeError: reasons.NO_HOST,
    LookUpLate: reasons.LOOKUP_LATE,
    socket.gaierror: reasons.NOT_FOUND,
    ssl.SSLCertVerificationError: reasons.TLS_NOT_TRUSTED,
    ssl.SSLEOFError: reasons.CONNECTION_LOST,
    ssl.SSLZeroReturnError: reasons.CONNECTION_LOST,
    ssl.SSLError: reasons.TLS_REFUSED,
    ConnectionRefusedError: reasons.CONNECTION_REFUSED,
    ConnectionError: reasons.CONNECTION_LOST,
    TimeoutError: reasons.TIMED_OUT,
}
#: They tell nothing of the other side: nothing was sent, and nothing is known of when it would be.
BEFORE_CONNECTING = frozenset({reasons.NOT_PUBLIC, reasons.NO_HOST, reasons.NOT_FOUND, reasons.LOOKUP_LATE})
#: What only a person can mend, on either side.
CONFIGURED = frozenset({reasons.NOT_PUBLIC, reasons.NO_HOST, reasons.TLS_NOT_TRUSTED, reasons.TLS_REFUSED})


def reason_for(error: BaseException, *, late: bool) -> Reason:
    """Say why a connection that ended with ``error`` came to nothing. Libraries' own words may quote what was sent.

    ``late``: the deadline was over, so that what broke was broken by the hub.
    """
    found = next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), reasons.NOT_REACHABLE)
    return reasons.TIMED_OUT if late and found not in BEFORE_CONNECTING else found
