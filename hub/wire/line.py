"""One attempt's connections: they go only to addresses that were judged, and all of them end at one deadline.

Judging the address that is then connected to, and not a name that is looked up once more, leaves no gap for DNS
rebinding. The watch is a second handle on each connection: shutting it down ends a handshake, a send or a read that
hangs, also inside a library.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from typing import Self

from hub.outbound import is_public


class Inward(OSError):
    """The name leads to an address that is not public, and the adapter's options do not allow that."""


class Line:
    """Dials out; usable as a context manager that hangs up.

    ``timeout``: seconds until everything is cut. ``public_only`` keeps it out of private networks.
    """

    def __init__(self, *, timeout: float, public_only: bool) -> None:
        self._deadline = time.monotonic() + timeout
        self._public_only = public_only
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
            Inward: one of them is not public (one among several is an attempt, not an accident).
            OSError: the name is not found.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as exc:  # A label that no DNS name can have.
            raise socket.gaierror("no name") from exc
        addresses = [str(entry[4][0]) for entry in found]
        judged = (ipaddress.ip_address(address.partition("%")[0]) for address in addresses)
        if self._public_only and not all(is_public(address) for address in judged):
            raise Inward
        return [(address, port) for address in addresses]

    def dial(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; errors as :meth:`addresses`, or OSError if none does."""
        addresses = self.addresses(host, port)
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):
                return self._watched(address)
        return self._watched(addresses[-1])

    def hang_up(self) -> None:
        """Stop watching; connections are closed by those who hold them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        for watch in self._watches:
            watch.close()
        self._watches.clear()

    def _watched(self, address: tuple[str, int]) -> socket.socket:
        dialled = socket.create_connection(address, timeout=max(0.001, self.left()))
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
