"""Packages as they arrive: a folder or a ZIP, read into memory under caps.

Names are judged before a byte is unpacked, all of them: what leaves the package, what no file system takes, what would
overwrite another file is refused by name. So are links, devices, encrypted members, and archives that unpack to far more than
they weigh, by the bytes that come out, not by those announced. Files of other kinds (PDF, pictures) are passed over.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from hub.errors import Malformed, Text, TooLarge
from hub.validation.report import MIB

#: What a standard is made of: schemas, rules with the parts and tables that they read, code lists; and what is named to be
#: no part of it.
_SUFFIXES = frozenset({".xsd", ".json", ".sch", ".part", ".inc", ".xml", ".gc", ".rdf", ".xsl", ".xslt"})
_FILES = 5_000
_FILE_BYTES = 20 * MIB
_TOTAL_BYTES = 200 * MIB
#: Members of an archive, those that are passed over included.
_MEMBERS = 20_000
#: Bytes of one part of a name (what file systems take), bytes of a whole name, and parts of it.
_PART_BYTES, _NAME_BYTES, _DEPTH = 255, 1_000, 32
#: How many times its packed size a file may unpack to; schemas reach thirty. Small ones may be anything.
_RATIO, _SMALL = 250, MIB
_PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1 | 0x40 | 0x2000
#: Control and format characters, line and paragraph separators, halves of surrogate pairs.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_DRIVE = re.compile(r"[A-Za-z]:")
_SHOWN = 120

#: Name, stated size, and how to read at most so many bytes of it.
_Member = tuple[str, int, Callable[[int], bytes]]


def read_package(source: Path) -> Mapping[str, bytes]:
    """Return the files of a folder, of a ZIP archive, or of a single schema file, by path (``/`` between parts).

    Raises:
        Malformed: It is none of these, holds links, or names that are refused (see :func:`refuse_odd_names`).
        TooLarge: It holds too many or too large files.
    """
    if source.is_dir():
        return _capped(_folder(source))
    if source.suffix.lower() == ".zip":
        return _archive(source)
    if source.is_file() and source.suffix.lower() in _SUFFIXES:
        return _capped(iter([(source.name, source.stat().st_size, partial(_from_disk, source))]))
    raise Malformed(
        Text(
            f"{source} ist weder Ordner noch ZIP noch Schemadatei. Nennen Sie eines davon.",
            f"{source} is neither a folder nor a ZIP nor a schema file. Name one of these.",
        )
    )


def refuse_odd_names(names: Iterable[str], *, folders: Iterable[str] = ()) -> None:
    """Judge the names of files (and of folders, which may be named again) that are to be written below one place.

    Colons, blanks and letters of any script are nothing odd.

    Raises:
        Malformed: One is empty or absolute, climbs, starts with a drive, holds a backslash or an unseen character; is longer
            or deeper than file systems take; or two would be one file, or a file and a folder, where case and Unicode's
            composition do not count.
    """
    files: dict[str, str] = {}
    above: dict[str, str] = {}
    for name in names:
        _refuse_bad_name(name)
        key = _same(name)
        if key in files:
            raise _refused(name, "gibt es zweimal", "stands there twice")
        files[key] = name
        above |= {_same(str(parent)): name for parent in PurePosixPath(name).parents}
    for name in folders:
        _refuse_bad_name(name)
        above |= {_same(str(place)): name for place in (PurePosixPath(name), *PurePosixPath(name).parents)}
    for key, name in files.items():
        if key in above:
            raise _refused(name, "ist zugleich Datei und Ordner", "is a file and a folder at once")


def _refuse_bad_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or _DRIVE.match(name) or not path.parts:
        raise _refused(name, "führt aus dem Paket heraus", "leaves the package")
    if any(unicodedata.category(character) in _UNSEEN for character in name):
        raise _refused(name, "enthält Steuerzeichen oder Zeilenumbrüche", "holds control characters or line breaks")
    if max(len(part.encode()) for part in path.parts) > _PART_BYTES or len(name.encode()) > _NAME_BYTES:
        raise _refused(
            name, f"ist zu lang (höchstens {_PART_BYTES} Byte)", f"is too long (at most {_PART_BYTES} bytes)"
        )
    if len(path.parts) > _DEPTH:
        raise _refused(name, f"liegt tiefer als {_DEPTH} Ordner", f"lies deeper than {_DEPTH} folders")


def _same(name: str) -> str:
    """Return what two names share that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(PurePosixPath(name))).lower())


def _archive(source: Path) -> Mapping[str, bytes]:
    try:
        with zipfile.ZipFile(source) as archive:
            return _capped(_members(archive))
    except _UNREADABLE as error:
        raise Malformed(
            Text(
                f"{source.name} ist kein lesbares ZIP. Laden Sie das Paket neu herunter.",
                f"{source.name} is not a readable ZIP. Download the package again.",
            )
        ) from error


#: What zipfile raises of an archive that is none, or a broken one.
_UNREADABLE = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError),
    *(struct.error, zlib.error, ValueError, IndexError, OverflowError),
)


def _members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    members = archive.infolist()
    if len(members) > _MEMBERS:
        raise _too_large()
    for member in members:
        _refuse_odd_member(member)
    refuse_odd_names(
        (member.orig_filename for member in members if not member.is_dir()),
        folders=(member.orig_filename for member in members if member.is_dir()),
    )
    for member in members:
        if not member.is_dir() and _wanted(member.filename):
            yield str(PurePosixPath(member.filename)), member.file_size, partial(_unpacked, archive, member)


def _refuse_odd_member(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(name, "ist ein Verweis oder Gerät", "is a link or a device")
    if member.flag_bits & _ENCRYPTED:
        raise _refused(name, "ist verschlüsselt", "is encrypted")
    if member.compress_type not in _PACKING:
        raise _refused(name, "ist anders gepackt als mit Deflate", "is packed otherwise than by Deflate")


def _folder(source: Path) -> Iterator[_Member]:
    found: list[Path] = []
    for folder, folders, names in os.walk(source, followlinks=False):
        for name in (*folders, *names):
            path = Path(folder) / name
            if path.is_symlink() and (name in folders or _wanted(name)):
                raise _refused(path.relative_to(source).as_posix(), "ist ein Verweis", "is a link")
        found += [Path(folder) / name for name in sorted(names) if _wanted(name)]
        if len(found) > _FILES:
            raise _too_large()
    refuse_odd_names(path.relative_to(source).as_posix() for path in found)
    for path in found:
        name = path.relative_to(source).as_posix()
        if not path.is_file():
            raise _refused(name, "ist keine gewöhnliche Datei", "is no regular file")
        yield name, path.stat().st_size, partial(_from_disk, path)


def _capped(members: Iterator[_Member]) -> Mapping[str, bytes]:
    files: dict[str, bytes] = {}
    left = _TOTAL_BYTES
    for name, size, read in members:
        most = min(_FILE_BYTES, left)
        if size > most or len(files) >= _FILES:
            raise _too_large()
        # The size that an archive states is not trusted: one byte more than the cap is read at most.
        content = read(most + 1)
        if len(content) > most:
            raise _too_large()
        left -= len(content)
        files[name] = content
    return files


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(member) as stream:
        content = stream.read(most)
    if len(content) > max(_SMALL, _RATIO * member.compress_size):
        raise TooLarge(
            Text(
                f"{_shown(member.filename)} entpackt sich auf mehr als das {_RATIO}-Fache. Packen Sie das Paket neu.",
                f"{_shown(member.filename)} unpacks to more than {_RATIO} times its size. Pack the package again.",
            )
        )
    return content


def _from_disk(path: Path, most: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(most)


def _wanted(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _SUFFIXES


def _shown(name: str) -> str:
    """Return a name for a text: bounded, without what would break the line."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def _refused(name: str, german: str, english: str) -> Malformed:
    return Malformed(
        Text(
            f"Ein Name im Paket {german}: {_shown(name)}. Benennen oder entfernen Sie die Datei.",
            f"A name in the package {english}: {_shown(name)}. Rename or remove the file.",
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
