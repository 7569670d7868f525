"""Upload each delivery to an SFTP server: sealed files, each under a temporary name first, the manifest last.

``<folder>/<delivery id>/`` holds ``metadata.jwe``, ``data.jwe``, ``attachments/<attachment id>.jwe`` and
``manifest.json``. Whoever collects waits for the manifest; a repeated attempt finds it and stops, or writes the same
files again. The server is known by its host key, which stands in the options: no key is trusted on first use.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import asyncssh

from hub.delivery import Adapter
from hub.envelope import MANIFEST, MixedUp, checked, file_name, manifest, not_readable
from hub.errors import Unavailable
from hub.options import insist, read_file, read_options, read_secret, unusable
from hub.submission import DeadCause, Outcome, OutcomeKind, Package
from hub.wire.http import insist_on_timeout
from hub.wire.line import Inward, Line

_TOO_FULL = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)
_NOT_ALLOWED = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """``host_key``: the server's public key or keys as in a .pub file, one a line; ``folder``: where deliveries go.

    ``timeout``: seconds for a whole attempt. Either ``key_file`` (OpenSSH or PEM, no passphrase) or ``password_file``.
    """

    host: str
    user: str
    host_key: str
    folder: str
    port: int = 22
    key_file: str | None = None
    password_file: str | None = None
    timeout: float = 120.0
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        either = "key_file oder password_file"
        one = (self.key_file is None) != (self.password_file is None)
        insist("sftp", one, f"braucht entweder {either}", f"needs either {either.replace('oder', 'or')}")
        insist_on_timeout("sftp", self.timeout, 3600)  # An hour for large attachments on a slow line.
        port = 0 < self.port < 65536  # noqa: PLR2004  # TCP's own number
        insist("sftp", port, "braucht 0 < port < 65536", "needs 0 < port < 65536")
        plain = self.folder and ".." not in PurePosixPath(self.folder).parts and self.folder.isprintable()
        insist("sftp", plain, "braucht in folder einen Pfad ohne ..", "needs a path without .. in folder")


class Sftp:
    """Deliver into ``folder`` of an SFTP server."""

    name = "sftp"

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, Options, config)
        self._host_keys = _public_keys(self._options.host_key)

    def open(self) -> None:
        """Read the key or the password; ``ConfigurationError`` if it cannot be used."""
        options = self._options
        self._login: dict[str, Any] = {"client_keys": None, "password": None}
        if options.password_file is not None:
            self._login["password"] = read_secret(self.name, "password_file", options.password_file)
            return
        content = read_file(self.name, "key_file", options.key_file or "")
        try:
            self._login["client_keys"] = [asyncssh.import_private_key(content)]
        except (asyncssh.KeyImportError, UnicodeDecodeError) as exc:
            raise unusable(
                self.name,
                "braucht in key_file einen privaten Schlüssel ohne Passphrase",
                "needs a private key without a passphrase in key_file",
            ) from exc

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt, on an event loop of its own: the library is asynchronous alone."""
        upload = _Upload(self._options, package)
        try:
            return asyncio.run(upload.run(self._host_keys, self._login))
        except (MixedUp, Unavailable) as exc:
            return not_readable(exc)
        except (asyncssh.Error, OSError, EOFError) as exc:
            return _explain(exc, committing=upload.committing)

    def close(self) -> None:
        """Hold no connection between attempts."""


class _Upload:
    """One attempt; ``committing`` says that the manifest may have got its name."""

    def __init__(self, options: Options, package: Package) -> None:
        self._options = options
        self._package = package
        self._place = PurePosixPath(options.folder) / str(package.delivery_id)
        self.committing = False

    async def run(self, host_keys: list[asyncssh.SSHKey], login: Mapping[str, Any]) -> Outcome:
        options = self._options
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            dialled = await asyncio.to_thread(line.dial, options.host, options.port)
            async with asyncio.timeout(line.left()):
                connection = await asyncssh.connect(
                    options.host,
                    sock=dialled,
                    username=options.user,
                    known_hosts=(host_keys, [], []),
                    server_host_key_algs=_algorithms(host_keys),
                    # Nothing of the account that the hub runs under takes part.
                    config=None,
                    agent_path=None,
                    gss_host=None,
                    preferred_auth="publickey" if login["client_keys"] else "password",
                    **login,
                )
                try:
                    async with connection.start_sftp_client() as sftp:
                        outcome = await self._write_all(sftp)
                        self.committing = False
                        return outcome
                finally:
                    connection.abort()

    async def _write_all(self, sftp: asyncssh.SFTPClient) -> Outcome:
        if await sftp.exists(self._place / MANIFEST):
            return Outcome(kind=OutcomeKind.DELIVERED, note="was already there, whole")
        attachments = self._place / "attachments"
        for folder in (self._place, attachments):
            if not await sftp.isdir(folder):
                with contextlib.suppress(asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):  # Another was faster.
                    await sftp.mkdir(folder)
            await _clear_leftovers(sftp, folder)
        for part, sealed in self._package.submission.contents.parts():
            await self._write(sftp, self._place / file_name(part), checked(self._package, sealed))
        await self._write(sftp, self._place / MANIFEST, [manifest(self._package)])
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"written as {self._place.name}")

    async def _write(self, sftp: asyncssh.SFTPClient, path: PurePosixPath, chunks: Iterable[bytes]) -> None:
        working = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            async with sftp.open(working, "xb") as file:
                for chunk in chunks:
                    await file.write(chunk)
                with contextlib.suppress(asyncssh.SFTPOpUnsupported):  # An extension (fsync@openssh.com).
                    await file.fsync()
            self.committing = path.name == MANIFEST
            await _rename(sftp, working, path)
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection):
            raise
        except (asyncssh.SFTPError, MixedUp, Unavailable):
            self.committing = False
            with contextlib.suppress(asyncssh.SFTPError):
                await sftp.remove(working)
            raise


async def _rename(sftp: asyncssh.SFTPClient, working: PurePosixPath, final: PurePosixPath) -> None:
    try:
        await sftp.posix_rename(working, final)
    except asyncssh.SFTPOpUnsupported:
        # Plain SFTP refuses a name that is taken; what has it is an earlier attempt's.
        with contextlib.suppress(asyncssh.SFTPNoSuchFile):
            await sftp.remove(final)
        await sftp.rename(working, final)


async def _clear_leftovers(sftp: asyncssh.SFTPClient, folder: PurePosixPath) -> None:
    """Remove what a crash in an earlier attempt of this delivery left behind."""
    for entry in await sftp.listdir(folder):
        if str(entry).endswith(".part"):
            with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                await sftp.remove(folder / str(entry))


def _explain(exc: Exception, *, committing: bool) -> Outcome:
    """Say what a failed attempt means; messages of the server are not repeated."""
    configured = DeadCause.CONFIGURATION
    notes: list[tuple[Any, str, DeadCause | None]] = [
        (Inward, "address is not public", configured),
        (asyncssh.HostKeyNotVerifiable, "host key is not the one in the options", configured),
        (asyncssh.KeyExchangeFailed, "no key exchange that both sides allow", configured),
        (asyncssh.PermissionDenied, "login refused", configured),
        (_TOO_FULL, "no space at the receiver", None),
        (_NOT_ALLOWED, "folder is missing or not writable", configured),
    ]
    for kind, note, cause in notes:
        if isinstance(exc, kind):
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=cause)
    late = isinstance(exc, TimeoutError)
    if committing:
        return Outcome(kind=OutcomeKind.UNKNOWN, note="no answer in time" if late else "no answer")
    return Outcome(kind=OutcomeKind.UNREACHABLE, note="timed out" if late else f"not reachable ({type(exc).__name__})")


def _public_keys(lines: str) -> list[asyncssh.SSHKey]:
    try:
        keys = [asyncssh.import_public_key(line) for line in lines.splitlines() if line.strip()]
    except asyncssh.KeyImportError:
        keys = []
    insist("sftp", keys, "braucht in host_key öffentliche Schlüssel", "needs public keys in host_key")
    return keys


def _algorithms(keys: list[asyncssh.SSHKey]) -> list[str]:
    """Return the signature algorithms of the pinned keys, so that the server shows a key that can be judged."""
    return sorted({name.decode() for key in keys for name in key.sig_algorithms if name != b"ssh-rsa"})


_: type[Adapter] = Sftp
