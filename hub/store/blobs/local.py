"""The blob store: large sealed contents as files. It only ever sees ciphertext.

A blob is written under a name that the hub chose, synced, and only then given its final place, so that a name in a
committed row always leads to a whole file. Blobs whose row never came are found by :meth:`Blobs.names` and swept.
Who does not need a blob any more discards it; :class:`~hub.store.blobs.contents.Janitor` alone deletes.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from hub.errors import StoreUnavailable, Text, not_found
from hub.files import vault
from hub.model import INLINE_LIMIT, Sealed
from hub.store.blobs.contents import CHUNK, PATIENCE, Beginning, BlobWriter, Janitor, Leftover

#: Bytes after which the system is asked to begin writing them to the disk.
_WRITE_OUT = 8 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{32}")
_UNFINISHED = "unfinished"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalBlobs:
    """Blobs in a local folder, spread over two levels of folders by the first digits of their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.janitor = Janitor(self.delete)
        with _translated():
            for one in (folder, folder / _UNFINISHED):
                one.mkdir(mode=0o700, parents=True, exist_ok=True)

    def writer(self) -> LocalBlobWriter:
        """Begin a new blob."""
        return LocalBlobWriter(self.folder, uuid4().hex)

    def read(self, name: str, chunk: int = CHUNK, *, start: int = 0) -> Iterator[bytes]:
        """Open the blob now and yield it from byte ``start`` on, in pieces of at most ``chunk`` bytes.

        Raises:
            NotFound: no such blob.
        """
        path = self._path(name)
        with _translated():
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            os.lseek(file, start, os.SEEK_SET)
        return _pieces(file, chunk)

    def chunks(self, sealed: Sealed, *, start: int = 0) -> Iterator[bytes]:
        """Yield a sealed content from byte ``start`` on, wherever it lies, in the row or here."""
        if sealed.blob is not None:
            return self.read(sealed.blob, start=start)
        return iter([(sealed.jwe or b"")[start:]])

    def size(self, name: str) -> int:
        """Return a blob's length in bytes; raise ``NotFound`` for an unknown one."""
        path = self._path(name)
        with _translated():
            return path.stat().st_size

    def delete(self, name: str) -> None:
        """Delete a blob; an unknown one is deleted already."""
        path = self._path(name)
        with _translated(), suppress(FileNotFoundError):
            path.unlink()

    def discard(self, *orphans: str | Leftover) -> None:
        """Have the janitor delete blobs, and unfinished ones; neither waits nor raises."""
        self.janitor.discard(*orphans)

    def names(self, older_than: datetime) -> Iterator[str]:
        """Yield the blobs written before ``older_than``; unfinished files of that age are removed on the way."""
        self.janitor.settle()
        limit = older_than.timestamp()
        for path in _older(self.folder / _UNFINISHED, limit):
            with _translated(), suppress(FileNotFoundError):
                path.unlink()
        for first in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            for second in sorted(first.glob("[0-9a-f][0-9a-f]")):
                yield from (path.name for path in _older(second, limit) if _NAME.fullmatch(path.name))

    def free_bytes(self) -> int:
        """Return the bytes that an unprivileged process may still write."""
        with _translated():
            return shutil.disk_usage(self.folder).free

    def settle(self, patience: timedelta = PATIENCE) -> bool:
        """Wait until what was discarded is done with, for ``patience`` at most; say whether it is."""
        return self.janitor.settle(patience)

    def close(self) -> None:
        """Files are closed by who reads and writes them."""

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise not_found("content-not-found")
        return _place(self.folder, name)


class LocalBlobWriter:
    """One file in the making. As a context manager it aborts unless it was committed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._draft = folder / _UNFINISHED / name
        self._size = self._begun = 0
        with _translated():
            self.file: int | None = os.open(
                self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``; raise ``StoreUnavailable`` where there is no room."""
        rest = memoryview(chunk)
        with _translated():
            while rest:
                rest = rest[os.write(self._open_file(), rest) :]
            self._size += len(chunk)
            if self._size - self._begun >= _WRITE_OUT:
                self._write_out()

    def commit(self) -> str:
        """Sync the bytes, move the file to its place, sync the folders; return the name."""
        place = _place(self._folder, self._name)
        with _translated():
            file = self._open_file()
            os.fdatasync(file)
            self.file = None
            os.close(file)
            _make_folders(place.parent, self._folder)
            self._draft.rename(place)
            vault.sync_folder(place.parent)
        return self._name

    def abort(self) -> None:
        """Remove the draft; after ``commit`` it does nothing."""
        with _translated():
            if self.file is not None:
                os.close(self.file)
                self.file = None
            self._draft.unlink(missing_ok=True)

    def _write_out(self) -> None:
        """Have the system begin to write what is new to the disk, so that little is left for the sync to wait for.

        Linux answers this advice by starting to write, and drops only what is on the disk already. It promises nothing:
        that all is there, and whether writing failed, is what the sync of ``commit`` tells.
        """
        if hasattr(os, "posix_fadvise"):  # Not on every Unix.
            os.posix_fadvise(self._open_file(), self._begun, self._size - self._begun, os.POSIX_FADV_DONTNEED)
        self._begun = self._size

    def _open_file(self) -> int:
        if self.file is None:
            raise ValueError("the blob is finished already")
        return self.file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is not None:
            self.abort()


class SpillingSink:
    """Takes one compact JWE (ciphertext only, never plaintext) as it is made: in memory while small, then into a blob.

    ``finish`` gives (jwe, None) up to ``inline_limit`` bytes, else (None, blob name). What a failing disk broke is aborted.
    """

    def __init__(self, blobs: Beginning, inline_limit: int = INLINE_LIMIT) -> None:
        self._blobs = blobs
        self._limit = inline_limit
        self._head = bytearray()
        self._writer: BlobWriter | None = None

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``; raise ``StoreUnavailable`` where there is no room."""
        if self._writer is None and len(self._head) + len(chunk) <= self._limit:
            self._head += chunk
            return
        if self._writer is None:
            self._writer = self._blobs.writer()
            self._spill(self._writer, bytes(self._head))
            self._head.clear()
        self._spill(self._writer, chunk)

    def finish(self) -> tuple[bytes | None, str | None]:
        """Return where the content lies now: (jwe, None) or (None, name of a durable blob)."""
        if self._writer is None:
            return bytes(self._head), None
        try:
            return None, self._writer.commit()
        except StoreUnavailable:
            self._writer.abort()
            raise

    def abort(self) -> None:
        """Leave no trace of a content that came to nothing."""
        self._head.clear()
        if self._writer is not None:
            self._writer.abort()

    @staticmethod
    def _spill(writer: BlobWriter, chunk: bytes) -> None:
        try:
            writer.write(chunk)
        except StoreUnavailable:
            writer.abort()
            raise


def _place(folder: Path, name: str) -> Path:
    return folder / name[:2] / name[2:4] / name


def _make_folders(folder: Path, root: Path) -> None:
    """Create a folder below ``root``; each new one is synced into its parent, or a power cut takes it with its files."""
    if folder == root or folder.is_dir():
        return
    _make_folders(folder.parent, root)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    vault.sync_folder(folder.parent)


def _pieces(file: int, chunk: int) -> Iterator[bytes]:
    with os.fdopen(file, "rb", buffering=0) as stream, _translated():
        while piece := stream.read(chunk):
            yield piece


def _older(folder: Path, limit: float) -> Iterator[Path]:
    """Yield the files in ``folder`` that were last written before ``limit``, in no order; one that vanishes is skipped."""
    with _translated(), suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < limit:
                    yield Path(entry.path)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the file system's errors into the hub's."""
    try:
        yield
    except FileNotFoundError as exc:
        raise not_found("content-not-found") from exc
    except OSError as exc:
        full = exc.errno in _FULL
        raise StoreUnavailable(
            Text(
                "Der Platz für Inhalte ist erschöpft. Versuchen Sie es später erneut."
                if full
                else "Der Ablageort für Inhalte ist gestört. Versuchen Sie es später erneut.",
                "There is no room left for contents. Try again later."
                if full
                else "The place where contents lie is out of order. Try again later.",
            )
        ) from exc
