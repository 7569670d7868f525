"""Scanners on loopback: a real clamd with signatures of our own, and one that answers what a test wants it to.

clamd knows a marker that is in no other file, so nothing here holds malware and nothing is downloaded.
"""

from __future__ import annotations

import contextlib
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
from typing import Any

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


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as tried, contextlib.suppress(OSError):
        tried.connect(str(path))
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


def settings_of(address: str, **more: Any) -> dict[str, Any]:
    """Settings of a hub that scans there, and waits for nobody."""
    return {"scan": address, "scan_wait_seconds": 0, "scan_seconds": 5, **more}
