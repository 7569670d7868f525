"""A backup as one file that only its recipient opens: a tar stream, encrypted while it is made.

Neither making nor judging it leaves a readable byte on any disk: what is packed goes by a pipe into the encryption, and who
reads one goes through all of it in memory before anything is put back. ``age --decrypt`` and ``tar`` open it, too.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, TypeVar

import orjson

from hub.errors import ConfigurationError, Text
from hub.files import age, vault

MANIFEST = "manifest.json"
#: Bytes of the largest manifest that is read: some hundred thousand files.
_LARGEST_MANIFEST = 256 * 1024 * 1024
_CHUNK = 1024 * 1024

T = TypeVar("T")


class Packer(Protocol):
    """Takes what is backed up, file by file."""

    def add(self, name: str, size: int, pieces: Iterable[bytes]) -> str:
        """Take a file of ``size`` bytes and return its SHA-256 (lower-case hex)."""


def write(target: Path, recipients: Sequence[Any], fill: Callable[[Packer], T]) -> T:
    """Make the new file ``target`` of what ``fill`` puts into it, and return what that returns.

    Whatever is raised leaves no file; it gets its name when all of it is on disk.
    """
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    packing = _Packing(fill)
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            packing.encrypt_into(out, recipients)
            out.flush()
            os.fsync(out.fileno())
        made: T = packing.result()
        unfinished.rename(target)
        vault.sync_folder(target.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return made


class _Packing:
    """Packs on a thread of its own, for the encryption asks for bytes while packing has them to give."""

    def __init__(self, fill: Callable[[Packer], Any]) -> None:
        self._fill = fill
        self._made: Any = None
        self._error: BaseException | None = None

    def encrypt_into(self, out: IO[bytes], recipients: Sequence[Any]) -> None:
        reading, writing = os.pipe()
        thread = threading.Thread(target=self._pack, args=(writing,), name="packing", daemon=True)
        with os.fdopen(reading, "rb") as packed:
            try:
                thread.start()
            except RuntimeError:  # No thread to be had: nobody else closes it.
                os.close(writing)
                raise
            age.encrypt(packed, out, recipients)
        # The reading end is closed: a thread that still packs, because the disk is full, ends by it.
        thread.join()

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._made

    def _pack(self, descriptor: int) -> None:
        try:
            with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w|") as tar:
                self._made = self._fill(_TarPacker(tar))
        except BaseException as error:  # noqa: BLE001  # whatever it is, who waits for the result is told
            self._error = error


class _TarPacker:
    """Puts what is backed up into a tar stream."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, size: int, pieces: Iterable[bytes]) -> str:
        """Append a file; ``OSError`` where it turns out to be shorter than it was said to be."""
        digest = hashlib.sha256()
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        self._tar.addfile(entry, _Pieces(pieces, size, digest.update))
        _forget(self._tar)  # What was written need not be remembered.
        return digest.hexdigest()


def _forget(tar: tarfile.TarFile) -> None:
    """Let a stream not gather all its entries in memory; the library's stubs do not know of the list."""
    tar.members.clear()  # type: ignore[attr-defined]


class _Pieces(io.RawIOBase):
    """Pieces as a file of exactly ``size`` bytes: what was written behind its end meanwhile is not read."""

    def __init__(self, pieces: Iterable[bytes], size: int, passed: Callable[[bytes], None]) -> None:
        self._pieces = iter(pieces)
        self._left = size
        self._rest = b""
        self._passed = passed

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        found = [self._rest]
        length = len(self._rest)
        while length < wanted:
            piece = next(self._pieces, None)
            if piece is None:
                break
            found.append(piece)
            length += len(piece)
        whole = b"".join(found)
        taken, self._rest = whole[:wanted], whole[wanted:]
        self._left -= len(taken)
        self._passed(taken)
        return taken


def read(source: Path, identities: Sequence[Any]) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Return the manifest of an encrypted backup, and the SHA-256 of each file that is in it. Nothing is written anywhere.

    Raises:
        ConfigurationError: no key was named, none opens it, it was cut or changed, or it is no backup.
    """
    found: dict[str, str] = {}
    manifest: list[bytes] = []

    def look(name: str, pieces: Iterable[bytes]) -> None:
        if name == MANIFEST:
            manifest.append(b"".join(pieces)[:_LARGEST_MANIFEST])
            return
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        found[name] = digest.hexdigest()

    _each(source, identities, look)
    try:
        document: Any = orjson.loads(manifest[0])
    except (IndexError, orjson.JSONDecodeError) as exc:
        raise no_backup() from exc
    if not isinstance(document, dict):
        raise no_backup()
    return document, found


def unpack(source: Path, identities: Sequence[Any], take: Callable[[str, Iterable[bytes]], None]) -> None:
    """Give ``take`` every file but the manifest; errors as :func:`read`."""

    def pass_on(name: str, pieces: Iterable[bytes]) -> None:
        if name != MANIFEST:
            take(name, pieces)

    _each(source, identities, pass_on)


def _each(source: Path, identities: Sequence[Any], take: Callable[[str, Iterable[bytes]], None]) -> None:
    if not identities:
        raise ConfigurationError(
            Text(
                f"{source.name} ist verschlüsselt: Nennen Sie mit --identity die Datei mit dem Schlüssel.",
                f"{source.name} is encrypted: name the file with the key by --identity.",
            )
        )
    reading, writing = os.pipe()
    opening = _Opening(source, writing, identities)
    opening.start()
    wrong: BaseException | None = None
    with os.fdopen(reading, "rb") as opened:
        try:
            with tarfile.open(fileobj=opened, mode="r|") as tar:
                for entry in tar:
                    _take(tar, entry, take)
                    _forget(tar)
            # What stands behind the archive's end is read, too: only its end shows that nothing was cut.
            while opened.read(_CHUNK):
                pass
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            wrong = error
            with suppress(OSError):
                while opened.read(_CHUNK):
                    pass
    opening.join()
    if opening.error is not None:
        raise opening.error
    if isinstance(wrong, OSError) and not isinstance(wrong, tarfile.TarError):
        raise wrong
    if wrong is not None:
        raise no_backup() from wrong


def _take(tar: tarfile.TarFile, entry: tarfile.TarInfo, take: Callable[[str, Iterable[bytes]], None]) -> None:
    """Take one entry; ``ValueError`` for anything but a plain file of the backup's own."""
    stream = tar.extractfile(entry) if entry.isreg() else None
    if stream is None:
        raise ValueError("a backup holds plain files only")
    with stream:
        take(str(inside(entry.name)), _pieces_of(stream))


def _pieces_of(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(_CHUNK):
        yield piece


class _Opening(threading.Thread):
    """Decrypts into a pipe, while the other end of it is read."""

    def __init__(self, source: Path, descriptor: int, identities: Sequence[Any]) -> None:
        super().__init__(name="opening", daemon=True)
        self._source = source
        self._descriptor = descriptor
        self._identities = identities
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with os.fdopen(self._descriptor, "wb") as out, self._source.open("rb") as sealed:
                age.decrypt(sealed, out, self._identities, name=self._source.name)
        except BaseException as error:  # noqa: BLE001  # whatever it is, who reads is told
            self.error = error


def inside(name: str) -> PurePosixPath:
    """Return a relative path; ``ValueError`` for one that leads elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("a backup holds its own files only")
    return path


def no_backup() -> ConfigurationError:
    """Return the error for what is no backup, or not a whole one."""
    return ConfigurationError(
        Text(
            "Das ist keine vollständige Sicherung: Das Manifest fehlt, oder Dateien fehlen oder wurden verändert.",
            "This is no complete backup: its manifest is missing, or files are missing or were changed.",
        )
    )
