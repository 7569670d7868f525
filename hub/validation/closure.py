"""The closure of an XSD: itself and every document that it includes or imports, found without any network.

A package's own files come first; a foreign address, or a relative file that the package lacks, is looked up in a
location list, which maps them to files of a local mirror or of the package itself.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from hub.errors import ConfigurationError, Text
from hub.validation.xml.xsd import REFERENCES, XSD, parse_schema_document, resolved

#: Where documents from outside the package are kept.
EXTERNAL = "external/"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entries:
    """What one file of a location list says: whole addresses, their beginnings, their ends; all with where files lie."""

    #: Where its paths are relative to, the nearest first.
    folders: tuple[Path, ...]
    exact: Mapping[str, str] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    suffixes: Mapping[str, str] = field(default_factory=dict)

    def found(self, address: str) -> str | None:
        """Return the path that an address stands for: of itself, else by its longest known beginning, else by its end."""
        if address in self.exact:
            return self.exact[address]
        begins = max((each for each in self.prefixes if address.startswith(each)), key=len, default=None)
        if begins is not None:
            return self.prefixes[begins] + address[len(begins) :]
        ends = max((each for each in self.suffixes if address.endswith(each)), key=len, default=None)
        return None if ends is None else self.suffixes[ends]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocationList:
    """Where documents from outside a package lie. Nothing is read above ``root``, the folder above the list's own."""

    path: Path
    root: Path
    entries: tuple[_Entries, ...]
    #: The package's folder, if it is one: its files stay the package's own.
    package: Path | None = None

    @classmethod
    def read(cls, path: Path, package: Path | None = None) -> LocationList:
        """Read a list: an OASIS XML catalogue (1.1), or JSON that maps addresses to files; paths are relative to the list.

        JSON may also have ``remote`` (by address) and ``missing_relative`` (by the name of a file that the package lacks).

        Raises:
            ConfigurationError: It cannot be read or has another shape.
        """
        own = path.resolve()
        try:
            content = _content_of(own)
            if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
                entries = tuple(_catalogs(own, own.parent.parent))
            else:
                entries = (_from_json(own, orjson.loads(content)),)
        except (OSError, ValueError, AttributeError, TypeError, ConfigurationError) as error:
            raise _unusable_list(path) from error
        folder = package.resolve() if package is not None and package.is_dir() else None
        return cls(path=own, root=own.parent.parent, entries=entries, package=folder)

    def place(self, address: str) -> Path | str | None:
        """Return the file for an address: on the disk, or in the package by its path there; None if the list has none.

        Raises:
            ConfigurationError: The list names a file that is not there.
        """
        for entries in self.entries:
            named = entries.found(address)
            if named is None:
                continue
            for folder in entries.folders:
                for written in (named, unquote(named)):
                    path = (folder / written.removeprefix("file://")).resolve()
                    if path.is_relative_to(self.root) and path.is_file():
                        return path
            return posixpath.normpath(unquote(named))
        return None

    def own_name(self, path: Path) -> str | None:
        """Return the name of a file within the package, None if it lies elsewhere."""
        return path.relative_to(self.package).as_posix() if self.package and path.is_relative_to(self.package) else None


def _unusable_list(path: Path) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Ortsliste {path} ist unbrauchbar; erwartet wird ein OASIS-Katalog (catalog.xml) oder JSON, das "
            "Adressen auf Dateien abbildet.",
            f"The location list {path} cannot be used; an OASIS catalogue (catalog.xml), or JSON that maps addresses "
            "to files is expected.",
        ),
        file=path.name,
    )


#: Bytes of one list, and catalogues that one may lead on to.
_LIST_BYTES, _CATALOGS = 4 * 1024 * 1024, 32
_OASIS = "{urn:oasis:names:tc:entity:xmlns:xml:catalog}"
#: Entries of OASIS XML Catalogs 1.1 (sections 6.4 to 6.13) that name single documents: key, and what they hold.
_EXACT = {"system": "systemId", "uri": "name"}
_PREFIX = {"rewriteSystem": "systemIdStartString", "rewriteURI": "uriStartString"}
_SUFFIX = {"systemSuffix": "systemIdSuffix", "uriSuffix": "uriSuffix"}
_XML_BASE = "{http://www.w3.org/XML/1998/namespace}base"


def _content_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        content = stream.read(_LIST_BYTES + 1)
    if len(content) > _LIST_BYTES:
        raise ValueError("it is too large")
    return content


def _from_json(path: Path, document: Any) -> _Entries:
    split = "remote" in document or "missing_relative" in document
    named = {**document.get("remote", {}), **document.get("missing_relative", {})} if split else document
    exact = {str(key): str(value) for key, value in named.items()}
    # Lists of earlier releases are relative to the folder above their own.
    return _Entries(folders=(path.parent, path.parent.parent), exact=exact)


def _catalogs(path: Path, root: Path) -> Iterator[_Entries]:
    """Yield what a catalogue and those that it leads on to say, in the order in which they are asked."""
    waiting, met = [path], {path}
    while waiting:
        current = waiting.pop(0)
        catalog = parse_schema_document(_content_of(current), current.name)
        if catalog.tag != f"{_OASIS}catalog":
            raise ValueError("it is no OASIS catalogue")
        yield _catalog(catalog, current)
        for node in catalog.iter(f"{_OASIS}nextCatalog"):
            following = (current.parent / _base(node) / unquote(node.get("catalog", ""))).resolve()
            if following not in met and following.is_relative_to(root) and following.is_file():
                met.add(following)
                waiting.append(following)
        if len(met) > _CATALOGS:
            raise ValueError("it leads on to too many catalogues")


def _catalog(catalog: Any, path: Path) -> _Entries:
    def said(kinds: Mapping[str, str], target: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for kind, key in kinds.items():
            for node in catalog.iter(f"{_OASIS}{kind}"):
                if node.get(key) and node.get(target):
                    # The first of two entries counts (section 7).
                    found.setdefault(node.get(key), _base(node) + node.get(target))
        return found

    return _Entries(
        folders=(path.parent,),
        exact=said(_EXACT, "uri"),
        prefixes=said(_PREFIX, "rewritePrefix"),
        suffixes=said(_SUFFIX, "uri"),
    )


def _base(node: Any) -> str:
    """Return what the entries of a node are relative to (xml:base), seen from their catalogue."""
    bases = [each.get(_XML_BASE) for each in (*reversed(list(node.iterancestors())), node) if each.get(_XML_BASE)]
    return "".join(each if each.endswith("/") else f"{each.rpartition('/')[0]}/".lstrip("/") for each in bases)


class Library:
    """The documents of a package and, once asked for, those that its location list knows. Used by one thread."""

    def __init__(
        self, package: Mapping[str, bytes], outside: LocationList | None, at: Callable[[str], None] = lambda _: None
    ) -> None:
        """Take a package; ``at`` is told which document is read, before it is."""
        self.files: dict[str, bytes] = {name: data for name, data in package.items() if name.lower().endswith(".xsd")}
        #: Foreign addresses and missing files that were met, and the file that stands for each.
        self.locations: dict[str, str] = {}
        self._outside = outside
        self._at = at
        self._references: dict[str, tuple[str, ...]] = {}
        self._trees: dict[str, Any] = {}

    def tree(self, name: str) -> Any:
        """Return a document's root element.

        Raises:
            ConfigurationError: It is not well-formed, declares a DTD with content, or is no XSD.
        """
        if name not in self._trees:
            self._at(name)
            root = parse_schema_document(self.files[name], name)
            if root.tag != f"{XSD}schema":
                raise ConfigurationError(Text(f"{name} ist kein XSD.", f"{name} is not an XSD."), file=name)
            self._trees[name] = root
        return self._trees[name]

    def references(self, name: str) -> tuple[str, ...]:
        """Return the files that a document includes or imports directly.

        Raises:
            ConfigurationError: One of them is nowhere to be found.
        """
        if name not in self._references:
            self._references[name] = tuple(self._resolve(location, name) for location in _locations(self.tree(name)))
        return self._references[name]

    def closure(self, name: str) -> tuple[str, ...]:
        """Return a document and everything that it reaches, sorted. Loops among them are legal and end here."""
        met = {name}
        waiting = [name]
        while waiting:
            for reference in self.references(waiting.pop()):
                if reference not in met:
                    met.add(reference)
                    waiting.append(reference)
        return tuple(sorted(met))

    def _resolve(self, location: str, base: str) -> str:
        found = resolved(location, base, self._known, self.locations)
        if found is None:
            found = self._from_outside(location, base)
        if found is None:
            raise ConfigurationError(
                Text(
                    f"{base} verweist auf {location}, und diese Datei fehlt. Ergänzen Sie das Paket oder die Ortsliste.",
                    f"{base} refers to {location}, and that file is missing. Complete the package or the location list.",
                ),
                file=base,
                location=location,
            )
        if _SCHEME.match(location):
            # A file that is called by a URN: other engines take its name for an address.
            self.locations.setdefault(location, found)
        return found

    def _known(self, name: str) -> bool:
        if name in self.files:
            return True
        if not name.startswith(EXTERNAL) or self._outside is None:
            return False
        # What lies beside a document of the list is reached from it.
        path = (self._outside.root / name.removeprefix(EXTERNAL)).resolve()
        return path.is_relative_to(self._outside.root) and path.is_file() and self._take(path) == name

    def _from_outside(self, location: str, base: str) -> str | None:
        if self._outside is None:
            return None
        keys = [location] if "://" in location else [location, location.rpartition("/")[2]]
        place = next((found for each in keys if (found := self._outside.place(each)) is not None), None)
        if place is None:
            return None
        taken = self._take(place) if isinstance(place, Path) else self._in_package(place)
        if taken is None:
            raise _missing_place(self._outside.path.name, location, place)
        key = location if "://" in location else resolved(location, base, lambda _: True, {}) or location
        self.locations[key] = taken
        return taken

    def _in_package(self, path: str) -> str | None:
        """Return the file of the package at a path, or the only one at its end: archives hold one more folder around."""
        found = [name for name in self.files if name == path or name.endswith(f"/{path}")]
        return path if path in found else found[0] if len(found) == 1 else None

    def _take(self, path: Path) -> str:
        assert self._outside is not None  # noqa: S101  # Both callers have looked.
        own = self._outside.own_name(path)
        if own is not None and own in self.files:
            return own
        name = EXTERNAL + path.relative_to(self._outside.root).as_posix()
        if name not in self.files:
            self.files[name] = path.read_bytes()
        return name


def _missing_place(name: str, location: str, place: Path | str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Ortsliste {name} nennt für {location} die Datei {place}, und diese fehlt. Nennen "
            "Sie ihren Ort, wie er von der Liste aus zu finden ist.",
            f"The location list {name} names the file {place} for {location}, and that is missing. "
            "Name its place as it is found from the list.",
        ),
        file=name,
        location=location,
    )


def _locations(schema: Any) -> Iterator[str]:
    for node in schema.iterchildren(*REFERENCES):
        location = node.get("schemaLocation")
        # An import without a location relies on another import of the same namespace; compiling tells.
        if location and location.strip():
            yield location.strip()


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!//)")
