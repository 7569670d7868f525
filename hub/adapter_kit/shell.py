"""The bench of the family ``sftp``: asyncssh's server on a folder, with the troubles of disks, keys and logins."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path
from typing import Any

import asyncssh

from hub.adapter_kit.cases import SAID, Trouble
from hub.adapter_kit.files import files_below
from hub.adapter_kit.gate import Gate, Mode
from hub.adapter_kit.http import MODES
from hub.adapter_kit.workshop import HOST, MARKER, SECRET, Places, Workshop, whole_places
from hub.model.submission import Package

_PATIENCE = 20.0


class ShellBench:
    """One SFTP server behind a gate; deliveries go below ``/in``."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._root = workshop.scratch()
        (self._root / "in").mkdir()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._server = _ServerThread(self._root, self._key.convert_to_public())
        self._gate = Gate(self._server.port)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the server into a trouble."""
        self._server.trouble = trouble
        self._gate.mode = MODES.get(trouble, Mode.PASS)
        match trouble:
            case Trouble.GONE:
                self._gate.close()
            case Trouble.WRONG_PATH:
                (self._root / "in").rmdir()
            case Trouble.CUT_MID_WRITE:
                self._leave_half(package)
        host_key = asyncssh.generate_private_key("ssh-ed25519") if trouble is Trouble.WRONG_HOST_KEY else None
        key_file = self._workshop.written("key", self._key.export_private_key().decode())
        return {
            "host": "receiver.invalid" if trouble is Trouble.NO_SUCH_NAME else HOST,
            "port": self._gate.port,
            "user": "hub",
            "host_key": (host_key or self._server.host_key).export_public_key().decode().strip(),
            "key_file": str(key_file),
            "password_file": str(self._workshop.secret_file),
        }

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do nothing more: everything is arranged."""

    def copies(self, package: Package) -> int:
        """Count the whole places."""
        return len(whole_places(files_below(self._root), package))

    def strangers(self, packages: list[Package]) -> int:
        """Count the places whose marker stands for nothing whole."""
        marked = sum(path.endswith(f"/{MARKER}") for path in files_below(self._root))
        return marked - sum(self.copies(package) for package in packages)

    def close(self) -> None:
        """Stop everything."""
        self._gate.close()
        self._server.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def _leave_half(self, package: Package) -> None:
        place = self._root / "in" / str(package.delivery_id)
        place.mkdir()
        (place / "data.jwe").write_bytes(b"half")
        (place / f".{MARKER}.0.part").write_bytes(b"{")


class _ServerThread:
    """Runs the server's event loop."""

    def __init__(self, root: Path, login: asyncssh.SSHKey) -> None:
        self.root = root
        self.login = login
        self.trouble = Trouble.NONE
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._acceptor = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_PATIENCE)
        self.port: int = self._acceptor.get_port()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            0,
            server_factory=lambda: _Server(self),
            server_host_keys=[self.host_key],
            sftp_factory=lambda channel: _Files(channel, self),
            allow_scp=False,
        )

    async def _stop(self) -> None:
        self._acceptor.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Server(asyncssh.SSHServer):
    """Lets ``hub`` in, by its key or the bench's password."""

    def __init__(self, thread: _ServerThread) -> None:
        self._thread = thread

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002  # asyncssh's own hook
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        good = self._thread.trouble is not Trouble.BAD_CREDENTIALS and username == "hub"
        return good and key.public_data == self._thread.login.public_data

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return self._thread.trouble is not Trouble.BAD_CREDENTIALS and (username, password) == ("hub", SECRET)


class _Files(asyncssh.SFTPServer):
    """Files below the root; a trouble meets writing, or the rename that completes a delivery."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], thread: _ServerThread) -> None:
        super().__init__(channel, chroot=str(thread.root).encode())
        self._thread = thread

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        if self._thread.trouble is Trouble.FORBIDDEN:
            raise asyncssh.SFTPPermissionDenied("no")
        return super().mkdir(path, attrs)

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if self._thread.trouble is Trouble.NO_SPACE:
            raise asyncssh.SFTPNoSpaceOnFilesystem("full")
        if self._thread.trouble is Trouble.BROKEN:
            raise asyncssh.SFTPFailure(SAID)
        return super().write(file_obj, offset, data)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().posix_rename(oldpath, newpath)
        await self._after(newpath)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        await self._after(newpath)

    async def _after(self, path: bytes) -> None:
        if path.rpartition(b"/")[2] != MARKER.encode():
            return
        match self._thread.trouble:
            case Trouble.HANG:
                await asyncio.sleep(_PATIENCE)
            case Trouble.RESET_LATE:
                self.connection.abort()
