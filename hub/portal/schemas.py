"""Schemas as the hub judges by them, with their form files: from folders that ship, or fetched from the hub once.

What lies in the folders counts only where it has the hashes that the hub says, so that nobody fills in a form that the hub
would judge by another schema. Everything else is fetched, file by file, each held to its hash, into a folder that is named
after them all, and appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from hub.client.session import Session, read, unreadable
from hub.errors import ConfigurationError, HubError, Text, TooLarge, Unavailable
from hub.files.strict_yaml import load_yaml
from hub.validation.catalog import SchemaCatalog
from hub.validation.editions import FileRole, SchemaEntry, load_version
from hub.validation.manifest import NAME, Manifest, manifest_from, write_manifest

_DOCUMENT = "/hub/v1/schemas/document"
#: Files and bytes of one schema; the largest of the building standards has some hundred files and 10 MB.
_MOST_FILES, _LARGEST = 1_000, 64 * 1024 * 1024
#: Schemas that are kept in memory, and folders on disk.
_KEPT, _FOLDERS = 100, 500


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """A file that the hub lists."""

    name: str
    role: str
    sha256: str


class FormSchemas:
    """The schemas in ``roots``, and what is fetched by ``hub`` into ``folder``; thread-safe, read at first need."""

    def __init__(self, *roots: Path, hub: Session, folder: Path) -> None:
        self._roots = roots
        self._hub = hub
        self._folder = folder
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._catalog: SchemaCatalog | None = None
        self._kept: OrderedDict[str, SchemaEntry] = OrderedDict()

    def entry(self, uri: str, facts: Mapping[str, Any]) -> SchemaEntry:
        """Return a schema as ``facts`` (the hub's word of it) say.

        Raises:
            Unavailable: the hub does not give it out as it says, or cannot be asked.
        """
        wanted = tuple(_wanted(facts))
        state = hashlib.sha256(repr((uri, facts.get("sha256"), wanted)).encode()).hexdigest()
        known = self._known(state)
        if known is not None:
            return known
        # One at a time: whoever asks for the same meanwhile waits for it and does not fetch it again.
        with self._making:
            found = self._known(state) or self._shipped(uri, facts, wanted) or self._fetched(uri, state, wanted)
            with self._lock:
                self._kept[state] = found
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    def _known(self, state: str) -> SchemaEntry | None:
        with self._lock:
            found = self._kept.get(state)
            if found is not None:
                self._kept.move_to_end(state)
            return found

    def _shipped(self, uri: str, facts: Mapping[str, Any], wanted: tuple[_Wanted, ...]) -> SchemaEntry | None:
        if self._catalog is None:
            self._catalog = SchemaCatalog.load(*self._roots)
        if uri not in self._catalog.names():
            return None
        entry = self._catalog.entry(uri)
        mine = {each.name: each.sha256 for each in entry.files()}
        # With code lists the hub's own hash is of all its lists together, which need not be here: then the files decide.
        same = entry.coded or entry.ref.sha256 == facts.get("sha256")
        judging = (each for each in wanted if each.role != FileRole.MANIFEST)
        return entry if same and all(mine.get(each.name) == each.sha256 for each in judging) else None

    def _fetched(self, uri: str, state: str, wanted: tuple[_Wanted, ...]) -> SchemaEntry:
        place = self._folder / state
        if not place.is_dir():
            self._fetch(uri, place, wanted)
        try:
            (folder,) = place.glob("*/*")
            return next(each for each in load_version(folder).entries if uri in each.uris)
        except (ConfigurationError, StopIteration, ValueError) as exc:
            # Whatever lies there is of no use: the next one who asks fetches it again.
            shutil.rmtree(place, ignore_errors=True)
            raise _not_as_said() from exc

    def _fetch(self, uri: str, place: Path, wanted: tuple[_Wanted, ...]) -> None:
        if not any(each.role == FileRole.MANIFEST for each in wanted) or len(wanted) > _MOST_FILES:
            raise _not_as_said()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="new-") as made:
            base = Path(made) / "whole"
            files = dict(self._files(uri, wanted))
            _lay(base, uri, files)
            self._make_room()
            try:
                base.rename(place)
            except OSError:
                # Another portal on this folder was first, with the very same bytes.
                if not place.is_dir():
                    raise

    def _files(self, uri: str, wanted: tuple[_Wanted, ...]) -> Iterator[tuple[str, bytes]]:
        left = _LARGEST
        for each in wanted:
            with self._hub.call(
                "GET", _DOCUMENT, query={"uri": uri, "file": each.name}, headers={"Accept": "*/*"}
            ) as got:
                try:
                    content = read(got, most=left)
                except TooLarge as exc:
                    raise _not_as_said() from exc
            if hashlib.sha256(content).hexdigest() != each.sha256:
                raise _not_as_said()
            left -= len(content)
            yield each.name, content

    def _make_room(self) -> None:
        """Delete the folders that were used longest ago, beyond a number."""
        folders = [each for each in self._folder.iterdir() if each.is_dir() and not each.name.startswith("new-")]
        for old in sorted(folders, key=lambda each: each.stat().st_mtime)[: max(0, len(folders) - _FOLDERS + 1)]:
            shutil.rmtree(old, ignore_errors=True)


def _lay(base: Path, uri: str, files: Mapping[str, bytes]) -> None:
    """Lay a version's files into ``base/<standard>/<version>``, with a manifest of what of it was fetched."""
    manifest = _manifest_of(uri, files)
    folder = base / manifest.standard / manifest.version
    if folder.resolve().parents[1] != base.resolve():
        raise _not_as_said()
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / NAME).write_text(write_manifest(manifest), encoding="utf-8")


def _manifest_of(uri: str, files: Mapping[str, bytes]) -> Manifest:
    """Return the manifest of a version, with what of it was fetched alone."""
    try:
        manifest = manifest_from(load_yaml(files[NAME]))
        item = next(each for each in manifest.schemas if uri in (each.uri, *each.aliases, manifest.uri))
        here = {name: sha256 for name, sha256 in manifest.files.items() if name in files}
        manifest = replace(
            manifest,
            schemas=(item,),
            files=here,
            code_lists=tuple(each for each in manifest.code_lists if each.file in here),
            locations={address: name for address, name in manifest.locations.items() if name in here},
        )
    except (KeyError, TypeError, ValueError, StopIteration, yaml.YAMLError) as exc:
        raise _not_as_said() from exc
    return manifest


def _wanted(facts: Mapping[str, Any]) -> Iterator[_Wanted]:
    """Yield the files that make a schema and its form, of what the hub lists; examples are none of them."""
    for name in ("documents", "codeLists", "forms"):
        listed = facts.get(name, [])
        for each in listed if isinstance(listed, list) else ():
            try:
                wanted = _Wanted(name=str(each["file"]), role=str(each["role"]), sha256=str(each["sha256"]))
            except (KeyError, TypeError) as exc:
                raise unreadable() from exc
            way = PurePosixPath(wanted.name)
            if way.is_absolute() or ".." in way.parts or not way.parts or "\\" in wanted.name or "\0" in wanted.name:
                raise unreadable()
            yield wanted


def _not_as_said() -> HubError:
    return Unavailable(
        Text(
            "Das Formular für diese Leistung lässt sich gerade nicht laden. Versuchen Sie es später noch einmal.",
            "The form for this service cannot be loaded at the moment. Try again later.",
        ),
        for_people=True,
    )
