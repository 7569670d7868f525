"""Writing files to an SFTP server so that nobody sees half of one: under a temporary name first, the last file last.

No answer after the last file may have got its name is *unknown*, before that *unreachable*. What the server says is never
repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import asyncssh

from hub.errors import HubError
from hub.model import DeadCause, Outcome, OutcomeKind, reasons
from hub.model.adapter import MixedUp
from hub.model.reasons import Reason
from hub.transport.connection import Inward, Line, NoHost, reason_for

#: What to write: relative name and content, in order; the last one makes the place whole.
Files = Callable[[], Iterable[tuple[str, Iterable[bytes]]]]

_LOST = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)
_TOO_FULL = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)
_NOT_ALLOWED = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
#: What a server says of an extension that it lacks, or that it keeps from this account.
_NOT_OFFERED = (asyncssh.SFTPOpUnsupported, asyncssh.SFTPPermissionDenied)
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
    """Where to, known by which host keys, and who the hub is there: by ``client_key``, by ``password``, or by both."""

    host: str
    port: int
    user: str
    host_keys: list[asyncssh.SSHKey]
    client_key: asyncssh.SSHKey | None = field(repr=False, default=None)
    password: str | None = field(repr=False, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """How files are called while they are written, and whether folders may be made for them.

    A working name is ``prefix``, the file's name, a dot with random digits, and ``suffix``; what an interrupted attempt left
    is known by that form. Where no folder is made, only what ``begins`` as this delivery's files do is an own leftover.
    """

    prefix: str = "."
    suffix: str = ".part"
    makes_folders: bool = True
    begins: str = ""

    def working(self, name: str) -> str:
        """Return a name for a file that is not whole yet."""
        return f"{self.prefix}{name}.{uuid4().hex}{self.suffix}"

    def is_working(self, name: str) -> bool:
        """Whether a name is one of :meth:`working`, of any attempt at this delivery."""
        begin, end = re.escape(f"{self.prefix}{self.begins}"), re.escape(self.suffix)
        return re.fullmatch(rf"{begin}[^/]+\.[0-9a-f]{{1,32}}{end}", name) is not None


def read_host_keys(text: str) -> list[asyncssh.SSHKey]:
    """Read public keys as in a .pub file, one a line; ValueError if one cannot be read."""
    return [asyncssh.import_public_key(line) for line in text.splitlines() if line.strip()]


def read_client_key(content: bytes) -> asyncssh.SSHKey:
    """Read a private key, OpenSSH or PEM, without a passphrase; ValueError if it is none."""
    return asyncssh.import_private_key(content)


def upload(
    line: Line, server: Server, place: PurePosixPath, files: Files, *, last: str, naming: Naming | None = None
) -> Outcome:
    """Write ``files`` below ``place``, unless ``last`` is there already, and say what came of it.

    Whatever reading the files raises passes through.
    """
    attempt = _Upload(place, last, naming or Naming())
    try:
        # An event loop for each attempt: the library is asynchronous alone.
        return asyncio.run(attempt.run(line, server, files))
    except (asyncssh.Error, OSError, EOFError, ValueError) as exc:
        return attempt.explain(exc, late=line.late)


class _Upload:
    """One attempt; ``_committing`` says that the last file may have got its name."""

    def __init__(self, place: PurePosixPath, last: str, naming: Naming) -> None:
        self._place = place
        self._last = last
        self._naming = naming
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
                    await self._prepare(sftp, folder)
                    known.add(folder)
            await self._write(sftp, path, chunks)
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"written as {self._naming.begins or self._place.name}")

    async def _prepare(self, sftp: asyncssh.SFTPClient, folder: PurePosixPath) -> None:
        """Make a folder, or remove what a crash in an earlier attempt of this delivery left in it."""
        if self._naming.makes_folders and not await sftp.isdir(folder):
            with contextlib.suppress(
                asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists
            ):  # Another attempt was faster.
                await sftp.mkdir(folder)
            return
        try:
            found = [str(entry) for entry in await sftp.listdir(folder)]
        except asyncssh.SFTPPermissionDenied:
            if self._naming.makes_folders:
                raise
            return  # Whoever drops into a folder of all need not see what lies in it.
        for entry in filter(self._naming.is_working, found):
            with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                await sftp.remove(folder / entry)

    async def _write(self, sftp: asyncssh.SFTPClient, path: PurePosixPath, chunks: Iterable[bytes]) -> None:
        working = path.with_name(self._naming.working(path.name))
        size = 0
        try:
            async with sftp.open(working, "xb") as file:
                for chunk in chunks:
                    await file.write(chunk)
                    size += len(chunk)
                await _on_disk(file, size)
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
        client_factory=lambda: _Client(server.password),
        # A server may want the password by prompts, or the key and then the password; what is not configured is not tried.
        preferred_auth=[
            *([] if server.client_key is None else ["publickey"]),
            *([] if server.password is None else ["password", "keyboard-interactive"]),
        ],
        # Nothing of the account that the hub runs under takes part.
        config=None,
        agent_path=None,
        gss_host=None,
    )


async def _on_disk(file: asyncssh.SFTPClientFile, size: int) -> None:
    """Ask for what was written to be on disk; an extension (fsync@openssh.com) that some servers lack or offer in vain.

    Where it fails, a file of the size that was written counts: who has no room has said so when it was written.
    """
    try:
        await file.fsync()
    except _NOT_OFFERED:
        return
    except asyncssh.SFTPFailure:
        with contextlib.suppress(*_NOT_OFFERED):
            if (await file.stat()).size != size:
                raise


async def _rename(sftp: asyncssh.SFTPClient, working: PurePosixPath, final: PurePosixPath) -> None:
    try:
        await sftp.posix_rename(working, final)
    except (asyncssh.SFTPFailure, *_NOT_OFFERED, asyncssh.SFTPFileAlreadyExists):
        # Plain SFTP refuses a name that is taken, and so does the extension of some servers (Win32-OpenSSH); what has the
        # name is an earlier attempt's, for only a delivery that is not whole is written.
        with contextlib.suppress(asyncssh.SFTPNoSuchFile):
            await sftp.remove(final)
        await sftp.rename(working, final)


class _Client(asyncssh.SSHClient):
    """Answers a server that asks for the password by prompts (keyboard-interactive, RFC 4256), in whatever language."""

    def __init__(self, password: str | None) -> None:
        self._password = password

    def kbdint_auth_requested(self) -> str | None:
        return None if self._password is None else ""

    def kbdint_challenge_received(
        self,
        name: str,  # noqa: ARG002  # the library's own hook
        instructions: str,  # noqa: ARG002
        lang: str,  # noqa: ARG002
        prompts: Sequence[tuple[str, bool]],
    ) -> list[str] | None:
        """Give the password once, to the one prompt whose answer is not shown; a second one would get it wrong again."""
        if not prompts:
            return []  # Only a message.
        password, self._password = self._password, None
        hidden = len(prompts) == 1 and not prompts[0][1]
        return [password] if hidden and password is not None else None
