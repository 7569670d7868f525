"""ClamAV's daemon, asked by its own protocol: ``INSTREAM`` for a part, ``VERSION`` for its signatures (clamd(8), COMMANDS).

A part travels in chunks, each behind its length (four bytes, network order); a length of zero ends it. The answer is one record
that ends with NUL: ``stream: OK``, ``stream: NAME FOUND``, or words that end in ``ERROR``. clamd stops reading a part that is
larger than its ``StreamMaxLength``, says so and hangs up: what it said is read all the same. With ``AlertExceedsMax`` and
``AlertEncrypted`` it *finds* limits and encryption; those are no malware, and are told apart by their names.
"""

from __future__ import annotations

import contextlib
import re
import struct
from datetime import UTC, datetime

from hub.scanning.scanner import PartTransfer, ScanBroken, Scanner, Wire
from hub.scanning.verdict import CLEAN, Gap, ScanResult, limited, named, unscanned

#: Bytes of an answer; a signature's name is short.
_LONGEST = 4096
#: Bytes up to which chunks are gathered.
_SMALL = 64 * 1024
_END = b"\0\0\0\0"
_FOUND = re.compile(r"stream: (?P<name>.+) FOUND", re.DOTALL)
_ERROR = re.compile(r".* ERROR", re.DOTALL)
_TOO_LARGE = "INSTREAM size limit exceeded. ERROR"
_VERSION = re.compile(r"ClamAV [^\x00-\x1f\x7f]{1,200}")
#: ``ClamAV 1.4.2/27450/Mon Nov 30 08:33:00 2026``: engine, number of the signatures, when they were made.
_DATED = re.compile(r"ClamAV [^/]+/[0-9]+/(?P<at>[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4})")


class ClamdScanner(Scanner):
    """Asks clamd."""

    name = "clamd"

    def begin(self, line: Wire) -> PartTransfer:
        """Begin a part."""
        return _Instream(line)

    def ask_version(self, line: Wire) -> str:
        """Ask for engine and signatures."""
        line.send(b"zVERSION\0")
        said = _answer(line)
        if not _VERSION.fullmatch(said):
            raise ScanBroken(Gap.GARBLED)
        return said


def signatures_made(version: str) -> datetime | None:
    """Return when the signatures of a ``VERSION`` were made; None where it does not say, as with own signatures alone."""
    found = _DATED.fullmatch(version)
    if found is None:
        return None
    try:
        return datetime.strptime(found["at"], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return None


class _Instream:
    """One part."""

    def __init__(self, line: Wire) -> None:
        self._line = line
        self._before: list[bytes] = [b"zINSTREAM\0"]
        self._gathered = 0
        self._refused = False

    def write(self, chunk: bytes) -> None:
        if self._refused:
            return  # clamd has said why, which is read at the end.
        self._before += (struct.pack("!I", len(chunk)), chunk)
        self._gathered += len(chunk)
        if self._gathered <= _SMALL:
            return
        self._refused = bool(self._line.ahead())  # Before the line is reset, which may take the answer along.
        if not self._refused:
            try:
                self._flush()
            except (BrokenPipeError, ConnectionResetError):
                self._refused = True

    def finish(self) -> ScanResult:
        if not self._refused:
            self._before.append(_END)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._flush()
        return _meant(_answer(self._line))

    def _flush(self) -> None:
        waiting, self._before = self._before, []
        self._gathered = 0
        self._line.send(*waiting)


def _answer(line: Wire) -> str:
    """Return the one record that a line holds; raises ``ScanBroken`` for anything else."""
    until = line.deadline()
    said = b""
    while b"\0" not in said:
        more = line.receive(until)
        if not more:
            raise ScanBroken(Gap.BROKEN_OFF if not said else Gap.GARBLED)
        said += more
        if len(said) > _LONGEST:
            raise ScanBroken(Gap.GARBLED)
    record, _, rest = said.partition(b"\0")
    if rest:  # A second answer: one of them is to something else.
        raise ScanBroken(Gap.GARBLED)
    return record.decode("utf-8", errors="replace")


def _meant(said: str) -> ScanResult:
    if said == "stream: OK":
        return CLEAN
    if said == _TOO_LARGE:
        return limited("StreamMaxLength")
    found = _FOUND.fullmatch(said)
    if found is not None:
        return named(found["name"])
    return unscanned(Gap.BROKEN_OFF if _ERROR.fullmatch(said) else Gap.GARBLED)
