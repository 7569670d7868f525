"""Backup and restore of a hub's data folder, while it runs.

The order is the promise. First the database, copied at one moment; then the blobs that this copy names, all of which were
durable before their rows; last the keys, which must be at least as new as what they signed. Retention may delete a blob
between the first and the second step: then all is copied once more. The manifest is written at the very end, so
that a folder without one is no backup.

A backup is a folder, or one file that is encrypted to a recipient (:mod:`hub.administration.archive`); both hold the same.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from hub import __version__
from hub.administration import archive
from hub.administration.archive import MANIFEST, Packer, inside, no_backup
from hub.errors import ConfigurationError, NotFound, StoreUnavailable, Text
from hub.files import vault
from hub.store import Blobs, LocalBlobs, Store, dump

DATABASE = "hub.sqlite"
#: A PostgreSQL database in a backup, as its own tool wrote it.
DUMP = "hub.dump"
#: Where files that lie outside the data folder lie in a backup.
OUTSIDE = "outside"
#: Where a backup is put back and judged before it counts.
_STAGE = ".restoring"
#: Where a copy of the database lies until it is in an encrypted backup.
_WORKPLACE = ".backing-up-"
_ABANDONED = 86_400  # Seconds after which nobody works there any more.
_BLOBS = "blobs"
_KEYS = "pki"
_KEY_LIST = "keyring.json"
_FORMAT = 1
#: Copies until one has all its blobs; retention runs every ten minutes, so the second one has.
_TRIES = 3
_CHUNK = 1024 * 1024
#: What backups of a series are called: by their moment, in UTC, and whether they are encrypted.
_SERIES = re.compile(r"rathaus-hub-(\d{8}T\d{6}Z)(\.age)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class BackupReport:
    """What was copied. ``database`` and ``blobs`` say whether they are in it, or are left to their own tools.

    ``left_out`` names what else belongs to the hub and is not in it.
    """

    database: bool
    blobs: int | None
    files: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BackupSource:
    """The hub that is backed up: its folder, its database, its store and its blobs.

    ``database`` is SQLite's file, None for PostgreSQL, which is in the backup where its ``dump_url`` is named. ``outside`` are
    files and folders of the hub that lie elsewhere; ``without_keys`` leaves out what is secret of it: private keys, and the
    files in ``secrets``.
    """

    data: Path
    database: Path | None
    store: Store
    blobs: Blobs
    dump_url: str | None = None
    outside: Sequence[Path] = ()
    secrets: Sequence[Path] = ()
    without_keys: bool = False


def back_up(source: BackupSource, target: Path, *, now: datetime, recipients: Sequence[Any] = ()) -> BackupReport:
    """Copy everything into the folder ``target``, which must be absent or empty; with ``recipients`` into a new file.

    Raises:
        ConfigurationError: ``target`` is not empty, or lies in the data folder.
        StoreUnavailable: a disk is full, or blobs that the database names are missing.
    """
    _require_empty(target)
    if target.is_relative_to(source.data):
        raise _within_itself()
    for _ in range(_TRIES):
        try:
            with _translated():
                if recipients:
                    return _sealed(source, target, recipients, now)
                return _into_folder(source, target, now)
        except _BlobGoneError:
            continue
    raise _contents_missing()


def _within_itself() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "Die Sicherung darf nicht im Datenordner selbst liegen. Nennen Sie einen anderen Datenträger.",
            "A backup must not lie in the data folder itself. Name another disk.",
        )
    )


def _contents_missing() -> StoreUnavailable:
    return StoreUnavailable(
        Text(
            "Die Datenbank nennt Inhalte, die im Ablageort fehlen. Bleibt es bei einer Wiederholung dabei, sind sie "
            "verloren: Holen Sie sie aus einer früheren Sicherung (blobs).",
            "The database names contents that are missing where contents lie. If that stays so when you try again, "
            "they are lost: bring them back from an earlier backup (blobs).",
        )
    )


def _into_folder(source: BackupSource, target: Path, now: datetime) -> BackupReport:
    _make_folder(target)
    try:
        report = _fill(source, _FolderPacker(target), target, now)
    except _BlobGoneError:
        for path in target.iterdir():  # It was empty, and all in it is ours.
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    _sync_tree(target)
    return report


def _sealed(source: BackupSource, target: Path, recipients: Sequence[Any], now: datetime) -> BackupReport:
    _make_folder(target.parent)
    for path in source.data.glob(f"{_WORKPLACE}*"):
        if now.timestamp() - path.stat().st_mtime > _ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_WORKPLACE, dir=source.data) as workplace:
        return archive.write(target, recipients, lambda packer: _fill(source, packer, Path(workplace), now))


class _FolderPacker:
    """Puts what is backed up into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, size: int, pieces: Iterable[bytes]) -> str:  # noqa: ARG002  # a file's size comes by itself
        """Write a file and return its SHA-256; what lies there already is a copy that was made for this."""
        place = self._folder / name
        if place.exists():
            return _hashed(place)
        digest = hashlib.sha256()
        _make_folder(place.parent)
        _write_pieces(place, _hashing(pieces, digest.update))
        return digest.hexdigest()


def _fill(source: BackupSource, packer: Packer, workplace: Path, now: datetime) -> BackupReport:
    """Put everything into a backup, in the order that is the promise, and the manifest at last."""
    files: dict[str, str] = {}
    local = isinstance(source.blobs, LocalBlobs)
    copied, names = _copied_database(source, workplace)
    for path in copied:
        files[path.name] = _put(packer, path.name, path)
    for name in sorted(names) if local else ():
        files[f"{_BLOBS}/{name[:2]}/{name[2:4]}/{name}"] = _put_blob(packer, source.blobs, name)
    left_out: list[str] = [f"{_KEYS}/*.json"] if source.without_keys else []
    for name in map(str, _rest(source)):
        digest = _put(packer, name, source.data / name)
        if digest:  # Else a temporary file that has got its name meanwhile.
            files[name] = digest
    origins = _put_outside(source, packer, files, left_out)
    document = {
        "format": _FORMAT,
        "version": __version__,
        "createdAt": now.isoformat(),
        "revision": source.store.schema_revision(),
        "database": source.database is not None,
        "dump": source.dump_url is not None,
        "blobs": local,
        "keys": not source.without_keys,
        "outside": origins,
        "files": files,
    }
    content = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    packer.add(MANIFEST, len(content), [content])
    return BackupReport(
        database=bool(copied),
        blobs=len(names) if local else None,
        files=len(files),
        left_out=tuple(left_out),
    )


def _put(packer: Packer, name: str, path: Path) -> str:
    """Put a file into a backup and return its SHA-256; nothing for one that is not there."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return ""
    with stream:
        return packer.add(name, os.fstat(stream.fileno()).st_size, iter(lambda: stream.read(_CHUNK), b""))


def _put_blob(packer: Packer, blobs: Blobs, name: str) -> str:
    try:
        size, pieces = blobs.size(name), iter(blobs.read(name))
        first = next(pieces, b"")
    except NotFound as exc:
        raise _BlobGoneError from exc
    return packer.add(f"{_BLOBS}/{name[:2]}/{name[2:4]}/{name}", size, _chained(first, pieces))


def _chained(first: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _put_outside(source: BackupSource, packer: Packer, files: dict[str, str], left_out: list[str]) -> dict[str, str]:
    """Put files that lie elsewhere into a backup; return where each was, by its name there."""
    origins: dict[str, str] = {}
    secret = {path.resolve() for path in source.secrets}
    for number, path in enumerate(sorted(_elsewhere(source)), 1):
        if source.without_keys and path.resolve() in secret:
            left_out.append(str(path))
            continue
        name = f"{OUTSIDE}/{number:03}-{path.name}"
        try:
            digest = _put(packer, name, path)
        except OSError:
            digest = ""
        if digest:
            files[name], origins[name] = digest, str(path)
        else:
            left_out.append(str(path))
    return origins


def _elsewhere(source: BackupSource) -> set[Path]:
    """Return the files among what lies outside, each once and by its absolute path; those within the data folder are in it."""
    found: set[Path] = set()
    for place in (*source.outside, *source.secrets):
        absolute = place.absolute()
        found.update(absolute / each for each in _files(absolute)) if absolute.is_dir() else found.add(absolute)
    return {path for path in found if not path.is_relative_to(source.data)}


def place_in_series(folder: Path, *, now: datetime, sealed: bool) -> Path:
    """Return what the next backup of a series in ``folder`` is called."""
    return folder / f"rathaus-hub-{now:%Y%m%dT%H%M%SZ}{'.age' if sealed else ''}"


def forget_older(folder: Path, *, keep: int) -> list[Path]:
    """Remove all backups of the series in ``folder`` but the newest ``keep``; return which. Other names are left alone."""
    named = (path for path in folder.iterdir() if _SERIES.fullmatch(path.name) and not path.is_symlink())
    whole = [path for path in named if (path.is_file() if path.suffix else (path / MANIFEST).is_file())]
    older = sorted(whole, key=lambda path: path.name)[:-keep]
    with _translated():
        for path in older:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return older


def read_backup(source: Path, identities: Sequence[Any] = ()) -> Mapping[str, Any]:
    """Return the manifest of a backup after comparing every file with it; an encrypted one is read to its end, in memory.

    Raises:
        ConfigurationError: it is no backup, of an unknown format, or a file is missing or was changed; or an encrypted one
            that none of ``identities`` opens, or that was cut or changed.
    """
    if source.is_file():
        manifest, found = archive.read(source, identities)
    else:
        manifest, found = _read_folder(source)
    try:
        if manifest["format"] != _FORMAT or manifest["files"] != found:
            raise no_backup()
    except (KeyError, TypeError) as exc:
        raise no_backup() from exc
    return manifest


def _read_folder(source: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Return the manifest of a folder, and the SHA-256 of each file that it names."""
    try:
        manifest: Mapping[str, Any] = orjson.loads((source / MANIFEST).read_bytes())
        return manifest, {name: _hashed(source / inside(name)) for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise no_backup() from exc


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


def put_back(source: Path, folder: Path, manifest: Mapping[str, Any], identities: Sequence[Any] = ()) -> None:
    """Put all that a backup holds into ``folder``, the database among it, after :func:`read_backup` found it whole.

    Raises:
        ConfigurationError: it changed meanwhile. StoreUnavailable: the disk is full.
    """
    with _translated():
        _make_folder(folder)
        if source.is_file():
            archive.unpack(source, identities, lambda name, pieces: _put_into(folder, name, pieces))
        else:
            for name in manifest["files"]:
                _copy(source / inside(name), folder / inside(name))
        _sync_tree(folder)
    if {name: _hashed(folder / inside(name)) for name in manifest["files"]} != manifest["files"]:
        raise no_backup()


def _put_into(folder: Path, name: str, pieces: Iterable[bytes]) -> None:
    place = folder / inside(name)
    _make_folder(place.parent)
    _write_pieces(place, pieces)


def settle_database(folder: Path, database: Path) -> None:
    """Move the database of what was put back to where settings want it; ``ConfigurationError`` where there is one already."""
    copy = folder / DATABASE
    if database.absolute() == copy.absolute():
        return
    if database.exists():
        raise _not_empty(database)
    with _translated():
        _copy(copy, database)
        copy.unlink()
        _sync_tree(database.parent)


class _BlobGoneError(Exception):
    """A blob that the copy of the database names was deleted before it was copied."""


def _copied_database(source: BackupSource, workplace: Path) -> tuple[list[Path], frozenset[str]]:
    """Copy the database into a folder; return the copy, and the blobs that it names (of PostgreSQL, those named now)."""
    if source.database is None:
        copied = []
        if source.dump_url is not None:
            copied.append(workplace / DUMP)
            dump.dump(source.dump_url, copied[0])
        return copied, source.store.recovery.blob_names()
    copy = workplace / DATABASE
    copy.unlink(missing_ok=True)
    source.store.backup(copy)
    opened = Store(f"sqlite:///{copy}")
    try:
        return [copy], opened.recovery.blob_names()
    finally:
        opened.close()


def _rest(source: BackupSource) -> Iterator[PurePosixPath]:
    """Yield keys, schemas, settings: whatever else lies in the folder. Links are not followed."""
    database = source.database.name if source.database is not None else DATABASE
    for path in _files(source.data):
        top = path.parts[0]
        if top == _BLOBS or top.startswith((database, _WORKPLACE)):
            continue
        if source.without_keys and top == _KEYS and path.name != _KEY_LIST:
            continue
        yield path


def _hashing(pieces: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _files(folder: Path) -> Iterator[PurePosixPath]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                yield PurePosixPath(path.relative_to(folder).as_posix())


def _copy(source: Path, target: Path) -> None:
    _make_folder(target.parent)
    with source.open("rb") as stream:
        _write_pieces(target, iter(lambda: stream.read(_CHUNK), b""))
    target.chmod(source.stat().st_mode & 0o700)


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
