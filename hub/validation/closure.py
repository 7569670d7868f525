"""The closure of an XSD: itself and every document that it includes or imports, found without any network.

A package's own files come first; a foreign address, or a relative file that the package lacks, is looked up in a
location list, which maps them to files of a local mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from hub.errors import ConfigurationError, Text
from hub.validation.xml.xsd import XSD, parse_schema_document, resolved

#: Where documents from outside the package are kept.
EXTERNAL = "external/"
_REFERENCES = tuple(f"{XSD}{name}" for name in ("import", "include", "redefine", "override"))


@dataclass(frozen=True, kw_only=True, slots=True)
class LocationList:
    """Where documents from outside a package lie: ``remote`` by address, ``missing`` by file name, below ``folder``."""

    folder: Path
    remote: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> LocationList:
        """Read a list: JSON with ``remote`` and ``missing_relative``; paths are relative to the folder above its own.

        Raises:
            ConfigurationError: It cannot be read or has another shape.
        """
        try:
            document = orjson.loads(path.read_bytes())
            return cls(
                folder=path.resolve().parent.parent,
                remote={str(key): str(value) for key, value in document["remote"].items()},
                missing={str(key): str(value) for key, value in document.get("missing_relative", {}).items()},
            )
        except (OSError, orjson.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                Text(
                    f"Die Ortsliste {path} ist unbrauchbar; erwartet wird JSON mit remote und missing_relative.",
                    f"The location list {path} cannot be used; JSON with remote and missing_relative is expected.",
                )
            ) from error


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
        return found

    def _known(self, name: str) -> bool:
        if name in self.files:
            return True
        if not name.startswith(EXTERNAL) or self._outside is None:
            return False
        return self._take(name.removeprefix(EXTERNAL)) is not None

    def _from_outside(self, location: str, base: str) -> str | None:
        if self._outside is None:
            return None
        if "://" in location:
            name, key = self._outside.remote.get(location), location
        else:
            name = self._outside.missing.get(location.rpartition("/")[2])
            key = resolved(location, base, lambda _: True, {}) or location
        taken = self._take(name) if name is not None else None
        if taken is not None:
            self.locations[key] = taken
        return taken

    def _take(self, relative: str) -> str | None:
        assert self._outside is not None  # noqa: S101  # Both callers have looked.
        path = (self._outside.folder / relative).resolve()
        if not path.is_relative_to(self._outside.folder) or not path.is_file():
            return None
        name = EXTERNAL + relative
        self.files.setdefault(name, path.read_bytes())
        return name


def _locations(schema: Any) -> Iterator[str]:
    for node in schema.iterchildren(*_REFERENCES):
        location = node.get("schemaLocation")
        # An import without a location relies on another import of the same namespace; compiling tells.
        if location:
            yield location.strip()
