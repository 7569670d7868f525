"""Scanners on loopback: a real clamd with signatures of our own, a real ICAP server before it, and rogues.

clamd knows a marker that is in no other file, so nothing here holds malware and nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

#: What the signatures of :func:`clamd` find, under the name ``Rathaus.Test-Marker`` (clamd adds .UNOFFICIAL).
MARKER = b"rathaus-hub-test-marker-7c1f2e55-not-malware"
FOUND = "Rathaus.Test-Marker.UNOFFICIAL"
#: Bytes that this clamd takes of one stream.
STREAM_LIMIT = 4 * 1024 * 1024
_CONFIG = """\
LocalSocket {folder}/clamd.ctl
DatabaseDirectory {folder}/signatures
TemporaryDirectory {folder}
Foreground yes
StreamMaxLength 4M
MaxFileSize 4M
MaxScanSize 16M
MaxRecursion 4
MaxFiles 50
AlertExceedsMax yes
AlertEncrypted yes
"""
_ICAP_CONFIG = """\
PidFile {folder}/icap.pid
CommandsSocket {folder}/icap.ctl
ServerLog {folder}/server.log
AccessLog {folder}/access.log
TmpDir {folder}
Port 127.0.0.1:{port}
StartServers 1
MaxServers 1
MinSpareThreads 4
MaxSpareThreads 8
ThreadsPerChild 8
ModulesDir {modules}
ServicesDir {modules}
LoadMagicFile /etc/c-icap/c-icap.magic
Module common clamd_mod.so
clamd_mod.ClamdSocket {clamd}
Service antivirus_module virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE MSOFFICE DOCUMENT
virus_scan.SendPercentData 0
virus_scan.PassOnError off
virus_scan.MaxObjectSize 4M
virus_scan.DefaultEngine clamd
"""


@pytest.fixture(scope="session")
def clamd() -> Iterator[str]:
    """The address of a real clamd, as settings write it."""
    program = shutil.which("clamd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("clamd is not installed (Debian: clamav-daemon)")
    # Paths of unix sockets are short.
    folder = Path(tempfile.mkdtemp(prefix="clamd-"))
    try:
        (folder / "signatures").mkdir()
        (folder / "signatures/own.ndb").write_text(f"Rathaus.Test-Marker:0:*:{MARKER.hex()}\n")
        (folder / "clamd.conf").write_text(_CONFIG.format(folder=folder))
        process = subprocess.Popen(
            [program, "--config-file", str(folder / "clamd.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until = time.monotonic() + 30
            while not _listens(folder / "clamd.ctl"):
                assert process.poll() is None, "clamd ended"
                assert time.monotonic() < until, "clamd did not begin"
                time.sleep(0.02)
            yield f"clamd:{folder}/clamd.ctl"
        finally:
            process.terminate()
            process.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def icap(clamd: str) -> Iterator[str]:
    """The address of a real ICAP service that has clamd look; it looks at no pictures."""
    program = shutil.which("c-icap", path="/usr/bin:/usr/sbin")
    modules = next(Path("/usr/lib").glob("*/c_icap/virus_scan.so"), None)
    if program is None or modules is None:
        pytest.skip("c-icap is not installed (Debian: c-icap, libc-icap-mod-virus-scan)")
    folder = Path(tempfile.mkdtemp(prefix="icap-"))
    try:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        said = _ICAP_CONFIG.format(folder=folder, port=port, modules=modules.parent, clamd=clamd.removeprefix("clamd:"))
        (folder / "icap.conf").write_text(said)
        process = subprocess.Popen(
            [program, "-N", "-f", str(folder / "icap.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until = time.monotonic() + 30
            while not _listens(("127.0.0.1", port)):
                assert process.poll() is None, "c-icap ended"
                assert time.monotonic() < until, "c-icap did not begin"
                time.sleep(0.02)
            yield f"icap://127.0.0.1:{port}/avscan"
        finally:
            process.terminate()
            process.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _listens(place: Path | tuple[str, int]) -> bool:
    family = socket.AF_INET if isinstance(place, tuple) else socket.AF_UNIX
    with socket.socket(family) as tried, contextlib.suppress(OSError):
        tried.connect(place if isinstance(place, tuple) else str(place))
        return True
    return False


class Rogue:
    """A server that reads what a scanner is sent and says what ``answer`` does with the connection; counts connections."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def clamd(self) -> str:
        """Its address as that of a clamd."""
        return f"clamd://127.0.0.1:{self.port}"

    @property
    def icap(self) -> str:
        """Its address as that of an ICAP service."""
        return f"icap://127.0.0.1:{self.port}/avscan"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._held:
            each.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                came, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._held.append(came)
            came.settimeout(5)
            threading.Thread(target=self._one, args=[came], daemon=True).start()

    def _one(self, came: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._answer(came)


@contextmanager
def rogue(answer: Callable[[socket.socket], None]) -> Iterator[Rogue]:
    made = Rogue(answer)
    try:
        yield made
    finally:
        made.close()


def read_instream(came: socket.socket) -> bytes:
    """Read one command of clamd's protocol, with its stream: return the stream, or the command that has none."""
    file = came.makefile("rb")
    command = b""
    while not command.endswith(b"\0"):
        more = file.read(1)
        if not more:
            return command
        command += more
    if command != b"zINSTREAM\0":
        return command
    content = b""
    while length := struct.unpack("!I", file.read(4))[0]:
        content += file.read(length)
    return content


def saying(answer: bytes, *, version: bytes = b"ClamAV 1.4.6\0") -> Callable[[socket.socket], None]:
    """A clamd that says the same of every part."""

    def answers(came: socket.socket) -> None:
        came.sendall(version if read_instream(came) == b"zVERSION\0" else answer)
        came.close()

    return answers


OFFER = b'ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nService: Rogue\r\nISTag: "t1"\r\nAllow: 204\r\nEncapsulated: null-body=0\r\n'


def offering(answer: bytes, *, offer: bytes = OFFER, preview: bytes = b"") -> Callable[[socket.socket], None]:
    """An ICAP server that says the same of every part, and ``preview`` to its beginning where there is one."""

    def answers(came: socket.socket) -> None:
        file = came.makefile("rb")
        if _head(file).startswith(b"OPTIONS "):
            came.sendall(offer + b"\r\n")
        else:
            _head(file)
            answer_or_preview(came, file)
        came.close()

    def answer_or_preview(came: socket.socket, file: BinaryIO) -> None:
        if b"Preview:" in offer:
            read_body(file)
            came.sendall(preview)
            if b" 100 " not in preview:
                return
        read_body(file)
        came.sendall(answer)

    return answers


def _head(file: BinaryIO) -> bytes:
    """Read the lines up to an empty one."""
    lines = b""
    while (line := file.readline()) not in {b"", b"\r\n"}:
        lines += line
    return lines


def read_body(file: BinaryIO) -> bytes:
    """Read what is left of the encapsulated heads, and the chunks behind them."""
    content = b""
    while line := file.readline():
        size = re.fullmatch(rb"([0-9a-f]+)(?:; ieof)?\r\n", line)
        if size is None:
            continue  # A line of a head.
        content += file.read(int(size[1], 16))
        file.readline()
        if not int(size[1], 16):
            break
    return content


def settings_of(address: str, **more: Any) -> dict[str, Any]:
    """Settings of a hub that scans there, and waits for nobody."""
    return {"scan": address, "scan_wait_seconds": 0, "scan_seconds": 5, **more}
