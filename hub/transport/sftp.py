"""Writing files to an SFTP server so that nobody sees half of one: under a temporary name first, the last file last.

No answer after the last file may have got its name is *unknown*, before that *unreachable*. What the server says is never
repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import asyncssh

from hub.errors import HubError
from hub.model import DeadCause, Outcome, OutcomeKind, reasons
from hub.model.packaging import MixedUp
from hub.model.reasons import Reason
from hub.transport.connection import Inward, Line, NoHost, reason_for

#: What to write: relative name and content, in order; the last one makes the place whole.
Files = Callable[[], Iterable[tuple[str, Iterable[bytes]]]]

_LOST = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)
_TOO_FULL = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)
_NOT_ALLOWED = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
_REASONS: tuple[tuple[Any, Reason], ...] = (
    (Inward, reasons.NOT_PUBLIC),
    (NoHost, reasons.NO_HOST),
    (asyncssh.HostKeyNotVerifiable, reasons.HOST_KEY),
    (asyncssh.KeyExchangeFailed, reasons.NO_KEY_EXCHANGE),
    (asyncssh.PermissionDenied, reasons.LOGIN_REFUSED),
    (_TOO_FULL, reasons.NO_SPACE),
    (_NOT_ALLOWED, reasons.NO_FOLDER),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where to, known by which host keys, and who the hub is there: by ``client_key`` or by ``password``."""

    host: str
    port: int
    user: str
    host_keys: list[asyncssh.SSHKey]
    client_key: asyncssh.SSHKey | None = field(repr=False, default=None)
    password: str | None = field(repr=False, default=None)


def read_host_keys(text: str) -> list[asyncssh.SSHKey]:
    """Read public keys as in a .pub file, one a line; ValueError if one cannot be read."""
    return [asyncssh.import_public_key(line) for line in text.splitlines() if line.strip()]


def read_client_key(content: bytes) -> asyncssh.SSHKey:
    """Read a private key, OpenSSH or PEM, without a passphrase; ValueError if it is none."""
    return asyncssh.import_private_key(content)


def upload(line: Line, server: Server, place: PurePosixPath, files: Files, *, last: str) -> Outcome:
    """Write ``files`` below ``place``, unless ``last`` is there already, and say what came of it.

    Whatever reading the files raises passes through.
    """
    attempt = _Upload(place, last)
    try:
        # An event loop for each attempt: the library is asynchronous alone.
        return asyncio.run(attempt.run(line, server, files))
    except (asyncssh.Error, OSError, EOFError, ValueError) as exc:
        return attempt.explain(exc, late=line.late)


class _Upload:
    """One attempt; ``_committing`` says that the last file may have got its name."""

    def __init__(self, place: PurePosixPath, last: str) -> None:
        self._place = place
        self._last = last
        self._committing = False

    async def run(self, line: Line, server: Server, files: Files) -> Outcome:
        # What the library's own tasks fail with at the end of a broken line is in the outcome already.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        dialled = await asyncio.to_thread(line.dial, server.host, server.port)
        async with asyncio.timeout(line.left()):
            connection = await _connect(dialled, server)
            try:
                async with connection.start_sftp_client() as sftp:
                    outcome = await self._write_all(sftp, files)
                    self._committing = False
                    return outcome
            finally:
                connection.abort()

    def explain(self, exc: Exception, *, late: bool) -> Outcome:
        """Say what a failed attempt means."""
        for kind, known in _REASONS:
            if isinstance(exc, kind):
                cause = None if kind is _TOO_FULL else DeadCause.CONFIGURATION
                return Outcome(kind=OutcomeKind.UNREACHABLE, note=known.note, cause=cause)
        reason = reason_for(exc, late=late)
        if self._committing:
            late = reason is reasons.TIMED_OUT
            return Outcome(kind=OutcomeKind.UNKNOWN, note=(reasons.SILENT_IN_TIME if late else reasons.SILENT).note)
        lost = isinstance(exc, asyncssh.Error | EOFError) and reason is reasons.NOT_REACHABLE
        note = f"{reasons.CONNECTION_LOST.note} ({type(exc).__name__})" if lost else reason.note
        return Outcome(kind=OutcomeKind.UNREACHABLE, note=note)

    async def _write_all(self, sftp: asyncssh.SFTPClient, files: Files) -> Outcome:
        if await sftp.exists(self._place / self._last):
            return Outcome(kind=OutcomeKind.DELIVERED, note="was already there, whole")
        known: set[PurePosixPath] = set()
        for name, chunks in files():
            path = self._place / name
            for folder in [self._place, path.parent]:
                if folder not in known:
                    await _prepare(sftp, folder)
                    known.add(folder)
            await self._write(sftp, path, chunks)
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"written as {self._place.name}")

    async def _write(self, sftp: asyncssh.SFTPClient, path: PurePosixPath, chunks: Iterable[bytes]) -> None:
        working = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            async with sftp.open(working, "xb") as file:
                for chunk in chunks:
                    await file.write(chunk)
                with contextlib.suppress(asyncssh.SFTPOpUnsupported):  # An extension (fsync@openssh.com).
                    await file.fsync()
            self._committing = path.name == self._last
            await _rename(sftp, working, path)
        except _LOST:
            raise
        except (asyncssh.SFTPError, HubError, MixedUp):
            # A clear answer, or trouble of the hub's own: the file has no name, and its temporary one is tidied up.
            self._committing = False
            with contextlib.suppress(asyncssh.SFTPError):
                await sftp.remove(working)
            raise


async def _connect(dialled: Any, server: Server) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        server.host,
        sock=dialled,
        username=server.user,
        known_hosts=(server.host_keys, [], []),
        # So that the server shows a key that can be judged; SHA-1 is out.
        server_host_key_algs=sorted(
            {name.decode() for key in server.host_keys for name in key.sig_algorithms if name != b"ssh-rsa"}
        ),
        client_keys=None if server.client_key is None else [server.client_key],
        password=server.password,
        preferred_auth="password" if server.client_key is None else "publickey",
        # Nothing of the account that the hub runs under takes part.
        config=None,
        agent_path=None,
        gss_host=None,
    )


async def _prepare(sftp: asyncssh.SFTPClient, folder: PurePosixPath) -> None:
    """Make a folder, or remove what a crash in an earlier attempt of this delivery left in it."""
    if not await sftp.isdir(folder):
        with contextlib.suppress(asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):  # Another attempt was faster.
            await sftp.mkdir(folder)
        return
    for entry in await sftp.listdir(folder):
        if str(entry).endswith(".part") and "/" not in str(entry):
            with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                await sftp.remove(folder / str(entry))


async def _rename(sftp: asyncssh.SFTPClient, working: PurePosixPath, final: PurePosixPath) -> None:
    try:
        await sftp.posix_rename(working, final)
    except asyncssh.SFTPOpUnsupported:
        # Plain SFTP refuses a name that is taken; what has it is an earlier attempt's.
        with contextlib.suppress(asyncssh.SFTPNoSuchFile):
            await sftp.remove(final)
        await sftp.rename(working, final)
