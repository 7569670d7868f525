"""Official packages as they come: a folder or a ZIP, read into memory under caps.

Names that leave the package, links, devices, and archives that unpack to far more than they weigh are refused. Files of other
kinds (PDF, pictures) are passed over.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from hub.errors import Malformed, Text, TooLarge
from hub.validation.limits import MIB

#: What a standard is made of: schemas, rules, code lists.
_SUFFIXES = frozenset({".xsd", ".json", ".sch", ".xml", ".gc"})
_FILES = 5_000
_FILE_BYTES = 20 * MIB
_TOTAL_BYTES = 200 * MIB

#: Name, stated size, and how to read it.
_Member = tuple[str, int, Callable[[], bytes]]


def read_package(source: Path) -> Mapping[str, bytes]:
    """Return the files of a folder, of a ZIP archive, or of a single schema file, by path (``/`` between parts).

    Raises:
        Malformed: It is none of these, or holds links or names that leave it.
        TooLarge: It holds too many or too large files.
    """
    if source.is_dir():
        return _capped(_folder(source))
    if source.suffix.lower() == ".zip":
        return _archive(source)
    if source.is_file() and source.suffix.lower() in _SUFFIXES:
        return _capped(iter([(source.name, source.stat().st_size, source.read_bytes)]))
    raise Malformed(
        Text(
            f"{source} ist weder Ordner noch ZIP noch Schemadatei. Nennen Sie eines davon.",
            f"{source} is neither a folder nor a ZIP nor a schema file. Name one of these.",
        )
    )


def _archive(source: Path) -> Mapping[str, bytes]:
    try:
        with zipfile.ZipFile(source) as archive:
            return _capped(_members(archive))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise Malformed(
            Text(
                f"{source} ist kein lesbares ZIP. Laden Sie das Paket neu herunter.",
                f"{source} is not a readable ZIP. Download the package again.",
            )
        ) from error


def _members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for member in archive.infolist():
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _outside(member.filename)
        name = _checked_name(member.filename)
        if not member.is_dir() and _wanted(name):
            yield name, member.file_size, partial(_unpacked, archive, member)


def _folder(source: Path) -> Iterator[_Member]:
    for folder, _, names in os.walk(source, followlinks=False):
        for name in sorted(names):
            path = Path(folder) / name
            if not _wanted(name):
                continue
            if path.is_symlink() or not path.is_file():
                raise _outside(str(path.relative_to(source)))
            yield path.relative_to(source).as_posix(), path.stat().st_size, path.read_bytes


def _capped(members: Iterator[_Member]) -> Mapping[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    for name, size, read in members:
        if size > _FILE_BYTES or len(files) >= _FILES or total + size > _TOTAL_BYTES:
            raise _too_large()
        content = read()
        total += len(content)
        files[name] = content
    return files


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as stream:
        # The size that an archive states is not trusted: one byte more than the cap is read at most.
        content = stream.read(_FILE_BYTES + 1)
    if len(content) > _FILE_BYTES:
        raise _too_large()
    return content


def _wanted(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _SUFFIXES


def _checked_name(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise _outside(name)
    return str(path)


def _outside(name: str) -> Malformed:
    return Malformed(
        Text(
            f"Das Paket enthält einen Verweis oder einen Namen, der aus ihm herausführt: {name!r}.",
            f"The package holds a link, or a name that leaves it: {name!r}.",
        )
    )


def _too_large() -> TooLarge:
    return TooLarge(
        Text(
            f"Das Paket ist zu groß (höchstens {_FILES} Dateien, {_FILE_BYTES // MIB} MiB je Datei, "
            f"{_TOTAL_BYTES // MIB} MiB zusammen).",
            f"The package is too large (at most {_FILES} files, {_FILE_BYTES // MIB} MiB each, "
            f"{_TOTAL_BYTES // MIB} MiB together).",
        )
    )
