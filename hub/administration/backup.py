"""Backup and restore of a hub's data folder, while it runs.

The order is the promise. First the database, copied at one moment; then the blobs that this copy names, all of which were
durable before their rows; last the keys, which must be at least as new as what they signed. Retention may delete a blob
between the first and the second step: then the database is copied once more. The manifest is written at the very end, so
that a folder without one is no backup.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from hub import __version__
from hub.errors import ConfigurationError, NotFound, StoreUnavailable, Text
from hub.files import vault
from hub.store import Blobs, LocalBlobs, Store

MANIFEST = "manifest.json"
DATABASE = "hub.sqlite"
#: Where a backup is put back and judged before it counts.
_STAGE = ".restoring"
_BLOBS = "blobs"
_FORMAT = 1
#: Copies of the database until one has all its blobs; retention runs every ten minutes, so the second one has.
_TRIES = 3
_CHUNK = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class BackupReport:
    """What was copied. ``database`` and ``blobs`` say whether they are in it, or are left to their own tools."""

    database: bool
    blobs: int | None
    files: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BackupSource:
    """The hub that is backed up: its folder, its database file (None for PostgreSQL), its store and its blobs."""

    data: Path
    database: Path | None
    store: Store
    blobs: Blobs


def back_up(source: BackupSource, target: Path, *, now: datetime) -> BackupReport:
    """Copy everything into ``target``, which must be absent or empty.

    Raises:
        ConfigurationError: ``target`` is not empty, or lies in the data folder.
        StoreUnavailable: a disk is full, or blobs that the database names are missing.
    """
    _require_empty(target)
    if target.is_relative_to(source.data):
        raise ConfigurationError(
            Text(
                "Die Sicherung darf nicht im Datenordner selbst liegen. Nennen Sie einen anderen Datenträger.",
                "A backup must not lie in the data folder itself. Name another disk.",
            )
        )
    with _translated():
        _make_folder(target)
        local = isinstance(source.blobs, LocalBlobs)
        names = _database_and_blobs(source, target, local=local)
        _copy_rest(source, target)
        hashes = {str(path): _hashed(target / path) for path in _files(target)}
        document = {
            "format": _FORMAT,
            "version": __version__,
            "createdAt": now.isoformat(),
            "revision": source.store.schema_revision(),
            "database": source.database is not None,
            "blobs": local,
            "files": hashes,
        }
        _write(target / MANIFEST, orjson.dumps(document, option=orjson.OPT_INDENT_2))
        _sync_tree(target)
    return BackupReport(database=source.database is not None, blobs=len(names) if local else None, files=len(hashes))


def read_backup(source: Path) -> Mapping[str, Any]:
    """Return the manifest of a backup after comparing every file with it.

    Raises:
        ConfigurationError: it is no backup, of an unknown format, or a file is missing or was changed.
    """
    try:
        manifest: Mapping[str, Any] = orjson.loads((source / MANIFEST).read_bytes())
        wrong = [name for name, digest in manifest["files"].items() if _hashed(source / _inside(name)) != digest]
        if manifest["format"] != _FORMAT or wrong:
            raise _no_backup()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _no_backup() from exc
    return manifest


@contextmanager
def staged(data: Path) -> Iterator[Path]:
    """Yield a folder within ``data``, which must be absent or empty, to build it in; what was built takes its place at the end.

    Whatever is raised within leaves ``data`` as empty as it was. It lies inside, so a mounted folder can be restored, too.

    Raises:
        ConfigurationError: ``data`` is not empty. StoreUnavailable: the disk is full.
    """
    _require_empty(data)
    folder = data / _STAGE
    with _translated():
        _make_folder(folder)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    with _translated():
        # The database last: until it is there, nobody takes the folder for a whole one.
        for path in sorted(folder.iterdir(), key=lambda each: (each.name.startswith(DATABASE), each.name)):
            path.rename(data / path.name)
        folder.rmdir()
        _sync_tree(data)


def restore_files(source: Path, data: Path, manifest: Mapping[str, Any]) -> None:
    """Put everything but the database into ``data``, which must be absent or empty.

    Raises:
        ConfigurationError: ``data`` is not empty. StoreUnavailable: the disk is full.
    """
    _require_empty(data)
    with _translated():
        _make_folder(data)
        for name in manifest["files"]:
            if name != DATABASE:
                _copy(source / _inside(name), data / _inside(name))
        _sync_tree(data)


def restore_database(source: Path, database: Path) -> None:
    """Put the database of a backup into its place; raise ``ConfigurationError`` where there is one already."""
    if database.exists():
        raise _not_empty(database)
    with _translated():
        _copy(source / DATABASE, database)
        _sync_tree(database.parent)


def _database_and_blobs(source: BackupSource, target: Path, *, local: bool) -> frozenset[str]:
    for _ in range(_TRIES):
        names = _copied_database(source, target)
        if not local:
            return frozenset()
        if all(_copied_blob(source.blobs, name, target) for name in sorted(names)):
            _drop_others(target, names)
            return names
    raise StoreUnavailable(
        Text(
            "Die Datenbank nennt Inhalte, die im Ablageort fehlen. Bleibt es bei einer Wiederholung dabei, sind sie "
            "verloren: Holen Sie sie aus einer früheren Sicherung (blobs).",
            "The database names contents that are missing where contents lie. If that stays so when you try again, "
            "they are lost: bring them back from an earlier backup (blobs).",
        )
    )


def _copied_database(source: BackupSource, target: Path) -> frozenset[str]:
    """Copy the database and return the blobs that the copy names; of PostgreSQL, those that it names now."""
    if source.database is None:
        return source.store.recovery.blob_names()
    copy = target / DATABASE
    copy.unlink(missing_ok=True)
    source.store.backup(copy)
    opened = Store(f"sqlite:///{copy}")
    try:
        return opened.recovery.blob_names()
    finally:
        opened.close()


def _copied_blob(blobs: Blobs, name: str, target: Path) -> bool:
    place = target / _BLOBS / name[:2] / name[2:4] / name
    if place.exists():
        return True
    try:
        pieces = blobs.read(name)
    except NotFound:
        return False
    _make_folder(place.parent)
    _write_pieces(place, pieces)
    return True


def _drop_others(target: Path, names: frozenset[str]) -> None:
    """Remove blobs that only an earlier copy of the database named."""
    for path in (target / _BLOBS).rglob("*"):
        if path.is_file() and path.name not in names:
            path.unlink()


def _copy_rest(source: BackupSource, target: Path) -> None:
    """Copy keys, schemas, settings: whatever else lies in the folder. Links are not followed."""
    database = source.database.name if source.database is not None else DATABASE
    for path in _files(source.data):
        top = path.parts[0]
        if top == _BLOBS or top.startswith(database):
            continue
        with suppress(FileNotFoundError):  # A temporary file that has got its name meanwhile.
            _copy(source.data / path, target / path)


def _files(folder: Path) -> Iterator[PurePosixPath]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                yield PurePosixPath(path.relative_to(folder).as_posix())


def _inside(name: str) -> PurePosixPath:
    """Return a relative path; ``ValueError`` for one that leads elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("a backup holds its own files only")
    return path


def _copy(source: Path, target: Path) -> None:
    _make_folder(target.parent)
    with source.open("rb") as stream:
        _write_pieces(target, iter(lambda: stream.read(_CHUNK), b""))
    target.chmod(source.stat().st_mode & 0o700)


def _write(target: Path, content: bytes) -> None:
    _write_pieces(target, [content])


def _write_pieces(target: Path, pieces: Iterable[bytes]) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())


def _make_folder(folder: Path) -> None:
    """Create a folder with its parents, each for its owner alone (``parents=True`` would leave that to the umask)."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _sync_tree(folder: Path) -> None:
    for root, _, _ in os.walk(folder):
        vault.sync_folder(Path(root))


def _hashed(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise _not_empty(folder)


def _not_empty(place: Path) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{place} ist nicht leer. Sicherung und Wiederherstellung überschreiben nichts; nennen Sie einen leeren Ordner.",
            f"{place} is not empty. Backup and restore overwrite nothing; name an empty folder.",
        )
    )


def _no_backup() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "Das ist keine vollständige Sicherung: Das Manifest fehlt, oder Dateien fehlen oder wurden verändert.",
            "This is no complete backup: its manifest is missing, or files are missing or were changed.",
        )
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the file system's errors into the hub's."""
    try:
        yield
    except (OSError, shutil.Error) as exc:
        raise StoreUnavailable(
            Text(
                "Sicherung oder Wiederherstellung brach ab: Datenträger voll oder gestört. Das Ergebnis ist unbrauchbar.",
                "Backup or restore broke off: a disk is full or out of order. The result is of no use.",
            )
        ) from exc
