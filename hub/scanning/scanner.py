"""Scanners of any kind: where they are, how they are reached, and how one part passes through one.

A part is streamed: ``write`` any number of times, then ``finish`` for the verdict. Nothing of it is kept here, so nothing can
be sent twice: a scanner that breaks off is a verdict (*not scanned*), never an exception, and what is done about it is for
policy to say. Each part has a connection of its own: an answer on it can be to no other part, and a connection that died
while it was kept would cost a part that nobody can send again.
"""

from __future__ import annotations

import contextlib
import math
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from hub.errors import ConfigurationError, Text
from hub.scanning.verdict import Gap, ScanResult, limited, plain, unscanned

#: Dials a host and a port within so many seconds; raises ``OSError``. The hub hands in its judged dialler.
Dial = Callable[[str, int, float], socket.socket]

#: Seconds for a connection; for asking a version.
_CONNECT = 3.0
_PAUSE = 0.1
#: How long a version that was told counts, and how long one that was not is not asked for again.
_VERSION_LASTS, _VERSION_PAUSE = 60.0, 10.0
#: How long a scanner that did not answer in time is left alone: others are not to wait for the same silence.
_SPARED = 15.0
_MOST_PORT = 65_535
_HOST = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})"
_CLAMD = re.compile(rf"clamd:(?://{_HOST}:(?P<port>[0-9]{{1,5}})|(?P<path>/(?!/)[^\x00-\x1f]{{1,100}}))")
_ICAP = re.compile(rf"icap://{_HOST}(?::(?P<port>[0-9]{{1,5}}))?(?P<service>/[A-Za-z0-9._~/?&=+-]{{1,200}})")
_ICAP_PORT = 1344  # RFC 3507, section 4.2


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannerAddress:
    """Where a scanner is: ``path`` is a unix socket, else ``host`` and ``port`` count; ICAP has a ``service``, too."""

    host: str = ""
    port: int = 0
    path: Path | None = None
    service: str = ""

    def __str__(self) -> str:
        if self.service:
            return f"icap://{self.host}:{self.port}{self.service}"
        return "clamd:" + (str(self.path) if self.path is not None else f"//{self.host}:{self.port}")


def scanner_address(text: str) -> ScannerAddress:
    """Read ``clamd:/PATH``, ``clamd://HOST:PORT`` or ``icap://HOST:PORT/SERVICE``.

    Raises:
        ConfigurationError: it is none.
    """
    found = _CLAMD.fullmatch(text) or _ICAP.fullmatch(text)
    if found is None:
        raise _no_place()
    parts = found.groupdict()
    if parts.get("path"):
        return ScannerAddress(path=Path(parts["path"]))
    port = int(parts["port"] or _ICAP_PORT)
    if not 0 < port <= _MOST_PORT:
        raise _no_place()
    return ScannerAddress(host=parts["host"].strip("[]"), port=port, service=parts.get("service") or "")


def _no_place() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "erwartet wird clamd:/PFAD/ZUM/SOCKET, clamd://RECHNER:PORT oder icap://RECHNER:PORT/DIENST",
            "expected is clamd:/PATH/OF/SOCKET, clamd://HOST:PORT or icap://HOST:PORT/SERVICE",
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Seconds: ``answer`` for each step of the scanner and for its verdict, ``wait`` for one that does not listen yet."""

    answer: float = 30.0
    wait: float = 0.0


class ScanBroken(Exception):  # Never leaves this room: it carries a gap to where it becomes a verdict.
    """A scan that cannot go on."""

    def __init__(self, gap: Gap) -> None:
        super().__init__(gap.value)
        self.gap = gap


class Wire:
    """One connection to a scanner; every step ends in time, however slowly the other side answers."""

    def __init__(self, dialled: socket.socket, seconds: float) -> None:
        self._socket = dialled
        self._seconds = seconds
        #: What arrived and was not read yet.
        self.pending = b""

    def send(self, *parts: bytes) -> None:
        """Send all of them, uncopied; ``OSError`` where the other side takes no more."""
        until = self.deadline()
        left = [memoryview(each) for each in parts if each]
        while left:
            self._socket.settimeout(max(until - time.monotonic(), 0.001))
            sent = self._socket.sendmsg(left)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]

    def receive(self, until: float) -> bytes:
        """Return what arrives next, at most 64 KiB, and nothing at the end; ``until`` is a time of the monotonic clock."""
        if self.pending:
            found, self.pending = self.pending, b""
            return found
        left = until - time.monotonic()
        if left <= 0:
            raise ScanBroken(Gap.LATE)
        self._socket.settimeout(left)
        return self._socket.recv(65_536)

    def ahead(self) -> bytes:
        """Return what the other side has said already, without waiting for it."""
        self._socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            self.pending += self._socket.recv(65_536)
        return self.pending

    def deadline(self) -> float:
        """Return until when an answer may take that is asked for now."""
        return time.monotonic() + self._seconds

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.close()


class PartTransfer(Protocol):
    """What one protocol says over a line about one part."""

    def write(self, chunk: bytes) -> None:
        """Send a further chunk."""

    def finish(self) -> ScanResult:
        """End the part and return what the scanner says of it."""


class Scan:
    """One part on its way through a scanner; :meth:`finish` or :meth:`close` ends it."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._line: Wire | None = None
        self._exchange: PartTransfer | None = None
        self._left = scanner.most
        self._ended: ScanResult | None = None

    def write(self, chunk: bytes) -> None:
        """Pass a further chunk on, unless the scan has ended already."""
        if self._ended is not None or not chunk:
            return
        self._left -= len(chunk)
        if self._left < 0:
            self._end(limited("scan_bytes"))
            return
        self._attempt(lambda exchange: exchange.write(chunk))

    def finish(self) -> ScanResult:
        """Return the verdict."""
        if self._ended is None:
            self._attempt(lambda exchange: self._end(exchange.finish()))
        assert self._ended is not None  # noqa: S101  # every attempt that fails ends it, too
        said = self._scanner.version()
        return self._ended if self._ended.version is not None else replace(self._ended, version=said)

    def close(self) -> None:
        """Let go of the scanner; harmless after the verdict."""
        self._exchange = None
        if self._line is not None:
            self._line.close()
            self._line = None

    def _attempt(self, step: Callable[[PartTransfer], None]) -> None:
        try:
            if self._exchange is None:
                self._line = self._scanner.dial()
                self._exchange = self._scanner.begin(self._line)
            step(self._exchange)
        except ScanBroken as trouble:
            self._end(unscanned(trouble.gap))
        except TimeoutError:
            self._end(unscanned(Gap.LATE))
        except OSError:
            self._end(unscanned(Gap.BROKEN_OFF))

    def _end(self, scanned: ScanResult) -> None:
        self._ended = scanned
        self._scanner.heard(scanned)
        self.close()


class Scanner:
    """A scanner of one protocol; thread-safe. ``most`` is the bytes of a part beyond which it is not asked."""

    #: What receipts call it.
    name = ""

    def __init__(self, place: ScannerAddress, *, dial: Dial, times: Times, most: int) -> None:
        self.place = place
        self.most = most
        self._dial = dial
        self._times = times
        self._lock = threading.Lock()
        self._version: tuple[float, str | None] = (-math.inf, None)
        self._spared_until = -math.inf

    def scan(self) -> Scan:
        """Begin a part."""
        return Scan(self)

    def begin(self, line: Wire) -> PartTransfer:
        """Begin a part on a line."""
        raise NotImplementedError

    def ask_version(self, line: Wire) -> str:
        """Ask for program and signatures; ``ScanBroken`` where the answer is none."""
        raise NotImplementedError

    def version(self) -> str | None:
        """Return what the scanner said of itself within the last minute; None where it says nothing readable."""
        with self._lock:
            until, said = self._version
        if time.monotonic() < until:
            return said
        try:
            with contextlib.closing(self._dialled(_CONNECT)) as line:
                said = plain(self.ask_version(line))
        except (OSError, ScanBroken):
            said = None
        lasts = _VERSION_PAUSE if said is None else _VERSION_LASTS
        with self._lock:
            self._version = (time.monotonic() + lasts, said)
        return said

    def heard(self, scanned: ScanResult) -> None:
        """Note how a scan ended: who was silent for all the time that it has is not asked by everybody else, too."""
        if scanned.gap is Gap.LATE:
            self._spared_until = time.monotonic() + _SPARED

    def dial(self) -> Wire:
        """Connect, and wait a while for a scanner that is just being started; raises ``ScanBroken``.

        Who has waited in vain spares the others the same: until it listens again, each tries once.
        """
        now = time.monotonic()
        if now < self._spared_until:
            raise ScanBroken(Gap.UNREACHABLE)
        until = now + self._times.wait
        while True:
            try:
                return self._dialled(self._times.answer)
            except TimeoutError as error:
                self._spared_until = time.monotonic() + _SPARED
                raise ScanBroken(Gap.UNREACHABLE) from error
            except OSError as error:
                if time.monotonic() >= until:
                    self._spared_until = time.monotonic() + min(_SPARED, self._times.wait)
                    raise ScanBroken(Gap.UNREACHABLE) from error
                time.sleep(_PAUSE)

    def another(self) -> Wire:
        """Return a connection beside that of a part."""
        return self._dialled(_CONNECT)

    def _dialled(self, seconds: float) -> Wire:
        if self.place.path is None:
            return Wire(self._dial(self.place.host, self.place.port, _CONNECT), seconds)
        dialled = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            dialled.settimeout(_CONNECT)
            dialled.connect(str(self.place.path))
        except OSError:
            dialled.close()
            raise
        return Wire(dialled, seconds)
